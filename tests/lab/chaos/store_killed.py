"""Owns the death of a store: its server is killed under the writes of two processes, and started again on what it kept.

Two clients share each session, one at each process, and change a key of their own. What was acknowledged is there at
the next look; a change that was answered 503 may be there or not; nobody is answered anything else.
"""

import asyncio
import random
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from processes import until

from .load import Visitor, all_or_none
from .report import Report
from .serving import Application

CLIENTS = 12
PATIENCE = 30.0
"""Seconds until the server must have recovered; far above what it takes."""


class StoreServer(Protocol):
    """A server that keeps on its disk what it has acknowledged."""

    @property
    def url(self) -> str: ...
    def kill(self) -> None: ...
    def start(self) -> None: ...


@dataclass
class Writer:
    """A client, with its key in a session that another one has too."""

    key: str
    visitor: Visitor
    asked: int = 0
    acknowledged: int = 0
    refused: int = 0

    async def run(self, ends: asyncio.Event, report: Report) -> None:
        """Write until the end."""
        while not ends.is_set():
            await self.write(report)

    async def write(self, report: Report) -> bool:
        """Look for what was acknowledged before, and write. Returns whether that was acknowledged."""
        self.asked += 1
        answer = await self.visitor.ask(["get", self.key], ["set", self.key, self.asked])
        if answer.status == 200:
            found = answer.results[0] or 0
            report.check(
                self.acknowledged <= found < self.asked, f"{self.key}: acknowledged {self.acknowledged}, found {found}"
            )
            self.acknowledged = self.asked
            return True
        self.refused += 1
        report.check(answer.status == 503 and answer.says_when_to_retry, f"{answer.status}: {answer.body[:80]!r}")
        report.check(not answer.sets_cookie, f"{answer.status} with a session cookie")
        await asyncio.sleep(0.01)
        return False


async def store_killed(folder: Path, store: StoreServer, *, rounds: int) -> Report:
    """Write, kill, wait until somebody is refused, start; then look."""
    report = Report("store killed")
    with Application(folder, store.url) as server:
        await server.ready()
        writers = await _arrive(server)
        await server.spread([writer.visitor for writer in writers])
        ends = asyncio.Event()
        tasks = [asyncio.create_task(writer.run(ends, report)) for writer in writers]
        for _ in range(rounds):
            acknowledged, refused = _sum(writers, "acknowledged"), _sum(writers, "refused")
            await until(partial(_more, writers, "acknowledged", acknowledged + 2 * CLIENTS))
            await asyncio.sleep(random.uniform(0, 0.1))
            store.kill()
            await until(partial(_more, writers, "refused", refused))
            store.start()
        ends.set()
        await all_or_none(tasks)
        async with asyncio.timeout(PATIENCE):
            for writer in writers:
                while not await writer.write(report):
                    pass
                writer.visitor.leave()
    report.check("Traceback" not in server.output, "the server wrote a traceback")
    report.figures |= {
        "kills": rounds,
        "acknowledged": _sum(writers, "acknowledged"),
        "refused": _sum(writers, "refused"),
    }
    return report


async def _arrive(server: Application) -> list[Writer]:
    writers = []
    for number in range(0, CLIENTS, 2):
        async with Visitor(server.port) as first:
            await first.do(["set", "n", number])
        writers += [Writer(f"k{each}", Visitor(server.port, first.cookie)) for each in (number, number + 1)]
    return writers


def _sum(writers: list[Writer], what: str) -> int:
    return sum(getattr(writer, what) for writer in writers)


def _more(writers: list[Writer], what: str, than: int) -> bool:
    return _sum(writers, what) > than
