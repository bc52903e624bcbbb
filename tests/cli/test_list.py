"""`list` shows the sessions, or those of a user."""

import subprocess
from collections.abc import Callable

import pytest
from clock import DAY, HOUR

from sessions import now_ms

from .support import SECONDS, Place, command_of, environment

MEMBERS = ["handle", "user", "signedIn", "seen", "expires", "created", "ip", "agent", "bytes", "readable"]


def test_every_living_session_is_listed_by_its_handle(place: Place) -> None:
    """With its user; an anonymous one has none."""
    handles = place.put_all([("ada", None, {}), (7, None, {}), (None, None, {"theme": "dark"})])

    ran = place.run("list", "--json")

    listed = {row["handle"]: row["user"] for row in ran.json["sessions"]}
    assert (ran.code, ran.err) == (0, "")
    assert listed == dict(zip(handles, ["ada", "7", None], strict=True))


def test_of_a_user_only_the_users_sessions_are_listed(place: Place) -> None:
    """The last sign-in first, also sessions that no server has read since, which Redis has in no set."""
    now = now_ms()
    first = place.put("ada", meta={"signedInAt": now - HOUR})
    last = place.put("ada", meta={"signedInAt": now})
    place.put("bob")

    ran = place.run("list", "--user", "ada", "--json")

    assert ran.code == 0
    assert [row["handle"] for row in ran.json["sessions"]] == [last, first]


def test_a_user_without_sessions_is_code_3(place: Place) -> None:
    """And an empty list; a store without sessions is no failure."""
    nobody, everybody = place.run("list", "--user", "nobody", "--json"), place.run("list", "--json")

    assert (nobody.code, nobody.json) == (3, {"sessions": []})
    assert (everybody.code, everybody.json) == (0, {"sessions": []})


def test_the_members_of_a_session_are_stable(place: Place) -> None:
    """Times in UTC, bytes exact, None for what is not known."""
    now = 1_900_000_000_000
    meta = {"signedInAt": now, "createdAt": now - 1, "ip": "192.0.2.1", "agent": "Firefox"}
    place.put("ada", meta=meta)

    (row,) = place.run("list", "--json").json["sessions"]

    assert list(row) == MEMBERS
    assert (row["signedIn"], row["created"]) == ("2030-03-17T17:46:40.000Z", "2030-03-17T17:46:39.999Z")
    assert (row["ip"], row["agent"], row["readable"]) == ("192.0.2.1", "Firefox", True)
    assert row["bytes"] > 100


def test_behind_a_pipe_a_table_is_lines_with_tabs(place: Place) -> None:
    """Whole handles, times of ISO 8601 with their zone, no colour."""
    handle = place.put("ada", meta={"signedInAt": 1_900_000_000_000})

    ran = place.process("list")

    assert (ran.code, ran.err) == (0, "")
    (row,) = ran.rows
    assert list(row) == ["HANDLE", "USER", "SIGNED IN", "SEEN", "EXPIRES", "IP", "AGENT"]
    assert (row["HANDLE"], row["USER"], row["SIGNED IN"]) == (handle, "ada", "2030-03-17T17:46:40+00:00")
    assert "\x1b" not in ran.out


def test_a_reader_that_leaves_is_no_error(sqlite: Callable[..., Place]) -> None:
    """`sessions list | head -1`."""
    place = sqlite()
    place.put_all([(f"user{number}", None, {"text": "x" * 200}) for number in range(3_000)])
    command = " ".join([*command_of("list", "--config", "config.toml"), "| head -1; exit ${PIPESTATUS[0]}"])

    ran = subprocess.run(
        ["bash", "-c", command], cwd=place.folder, env=environment(), capture_output=True, timeout=SECONDS, check=False
    )

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.count(b"\n") == 1


def test_more_than_a_page_has_one_head(sqlite: Callable[..., Place]) -> None:
    """A table is printed while the sessions are read."""
    place = sqlite()
    place.put_all([(f"user{number}", None, {}) for number in range(1_203)])

    ran = place.run("list")

    assert len(ran.rows) == len({row["HANDLE"] for row in ran.rows}) == 1_203


def test_a_tombstone_and_an_expired_session_are_not_listed(place: Place) -> None:
    """Neither is a session of anybody."""
    place.put("ada", meta={"closed": now_ms() + DAY, "next": "elsewhere"})
    if not place.kind.startswith("redis"):  # which drops it by itself
        place.put("ada", lives=-HOUR)

    assert place.run("list", "--json").json == {"sessions": []}


@pytest.mark.parametrize("text", ["no JSON", "[]", '{"cookie":{},"username":"\x1b[31m"}'])
def test_what_a_row_holds_cannot_harm_the_terminal(sqlite: Callable[..., Place], text: str) -> None:
    """What is no session is said to be none, and what is no user is nobody."""
    place = sqlite()
    handle = place.put_text(text)

    ran = place.run("list")

    (row,) = ran.rows
    assert row["HANDLE"] == handle
    assert row["USER"] in ("(no session)", "-")


def test_an_agent_with_control_characters_is_escaped(sqlite: Callable[..., Place]) -> None:
    """A browser's name comes from a visitor."""
    place = sqlite()
    place.put("ada", meta={"signedInAt": 1, "agent": "a\x1b[2J\u202eb\tc\nd"})

    (row,) = place.run("list").rows

    assert row["AGENT"] == "a\\x1b[2J\\u202eb\\tc\\nd"


FAR = [
    '{"cookie":{},"username":"ada","__meta":{"signedInAt":1e300,"createdAt":-1e300}}',
    '{"cookie":{"originalMaxAge":1e300},"username":"ada"}',
]


@pytest.mark.parametrize("words", ["list", "list --json", "show --user ada", "stats", "stats --json"])
def test_a_time_that_is_none_stops_no_command(sqlite: Callable[..., Place], words: str) -> None:
    """It is shown as one that is not known; other sessions are shown too."""
    place = sqlite()
    for text in FAR:
        place.put_text(text)
    place.put_text("{}", lives=9 * 10**18)

    ran = place.run(*words.split())

    assert (ran.code, ran.err) == (0, "")
    assert "e+300" not in ran.out


@pytest.mark.parametrize("user", ["", "x" * 201, "a\nb"])
def test_what_is_no_user_is_refused(sqlite: Callable[..., Place], user: str) -> None:
    """With the words of sign_in."""
    ran = sqlite().run("list", "--user", user)

    assert ran.code == 2
    assert ran.err.startswith("user: expected a string or an integer")


def test_of_a_user_needs_a_user_key(sqlite: Callable[..., Place]) -> None:
    """Of the configuration, or of the command line."""
    place = sqlite()
    place.config.write_text(place.config.read_text().replace("userKey", "# userKey"))

    ran = place.run("list", "--user", "ada")

    assert (ran.code, ran.out) == (2, "")
    assert "userKey: is not set" in ran.err
