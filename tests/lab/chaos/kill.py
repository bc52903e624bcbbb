"""Owns sudden death: all processes of a server are killed while they write, again and again, and asked what they remember."""

import asyncio
import os
import random
import signal
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from processes import until

from .load import Broken, Refused, Visitor, all_or_none
from .report import Report
from .serving import SQLITE, Application

CLIENTS = 24


@dataclass
class Writer:
    """A client with a session that counts its writes."""

    cookie: bytes = b""
    acknowledged: int = 0
    asked: int = 0
    """What it has sent last; one that was not answered may be stored or not."""

    async def write(self, port: int) -> None:
        """Write until the server dies."""
        async with Visitor(port, self.cookie) as visitor:
            with suppress(Broken, Refused):
                while True:
                    self.asked += 1
                    await visitor.do(["set", "n", self.asked])
                    self.acknowledged, self.cookie = self.asked, visitor.cookie

    async def remembers(self, port: int) -> str | None:
        """What is wrong with its session now; None where it holds what was acknowledged, or the one write after it."""
        if not self.cookie:
            return None
        async with Visitor(port, self.cookie) as visitor:
            (found,) = await visitor.do(["get", "n"])
        if found not in {self.acknowledged, self.asked}:
            return f"acknowledged {self.acknowledged}, found {found}"
        self.asked = self.acknowledged = found
        return None


def have_acknowledged(writers: Sequence[Writer], enough: int) -> bool:
    """Return True if more writes than that were acknowledged to them."""
    return sum(writer.acknowledged for writer in writers) > enough


def kill(server: Application) -> None:
    """Kill all its processes at once, the parent first, or it would start the others again."""
    for pid in (server.pid, *server.processes):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def kill_9(folder: Path, store: str = SQLITE, *, rounds: int) -> Report:
    """Start, look for what was acknowledged before, write, kill."""
    report = Report("kill -9")
    writers = [Writer() for _ in range(CLIENTS)]
    unanswered = 0
    for number in range(rounds + 1):
        with Application(folder, store) as server:
            await server.ready()
            for writer in writers:
                wrong = await writer.remembers(server.port)
                report.check(wrong is None, f"after {number} kills: {wrong}")
            _check_integrity(folder, report)
            if number == rounds:
                server.signal(signal.SIGTERM)
                report.check(await server.ended() == 0, "the last server did not end with 0")
                break
            enough = sum(writer.acknowledged for writer in writers) + 2 * CLIENTS
            tasks = [asyncio.create_task(writer.write(server.port)) for writer in writers]
            await until(partial(have_acknowledged, writers, enough))
            await asyncio.sleep(random.uniform(0, 0.1))
            kill(server)
            await all_or_none(tasks)
            unanswered += sum(writer.asked > writer.acknowledged for writer in writers)
    report.figures |= {
        "kills": rounds,
        "acknowledged": sum(writer.acknowledged for writer in writers),
        "in flight when killed": unanswered,
        "lost": len(report.failures),
    }
    report.check(unanswered, "void: no kill met a request in flight")
    return report


def _check_integrity(folder: Path, report: Report) -> None:
    file = folder / "sessions.db"
    if file.exists():
        with closing(sqlite3.connect(file)) as database:
            found = database.execute("PRAGMA integrity_check").fetchone()[0]
        report.check(found == "ok", f"integrity_check: {found}")
