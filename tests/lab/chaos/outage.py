"""Owns what visitors see of a fault of the store: the answers, their times, and how the fault ends by itself.

Nobody waits longer than the deadline and a second. No answer says how the server is made, and nobody loses their
session. What was acknowledged is there afterwards. The server holds no task, thread or descriptor more than before.
"""

import asyncio
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .faults import Fault, Place, Times, disk, struck
from .load import Answer, Visitor, all_or_none, state
from .report import Report
from .serving import Application

EACH = 6
"""Visitors who read, and as many who write."""

PATIENCE = 15.0
"""Seconds until the server must have recovered; far above what it takes."""

TEXT = "x" * 30_000
"""What a writer adds, so that a change takes space."""

HELD = ("tasks", "threads", "descriptors")


@dataclass
class Guest:
    """A visitor with a session, and the answers that they got."""

    name: str
    writes: bool
    visitor: Visitor
    answers: list[Answer] = field(default_factory=list)
    known: set[int] = field(default_factory=lambda: {0})
    """What `n` may be: what was acknowledged last, and what was tried since."""
    tried: int = 0

    async def ask(self) -> Answer:
        """One request. What was answered 503 may be stored, or not."""
        change: list[list[Any]] = []
        if self.writes:
            self.tried += 1
            self.known.add(self.tried)
            change = [["set", "n", self.tried], ["set", "text", TEXT]]
        answer = await self.visitor.ask(["get", "name"], ["get", "n"], *change)
        if answer.status == 200 and self.writes:
            self.known = {self.tried}
        return answer

    async def look(self) -> list[Any] | None:
        """Read the name and the number in the session, without a change. Returns None if the answer is no 200."""
        answer = await self.visitor.ask(["get", "name"], ["get", "n"])
        return answer.results if answer.status == 200 else None


async def outage(name: str, fault: Fault, folder: Path, times: Times) -> Report:
    """A fault strikes while visitors read and write."""
    report = Report(name)
    with ExitStack() as stack:
        if fault.mounts:
            stack.enter_context(disk(folder))
        server = stack.enter_context(
            Application(
                folder,
                workers=1,
                session={"storeTimeout": times.store},
                sqlite={"busyTimeout": times.busy},
                sweeper={"interval": 10**8},  # what it opens is not to be counted
            )
        )
        await server.ready()
        guests = [await _arrive(server.port, number) for number in range(2 * EACH)]
        stranger = Guest("", False, Visitor(server.port))
        before = await _at_rest(server.port)
        ends = asyncio.Event()
        with struck(fault, Place(folder, server.pid, times)):
            tasks = [asyncio.create_task(_until(ends, guest)) for guest in (*guests, stranger)]
            await asyncio.sleep(fault.lasts(times) / 1_000)
        ends.set()
        await all_or_none(tasks)
        stranger.visitor.leave()
        for guest in guests:
            _judge(report, fault, guest, times)
        _judge_stranger(report, stranger, times)
        await _recover(report, fault, guests)
        after = await _settled(server.port, before)
        report.check(not server.status, "the server has ended")
        for held in HELD:
            report.check(after[held] <= before[held], f"{held}: {before[held]} before, {after[held]} afterwards")
    answers = [answer for guest in guests for answer in guest.answers]
    refused = [answer for answer in answers if answer.status != 200]
    report.check(bool(refused) >= fault.refuses, "void: nobody was refused")
    report.figures |= {
        "answers": len(answers),
        "refused": len(refused),
        "statuses": sorted({answer.status for answer in answers}),
        "slowest answer in seconds": round(max(answer.seconds for answer in answers), 2),
    }
    return report


async def _arrive(port: int, number: int) -> Guest:
    guest = Guest(f"guest-{number}", number % 2 == 1, Visitor(port))
    await guest.visitor.do(["set", "name", guest.name], ["set", "n", 0])
    guest.visitor.leave()
    return guest


async def _until(ends: asyncio.Event, guest: Guest) -> None:
    while not ends.is_set():
        guest.answers.append(await guest.ask())
        await asyncio.sleep(0.02)


def _judge(report: Report, fault: Fault, guest: Guest, times: Times) -> None:
    """What one visitor was answered while it lasted."""
    for answer in guest.answers:
        allowed = fault.writes if guest.writes else fault.reads
        does = "writes" if guest.writes else "reads"
        report.check(answer.status in allowed, f"{answer.status} for one who {does}")
        report.check(answer.seconds < times.limit, f"an answer took {answer.seconds:.1f} s")
        if answer.status == 200:
            stranger = answer.results[0] != guest.name and not fault.forgets
            report.check(not stranger, f"{guest.name} became a stranger")
        else:
            report.check(not answer.sets_cookie, f"{answer.status} with a session cookie")
            report.check(answer.says_when_to_retry or answer.status != 503, "503 without Retry-After")
            leaked = [word for word in (b"Traceback", b"sessions.db", b"sqlite") if word in answer.body]
            report.check(not leaked, f"the answer has {leaked}")


def _judge_stranger(report: Report, stranger: Guest, times: Times) -> None:
    """Who has no session needs no store."""
    report.check({answer.status for answer in stranger.answers} == {200}, "a visitor without a session was refused")
    slowest = max(answer.seconds for answer in stranger.answers)
    report.check(slowest < times.limit, f"a visitor without a session waited for {slowest:.1f} s")


async def _recover(report: Report, fault: Fault, guests: list[Guest]) -> None:
    """Each visitor is served again, with what was acknowledged, and can write."""
    began = time.monotonic()
    for guest in guests:
        while (found := await guest.look()) is None:
            if time.monotonic() > began + PATIENCE:
                report.failures.append("the server does not recover")
                return
            await asyncio.sleep(0.05)
        is_known = found[0] == guest.name and found[1] in guest.known
        report.check(is_known or fault.forgets, f"{guest.name}: found {found}, acknowledged {sorted(guest.known)}")
        answer = await guest.ask()
        report.check(answer.status == 200, f"{answer.status} after the fault")
        guest.visitor.leave()
    report.figures["recovered after seconds"] = round(time.monotonic() - began, 2)


async def _at_rest(port: int) -> dict[str, Any]:
    """What the server holds when it has noticed that nobody is connected: the least that it is seen to hold for a while."""
    seen = []
    for _ in range(10):
        seen.append(await state(port))
        await asyncio.sleep(0.02)
    return {held: min(each[held] for each in seen) for held in HELD}


async def _settled(port: int, before: dict[str, Any]) -> dict[str, Any]:
    """What the server holds, once that is no more than before, or after it has had the time for that."""
    end = time.monotonic() + PATIENCE
    while True:
        after = await state(port)
        if all(after[held] <= before[held] for held in HELD) or time.monotonic() > end:
            return after
        await asyncio.sleep(0.05)
