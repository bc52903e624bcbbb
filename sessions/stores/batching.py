"""Owns group commit: the jobs that arrive while one batch is under way become the next batch.

An idle store answers at once, because a batch of one starts right away. A busy store shares each step among all jobs
that wait. There is no timer. A batch is bounded by jobs and by characters. The oldest job is always in it, and small
jobs overtake large ones that do not fit: a small session waits for one batch, however many large ones wait.
"""

import asyncio
from asyncio import Future, get_running_loop
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Any, Self

from ..errors import StoreUnavailable
from ..store import StoredSession

MAX_BATCH = 256
"""Jobs in one batch: keeps a write transaction well under 100 ms, beyond which a Node peer would wait noticeably."""

MAX_CHARACTERS = 2_000_000
"""Characters of text in one batch of several jobs: 1 to 4 MB, which take some tens of milliseconds to commit."""


class Read:
    """An id to read, and the future that the caller awaits, which every job has."""

    __slots__ = ("future", "sid")

    def __init__(self, sid: str) -> None:
        self.sid: str = sid
        self.future: Future[Any] = Future(loop=get_running_loop())

    def resolve(self, outcome: Any) -> None:
        """Hand over the outcome, unless nobody waits for it."""
        future = self.future
        if not future.done():
            future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Hand over an error, unless nobody waits for it."""
        if not self.future.done():
            self.future.set_exception(error)


class Job(Read):
    """One verb to perform, with all that it may need."""

    __slots__ = ("expected", "expires_at", "new", "record", "tombstone", "verb")

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
        self.sid: str = sid  # as Read.__init__, a call less
        self.future: Future[Any] = Future(loop=get_running_loop())
        self.verb: str = verb
        self.record: StoredSession | None = record
        self.expected: StoredSession | None = expected
        self.expires_at: int = expires_at  # of a touch, in milliseconds since the epoch
        self.new: str | None = new  # of a rename: the id that the session goes on under
        self.tombstone: StoredSession | None = tombstone

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


class Batcher:
    """Performs jobs in batches by `perform`, which resolves each job; an error that it raises fails the rest.

    With `once` True a batch holds every id once, a rename's old id and new id both: of two jobs of one id the later
    waits for the next batch. Without it the jobs are reads. A job is left out if its caller does not wait any more when
    its batch begins. Each of `reports`, which may become more, is called with the number of jobs of a batch that
    begins.
    """

    def __init__(
        self,
        perform: Callable[[list[Any]], Awaitable[None]],  # Any: Read, or with `once` Job
        *,
        once: bool,
        reports: Sequence[Callable[[int], None]] = (),
    ) -> None:
        self._perform = perform
        self._once = once
        self._reports = reports
        self._waiting: list[Any] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, job: Read) -> "asyncio.Future[Any]":
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

    def _take(self) -> list[Any]:
        """Take the next batch out of the jobs that wait."""
        waiting = [job for job in self._waiting if not job.future.done()]
        if not self._once or len(waiting) == 1:  # reads, which carry no text; or one, which always fits
            self._waiting = waiting[MAX_BATCH:]
            return waiting[:MAX_BATCH]
        batch: list[Any] = []
        later: list[Any] = []
        ids: set[str] = set()
        room = MAX_CHARACTERS
        for job in waiting:
            sid, new, size = job.sid, job.new, job.size
            if sid in ids or new in ids or (batch and size > room) or len(batch) == MAX_BATCH:
                later.append(job)
            else:
                # a large one leaves room for small ones
                room -= size if batch else min(size, MAX_CHARACTERS // 2)
                batch.append(job)
            ids.add(sid)
            if new is not None:
                ids.add(new)
        self._waiting = later
        return batch
