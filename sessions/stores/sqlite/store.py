"""Owns the store in a SQLite file, as the npm package connect-sqlite3 lays it out.

    sessions(sid PRIMARY KEY, expired, sess)      expired: milliseconds since the epoch; sess: JSON text

Node inserts without naming columns, so the table never gets a fourth. Reads that wait together are one SELECT, writes
one transaction on a connection of their own (batching.py, statements.py), all through aiosqlite's public API.
This file must not know what is in the text.
"""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import aiosqlite

from ...clock import Clock, now_ms
from ...errors import OptionsError, StoreError, StoreUnavailable
from ...store import StoredSession
from ...validation import is_number, wrong
from ..base import CircuitBreaker, Itself, JobT, SQLStoreBase
from ..batching import Job, Read
from ..tables import SQLiteOptions
from . import statements
from .beside import Names, open_beside
from .errors import DRIVER, is_lost, translated
from .file import OpenFile, Settings, prepare
from .to_read import open_to_read
from .transaction import perform
from .users import SQLiteUsers

logging.getLogger("aiosqlite").addFilter(lambda record: record.levelno > logging.DEBUG)  # it logs ids and data there

_PAGE = 500
_PAGE_CHARACTERS = 1_000_000
"""Sessions, and characters of their text, that are listed at once; of the characters more or less."""

_LONG, _SHORT = 0.05, 0.02
"""Seconds of a deletion after which the next one takes half as many rows, and twice as many."""
_FEWEST, _MOST = 5, 5_000
"""Rows of a deletion."""

_LONGEST_WAIT = 2**31 - 1  # milliseconds, a C int: SQLite takes more for 0


class SQLiteStore(SQLStoreBase):
    """Keeps sessions in a SQLite file, in WAL mode.

    `durability` is "full" (an answered change survives a power loss) or "normal" (it survives `kill -9`, but the last
    moments before a power loss may be lost). `busy_timeout` is how many milliseconds a write waits for another process.
    `clock` returns milliseconds since the epoch. The file is made, with mode 0600, where there is none; its folder must
    exist. A relative path begins in the working folder of the moment at which the store is made; a path that is a
    symbolic link is followed each time that the file is opened.
    """

    driver: ClassVar[tuple[type[Exception], ...]] = DRIVER
    sweepable: ClassVar[Itself] = Itself()
    prepared: ClassVar[Itself] = Itself()
    admin: ClassVar[Itself] = Itself()
    overwriting: ClassVar[Itself] = Itself()
    existing: ClassVar[Itself] = Itself()

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["full", "normal"] = SQLiteOptions.durability,
        busy_timeout: float = SQLiteOptions.busy_timeout,
        clock: Clock = now_ms,
    ) -> None:
        if durability not in ("full", "normal"):
            raise wrong("durability", '"full" or "normal"', durability)
        if not is_number(busy_timeout) or not 0 <= busy_timeout <= _LONGEST_WAIT:
            raise wrong("busyTimeout", "a number of milliseconds, 0 or more", busy_timeout)
        if os.fspath(path) == ":memory:":
            raise OptionsError("store: SQLite in memory is one connection's own; memory: is the store for that")
        self.path: Path = Path(path)
        super().__init__(str(self.path))
        self._settings: Settings = Settings(self.path.absolute(), durability, int(busy_timeout))
        self._clock: Clock = clock
        self.users: SQLiteUsers = SQLiteUsers(self)
        self._file: OpenFile | None = None
        self._opening: asyncio.Task[OpenFile] | None = None
        self._reads_only = False
        self._breaker = CircuitBreaker()
        self._leadership: int | None = None
        self._deletes_at_once = 200  # rows; by what they cost

    @property
    def ready(self) -> bool:
        """True if the file is open, or worth another try: a second after the last that failed."""
        return bool(self.is_open) and (self._file is not None or self._breaker.allows)

    async def __aenter__(self) -> Self:
        before, self.is_open = self.is_open, True
        try:
            await self._opened()
        except BaseException:
            self.is_open = before
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writes.close()
        await self._reads.close()
        self.is_open = False
        if self._opening is not None:  # nobody waits for it any more
            await asyncio.wait([self._opening])
        if self._file is not None:
            await self._lose(self._file)
        self._resign()

    # ---------------------------------------------------------------- the powers

    def prepare(self) -> None:
        """Make the file, its table and its index where they are missing, and switch it to WAL. Raises StoreError."""
        prepare(self._settings)

    def take_existing(self, *, reads: bool) -> None:
        """Say that no file, table or index is to be made, and with `reads` that nothing is written."""
        self._settings = self._settings._replace(makes=False)
        self._reads_only = reads

    async def length(self) -> int:
        """Return how many sessions live."""
        rows = await self._query(statements.LENGTH, self._clock())
        return int(rows[0][0])

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its id, in the order of their ids."""
        last: str | int = 0  # in SQLite every number comes before every text
        page = _PAGE // 10
        while True:
            rows = await self._query(statements.PAGE, self._clock(), last, page)
            characters = 1
            for sid, sess, expires_at in rows:
                record = statements.record(sess, expires_at)
                characters += len(record.data)
                yield sid, record
            if len(rows) < page:
                return
            last = rows[-1][0]
            page = min(max(_PAGE_CHARACTERS * page // characters, 1), _PAGE)

    async def clear(self) -> None:
        """Delete every session, in transactions of some tens of milliseconds; after the last of them there is none."""
        async for _ in self._deleted(partial(statements.Deletion, "clear"), None):
            pass

    def lead(self) -> bool:
        """Return True if this process sweeps: the first that locks `<file>.sweeper`, until the kernel frees it."""
        if self._leadership is None:
            names = Names(self._settings.path)
            lock = open_beside(names, names.sweeper)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(lock)
                if isinstance(error, BlockingIOError):
                    return False
                raise StoreUnavailable(f"{names.sweeper}: {error.strerror}") from error
            self._leadership = lock
        return True

    def _resign(self) -> None:
        """Leave the sweep to the next one."""
        if self._leadership is not None:
            os.close(self._leadership)
            self._leadership = None

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first. Returns how many it deleted."""
        return sum([len(rows) async for rows in self._deleted(partial(statements.Deletion, "sweep"), limit)])

    async def _deleted(
        self, job: Callable[[str, int], statements.Deletion], limit: int | None
    ) -> AsyncIterator[list[Any]]:
        """Delete rows, at most `limit`, in transactions that keep nobody waiting. Yields what each returned.

        `job` makes the job of one, of the column that finds a row and of how many rows it may delete.
        """
        deleted = 0
        while limit is None or deleted < limit:
            at_once = self._deletes_at_once
            most = at_once if limit is None else min(at_once, limit - deleted)
            file = await self._opened()
            rows, seconds = await self._writes.add(job(file.row_key, most))
            yield rows
            deleted += len(rows)
            if seconds > _LONG:
                self._deletes_at_once = max(most // 2, _FEWEST)
            elif seconds < _SHORT and most == at_once:
                self._deletes_at_once = min(at_once * 2, _MOST)
            if len(rows) < most:
                break

    async def backlog(self, limit: int) -> int:
        """Return how many expired sessions wait to be swept, counted up to `limit`."""
        rows = await self._query(statements.BACKLOG, self._clock(), limit)
        return int(rows[0][0])

    # ---------------------------------------------------------------- the two batches

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of the driver's."""
        return translated(self.path, error)

    async def _read(self, jobs: list[Read]) -> None:
        """One SELECT for all."""
        file = await self._opened()
        try:
            with self.driver_errors():
                found = await self._select(file.reader, jobs)
        except StoreError as error:
            await self._failed(file, error, jobs, self._read)
        else:
            for job, row in zip(jobs, found, strict=True):
                job.resolve(row)

    async def _write(self, jobs: list[Job]) -> None:
        """One transaction for all."""
        file = await self._opened()
        try:
            with self.driver_errors():
                steps = await perform(file.writer, jobs, self._clock)
        except StoreError as error:
            await self._failed(file, error, jobs, self._write)
            return
        await self._check_file(file)  # or this was committed into a file that is no longer there
        missed: list[tuple[statements.Verb, Job]] = []
        for step in steps:
            missed += [(step.verb, job) for job in step.verb.resolve(step.jobs, step.rows, step.seconds)]
        if missed:
            await self._resolve_missed(file, missed)

    async def _resolve_missed(self, file: OpenFile, missed: list[tuple[statements.Verb, Job]]) -> None:
        """Resolve the jobs that were not done by the rows that are there now."""
        try:
            with self.driver_errors():
                found = await self._select(file.writer, [job for _, job in missed])
        except StoreError as error:
            if is_lost(error.__cause__):
                await self._lose(file)
            raise
        for (verb, job), row in zip(missed, found, strict=True):
            verb.resolve_missed(job, row)

    async def _select(self, connection: aiosqlite.Connection, jobs: Sequence[Read]) -> list[StoredSession | None]:
        """The living row of each job, or None."""
        found: list[StoredSession | None] = [None] * len(jobs)
        for number, sess, expires_at in await connection.execute_fetchall(
            *statements.SELECT.prepared(jobs, self._clock())
        ):
            found[number] = statements.record(sess, expires_at)
        return found

    async def _failed(
        self, file: OpenFile, error: StoreError, jobs: list[JobT], again: Callable[[list[JobT]], Awaitable[None]]
    ) -> None:
        """A row that SQLite cannot take fails its own request only; trouble with the file fails them all."""
        if file is not self._file:
            raise StoreUnavailable(f"{self.name}: was lost meanwhile") from error.__cause__
        if len(jobs) > 1 and not isinstance(error, StoreUnavailable):
            await self.each_alone(jobs, again)
            return
        if is_lost(error.__cause__):
            await self._lose(file)
        raise error

    async def _query(self, sql: str, *parameters: Any) -> list[Any]:
        """Rows for the powers, on a connection of their own: a count of a million rows holds up no visitor."""
        file = await self._opened()
        with self.driver_errors():
            return list(await file.counter.execute_fetchall(sql, parameters))

    # ---------------------------------------------------------------- the file

    async def _opened(self) -> OpenFile:
        """Return the file, opened again if it was lost. Raises StoreError."""
        self.check_open()
        file = self._file
        if file is not None:
            await self._check_file(file)
            return file
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
            self._opening.add_done_callback(_retrieve)
        return await asyncio.shield(self._opening)  # who waits may be cancelled; the lock is not given back half-way

    async def _open(self) -> OpenFile:
        try:
            self._file = await (open_to_read if self._reads_only else OpenFile.open)(self._settings)
        except StoreError:
            self._breaker.trip()
            raise
        finally:
            self._opening = None
        return self._file

    async def _check_file(self, file: OpenFile) -> None:
        try:
            file.check()
        except StoreUnavailable:
            await self._lose(file)
            raise

    async def _lose(self, file: OpenFile) -> None:
        """Close a file; the next step opens what the path leads to by then."""
        if self._file is file:
            self._file = None
            self._resign()  # the lock of the sweep may have gone with the file
            await file.close()


def _retrieve(opening: "asyncio.Task[OpenFile]") -> None:
    """Look at a task's error: if nobody waits for it any more it is nobody's, and no noise."""
    if not opening.cancelled():
        opening.exception()
