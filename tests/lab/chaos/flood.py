"""Owns the flood: visitors without cookies, as many as come. Whether they leave rows, and whether the sweeper keeps up."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .load import Visitor, all_or_none, state
from .report import Report
from .serving import SQLITE, Application

CLIENTS = 32
MAX_AGE = 2_000
SWEEPER = {"interval": 500}
KEEPS_UP = 4.0
"""Times MAX_AGE that the rows of a flood may be old, at the most: they live that long, and then wait for the sweeper."""

PATIENCE = 20.0
"""Seconds until the rows of a flood must be gone; far above MAX_AGE and an interval of the sweeper."""


@dataclass
class Flood:
    """Requests without a cookie that read their session."""

    port: int
    sent: int = 0
    cookies: int = 0

    async def run(self, seconds: float) -> float:
        """Ask as fast as it goes. Returns the requests per second."""
        began = time.monotonic()

        async def client() -> None:
            async with Visitor(self.port) as visitor:
                while time.monotonic() < began + seconds:
                    visitor.cookie = b""
                    answer = await visitor.ask(["get", "n"])
                    assert answer.status == 200
                    self.sent += 1
                    self.cookies += answer.sets_cookie

        await all_or_none([asyncio.create_task(client()) for _ in range(CLIENTS)])
        return self.sent / (time.monotonic() - began)


async def no_rows(folder: Path, store: str = SQLITE, *, seconds: float) -> Report:
    """Without saveUninitialized."""
    report = Report("flood, saveUninitialized off")
    with Application(folder, store) as server:
        await server.ready()
        flood = Flood(server.port)
        rate = await flood.run(seconds)
        of_store = await state(server.port)
    rows = of_store["living"] + of_store["backlog"]
    report.figures |= {"requests": flood.sent, "requests per second": round(rate), "rows": rows}
    report.check(flood.sent > CLIENTS, "void: nobody came")
    report.check(rows == 0, f"{rows} rows were made")
    report.check(flood.cookies == 0, f"{flood.cookies} cookies were set")
    return report


async def swept(folder: Path, store: str = SQLITE, *, seconds: float) -> Report:
    """With saveUninitialized: each request leaves a row that lives for a moment, and the sweeper takes it away."""
    report = Report("flood, saveUninitialized on")
    session = {"saveUninitialized": True, "cookie.maxAge": MAX_AGE}
    samples: list[dict[str, Any]] = []
    with Application(folder, store, session=session, sweeper=SWEEPER) as server:
        await server.ready()
        flood = Flood(server.port)
        began = time.monotonic()
        task = asyncio.create_task(flood.run(seconds))
        while not task.done():
            await asyncio.sleep(0.2)
            samples.append(await state(server.port))
        rate = await task
        last = samples[-1]
        gone = flood.sent - last["living"] - last["backlog"]
        took = time.monotonic() - began
        try:
            await _emptied(server.port)
        except TimeoutError:
            report.failures.append(f"the rows of the flood were not swept within {PATIENCE:.0f} s of its end")
    held = max(sample["living"] + sample["backlog"] for sample in samples)
    report.figures |= {
        "rows made": flood.sent,
        "rows made per second": round(rate),
        "rows swept during the flood, per second": round(gone / max(took - MAX_AGE / 1000, 1)),
        "largest number of rows": held,
        "largest backlog": max(sample["backlog"] for sample in samples),
        "backlog at the end": last["backlog"],
    }
    report.check(flood.cookies == flood.sent, "void: not every visitor was given a session")
    report.check(held <= rate * MAX_AGE / 1000 * KEEPS_UP + 200, f"the sweeper does not keep up: {held} rows")
    return report


async def _emptied(port: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            of_store = await state(port)
            if of_store["living"] + of_store["backlog"] == 0:
                return
            await asyncio.sleep(0.1)
