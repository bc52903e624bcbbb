"""Owns group commit: the jobs that arrive while one batch is under way become the next batch.

An idle store answers at once, because a batch of one starts right away. A busy store shares each step among all jobs
that wait. There is no timer. A batch is bounded by jobs and by characters. The oldest job is always in it, and small
jobs overtake large ones that do not fit: a small session waits for one batch, however many large ones wait.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, Self

from ..errors import StoreUnavailable
from ..store import StoredSession

MAX_BATCH = 256
"""Jobs in one batch: keeps a write transaction well under 100 ms, beyond which a Node peer would wait noticeably."""

MAX_CHARACTERS = 2_000_000
"""Characters of text in one batch of several jobs: 1 to 4 MB, which take some tens of milliseconds to commit."""


class Job:
    """One verb to perform, and the future that its caller awaits."""

    __slots__ = ("expected", "expires_at", "future", "new", "record", "sid", "tombstone", "verb")

    def __init__(
        self,
        verb: str,
        sid: str,
        record: StoredSession | None = None,
        expected: StoredSession | None = None,
        expires_at: int = 0,
        new: str | None = None,
        tombstone: StoredSession | None = None,
    ) -> None:
        self.verb: str = verb
        self.sid: str = sid
        self.record: StoredSession | None = record
        self.expected: StoredSession | None = expected
        self.expires_at: int = expires_at  # of a touch, in milliseconds since the epoch
        self.new: str | None = new  # of a rename: the id that the session goes on under
        self.tombstone: StoredSession | None = tombstone
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    @classmethod
    def to_create_or_rename(
        cls,
        new: str,
        record: StoredSession,
        old: str | None,
        expected: StoredSession | None,
        tombstone: StoredSession | None,
    ) -> Self:
        """Return the job that writes the session of a sign-in: a create, or, of an old id, a rename."""
        if old is None or expected is None:
            return cls("create", new, record)
        return cls("rename", old, record, expected, new=new, tombstone=tombstone)

    @property
    def size(self) -> int:
        """The characters of its texts. A touch sends none, but the database moves the row that has the expected one."""
        size = 0
        if self.record is not None:
            size += len(self.record.data)
        if self.expected is not None:
            size += len(self.expected.data)
        if self.tombstone is not None:
            size += len(self.tombstone.data)
        return size

    def resolve(self, outcome: Any) -> None:
        """Hand over the outcome, unless nobody waits for it."""
        if not self.future.done():
            self.future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Hand over an error, unless nobody waits for it."""
        if not self.future.done():
            self.future.set_exception(error)


class Batcher:
    """Performs jobs in batches by `perform`, which resolves each job; an error that it raises fails the rest.

    With `once` True a batch holds every id once, a rename's old id and new id both: of two jobs of one id the later
    waits for the next batch. Without it the jobs are reads. A job is left out if its caller does not wait any more when
    its batch begins. Each of `reports`, which may become more, is called with the number of jobs of a batch that
    begins.
    """

    def __init__(
        self,
        perform: Callable[[list[Job]], Awaitable[None]],
        *,
        once: bool,
        reports: Sequence[Callable[[int], None]] = (),
    ) -> None:
        self._perform = perform
        self._once = once
        self._reports = reports
        self._waiting: list[Job] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, job: Job) -> "asyncio.Future[Any]":
        """Ask for a job; the future resolves to its outcome."""
        self._waiting.append(job)
        if self._task is None:
            # of no request: a batch has jobs of several, and its lines in a log are of none of them
            self._task = asyncio.get_running_loop().create_task(self._run(), context=Context())
        return job.future

    async def close(self) -> None:
        """Finish the batch that is under way and the jobs that wait."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._take()
                if not batch:
                    continue
                for report in self._reports:
                    report(len(batch))
                try:
                    await self._perform(batch)
                except Exception as error:  # noqa: BLE001 # the callers that wait handle it
                    for job in batch:
                        job.fail(error)
                for job in batch:
                    if not job.future.done():
                        job.fail(StoreUnavailable("the store gave no outcome"))
        finally:
            self._task = None

    def _take(self) -> list[Job]:
        """Take the next batch out of the jobs that wait."""
        if len(self._waiting) == 1:  # the usual case of a quiet server
            (job,) = self._waiting
            self._waiting = []
            return [] if job.future.done() else [job]
        if not self._once and len(self._waiting) <= MAX_BATCH:  # reads, which carry no text
            batch, self._waiting = [job for job in self._waiting if not job.future.done()], []
            return batch
        batch = []
        later: list[Job] = []
        ids: set[str] = set()
        room = MAX_CHARACTERS
        for job in self._waiting:
            if job.future.done():
                continue
            has_room = not batch or (len(batch) < MAX_BATCH and job.size <= room)
            if not has_room or (self._once and (job.sid in ids or job.new in ids)):
                later.append(job)
            else:
                # a large one leaves room for small ones
                room -= job.size if batch else min(job.size, MAX_CHARACTERS // 2)
                batch.append(job)
            ids.add(job.sid)
            if job.new is not None:
                ids.add(job.new)
        self._waiting = later
        return batch
