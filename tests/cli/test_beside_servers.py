"""The commands work beside a reference server that is under load, on every store; nothing that they print holds an id."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from client import Browser
from clock import HOUR
from interop.processes import Process

from sessions import now_ms
from sessions.users import handle_of

from .support import Place, environment

ROOT = Path(__file__).parents[2]
USER = "exampleuser"
"""Whom /set-session signs in."""

READING = ("stats --json", "list --json", f"list --user {USER} --json", "sweep --json", "index --json")

SECRET = "of-the-tests-and-as-long-as-the-server-demands"


_PAUSE = 0.01
"""Seconds of a visitor between two requests: the commands want some of the machine too."""


class Load:
    """Visitors of a server who log in and come again, until they are stopped."""

    def __init__(self, port: int, visitors: int) -> None:
        self.browsers = [Browser(port, now_ms) for _ in range(visitors)]
        self.statuses: list[int] = []
        self.ids: set[str] = set()
        self.has_failed = False
        self._stopping = False

    async def run(self) -> None:
        """Let every visitor ask, one request after another."""
        try:
            await asyncio.gather(*map(self._visit, self.browsers))
        except BaseException:
            self.has_failed = True
            raise

    def stop(self) -> None:
        """Let each end its request."""
        self._stopping = True

    async def _visit(self, browser: Browser) -> None:
        while not self._stopping:
            for path in ("/set-session", "/get-session"):
                answer = await browser.fetch(path)
                self.statuses.append(answer.status)
                self.ids.add(browser.sid or "")
                await asyncio.sleep(_PAUSE)


@pytest.fixture
def server(place: Place) -> Iterator[Process]:
    """A reference server on the store."""
    command = [sys.executable, ROOT / "server.py", "--config", "config.toml", "--port", 0]
    with Process(command, cwd=place.folder, env=environment(SESSION_SECRET=SECRET)) as process:
        yield process


async def test_every_command_works_while_visitors_come(place: Place, server: Process) -> None:
    """No request fails by it; a visitor without a session has a new one at the next request."""
    load = Load(port_of(server), visitors=4)
    asking = asyncio.create_task(load.run())
    await more(load)

    ran = {words: await asyncio.to_thread(place.run, *words.split()) for words in READING}
    handle = ran["list --json"].json["sessions"][0]["handle"]
    for words in (f"show {handle} --data --json", f"revoke {handle[:8]} --json"):
        ran[words] = await asyncio.to_thread(place.run, *words.split())
    ended = []
    for words in (f"revoke --user {USER} --json", "revoke --all --yes --json"):
        await more(load)
        ran[words] = await asyncio.to_thread(place.run, *words.split())
        ended.append(ran[words].json["ended"])
    await more(load)
    load.stop()
    await asking

    assert {words: each for words, each in ran.items() if each.code} == {}
    assert ran[f"list --user {USER} --json"].json["sessions"]
    assert min(ended) >= 1
    assert set(load.statuses) == {200}
    assert len(load.ids) > 8
    assert not [sid for sid in load.ids for each in ran.values() if sid in each.out + each.err]


async def more(load: Load) -> None:
    """Wait until fifty more requests were answered."""
    count = len(load.statuses)
    while len(load.statuses) < count + 50 and not load.has_failed:  # noqa: ASYNC110 # the load sets no event
        await asyncio.sleep(0.01)


async def test_a_revoked_visitor_has_no_session_at_the_next_request(place: Place, server: Process) -> None:
    """The server is not started again; the one to keep has its session still."""
    here, there = (Browser(port_of(server), now_ms) for _ in range(2))
    for browser in (here, there):
        await browser.fetch("/set-session")
    kept = handle_of(there.sid or "")

    ran = await asyncio.to_thread(place.run, "revoke", "--user", USER, "--keep", kept[:8], "--json")

    assert ran.json == {"ended": 1}
    assert USER not in (await here.fetch("/get-session")).text
    assert USER in (await there.fetch("/get-session")).text


def port_of(server: Process) -> int:
    """Where it listens."""
    return int(server.find(r"Server listening on port (\d+)\n")[1])


def test_expired_sessions_are_left_to_the_server_that_sweeps(tmp_path: Path) -> None:
    """SQLite's server holds the sweeper's lock; the command says so and fails nothing."""
    place = Place("sqlite", tmp_path)
    place.put("ada", lives=-HOUR)
    place.config.write_text(place.config.read_text() + "\n[sweeper]\ninterval = 1000\njitter = 0\n")
    command = [sys.executable, ROOT / "server.py", "--config", "config.toml", "--port", 0]
    with Process(command, cwd=tmp_path, env=environment(SESSION_SECRET=SECRET)) as process:
        process.find("swept 1 expired sessions")

        ran = place.process("sweep", "--json")

    assert (ran.code, ran.json["sweptBy"]) == (0, "another process")
