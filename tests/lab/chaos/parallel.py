"""Owns the race: many clients change one session at once, each its own keys, and every answer 200 is held to its word.

Only one client writes a key, so a change that was acknowledged has to be there when the client reads next. It reads
in the request of its next change, and once at the end: each acknowledged change is looked for exactly once. The same
clients race on express-session's server, which takes the same requests.
"""

import asyncio
import json
import random
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interop.processes import Process

from .. import TESTS
from .load import Visitor, all_or_none
from .report import Report
from .serving import SQLITE, Application

EXPRESS = TESTS / "interop" / "express_app.js"
CONFLICTS = 1_000
"""Fewer real conflicts among 10,000 changes make the run void: nobody has raced."""

UNKNOWN = object()
"""What a key holds after a change that was not acknowledged."""


@dataclass
class Race:
    """The clients on one session, and how many of their acknowledged changes were gone when they looked."""

    ports: Sequence[int]
    clients: int
    changes: int
    """By all of them."""
    server: Application | None = None
    """The clients are spread over the processes of this server."""
    acknowledged: int = 0
    refused: int = 0
    lost: int = 0
    """Changes that were not there when their client looked next."""
    undone: int = 0
    """Changes that were there, and were not when their client looked again."""

    async def run(self) -> None:
        """Race; each client looks for its last change when all have ended."""
        async with Visitor(self.ports[0]) as first:
            await first.do(["set", "born", True])
            first.leave()  # Node closes a connection that has nothing to do
            visitors = [Visitor(self.ports[n % len(self.ports)], first.cookie) for n in range(self.clients)]
            if self.server is not None:
                await self.server.spread(visitors)
            states: list[dict[str, object]] = [{f"{n}-{k}": None for k in range(2)} for n in range(self.clients)]
            each = zip(visitors, states, strict=True)
            await all_or_none([asyncio.create_task(self._client(*pair)) for pair in each])
            data = (await first.do(["data"]))[0]
        for visitor, expected in zip(visitors, states, strict=True):
            visitor.leave()
            self._look({key: data.get(key) for key in expected}, expected)

    async def _client(self, visitor: Visitor, expected: dict[str, object]) -> None:
        """Set and delete its keys; `expected` holds the values that were acknowledged."""
        chance = random.Random()
        for number in range(self.changes // self.clients):
            key = chance.choice(list(expected))
            value = None if expected[key] is not None and chance.random() < 0.3 else number
            change = ["delete", key] if value is None else ["set", key, value]
            answer = await visitor.ask(*(["get", each] for each in expected), change)
            if answer.status != 200:
                self.refused += 1
                expected[key] = UNKNOWN
                continue
            self.acknowledged += 1
            self._look(dict(zip(expected, answer.results, strict=False)), expected)
            del expected[key]
            expected[key] = value  # the last change comes last

    def _look(self, seen: dict[str, Any], expected: dict[str, object]) -> None:
        """Count what is not as expected, and expect from now on what was seen: each loss is counted once."""
        *others, last = [value is not UNKNOWN and seen[key] != value for key, value in expected.items()]
        self.lost += last
        self.undone += sum(others)
        expected.update(seen)


async def parallel(folder: Path, store: str = SQLITE, *, clients: int, changes: int, conflicts: int) -> Report:
    """The race on two processes of ours."""
    report = Report("parallel")
    with Application(folder, store) as server:
        await server.ready()
        race = Race([server.port], clients, changes, server)
        await race.run()
        counts = await _ended(server, report)
    report.figures |= {"clients": clients, "acknowledged": race.acknowledged, "lost": race.lost + race.undone}
    report.check(not race.refused, f"{race.refused} changes were refused")
    report.figures["conflicts in the store"] = counts["CONFLICT"]
    report.check(race.lost + race.undone == 0, f"{race.lost + race.undone} acknowledged changes were lost")
    report.check(counts["CONFLICT"] >= conflicts, f"void: {counts['CONFLICT']} conflicts, {conflicts} are wanted")
    return report


async def mutate(folder: Path, store: str = SQLITE, *, clients: int, changes: int, conflicts: int) -> Report:
    """Increments of one number by `mutate`, on two processes. One that was refused may have been done, or not."""
    report = Report("mutate")
    seen: list[int] = []
    refused = 0

    async def client(visitor: Visitor) -> None:
        nonlocal refused
        for _ in range(changes // clients):
            answer = await visitor.ask(["add", "n"])
            if answer.status == 200:
                seen.extend(answer.results)
            else:
                refused += 1

    with Application(folder, store) as server:
        await server.ready()
        async with Visitor(server.port) as first:
            await first.do(["set", "n", 0])
            visitors = [Visitor(server.port, first.cookie) for _ in range(clients)]
            await server.spread(visitors)
            await all_or_none([asyncio.create_task(client(visitor)) for visitor in visitors])
            (last,) = await first.do(["get", "n"])
        for visitor in visitors:
            visitor.leave()
        counts = await _ended(server, report)
    report.figures |= {"clients": clients, "increments": len(seen), "refused": refused, "the number": last}
    report.figures["conflicts in the store"] = counts["CONFLICT"]
    report.check(not refused, f"{refused} increments were refused")
    report.check(len(seen) <= last <= len(seen) + refused, f"{len(seen)} increments gave {last}")
    report.check(len(set(seen)) == len(seen), "two increments were given the same number")
    report.check(counts["CONFLICT"] >= conflicts, f"void: {counts['CONFLICT']} conflicts, {conflicts} are wanted")
    return report


async def _ended(server: Application, report: Report) -> Any:
    """End a server and return its counts."""
    server.signal(15)
    report.check(await server.ended() == 0, f"the server did not end with 0:\n{server.output[-2000:]}")
    return server.counts


async def express(folder: Path, *, clients: int, changes: int, processes: int) -> Report:
    """The race on express-session, with connect-sqlite3 as its README sets it up. What it loses is a figure, no failure."""
    report = Report(f"express-session, {processes} process{'es' if processes > 1 else ''}")
    options = {"secret": "your-secret-key", "resave": False, "saveUninitialized": False}
    env = {"DB": str(folder / "sessions.db"), "OPTIONS": json.dumps(options), "WAL": "0", "SERIALIZE": "0",
           "NODE_ENV": "test", "PATH": "/usr/local/bin:/usr/bin:/bin"}  # fmt: skip
    with ExitStack() as stack:
        started = [stack.enter_context(Process(["node", EXPRESS], cwd=folder, env=env)) for _ in range(processes)]
        race = Race([int(process.find(r"listening (\d+)")[1]) for process in started], clients, changes)
        await race.run()
    report.figures |= {"clients": clients, "acknowledged": race.acknowledged, "lost": race.lost}
    report.figures["answered with an error"] = race.refused
    report.check(race.acknowledged, "nothing was acknowledged")
    return report
