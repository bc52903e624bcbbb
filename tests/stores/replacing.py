"""Owns the replacement of a SQLite file by its backup under processes that write, again and again, and the verdict.

A write that was asked for after a replacement, and acknowledged, must be in the file; nothing of the old file's log
may be in it. Replacements come in pairs, 3 to 50 ms apart, because the second one meets processes that are busy with
the first. Each writer puts a number into a session of its own. Knows nothing else of the writers.
"""

import asyncio
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from .processes import CHILD, ROOT

FAR = 10**14
MARK = "mark"
"""The id of a row that tells which backup the file is."""

PATIENCE = 15.0
"""Seconds until all writers must be served after a replacement; far above what it takes."""


class Acknowledged(NamedTuple):
    """The last acknowledged write of a writer."""

    sid: str
    n: int
    asked: float
    """When it was asked for, by time.monotonic(), which all processes of a machine share."""


Writers = dict[str, Acknowledged]
"""The last acknowledged write of each writer, by its name."""


@contextmanager
def busy(loops: int) -> Iterator[None]:
    """Processes that take all the time they get, while the block runs."""
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(loops)]
    try:
        yield
    finally:
        for each in spinning:
            each.kill()
            each.wait()


@asynccontextmanager
async def writing(database: Path, processes: int, acknowledged: Writers) -> AsyncIterator[None]:
    """Processes that write into the file by the store, and note what was acknowledged, while the block runs."""
    children = [
        await asyncio.create_subprocess_exec(
            sys.executable, CHILD, "count", database, env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE
        )
        for _ in range(processes)
    ]

    async def read(child: asyncio.subprocess.Process) -> None:
        assert child.stdout
        while line := await child.stdout.readline():
            sid, n, asked = line.split()
            acknowledged[sid.decode()] = Acknowledged(sid.decode(), int(n), float(asked))

    reading = [asyncio.create_task(read(child)) for child in children]
    try:
        yield
    finally:
        for child in children:
            with suppress(ProcessLookupError):
                child.kill()
        await asyncio.gather(*reading)
        for child in children:
            await child.wait()


async def replacements(database: Path, acknowledged: Writers, *, writers: int, pairs: int) -> AsyncIterator[list[str]]:
    """Replace the file so many times two times; yields what is wrong after each pair, mostly nothing."""
    await _all_served(acknowledged, writers, 0)
    for pair in range(pairs):
        first, second = [await asyncio.to_thread(_back_up, database, 2 * pair + each) for each in range(2)]
        first.rename(database)
        await asyncio.sleep(random.uniform(0.003, 0.05))
        second.rename(database)
        since = time.monotonic()
        if not await _all_served(acknowledged, writers, since):
            yield [
                f"pair {pair}: {[name for name, each in acknowledged.items() if each.asked < since]} are not served again"
            ]
            return
        after = [each for each in acknowledged.values() if each.asked >= since]
        yield [f"pair {pair}: {wrong}" for wrong in await asyncio.to_thread(_wrong, database, 2 * pair + 1, after)]


async def _all_served(acknowledged: Writers, writers: int, since: float) -> bool:
    """Wait until every writer has an acknowledged write that it asked for since then. Returns False if that never happens."""
    ends = time.monotonic() + PATIENCE
    while len(acknowledged) < writers or any(each.asked < since for each in acknowledged.values()):
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.002)
    return True


def _back_up(database: Path, number: int) -> Path:
    """Make a backup as SQLite makes one of a file in use, and mark it."""
    backup = database.with_suffix(f".{number}")
    with closing(sqlite3.connect(database, timeout=30)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
        with target:
            target.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", (MARK, FAR, str(number)))
    return backup


def _wrong(database: Path, number: int, acknowledged: list[Acknowledged]) -> list[str]:
    """Say what the file lacks, or has of another one."""
    with closing(sqlite3.connect(database, timeout=30)) as file:
        rows = dict(
            file.execute("SELECT sid, CASE sid WHEN ? THEN sess ELSE sess ->> '$.n' END FROM sessions", (MARK,))
        )
        sound = [row[0] for row in file.execute("PRAGMA integrity_check")]
    wrong = [
        f"acknowledged {each.n}, the file has {rows.get(each.sid)}"
        for each in acknowledged
        if (rows.get(each.sid) or 0) < each.n
    ]
    if rows.get(MARK) != str(number):
        wrong.append(f"backup {number} is in place, the file says {rows.get(MARK)}")
    return wrong + [f"integrity_check: {each}" for each in sound if each != "ok"]
