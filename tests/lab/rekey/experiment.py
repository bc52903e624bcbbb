"""Owns the experiment: a third of the rows in the clear, a third under each of two older keys, and visitors who count."""

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from at_rest.support import manager_of, sealed, session_of
from users.managing import visit

from sessions.at_rest.rekey import rekey
from sessions.stores.sqlite import SQLiteStore

KEYS = {"new": b"n" * 32, "old": b"o" * 32, "older": b"q" * 32}
VISITORS = 8
LIVELY = 200
"""Sessions that the visitors use."""


class Found(NamedTuple):
    """What was found."""

    rows: int
    before_the_interruption: int
    """Rows that were sealed when it came."""
    after: int
    """Rows that were sealed when it went on."""
    left: int
    """Rows that are not sealed with the first key: 0."""
    requests: int
    """Changes of visitors meanwhile."""
    lost: int
    """Changes that are not there afterwards: 0."""
    seconds: float
    median_ms: float
    """What a visitor's change took."""
    p99_ms: float


async def experiment(path: Path, rows: int) -> Found:
    """Make a store of so many rows, and seal it again beside the visitors."""
    async with SQLiteStore(path) as inner:
        store = sealed(inner, KEYS)
        olds = [None, sealed(inner, {"old": KEYS["old"]}), sealed(inner, {"older": KEYS["older"]})]
        made = [(f"{n}", session_of(f"user {n % 1000}", count=0, text="x" * 200)) for n in range(rows)]
        coded = [
            record if (by := olds[n % 3]) is None else by.encode(sid, record) for n, (sid, record) in enumerate(made)
        ]
        with closing(sqlite3.connect(path)) as db, db:
            db.executemany(
                "INSERT INTO sessions VALUES (?, ?, ?)",
                [(sid, record.expires_at, record.data) for (sid, _), record in zip(made, coded, strict=True)],
            )
        manager = manager_of(store)
        done, times, counts = asyncio.Event(), list[float](), [0] * LIVELY

        async def use(number: int) -> None:
            chance = random.Random(number)
            while not done.is_set():
                which = chance.randrange(LIVELY)
                began = time.perf_counter()
                sid = f"{which * (rows // LIVELY)}"
                await visit(
                    manager, sid, lambda session: session.update({f"n{number}": session.get(f"n{number}", 0) + 1})
                )
                times.append((time.perf_counter() - began) * 1000)
                counts[which] += 1

        using = [asyncio.create_task(use(number)) for number in range(VISITORS)]
        began, seen, halfway = time.perf_counter(), [0], asyncio.Event()

        def progress(number: int) -> None:
            seen[0] += number
            if seen[0] >= rows // 2:
                halfway.set()

        first = asyncio.create_task(rekey(store, progress))
        await halfway.wait()
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        before = rows - unsealed(path)
        second = await rekey(store)
        seconds = time.perf_counter() - began
        done.set()
        await asyncio.gather(*using)
        left, lost = unsealed(path), 0
        for which, count in enumerate(counts):
            values = (await visit(manager, f"{which * (rows // LIVELY)}")).copy()
            lost += count - sum(value for key, value in values.items() if key[0] == "n")
        await manager.close()
    times.sort()
    quantiles = times[len(times) // 2], times[int(len(times) * 0.99)]
    return Found(rows, before, second.sealed, left, len(times), lost, seconds, *quantiles)


def unsealed(path: Path) -> int:
    """How many rows are not sealed with the first key."""
    with closing(sqlite3.connect(path)) as db:
        ((count,),) = db.execute("""SELECT count(*) FROM sessions WHERE sess NOT LIKE '%"__sealed":"1.new.%'""")
    return int(count)
