"""Owns what every store of this library repeats: the verbs as jobs, and the questions before them.

The questions are: Is the store open? Can it keep this text? Has it just failed, so that no call is made for a moment?
Here is also the one place where a driver's error becomes ours. A store that derives from `StoreBase` says how a batch
of jobs is performed, and nothing else of the verbs.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress
from functools import partial
from operator import attrgetter
from typing import Any, ClassVar, Protocol, Self, TypeVar

from ..errors import StoreError, StoreUnavailable
from ..store import GONE, TAKEN, OnBatch, Outcome, Store, StoredSession, Update
from .batching import Batcher, Job, Read

_DATA = attrgetter("data")

RETRY_SECONDS = 1.0
"""How long a store that could not be reached is left alone, so that requests fail at once and none waits."""


class CircuitBreaker:
    """Remembers for some seconds that a store could not be reached, so that no call is made in that time."""

    __slots__ = ("_open_until", "_seconds")

    def __init__(self, seconds: float = RETRY_SECONDS) -> None:
        self._seconds = seconds
        self._open_until = 0.0  # on time.monotonic()

    @property
    def allows(self) -> bool:
        """True if the store may be asked."""
        return time.monotonic() >= self._open_until

    def trip(self) -> None:
        """Leave the store alone from now on."""
        self._open_until = time.monotonic() + self._seconds

    def reset(self) -> None:
        """Note that the store has answered."""
        self._open_until = 0.0


class Queue(Protocol):
    """Takes writes: a Batcher, or what a store has in front of one."""

    def add(self, job: Job) -> Awaitable[Any]:
        """Ask for a job. Returns what resolves to its outcome."""


StoreT = TypeVar("StoreT")
JobT = TypeVar("JobT", bound=Read)


class Itself:
    """The attribute of a power that the store has itself: its value is the store."""

    def __get__(self, store: StoreT, _owner: object = None) -> StoreT:
        return store


class DriverErrors:
    """Raises what a store's driver raises as ours. It keeps nothing of a use, so the uses of a store share one."""

    __slots__ = ("_store",)

    def __init__(self, store: "StoreBase") -> None:
        self._store = store

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is not None and isinstance(error, self._store.driver):
            raise self._store.translated(error) from error


class StoreBase:
    """A store that performs its verbs as jobs, in batches.

    A verb is a plain function that returns the future of its job, without a coroutine around it.

    A subclass calls `super().__init__(name)` and overrides `_read` and `_write`, which perform a batch of jobs and
    resolve each; `driver` and `translated`, for errors; `can_store`, where the database cannot keep every text; and
    `ready`, `__aenter__` and `__aexit__`. It has `set` and `prepare`, and offers no power but `batching`: a subclass
    does, by an attribute such as `prepared = Itself()`.
    """

    driver: ClassVar[tuple[type[Exception], ...]] = ()
    """What the driver raises."""
    batching: ClassVar[Itself] = Itself()

    def __init__(self, name: str) -> None:
        self.name = name
        """The store as messages name it: without passwords."""
        self.is_open: bool | None = None
        """True between `__aenter__` and `__aexit__`; None before, False afterwards."""
        self._driver_errors = DriverErrors(self)
        self._read_reports: list[Callable[[int], None]] = []
        self._write_reports: list[Callable[[int], None]] = []
        self._reads = Batcher(self._read, once=False, reports=self._read_reports)
        self._writes = Batcher(self._write, once=True, reports=self._write_reports)

    def key_of(self, sid: str) -> str:
        """Return the key of an id: the id itself."""
        return sid

    @property
    def by_key(self) -> Store:
        """The store that takes keys: this one."""
        return self

    def report_batches(self, report: OnBatch) -> None:
        """Call `report` at the begin of each batch from now on."""
        self._read_reports.append(partial(report, "read"))
        self._write_reports.append(partial(report, "write"))

    # ---------------------------------------------------------------- open and closed

    async def __aenter__(self) -> Self:
        """Open the store, and set `is_open`. Raises StoreError."""
        raise NotImplementedError

    async def __aexit__(self, *_: object) -> None:
        """Finish what was begun, and close the store."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Open the store and close it, before a fork: that makes what is missing, and finds what is refused.

        Raises StoreError.
        """

        async def open_and_close() -> None:
            async with self:
                pass

        asyncio.run(open_and_close())

    # ---------------------------------------------------------------- the verbs

    def get(self, sid: str) -> Awaitable[StoredSession | None]:
        """Read the session of an id. Returns None if there is none or it has expired."""
        job = Read(sid)
        return self._reader(sid).add(job) if self.is_open and self.can_store(sid) else self._missing(job)

    def create(self, sid: str, record: StoredSession) -> Awaitable[StoredSession | None]:
        """Insert a new session. Returns None if a living one has the id."""
        return self._ask(Job("create", sid, record), record)

    def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Awaitable[Update]:
        """Replace a session that is still the expected one."""
        return self._ask(Job("update", sid, record, expected), record, expected)

    def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Awaitable[Update]:
        """Move the expiry of a session that is still the expected one."""
        return self._ask(Job("touch", sid, None, expected, expires_at))  # the text stays where it is

    def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Awaitable[Update]:
        """Move a session that is still the expected one to a new id, in one step."""
        job = Job("rename", old, record, expected, new=new, tombstone=tombstone)
        return self._ask(job, record, expected, tombstone)

    def set(self, sid: str, record: StoredSession) -> Awaitable[StoredSession]:
        """Insert or replace a session, whatever is there."""
        return self._ask(Job("set", sid, record), record)

    def destroy(self, sid: str) -> Awaitable[None]:
        """Delete a session; an id that has none is not an error."""
        job = Job("destroy", sid)
        return self._writer(sid).add(job) if self.is_open and self.can_store(sid) else self._missing(job)

    # ---------------------------------------------------------------- what a subclass says

    async def _read(self, jobs: list[Read]) -> None:
        """Perform a batch of reads: resolve each to its record or None."""
        raise NotImplementedError

    async def _write(self, jobs: list[Job]) -> None:
        """Perform a batch of the other verbs: resolve each to what its verb returns."""
        raise NotImplementedError

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of the driver's."""
        raise NotImplementedError

    def can_store(self, text: str) -> bool:
        """Return True if the text survives a round trip through the database: here, if it is valid UTF-8."""
        if text.isascii():
            return True
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair
            return False
        return True

    def _reader(self, _sid: str) -> Batcher:
        """Return the batcher that reads this id."""
        return self._reads

    def _writer(self, _sid: str) -> Queue:
        """Return the batcher that writes this id."""
        return self._writes

    # ---------------------------------------------------------------- what a subclass uses

    def check_open(self) -> None:
        """Raise StoreUnavailable if the store is not open."""
        if self.is_open is None:
            raise StoreUnavailable(f"{self.name}: the store was never opened; open it by `async with store:`")
        if not self.is_open:
            raise StoreUnavailable(f"{self.name}: the store is closed")

    def driver_errors(self) -> AbstractContextManager[None]:
        """Raise the driver's errors as ours: the one place where that happens."""
        return self._driver_errors

    async def each_alone(self, jobs: list[JobT], perform: Callable[[list[JobT]], Awaitable[None]]) -> None:
        """Perform each job of a batch that failed alone, so that a bad one fails its own caller only.

        A job that nobody waits for any more is not begun.
        """
        for job in jobs:
            if job.future.done():
                continue
            try:
                await perform([job])
            except StoreError as own:
                job.fail(own)

    def _ask(self, job: Job, *records: StoredSession | None) -> Awaitable[Any]:
        """Ask for a write of some records. Returns its future, which has failed if `_check` refuses an id or one."""
        try:
            if job.new is not None:
                self._check(job.new)
            self._check(job.sid, *records)
        except StoreError as error:
            job.fail(error)
            return job.future
        return self._writer(job.sid).add(job)

    def _missing(self, job: Read) -> Awaitable[None]:
        """Return the future of a job of an id that the store cannot keep, so it has none; of a closed store, it fails.

        To read or delete what is not there is no error.
        """
        try:
            self.check_open()
            job.resolve(None)
        except StoreError as error:
            job.fail(error)
        return job.future

    def _check(self, sid: str, *records: StoredSession | None) -> None:
        """Raise StoreUnavailable if the store is not open, and StoreError if it cannot keep an id or some records."""
        if not self.is_open:
            self.check_open()
        if not all(map(self.can_store, (sid, *map(_DATA, filter(None, records))))):
            raise StoreError(f"{self.name}: cannot keep this id or text: {self._storable()}")

    def _storable(self) -> str:
        """Say what `can_store` asks for."""
        return "it is not valid UTF-8"


class SQLStoreBase(StoreBase):
    """A store in a SQL database, where a text ends at NUL."""

    def can_store(self, text: str) -> bool:
        """Return True if the text survives a round trip through the database: valid UTF-8 and no NUL."""
        return "\0" not in text and (text.isascii() or super().can_store(text))

    def _storable(self) -> str:
        return "it is not valid UTF-8, or holds NUL"


async def rename_in_steps(
    store: Store,
    old: str,
    new: str,
    record: StoredSession,
    expected: StoredSession,
    tombstone: StoredSession | None = None,
    remove: Callable[[str, StoredSession], Awaitable[Update]] | None = None,
) -> Update:
    """Perform `rename` in a database that has no step over two ids (Redis Cluster, MongoDB).

    The new row is created first, with its full life; then the old row is taken by compare-and-set; where another caller
    was first the new row is deleted again. So `old` never holds what the new record holds. If a step raises, it is
    unknown how far the rename came, and nothing is deleted: the caller asks. A process that dies between the steps
    leaves one row that nobody knows, for its lifetime. `remove` deletes a row that is still the expected one, and
    returns as `update` does: for a store in which an expired row stays until it is swept.
    """
    made = await store.create(new, record)
    if made is None:
        found = await store.get(old)
        if found is None:
            return GONE
        return TAKEN if found.same_as(expected) else Update(Outcome.CONFLICT, found)
    if tombstone is None and remove is not None:
        taken = await remove(old, expected)
    else:
        closed = tombstone or expected._replace(expires_at=0, version=None)  # an expired record: removes the row
        taken = await store.update(old, closed, expected)
    if taken.outcome is Outcome.SAVED:
        return Update(Outcome.SAVED, made)
    with suppress(StoreError):  # the outcome is known all the same
        await store.destroy(new)
    return taken
