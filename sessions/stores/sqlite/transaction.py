"""Owns a write: the jobs of a batch as one transaction, with one statement for each verb that occurs.

It knows the order of the statements and when the lock is taken. What they say is known in statements.py.
"""

import asyncio
import time
from collections import defaultdict
from typing import Any, NamedTuple

import aiosqlite

from ...clock import Clock
from ...user_text import surplus
from ..batching import Job
from .errors import DRIVER
from .statements import DESTROY, RENAME, SIGN_IN, TOMBSTONE, VERBS, Verb
from .user_statements import SignIn


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
    if len(groups) == 1:
        ((verb, group),) = groups.items()
        if not verb.locks_first:
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
    signing: list[Any] | None = groups.pop(SIGN_IN, None)
    renames = groups.pop(RENAME, None)
    if renames is not None:
        first.append(await _step(writer, RENAME, renames, now))
        done, _ = RENAME.split(renames, first[0].rows)
        closed = [job for job in done if job.tombstone is not None]
        if closed:
            groups = {TOMBSTONE: closed, **groups}
    steps = await asyncio.gather(*(_step(writer, verb, group, now) for verb, group in groups.items()))
    steps = first + [step for step in steps if step.verb is not TOMBSTONE]
    return steps if signing is None else steps + await _sign_in(writer, signing, now)


async def _sign_in(writer: aiosqlite.Connection, jobs: list[SignIn], now: int) -> list[Step]:
    """Perform sign-ins, one after the other as far as their limits go. The lock keeps what is counted as it is.

    They come last, so that whatever else the batch moves is counted where it is by then.
    """
    names = {name: job.limit.user for job in jobs for name in (job.limit.user, *job.limit.aliases)}
    sql = jobs[0].sql
    found = await writer.execute_fetchall(sql.found(len(names)), [now, *sorted(names)])
    living: dict[str, dict[str, str]] = {user: {} for user in sorted(set(names.values()))}
    for sid, sess, _ in found:
        user = names.get(sql.place.user_in(str(sess)) or "")
        if user is not None:
            living[user][sid] = str(sess)
    counted = {user: set(rows) for user, rows in living.items()}
    groups: dict[Verb, list[Job]] = {}
    for job in jobs:
        sids = counted[job.limit.user]
        job.is_refused = job.limit.refuses and len(sids - {job.sid}) >= job.limit.most
        if not job.is_refused:
            sids -= {job.sid}
            sids |= {job.new or job.sid}
            groups.setdefault(VERBS[job.act], []).append(job)
    steps = await _steps(writer, groups, now)
    done = {job for step in steps for job in step.verb.split(step.jobs, step.rows)[0]}
    ended: list[str] = []
    for job in jobs:
        if job in done and job.record is not None:
            rows = living[job.limit.user]
            rows.pop(job.sid, None)
            job.ended = surplus(rows.items(), job.new or job.sid, job.limit.most)
            for sid in job.ended:
                del rows[sid]
            rows[job.new or job.sid] = job.record.data
            ended += job.ended
    if ended:
        await _step(writer, DESTROY, [Job("destroy", sid) for sid in ended], now)
    return [*steps, Step(SIGN_IN, [job for job in jobs if job.is_refused], [], 0)]


async def _step(writer: aiosqlite.Connection, verb: Verb, jobs: list[Job], now: int) -> Step:
    began = time.perf_counter()
    rows = list(await writer.execute_fetchall(*verb.prepared(jobs, now)))
    return Step(verb, jobs, rows, time.perf_counter() - began)


def _by_verb(jobs: list[Job]) -> dict[Verb, list[Job]]:
    groups: dict[Verb, list[Job]] = defaultdict(list)
    for job in jobs:
        groups[VERBS[job.verb]].append(job)
    return groups
