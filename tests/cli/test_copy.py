"""`python -m sessions copy`: between each two databases, killed on its way, while visitors come and go."""

from pathlib import Path

import pytest
from copying.moving import move
from tornado.ioloop import IOLoop

SESSIONS = 2_000


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Async tests run on a loop of their own."""


@pytest.mark.parametrize("pair", pairs(), ids=" to ".join)
async def test_everybody_moves_and_nobody_notices(pair: tuple[str, str], tmp_path: Path) -> None:
    """Nobody is signed out, nobody is signed in again, and nothing newer is overwritten."""
    moved = await move(pair, tmp_path, SESSIONS, kills=1)

    assert moved.problems == []
    assert [(run.code, run.err.count("Traceback")) for run in moved.runs] == [(0, 0), (0, 0)]
    sums = moved.runs[-1].json["sums"]
    assert (sums["left"], sums["same"] > SESSIONS // 2) == (0, True)
