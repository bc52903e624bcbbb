"""Owns group commit: what is asked for while one batch is under way becomes the next batch.

An idle store answers at once, because a batch of one starts right away; a busy one shares each step among all that
wait. There is no timer. This file must not know what a job does.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from ..errors import StoreUnavailable

MAX_BATCH = 256
"""Jobs in one batch: keeps a write transaction well under 100 ms, beyond which a Node peer would wait noticeably."""


class Job:
    """One thing to do, with the future that waits for its outcome."""

    __slots__ = ("future", "key", "row", "verb")

    def __init__(self, verb: Any, key: str, row: Any) -> None:
        self.verb, self.key, self.row = verb, key, row
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def resolve(self, outcome: Any) -> None:
        """Hand over the outcome, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Hand over an error, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_exception(error)


class Batcher:
    """Does jobs in batches by `do`, which resolves each of them; what it leaves or raises fails what is left.

    Two jobs of one key are never in one batch: they are done in the order in which they came. With `once` false, keys
    may repeat.
    """

    def __init__(self, do: Callable[[list[Job]], Awaitable[None]], *, once: bool) -> None:
        self._do = do
        self._once = once
        self._waiting: list[Job] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, verb: Any, key: str, row: Any) -> "asyncio.Future[Any]":
        """Ask for a job. A caller that is cancelled only stops waiting; a job not begun by then is left out."""
        job = Job(verb, key, row)
        self._waiting.append(job)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        return job.future

    async def close(self) -> None:
        """Finish what is under way and what waits."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._take()
                if not batch:
                    continue
                try:
                    await self._do(batch)
                except Exception as error:  # noqa: BLE001 # it is the waiting callers' to handle
                    for job in batch:
                        job.fail(error)
                for job in batch:
                    job.fail(StoreUnavailable("the store gave no outcome"))
        finally:
            self._task = None

    def _take(self) -> list[Job]:
        """The next batch: what still is waited for, each key once."""
        batch: list[Job] = []
        later: list[Job] = []
        keys: set[str] = set()
        for job in self._waiting:
            if job.future.done():
                continue
            if len(batch) == MAX_BATCH or (self._once and job.key in keys):
                later.append(job)
            else:
                batch.append(job)
            keys.add(job.key)
        self._waiting = later
        return batch
