"""Owns the experiment of a move between real stores: `python -m sessions copy` is killed, visitors act meanwhile.

They sign in at FROM, and go on there while the copy runs, is killed, and runs again. When it says that the servers may
change over, some come to TO while others are at FROM still; then all are at TO, and the last pass runs.
"""

import asyncio
import json
import signal
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

from clock import MINUTE
from stores.postgres_server import shared as shared_postgres
from stores.redis_server import shared_cluster, shared_server
from stores.support import collection, mongo_url, prefix, until

from sessions import now_ms
from sessions.cli.codes import LEFT
from sessions.cli.target import Target

from .visitors import Visitors

SOURCES = ("sqlite", "redis", "postgres", "mongodb")
TARGETS = ("sqlite", "redis", "redis cluster", "postgres", "mongodb")
ROOT = Path(__file__).parents[2]
SECONDS = 600
"""Until a copy has ended; far above what it takes."""

KILLED = (-signal.SIGKILL, LEFT)
"""Exit codes of a copy that was ended by SIGKILL, and by Ctrl-C."""


def pairs() -> list[tuple[str, str]]:
    """Each two databases."""
    return [(source, target) for source in SOURCES for target in TARGETS if source != target]


def configuration(kind: str, folder: Path) -> Path:
    """A config.toml in a folder, with an empty store of a kind."""
    folder.mkdir(parents=True)
    match kind:
        case "sqlite":
            url, table = f"sqlite:{folder / 'sessions.db'}", ""
        case "postgres":
            name = f"sessions of {crc32(bytes(folder))}"
            url, table = shared_postgres().url, f"[postgres]\ntable = {json.dumps(name)}\ntimeout = 30_000"
        case "mongodb":
            url, table = mongo_url(), f"[mongodb]\ncollection = {json.dumps(collection(folder))}\ntimeout = 30_000"
        case "redis":
            url, table = shared_server().url, f"[redis]\nprefix = {json.dumps(prefix(folder))}\ntimeout = 30_000"
        case _:
            url, table = shared_cluster().url, f"[redis]\nprefix = {json.dumps(prefix(folder))}\ntimeout = 30_000"
    file = folder / "config.toml"
    file.write_text(f"[session]\nstore = {json.dumps(url)}\nstoreTimeout = 60_000\n{table}\n")
    return file


class Ran(NamedTuple):
    """What became of a copy."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Moved:
    """What became of a move."""

    runs: list[Ran] = field(default_factory=list)
    killed: int = 0
    problems: list[str] = field(default_factory=list)
    acted: int = 0


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start a copy of FROM into TO."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sessions", "copy", folder / "from" / "config.toml", folder / "to" / "config.toml",
        "--journal", folder / "journal.db", "--json", *arguments,
        cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> Ran:
    """Wait until a copy has ended."""
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    return Ran(process.returncode or 0, out.decode(), err.decode())


async def move(kinds: tuple[str, str], folder: Path, sessions: int, kills: int, *, seed: int = 0) -> Moved:
    """Move so many sessions, with the copy killed so many times."""
    here = Target.of_file(configuration(kinds[0], folder / "from"))
    there = Target.of_file(configuration(kinds[1], folder / "to"))
    moved = Moved()
    async with here.open(makes=True) as source, there.open(makes=True) as target:
        visitors = Visitors(source, target, now_ms, sessions, seed, tolerance=MINUTE)
        await visitors.begin()
        stop = asyncio.Event()
        acting = asyncio.create_task(_act(visitors, moved, stop))
        try:
            for kill in range(kills):
                ending = signal.SIGINT if kill % 2 else signal.SIGKILL
                await _kill_at(await start(folder), ending, target, sessions * (kill + 1) // (kills + 2), moved)
            moved.runs.append(await ended(await start(folder)))
            visitors.may_come_over = True
            await until(lambda: sum(each.is_over for each in visitors.all) >= min(sessions // 50, 100), SECONDS)
            visitors.must_come_over = True
            moved.runs.append(await ended(await start(folder, "--last")))
        finally:
            stop.set()
            await acting
        moved.problems += await visitors.problems()
    return moved


async def _act(visitors: Visitors, moved: Moved, stop: asyncio.Event) -> None:
    """Let visitors act: seldom while the copy is to settle, and often while they come over."""
    at_once = len(visitors.all) // 20_000 + 1
    while not stop.is_set():
        await visitors.act(at_once)
        moved.acted += at_once
        is_turning = visitors.may_come_over and not visitors.must_come_over
        await asyncio.sleep(0.01 if is_turning else 0.2)


async def _kill_at(
    process: asyncio.subprocess.Process, ending: signal.Signals, target: Any, living: int, moved: Moved
) -> None:
    """End a copy by a signal when so many sessions are at TO, and some of its own. Ctrl-C leaves no traceback."""
    living = max(living, await target.length() + 1)  # else it has only begun to import what it needs
    ran = asyncio.ensure_future(ended(process))
    while not ran.done() and await target.length() < living:  # noqa: ASYNC110 # a process sets no event of ours
        await asyncio.sleep(0.005)
    with suppress(ProcessLookupError):
        process.send_signal(ending)
    code, _, err = await ran
    moved.killed += code in KILLED
    if code not in {0, *KILLED} or "Traceback" in err:
        moved.problems.append(f"the copy ended with {code}: {err[-500:]}")
