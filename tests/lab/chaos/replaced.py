"""Owns the replacement of the SQLite file under a server of several processes: what it answered 200 afterwards is in the file.

The same is done over the store alone, by processes that do nothing else, which meet each replacement sooner. How the
file is replaced, and what is wrong then, is known in stores/replacing.py.
"""

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from stores.replacing import Acknowledged, Writers, busy, replacements, writing

from .load import Visitor, all_or_none
from .report import Report
from .serving import Application

PROCESSES = 3
WRITERS = 2 * PROCESSES
LOOPS = 3
"""Processes that take all the time they get: on a quiet machine everybody notices a replacement before the next comes."""


async def replaced(folder: Path, *, pairs: int, http: bool) -> Report:
    """Replace the file again and again."""
    report = Report("replaced, over HTTP" if http else "replaced")
    acknowledged: Writers = {}
    done = 0
    began = time.monotonic()
    file = folder / "sessions.db"
    writers: AbstractAsyncContextManager[None] = (
        _visiting(folder, acknowledged) if http else writing(file, PROCESSES, acknowledged)
    )
    async with writers:
        with busy(LOOPS):
            async for wrong in replacements(file, acknowledged, writers=WRITERS, pairs=pairs):
                report.failures += wrong
                done += 2
    report.figures |= {
        "replacements": done,
        "writes asked for": sum(each.n for each in acknowledged.values()),
        "seconds": round(time.monotonic() - began),
        "lost": len(report.failures),
    }
    return report


@asynccontextmanager
async def _visiting(folder: Path, acknowledged: Writers) -> AsyncIterator[None]:
    """A server at work, and visitors of all its processes who count up, while the block runs."""
    with Application(folder, workers=PROCESSES, sweeper={"interval": 10**8}) as server:
        await server.ready()
        visitors = [Visitor(server.port) for _ in range(WRITERS)]
        ends = asyncio.Event()
        counting: list[asyncio.Task[None]] = []
        try:
            await server.spread(visitors)
            counting += [
                asyncio.create_task(_count(visitor, acknowledged, str(n), ends)) for n, visitor in enumerate(visitors)
            ]
            yield
        finally:
            ends.set()
            await all_or_none(counting)
            for visitor in visitors:
                visitor.leave()


async def _count(visitor: Visitor, acknowledged: Writers, name: str, ends: asyncio.Event) -> None:
    for n in itertools.count(1):
        if ends.is_set():
            return
        asked = time.monotonic()
        answer = await visitor.ask(["set", "n", n])
        if answer.status == 200:
            acknowledged[name] = Acknowledged(json.loads(answer.body)["sid"], n, asked)
        await asyncio.sleep(0.005)
