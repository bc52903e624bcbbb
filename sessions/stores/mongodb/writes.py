"""Owns how writes go to MongoDB: each by itself, some side by side.

A batch ("bulk write") would not say which of its writes won. So each write is a command, and as many as MOST are under
way at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any

from ..batching import Job

MOST = 8
"""Writes that one process has under way: more of them wait for the same cores and the same disk."""


class SideBySide:
    """A queue that performs each job by `perform`, which returns its outcome.

    A job that nobody waits for any more when its turn comes is not begun. Each of `reports` is called with 1 when a job
    begins.
    """

    def __init__(self, perform: Callable[[Job], Awaitable[Any]], reports: Sequence[Callable[[int], None]]) -> None:
        self._perform = perform
        self._reports = reports
        self._turns = asyncio.Semaphore(MOST)
        self._under_way: set[asyncio.Task[None]] = set()

    def add(self, job: Job) -> "asyncio.Future[Any]":
        """Ask for a job; the future resolves to its outcome."""
        task = asyncio.get_running_loop().create_task(self._run(job), context=Context())  # of no request, as a batch
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return job.future

    async def close(self) -> None:
        """Finish the jobs that are under way or wait."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    async def _run(self, job: Job) -> None:
        async with self._turns:
            if job.future.done():
                return
            for report in self._reports:
                report(1)
            try:
                job.resolve(await self._perform(job))
            except Exception as error:  # noqa: BLE001 # the caller that waits handles it
                job.fail(error)
