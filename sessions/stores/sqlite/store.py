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
import sqlite3
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Literal, Self

import aiosqlite

from ...clock import Clock, now_ms
from ...errors import OptionsError, StoreError, StoreUnavailable
from ...options import is_number, wrong
from ...store import Outcome, StoredSession, Update
from ..batching import Batcher, Job
from ..texts import is_storable
from . import statements
from .file import OpenFile, Settings, is_lost, is_trouble, prepare, translated

logging.getLogger("aiosqlite").addFilter(lambda record: record.levelno > logging.DEBUG)  # it logs ids and data there

_PAGE = 500
_RETRY_SECONDS = 1.0
_LONGEST_WAIT = 2**31 - 1  # milliseconds, a C int: SQLite takes more for 0
_DRIVER = (sqlite3.Error, ValueError, OverflowError)
"""What aiosqlite raises: ValueError for a text that is not UTF-8, or for a connection that was closed meanwhile."""


class SQLiteStore:
    """Keeps sessions in a SQLite file, in WAL mode.

    `durability` is "full" (an answered change survives a power loss) or "normal" (it survives `kill -9`, but the last
    moments before a power loss may be lost). `busy_timeout` is how many milliseconds a write waits for another process.
    `clock` returns milliseconds since the epoch. The file is made, with mode 0600, where there is none; its folder must
    exist.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        durability: Literal["full", "normal"] = "full",
        busy_timeout: float = 2_000,
        clock: Clock = now_ms,
    ) -> None:
        if durability not in ("full", "normal"):
            raise wrong("durability", '"full" or "normal"', durability)
        if not is_number(busy_timeout) or not 0 <= busy_timeout <= _LONGEST_WAIT:
            raise wrong("busyTimeout", "a number of milliseconds, 0 or more", busy_timeout)
        if os.fspath(path) == ":memory:":
            raise OptionsError("store: SQLite in memory is one connection's own; memory: is the store for that")
        self.path = Path(path)
        self._settings = Settings(self.path, durability, int(busy_timeout))
        self._clock = clock
        self._file: OpenFile | None = None
        self._is_open = False
        self._opening = asyncio.Lock()
        self._retry_at = 0.0  # on time.monotonic(), after the file could not be opened again
        self._reads = Batcher(self._read, once=False)
        self._writes = Batcher(self._write, once=True)
        self._leadership: int | None = None

    # ---------------------------------------------------------------- the contract

    @property
    def ready(self) -> bool:
        """Whether the file is open, or worth another try: a second after the last that failed."""
        return self._is_open and (self._file is not None or time.monotonic() >= self._retry_at)

    def prepare(self) -> None:
        """Make the file, its table and its index where they are missing, and switch it to WAL. Raises StoreError."""
        prepare(self._settings)

    async def __aenter__(self) -> Self:
        self._is_open = True
        try:
            await self._opened()
        except BaseException:
            self._is_open = False
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writes.close()
        await self._reads.close()
        self._is_open = False
        if self._file is not None:
            await self._lose(self._file)
        if self._leadership is not None:
            os.close(self._leadership)
            self._leadership = None

    async def get(self, sid: str) -> StoredSession | None:
        """The session of an id; None where there is none or it has expired."""
        if not is_storable(sid):
            return None
        found: StoredSession | None = await self._reads.add(None, sid, sid)
        return found

    async def create(self, sid: str, stored: StoredSession) -> bool:
        """Insert a new session; False where a live one has the id."""
        made: bool = await self._add(statements.CREATE, sid, stored.expires_at, stored.data)
        return made

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Replace a session whose text is still `expected`."""
        update: Update = await self._add(statements.UPDATE, sid, stored.expires_at, stored.data, expected)
        return update

    async def set(self, sid: str, stored: StoredSession) -> None:
        """Insert or replace."""
        await self._add(statements.SET, sid, stored.expires_at, stored.data)

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """Move the expiry of a session whose text is still `expected`."""
        outcome: Outcome = await self._add(statements.TOUCH, sid, expires_at, expected)
        return outcome

    async def destroy(self, sid: str) -> None:
        """Delete a session; silent where there is none."""
        if is_storable(sid):
            await self._writes.add(statements.DESTROY, sid, (sid,))

    async def length(self) -> int:
        """How many sessions live."""
        rows = await self._query(statements.LENGTH, self._clock())
        return int(rows[0][0])

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Every living session with its id, in the order of their ids."""
        last: str | int = 0  # in SQLite every number comes before every text
        while True:
            rows = await self._query(statements.PAGE, self._clock(), last, _PAGE)
            for sid, sess, expired in rows:
                yield sid, statements.record(sess, expired)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    async def clear(self) -> None:
        """Delete every session."""
        await self._writes.add(statements.CLEAR, "", (None,))

    def lead(self) -> bool:
        """Whether this process sweeps the file: the first to lock `<file>.sweeper`, until the kernel frees it."""
        if self._leadership is None:
            lock = None
            try:
                lock = os.open(f"{self.path}.sweeper", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if lock is not None:
                    os.close(lock)
                if isinstance(error, BlockingIOError):
                    return False
                raise StoreUnavailable(f"{self.path}.sweeper: {error.strerror}") from error
            self._leadership = lock
        return True

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first."""
        deleted: int = await self._writes.add(statements.SWEEP, "", (limit,))
        return deleted

    async def backlog(self, limit: int) -> int:
        """How many expired sessions wait to be swept, counted up to `limit`."""
        rows = await self._query(statements.BACKLOG, self._clock(), limit)
        return int(rows[0][0])

    # ---------------------------------------------------------------- the two batches

    def _add(self, verb: statements.Verb, sid: str, *row: Any) -> "asyncio.Future[Any]":
        if not is_storable(sid) or not all(map(is_storable, row[1:])):
            raise StoreError(f"{self.path}: an id or a text with NUL, or beyond UTF-8, cannot be stored")
        return self._writes.add(verb, sid, (sid, *row))

    async def _read(self, jobs: list[Job]) -> None:
        """One SELECT for all."""
        file = await self._opened()
        try:
            found = await self._select(file.reader, jobs)
        except _DRIVER as error:
            await self._failed(file, error, jobs, self._read)
        else:
            for job in jobs:
                job.resolve(found.get(job.key))

    async def _write(self, jobs: list[Job]) -> None:
        """One transaction for all, with one statement for each verb that occurs."""
        file = await self._opened()
        groups: dict[statements.Verb, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.verb, []).append(job)
        try:
            now = self._clock()
            steps = [verb.prepared([job.row for job in group], now) for verb, group in groups.items()]
            results = await _transaction(file.writer, steps)
        except _DRIVER as error:
            await self._failed(file, error, jobs, self._write)
            return
        await self._check(file)  # or this was committed into a file that is no longer there
        missed: list[Job] = []
        for (verb, group), rows in zip(groups.items(), results, strict=True):
            returned = {row[0] for row in rows}
            for job in group:
                if verb is statements.SWEEP:
                    job.resolve(len(rows))
                elif verb.missed is None or job.key in returned:
                    job.resolve(verb.found)
                else:
                    missed.append(job)
        if missed:
            await self._tell_why(file, missed)

    async def _tell_why(self, file: OpenFile, missed: list[Job]) -> None:
        """Tell jobs whose row was not what they expected what is there instead."""
        try:
            found = await self._select(file.writer, missed)
        except _DRIVER as error:
            if is_lost(error):
                await self._lose(file)
            raise translated(self.path, error) from error
        for job in missed:
            job.resolve(job.verb.missed(found.get(job.key)))

    async def _select(self, connection: aiosqlite.Connection, jobs: list[Job]) -> dict[str, StoredSession]:
        """The living rows of the jobs, by id."""
        statement = statements.SELECT.prepared([(job.key,) for job in jobs], self._clock())
        rows = await connection.execute_fetchall(*statement)
        return {sid: statements.record(sess, expired) for sid, sess, expired in rows}

    async def _failed(
        self, file: OpenFile, error: Exception, jobs: list[Job], again: Callable[[list[Job]], Awaitable[None]]
    ) -> None:
        """A row that SQLite cannot take fails its own request only; trouble with the file fails them all."""
        if file is not self._file:
            raise StoreUnavailable(f"{self.path}: was lost meanwhile") from error
        if len(jobs) > 1 and not is_trouble(error):
            for job in jobs:
                try:
                    await again([job])
                except StoreError as own:
                    job.fail(own)
            return
        if is_lost(error):
            await self._lose(file)
        raise translated(self.path, error) from error

    async def _query(self, sql: str, *parameters: Any) -> list[Any]:
        file = await self._opened()
        try:
            return list(await file.reader.execute_fetchall(sql, parameters))
        except _DRIVER as error:
            raise translated(self.path, error) from error

    # ---------------------------------------------------------------- the file

    async def _opened(self) -> OpenFile:
        """The file, opened again where it was lost. Raises StoreError."""
        if not self._is_open:
            raise StoreUnavailable(f"{self.path}: the store is closed")
        if self._file is not None:
            await self._check(self._file)
            return self._file
        async with self._opening:
            if self._file is None:
                try:
                    self._file = await OpenFile.open(self._settings)
                except StoreError:
                    self._retry_at = time.monotonic() + _RETRY_SECONDS
                    raise
            return self._file

    async def _check(self, file: OpenFile) -> None:
        try:
            file.check()
        except StoreUnavailable:
            await self._lose(file)
            raise

    async def _lose(self, file: OpenFile) -> None:
        """Close a file; the next step opens what the path leads to by then."""
        if self._file is file:
            self._file = None
            await file.close()


async def _transaction(writer: aiosqlite.Connection, steps: list[tuple[str, list[Any]]]) -> list[Any]:
    """The rows of each statement, all in one transaction; one alone is one by itself."""
    if len(steps) == 1:
        return [await writer.execute_fetchall(*steps[0])]
    await writer.execute_fetchall("BEGIN IMMEDIATE")  # alone: while the file is locked the others would each wait too
    try:
        # Handed over together they stay in order and cost less than one by one; only one task ever writes.
        rows = await asyncio.gather(*(writer.execute_fetchall(*step) for step in steps))
        await writer.execute_fetchall("COMMIT")
    except _DRIVER:
        if writer.in_transaction:
            await writer.rollback()
        raise
    return list(rows)
