"""Owns a write: the jobs of a batch as one transaction, with one statement for each verb that occurs.

It knows the order of the statements and when the lock is taken. What they say is known in statements.py.
"""

import asyncio
import time
from typing import Any, NamedTuple

import aiosqlite

from ...clock import Clock
from ..batching import Job
from .file import DRIVER
from .statements import DELETIONS, RENAME, TOMBSTONE, VERBS, Verb

_LOCK_FIRST = frozenset({RENAME, *DELETIONS.values()})
"""What takes the lock before it begins, alone as well."""


class Step(NamedTuple):
    """A statement that was performed."""

    verb: Verb
    jobs: list[Job]
    rows: list[Any]
    """What it returned."""
    seconds: float
    """What it took."""

    def __repr__(self) -> str:
        return f"<Step with {len(self.rows)} rows>"  # without them: a repr comes into logs and error pages


async def perform(writer: aiosqlite.Connection, jobs: list[Job], clock: Clock) -> list[Step]:
    """Perform a batch, in which every id occurs once. Returns the statements; raises what DRIVER names.

    One statement is a transaction by itself. Several take the lock first, and alone: while the file is locked each of
    them would wait. A rename does so too, because its caller may leave meanwhile, and would not know the new id; and a
    deletion, which is timed.
    """
    groups = _by_verb(jobs)
    if len(groups) == 1 and groups.keys().isdisjoint(_LOCK_FIRST):
        ((verb, group),) = groups.items()
        return [await _step(writer, verb, group, clock())]
    await writer.execute_fetchall("BEGIN IMMEDIATE")
    try:
        groups = _by_verb([job for job in jobs if not job.future.done()])
        steps = await _steps(writer, groups, clock())
        await writer.execute_fetchall("COMMIT")
    except DRIVER:
        if writer.in_transaction:
            await writer.rollback()
        raise
    return steps


async def _steps(writer: aiosqlite.Connection, groups: dict[Verb, list[Job]], now: int) -> list[Step]:
    """Perform the statement of each group: renames first, and right behind them the tombstones of those that were done.

    The others go to the thread together: they stay in order and cost less than one by one. Only one task ever writes.
    """
    first: list[Step] = []
    renames = groups.pop(RENAME, None)
    if renames is not None:
        first.append(await _step(writer, RENAME, renames, now))
        done, _ = RENAME.split(renames, first[0].rows)
        closed = [job for job in done if job.tombstone is not None]
        if closed:
            groups = {TOMBSTONE: closed, **groups}
    steps = await asyncio.gather(*(_step(writer, verb, group, now) for verb, group in groups.items()))
    return first + [step for step in steps if step.verb is not TOMBSTONE]


async def _step(writer: aiosqlite.Connection, verb: Verb, jobs: list[Job], now: int) -> Step:
    began = time.perf_counter()
    rows = list(await writer.execute_fetchall(*verb.prepared(jobs, now)))
    return Step(verb, jobs, rows, time.perf_counter() - began)


def _by_verb(jobs: list[Job]) -> dict[Verb, list[Job]]:
    groups: dict[Verb, list[Job]] = {}
    for job in jobs:
        groups.setdefault(VERBS[job.verb], []).append(job)
    return groups
