"""Owns the orderly end under load: SIGTERM while clients write, on kept connections and on new ones."""

import asyncio
import signal
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .load import Broken, Refused, Visitor, all_or_none
from .report import Report
from .serving import SQLITE, Application

CLIENTS = 16
"""On kept connections; as many again open one for each request."""

DRAIN = 10.0


@dataclass
class Writer:
    """A client with a session that counts its writes, until the server takes no more."""

    keeps: bool
    """Whether it keeps its connection."""

    seen: Counter[str]
    cookie: bytes = b""
    acknowledged: int = 0

    async def write(self, port: int) -> None:
        """Write until the server says that an answer is its last, or takes no new connection."""
        async with Visitor(port, self.cookie) as visitor:
            with suppress(Refused):
                while True:
                    try:
                        await visitor.do(["set", "n", self.acknowledged + 1])
                    except Broken:
                        self.seen["kept connections cut" if self.keeps else "new connections cut"] += 1
                        return
                    self.acknowledged, self.cookie = self.acknowledged + 1, visitor.cookie
                    if not self.keeps:
                        visitor.leave()
                    elif not visitor.is_connected:
                        return


async def sigterm(folder: Path, store: str = SQLITE, *, rounds: int, seconds: float) -> Report:
    """Load the server, end it, start it again and look for what was acknowledged."""
    report = Report("SIGTERM")
    seen: Counter[str] = Counter({"kept connections cut": 0, "new connections cut": 0})
    slowest = 0.0
    writers = [Writer(number % 2 == 0, seen) for number in range(2 * CLIENTS)]
    for number in range(rounds + 1):
        with Application(folder, store) as server:
            await server.ready()
            for writer in writers:
                if writer.acknowledged:
                    async with Visitor(server.port, writer.cookie) as visitor:
                        (found,) = await visitor.do(["get", "n"])
                    report.check(found == writer.acknowledged, f"acknowledged {writer.acknowledged}, found {found}")
            if number == rounds:
                break
            tasks = [asyncio.create_task(writer.write(server.port)) for writer in writers]
            await asyncio.sleep(seconds)
            began = time.monotonic()
            server.signal(signal.SIGTERM)
            report.check(await server.ended() == 0, "the exit status is not 0")
            slowest = max(slowest, time.monotonic() - began)
            await all_or_none(tasks)
            report.check("Traceback" not in server.output, f"the server complained:\n{server.output[-2000:]}")
    report.figures |= {
        "rounds": rounds,
        "acknowledged": sum(writer.acknowledged for writer in writers),
        "lost": len(report.failures),
        "longest end in seconds": round(slowest, 2),
        **seen,
    }
    report.check(slowest < DRAIN + 1, f"an end took {slowest:.1f} s, {DRAIN:.0f} are allowed")
    report.check(seen["kept connections cut"] == 0, "a connection was cut that the server had accepted")
    return report
