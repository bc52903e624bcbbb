"""Owns trouble without end for several processes: workers that are killed every 100 ms, a store that is away, and both.

The parent has to be there afterwards, with all its workers, and the sessions.
"""

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from client import Browser
from processes import Server, until

from .report import Report

WORKERS = 3
PACE = 0.1
"""Seconds between two kills."""

LONGEST_PAUSE = 5.0
"""Seconds of sessions.web.workers: so long after the last kill all start at the latest."""

_UNANSWERED = {"no answer", "cut off"}


async def workers(folder: Path, *, kills: bool, away: bool, seconds: float) -> Report:
    """Make trouble for so many seconds, ask meanwhile, and look what is there afterwards."""
    report = Report(f"workers{' killed' if kills else ''}{' without their store' if away else ''}")
    place = folder / "place"
    place.mkdir()
    config = f'[server]\nworkers = {WORKERS}\nlogLevel = "warning"\n[session]\nstore = "sqlite:place/sessions.db"\n'
    seen: Counter[str] = Counter()
    with Server(folder, config) as server:
        await server.serving()
        await until(lambda: len(server.workers) == WORKERS)
        ada = server.browser()
        await ada.fetch("/set-session")
        async with _asking(server, ada, seen):
            with _gone(place, away=away):
                await _trouble(server, seconds, seen, kills=kills)
        size, began = len(server.output), time.monotonic()
        async with asyncio.timeout(LONGEST_PAUSE + 10):
            well = 0
            while len(server.workers) < WORKERS or well < 4 * WORKERS:  # answers in a row: of each worker some
                well = well + 1 if await _asked(server, ada) == "Session data: exampleuser" else 0
        report.figures = {**seen, "seconds until all was well": round(time.monotonic() - began, 1)}
        bad = {each for each in seen if each not in {"Session data: exampleuser", "503", "kills", *_UNANSWERED}}
        report.check(not bad, f"it answered {bad}")
        report.check(kills or not seen.keys() & _UNANSWERED, "somebody got no answer, and no worker was killed")
        report.check("Traceback" not in server.output, f"it complained:\n{server.output[-2_000:]}")
        report.check(size < 20_000 + 400 * seconds + 300 * seen["503"], f"its log has {size} bytes")
        if away and not kills:
            report.check(seen["503"] > 0, "void: no answer said that the store is away")
        report.check(server.status is None, f"it ended with {server.status}")
        server.signal(signal.SIGTERM)
        report.check(await server.ended() == 0, f"it ended with {server.status}")
    return report


async def _trouble(server: Server, seconds: float, seen: Counter[str], *, kills: bool) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for pid in server.workers[:1] if kills else []:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                seen["kills"] += 1
        await asyncio.sleep(PACE)


@asynccontextmanager
async def _asking(server: Server, visitor: Browser, seen: Counter[str]) -> AsyncIterator[None]:
    """Ask all the time, and count the answers: nothing but the session or 503 may come."""

    async def ask() -> None:
        while True:
            seen[await _asked(server, visitor)] += 1
            await asyncio.sleep(PACE / 2)

    asking = asyncio.create_task(ask())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)


@contextmanager
def _gone(place: Path, *, away: bool) -> Iterator[None]:
    """Take the store's folder away."""
    elsewhere = place.with_name("elsewhere")
    if away:
        place.rename(elsewhere)
    try:
        yield
    finally:
        if away:
            elsewhere.rename(place)


async def _asked(server: Server, visitor: Browser) -> str:
    """What a visitor gets: the text, the status, or no answer."""
    headers = {"Cookie": f"connect.sid={visitor.kept().value}"}
    try:
        async with asyncio.timeout(LONGEST_PAUSE * 2):
            response = await server.browser().fetch("/get-session", headers=headers)
    except (OSError, TimeoutError):
        return "no answer"
    if response.status == 0:
        return "cut off"
    return response.text if response.status == 200 else str(response.status)  # HTTP's
