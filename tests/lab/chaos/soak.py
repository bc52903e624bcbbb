"""Owns the soak: mixed load for a long time, samples of what the server holds meanwhile, and whether that levels off."""

import asyncio
import csv
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .load import Broken, Visitor, all_or_none, state
from .report import Report
from .serving import Application

CLIENTS = 16
EACH = 20
"""Sessions that a client uses in turn."""

MAX_AGE = 60_000
SESSION = {"cookie.maxAge": MAX_AGE, "rolling": True, "touchAfter": 3_000}
"""Rolling, but not at every request: a read may cost a write, and may not."""

KINDS = {"read": 65, "write": 22, "new": 8, "destroy": 5}
"""What is asked for, and how often in a hundred."""

COLUMNS = ("seconds", "memory_kib", "descriptors", "database_kib", "log_kib", "living", "backlog", "requests", "errors")
LEVELS = {"memory_kib": (1.05, 0), "descriptors": (1.0, 4), "database_kib": (1.1, 64), "log_kib": (1.25, 64),
          "living": (1.1, 20), "backlog": (1.25, 200)}  # fmt: skip
"""What has to level off: the median of the last third stays below that of the middle third times this, plus that."""


@dataclass
class Load:
    """The clients and what they have seen."""

    port: int
    rate: float
    seen: Counter[str] = field(default_factory=Counter)
    ends: asyncio.Event = field(default_factory=asyncio.Event)

    async def client(self) -> None:
        """Use some sessions in turn, each for something, at an even pace. Each session counts its writes."""
        chance = random.Random()
        sessions: list[tuple[bytes, int]] = []
        async with Visitor(self.port) as visitor:
            while not self.ends.is_set():
                began = time.monotonic()
                kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
                if kind == "new" or len(sessions) < EACH:
                    sessions.append((b"", 0))
                which = -1 if kind == "new" else chance.randrange(len(sessions))
                try:
                    sessions[which] = await self.visit(visitor, kind, *sessions[which])
                except (Broken, AssertionError, TimeoutError) as error:
                    self.seen["errors"] += 1
                    print("soak:", error, flush=True)
                self.seen["requests"] += 1
                if len(sessions) > EACH:
                    del sessions[0]  # nobody asks for it any more: it expires
                await asyncio.sleep(max(0.0, CLIENTS / self.rate - (time.monotonic() - began)))

    async def visit(self, visitor: Visitor, kind: str, cookie: bytes, count: int) -> tuple[bytes, int]:
        """One request in a session that has counted so far."""
        visitor.cookie = cookie
        acts: dict[str, list[list[Any]]] = {"write": [["set", "n", count + 1]], "destroy": [["destroy"]]}
        more = acts.get(kind, [])
        if not cookie:
            more = [["set", "n", 1], ["set", "text", "x" * random.randrange(400)]]
        found, *_ = await visitor.do(["get", "n"], *more)
        self.seen[kind] += 1
        if cookie and found != count:
            self.seen["lost"] += 1
            print(f"soak: found {found}, expected {count}", flush=True)
        if kind == "destroy":
            return b"", 0
        return visitor.cookie, 1 if not cookie else count + (kind == "write")


def memory_kib(pids: list[int]) -> int:
    """The proportional set sizes of processes, added up, without files: their share changes with the other processes that map them."""
    texts = [Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids]
    return sum(int(line.split()[1]) for text in texts for line in text.splitlines() if line.startswith("Pss_Anon:"))


def descriptors(pids: list[int]) -> int:
    """Their open files, added up."""
    return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids)


async def sample(server: Application, load: Load, began: float) -> dict[str, Any]:
    """What the server holds at this moment."""
    pids = server.processes
    of_store = await state(server.port)
    files = {suffix: server.folder / f"sessions.db{suffix}" for suffix in ("", "-wal")}
    size = {suffix: file.stat().st_size // 1024 if file.exists() else 0 for suffix, file in files.items()}
    return {
        "seconds": round(time.monotonic() - began, 1),
        "memory_kib": memory_kib(pids),
        "descriptors": descriptors(pids),
        "database_kib": size[""],
        "log_kib": size["-wal"],
        "living": of_store["living"],
        "backlog": of_store["backlog"],
        "requests": load.seen["requests"],
        "errors": load.seen["errors"] + load.seen["lost"],
    }


async def soak(
    folder: Path, store: str, *, seconds: float, rate: float, every: float = 5.0
) -> tuple[Report, list[Any]]:
    """Load the server for so long, at so many requests a second. The report, and the samples."""
    report, samples = Report("soak"), []
    sweeper = {"interval": min(5_000, MAX_AGE / 4)}
    with Application(folder, store, session=SESSION, sweeper=sweeper) as server:
        await server.ready()
        load = Load(server.port, rate)
        began = time.monotonic()
        clients = [asyncio.create_task(load.client()) for _ in range(CLIENTS)]
        started = server.processes
        while time.monotonic() - began < seconds:
            await asyncio.sleep(every)
            samples.append(await sample(server, load, began))
        load.ends.set()
        await all_or_none(clients)
        report.check(server.processes == started, "a process was restarted")
        server.signal(15)
        report.check(await server.ended() == 0, "the server did not end with 0")
        report.check("Traceback" not in server.output, f"the server complained:\n{server.output[-2000:]}")
    if (folder / "sessions.db").exists():
        with closing(sqlite3.connect(folder / "sessions.db")) as database:
            found = database.execute("PRAGMA integrity_check").fetchone()[0]
            report.check(found == "ok", f"integrity_check: {found}")
    report.figures |= {"minutes": round(seconds / 60, 1), **load.seen}
    report.figures["requests_per_second"] = round(load.seen["requests"] / seconds)
    report.check(not load.seen["errors"], "requests failed")
    report.check(not load.seen["lost"], "acknowledged changes were lost")
    judge(report, samples)
    return report, samples


def judge(report: Report, samples: list[dict[str, Any]]) -> None:
    """Whether what the server holds levels off: the last third of the time against the middle third."""
    third = len(samples) // 3
    report.check(third >= 3, "too short to tell whether anything levels off")
    if third < 3:
        return
    for name, (factor, more) in LEVELS.items():
        middle, last = (median(each[name] for each in part) for part in (samples[third:-third], samples[-third:]))
        report.figures[name] = {"middle third": middle, "last third": last, "largest": max(s[name] for s in samples)}
        report.check(last <= middle * factor + more, f"{name} grows: {middle} in the middle third, {last} in the last")


def write_csv(samples: list[dict[str, Any]], file: Path) -> None:
    """Keep the samples for the plot."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(samples)
