"""The reading of a trace: which answer was sent before its change was safe."""

import pytest

from .trace import calls, unsafe

WRITE = '7 pwrite64(12</x/sessions.db-wal>, "{\\"k\\":\\"mark-1\\"}", 4096, 56) = 4096'
SYNC = "7 fdatasync(12</x/sessions.db-wal>) = 0"
BEGUN, ENDED = "7 fdatasync(12</x/sessions.db-wal> <unfinished ...>", "7 <... fdatasync resumed>) = 0"
OTHER = "7 fdatasync(11</x/sessions.db>) = 0"
ANSWER = '5 sendto(9<socket:[1]>, "HTTP/1.1 200 OK\\r\\n\\r\\n{\\"results\\": [\\"mark-1\\"]}", 60, 0, NULL, 0) = 60'


@pytest.mark.parametrize(
    ("lines", "early"),
    [
        ([WRITE, SYNC, ANSWER], []),
        ([WRITE, BEGUN, ENDED, ANSWER], []),
        ([WRITE, ANSWER, SYNC], ["1"]),
        ([WRITE, BEGUN, ANSWER, ENDED], ["1"]),
        ([BEGUN, WRITE.replace("7 ", "8 ", 1), ENDED, ANSWER], ["1"]),
        ([WRITE, OTHER, ANSWER], ["1"]),
        ([SYNC, WRITE, ANSWER], ["1"]),
        ([ANSWER], ["1"]),
    ],
)
def test_an_answer_is_safe_after_a_sync_that_began_after_the_write(lines: list[str], early: list[str]) -> None:
    """Of the log, begun after the write and ended before the answer; anything else is too early."""
    assert unsafe("\n".join(lines)) == (1, early)


def test_a_call_that_others_interrupt_spans_their_lines() -> None:
    """From the line in which it begins to the line in which it ends; signals and exits are no calls."""
    found = calls(f"{BEGUN}\n{ANSWER}\n7 --- SIGCHLD {{}} ---\n{ENDED}\n7 +++ exited with 0 +++\n")

    assert [(call.name, call.began, call.ended) for call in found] == [("sendto", 1, 1), ("fdatasync", 0, 3)]
