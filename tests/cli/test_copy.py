"""`python -m sessions copy`: between each two databases, killed on its way, while visitors come and go."""

import asyncio
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from clock import HOUR
from copying.moving import configuration, move
from tornado.ioloop import IOLoop

from sessions import StoredSession, now_ms
from sessions.cli.app import app
from sessions.cli.target import Target

SESSIONS = 300
PAIRS = [
    ("sqlite", "redis"), ("redis", "postgres"), ("postgres", "mongodb"), ("mongodb", "sqlite"), ("sqlite", "redis cluster")
]  # fmt: skip
"""Each database as FROM and as TO. The lab has all pairs."""


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Async tests run on a loop of their own."""


@pytest.mark.parametrize("pair", PAIRS, ids=" to ".join)
async def test_everybody_moves_and_nobody_notices(pair: tuple[str, str], tmp_path: Path) -> None:
    """Nobody is signed out, nobody is signed in again, and nothing newer is overwritten."""
    moved = await move(pair, tmp_path, SESSIONS, kills=1)

    assert moved.problems == []
    assert [(run.code, run.err.count("Traceback")) for run in moved.runs] == [(0, 0), (0, 0)]
    sums = moved.runs[-1].json["sums"]
    assert (sums["left"], sums["same"] > SESSIONS // 2) == (0, True)


# ---------------------------------------------------------------- what the command says


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three sessions in its FROM."""
    monkeypatch.chdir(tmp_path)
    for name in ("from", "to"):
        configuration("sqlite", tmp_path / name)
    fill(tmp_path, *(f"the id {n}" for n in range(3)))
    return tmp_path


def fill(folder: Path, *ids: str, data: str = "{}", name: str = "from") -> None:
    """Store sessions."""

    async def put() -> None:
        async with Target.of_file(folder / name / "config.toml").open(makes=True) as store:
            for sid in ids:
                record = StoredSession(f'{{"cookie":{{"path":"/"}},"secret":{data}}}', now_ms() + HOUR)
                await store.set(sid, record)  # type: ignore[attr-defined] # a power of SQLite's

    asyncio.run(put())


def copy(*arguments: str) -> Result:
    """Run the command between the two configurations of the working folder."""
    ran = CliRunner().invoke(app, ["copy", "from/config.toml", "to/config.toml", *arguments])
    assert "the id" not in ran.output
    return ran


@pytest.mark.usefixtures("folder")
def test_a_copy_says_when_the_servers_may_change_over() -> None:
    """On stdout; the passes are on stderr."""
    ran = copy()

    assert ran.exit_code == 0
    assert re.search(r"^FROM: 3 sessions, sum (\w{32})\nTO: 3 sessions, sum \1\nthe same sessions\nChange", ran.stdout)
    assert re.match(r"pass 1: 3 sessions read, 3 created; .* a second\npass 2: 3 sessions read, nothing", ran.stderr)


def test_the_last_pass_says_what_differs(folder: Path) -> None:
    """And that the journal can go."""
    copy()
    fill(folder, "the id 0", data='"newer"', name="to")
    fill(folder, "the id 0", data='"changed"')
    fill(folder, "the id 9", name="to")

    ran = copy("--last")

    assert (ran.exit_code, ran.stdout.splitlines()[2:]) == (
        0,
        [
            "2 are the same",
            "1 were changed at TO and stay as they are there",
            "1 were made at TO",
            "All sessions are at TO. Delete the journal: it holds session ids.",
        ],
    )


def test_a_to_that_refuses_sessions_is_no_place_to_change_over_to(folder: Path) -> None:
    """Its table is full, say. When that is mended, the copy goes on."""
    fill(folder, name="to")
    table = sqlite3.connect(folder / "to" / "sessions.db")
    table.execute("CREATE TRIGGER full BEFORE INSERT ON sessions BEGIN SELECT raise(ABORT, 'no room'); END")

    refused = copy()
    table.execute("DROP TRIGGER full")
    table.close()
    mended = copy()

    assert (refused.exit_code, refused.stdout.splitlines()[-1]) == (
        1,
        "TO refuses 3 of 3 sessions. Mend that, and run the same command again.",
    )
    assert (mended.exit_code, mended.stdout.splitlines()[-1][:10]) == (0, "Change the")


def test_a_to_that_has_lost_sessions_is_no_place_to_change_over_to(folder: Path) -> None:
    """It was emptied after a rehearsal, and the journal was not."""
    copy()
    (folder / "to" / "sessions.db").unlink()

    ran = copy()

    assert ran.exit_code == 1
    assert ran.stdout.splitlines()[-1] == (
        "3 sessions that were copied are not at TO any more. If no server uses TO yet, it has lost them: delete the"
        " journal, and run the same command again."
    )


@pytest.mark.usefixtures("folder")
def test_a_copy_prints_one_json_document() -> None:
    """With the numbers of each pass and the sums."""
    document: dict[str, Any] = json.loads(copy("--json").stdout)

    assert [(each["read"], each["created"]) for each in document["passes"]] == [(3, 3), (3, 0)]
    assert (document["sums"]["isEqual"], document["sums"]["sourceSum"]) == (True, document["sums"]["targetSum"])


@pytest.mark.usefixtures("folder")
def test_the_last_pass_is_not_the_first() -> None:
    ran = copy("--last")

    assert ran.exit_code == 2
    assert ran.stderr == (
        "--last: comes after the servers have changed over, and by sessions-copy.db no copy has said that they may:"
        " give that copy's --journal, or run copy without --last first\n"
    )


def test_a_store_is_not_copied_onto_itself(folder: Path) -> None:
    """However it is named."""
    ran = CliRunner().invoke(app, ["copy", "from/config.toml", f"sqlite:{folder}/to/../from/sessions.db"])

    assert (ran.exit_code, ran.stderr) == (2, "copy: FROM and TO are the same store\n")


@pytest.mark.usefixtures("folder")
def test_another_copy_needs_another_journal() -> None:
    copy()

    ran = CliRunner().invoke(app, ["copy", "from/config.toml", "sqlite:other.db"])

    assert ran.exit_code == 2
    assert "each copy has a journal of its own" in ran.stderr


@pytest.mark.usefixtures("folder")
def test_a_user_key_goes_with_a_url() -> None:
    ran = copy("--user-key", "user")

    assert ran.exit_code == 2
    assert "--user-key goes with a URL" in ran.stderr


def test_a_from_that_is_not_there_is_not_made(folder: Path) -> None:
    ran = CliRunner().invoke(app, ["copy", "sqlite:nowhere.db", "to/config.toml"])

    assert ran.exit_code == 1
    assert not (folder / "nowhere.db").exists()


def test_no_password_is_shown() -> None:
    """What the journal keeps of a store, and a message names, is without it."""
    assert Target.of_url("redis://me:the-password@127.0.0.1/2").place == "redis://********@127.0.0.1/2, prefix sess:"
