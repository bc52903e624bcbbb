"""Owns the store in a SQLite file, as the npm package connect-sqlite3 lays it out.

    sessions(sid PRIMARY KEY, expired, sess)      expired: milliseconds since the epoch; sess: JSON text

Node inserts without naming columns, so the table never gets a fourth. Reads that wait together are one SELECT on a
connection of their own, writes one transaction on another (batching.py); both go through aiosqlite's public API. This
file must not know what is in the text.
"""

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable
from enum import Enum
from pathlib import Path
from typing import Any, Literal, Self

import aiosqlite

from ..clock import Clock, now_ms
from ..errors import OptionsError, StoreError, StoreUnavailable
from ..options import is_number, wrong
from ..store import GONE, SAVED, Outcome, StoredSession, Update
from .batching import Batcher, Job

logging.getLogger("aiosqlite").addFilter(lambda record: record.levelno > logging.DEBUG)  # it logs ids and data there

_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_CACHE_KIB = 32_768
_WAL_LIMIT = 64 * 1024 * 1024
_PAGE = 500

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS sessions (sid PRIMARY KEY, expired, sess);
    CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);
"""

_SELECT = """
    SELECT sid, sess, expired FROM sessions
    WHERE sid IN (SELECT value FROM json_each(:jobs)) AND expired > :now
"""


class _Verb(Enum):
    """The writes. :jobs is a JSON array with a row for each job, :now the time; an expired row counts as none."""

    CREATE = """
        INSERT INTO sessions (sid, expired, sess)
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
        FROM json_each(:jobs) WHERE true
        ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
        WHERE sessions.expired <= :now
        RETURNING sid
    """
    # Compare and set, with an outcome for each row: our text comes back where it was saved, another one where it was
    # not, and nothing where there is no row.
    UPDATE = """
        UPDATE sessions
        SET expired = iif(sess = job.old, job.expired, sessions.expired), sess = iif(sess = job.old, job.new, sess)
        FROM (
            SELECT json_extract(value, '$[0]') AS sid, json_extract(value, '$[1]') AS expired,
                   json_extract(value, '$[2]') AS new, json_extract(value, '$[3]') AS old
            FROM json_each(:jobs)
        ) AS job
        WHERE sessions.sid = job.sid AND sessions.expired > :now
        RETURNING sid, sess, expired
    """
    TOUCH = """
        UPDATE sessions SET expired = iif(sess = job.old, job.expired, sessions.expired)
        FROM (
            SELECT json_extract(value, '$[0]') AS sid, json_extract(value, '$[1]') AS expired,
                   json_extract(value, '$[2]') AS old
            FROM json_each(:jobs)
        ) AS job
        WHERE sessions.sid = job.sid AND sessions.expired > :now
        RETURNING sid, expired
    """
    SET = """
        INSERT INTO sessions (sid, expired, sess)
        SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
        FROM json_each(:jobs) WHERE true
        ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    """
    DESTROY = "DELETE FROM sessions WHERE sid IN (SELECT value FROM json_each(:jobs))"
    SWEEP = """
        DELETE FROM sessions
        WHERE rowid IN (
            SELECT rowid FROM sessions WHERE expired <= :now ORDER BY expired LIMIT json_extract(:jobs, '$[0]')
        )
        RETURNING 1
    """
    CLEAR = "DELETE FROM sessions"


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
        if not is_number(busy_timeout) or busy_timeout < 0:
            raise wrong("busyTimeout", "a number of milliseconds, 0 or more", busy_timeout)
        self.path = Path(path)
        self._durability = durability
        self._busy_timeout = int(busy_timeout)
        self._clock = clock
        self._reader: aiosqlite.Connection | None = None
        self._writer: aiosqlite.Connection | None = None
        self._opening = asyncio.Lock()
        self._files: dict[Path, int] = {}  # the inodes behind the open connections
        self._reads = Batcher(self._read, once=False)
        self._writes = Batcher(self._write, once=True)
        self._leadership: int | None = None

    # ---------------------------------------------------------------- the contract

    @property
    def ready(self) -> bool:
        """Whether the file is open."""
        return self._writer is not None

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writes.close()
        await self._reads.close()
        await self._close()
        if self._leadership is not None:
            os.close(self._leadership)
            self._leadership = None

    async def get(self, sid: str) -> StoredSession | None:
        """The session of an id; None where there is none or it has expired."""
        found: StoredSession | None = await self._reads.add(None, sid, sid)
        return found

    async def create(self, sid: str, stored: StoredSession) -> bool:
        """Insert a new session; False where a live one has the id."""
        made: bool = await self._writes.add(_Verb.CREATE, sid, (sid, stored.expires_at, stored.data))
        return made

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Replace a session whose text is still `expected`."""
        row = (sid, stored.expires_at, stored.data, expected)
        update: Update = await self._writes.add(_Verb.UPDATE, sid, row)
        return update

    async def set(self, sid: str, stored: StoredSession) -> None:
        """Insert or replace."""
        await self._writes.add(_Verb.SET, sid, (sid, stored.expires_at, stored.data))

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """Move the expiry of a session whose text is still `expected`."""
        outcome: Outcome = await self._writes.add(_Verb.TOUCH, sid, (sid, expires_at, expected))
        return outcome

    async def destroy(self, sid: str) -> None:
        """Delete a session; silent where there is none."""
        await self._writes.add(_Verb.DESTROY, sid, sid)

    async def length(self) -> int:
        """How many sessions live."""
        rows = await self._query("SELECT count(*) FROM sessions WHERE expired > ?", self._clock())
        return int(rows[0][0])

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Every living session with its id, in the order of their ids."""
        last = ""
        while True:
            rows = await self._query(
                "SELECT sid, sess, expired FROM sessions WHERE expired > ? AND sid > ? ORDER BY sid LIMIT ?",
                self._clock(), last, _PAGE,
            )  # fmt: skip
            for sid, sess, expired in rows:
                yield sid, _stored(sess, expired)
            if len(rows) < _PAGE:
                return
            last = rows[-1][0]

    async def clear(self) -> None:
        """Delete every session."""
        await self._writes.add(_Verb.CLEAR, "", 1)

    def lead(self) -> bool:
        """Whether this process sweeps the file: the first to lock `<file>.sweeper`, which the kernel frees at its end."""
        if self._leadership is None:
            lock = os.open(f"{self.path}.sweeper", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                return False
            self._leadership = lock
        return True

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first."""
        deleted: int = await self._writes.add(_Verb.SWEEP, "", limit)
        return deleted

    async def backlog(self, limit: int) -> int:
        """How many expired sessions wait to be swept, counted up to `limit`."""
        rows = await self._query(
            "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE expired <= ? LIMIT ?)", self._clock(), limit
        )
        return int(rows[0][0])

    # ---------------------------------------------------------------- the two batches

    async def _read(self, jobs: list[Job]) -> None:
        """One SELECT for all."""
        reader = (await self._connected())[0]
        try:
            rows = await reader.execute_fetchall(_SELECT, self._parameters(jobs))
        except Exception as error:
            return await self._failed(error, jobs, self._read)
        found = {sid: _stored(sess, expired) for sid, sess, expired in rows}
        for job in jobs:
            job.resolve(found.get(job.key))

    async def _write(self, jobs: list[Job]) -> None:
        """One transaction for all, with one statement for each verb that occurs."""
        writer = (await self._connected())[1]
        groups: dict[_Verb, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.verb, []).append(job)
        try:
            statements = [(verb.value, self._parameters(group)) for verb, group in groups.items()]
            results = await _transaction(writer, statements)
            self._check_files()  # or this was committed into a file that is no longer there
        except Exception as error:
            return await self._failed(error, jobs, self._write)
        for (verb, group), rows in zip(groups.items(), results, strict=True):
            _resolve(verb, group, rows)

    def _parameters(self, jobs: list[Job]) -> dict[str, Any]:
        return {"jobs": json.dumps([job.row for job in jobs], ensure_ascii=False), "now": self._clock()}

    async def _failed(self, error: Exception, jobs: list[Job], again: Any) -> None:
        """A row that SQLite cannot take fails its own request only; trouble with the file fails them all."""
        if isinstance(error, StoreError):
            raise error
        if not isinstance(error, sqlite3.Error | ValueError | OverflowError):
            raise error
        if len(jobs) > 1 and not _is_trouble(error):
            for job in jobs:
                try:
                    await again([job])
                except Exception as own:
                    job.fail(own)
            return
        if _must_reopen(error):
            await self._close()
        raise self._translated(error) from error

    async def _query(self, sql: str, *parameters: Any) -> list[Any]:
        reader = (await self._connected())[0]
        try:
            return list(await reader.execute_fetchall(sql, parameters))
        except sqlite3.Error as error:
            raise self._translated(error) from error

    # ---------------------------------------------------------------- the file

    def prepare(self) -> None:
        """Make the file, its table and its index where they are missing, and switch it to WAL.

        Once before any fork: several processes that switch a new file to WAL at the same time fail. Raises StoreError.
        """
        if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
            raise StoreError(f"SQLite 3.35 or newer is needed, this is {sqlite3.sqlite_version}")
        if not self.path.parent.is_dir():
            raise StoreError(f"{self.path}: the folder {self.path.parent} does not exist")
        try:
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            connection = sqlite3.connect(self.path, timeout=self._busy_timeout / 1000, isolation_level=None)
        except (OSError, sqlite3.Error) as error:
            raise StoreUnavailable(f"{self.path}: cannot be opened: {error}") from error
        with contextlib.closing(connection):
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.executescript(_SCHEMA)
                columns = [column[1] for column in connection.execute("PRAGMA table_info(sessions)")]
            except sqlite3.Error as error:
                raise self._translated(error) from error
        if columns != ["sid", "expired", "sess"]:
            raise StoreError(f"{self.path}: the table sessions has the columns {columns}, not sid, expired, sess")

    async def _connected(self) -> tuple[aiosqlite.Connection, aiosqlite.Connection]:
        """The reading and the writing connection, opened again where the file was lost."""
        if self._writer is not None:
            try:
                self._check_files()
            except StoreUnavailable:
                await self._close()
                raise
        if self._reader is None or self._writer is None:
            await self._open()
        assert self._reader is not None and self._writer is not None
        return self._reader, self._writer

    async def _open(self) -> None:
        async with self._opening:
            if self._writer is not None:
                return
            await asyncio.to_thread(self.prepare)
            self._reader = await self._connect()
            self._writer = await self._connect()
            for suffix in ("", "-wal", "-shm"):
                file = Path(f"{self.path}{suffix}")
                self._files[file] = _inode(file)

    async def _connect(self) -> aiosqlite.Connection:
        try:
            connection = await aiosqlite.connect(self.path, isolation_level=None)
            for pragma in (
                f"busy_timeout = {self._busy_timeout}",
                f"synchronous = {self._durability}",
                f"cache_size = -{_CACHE_KIB}",
                f"journal_size_limit = {_WAL_LIMIT}",
            ):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
        except sqlite3.Error as error:
            raise self._translated(error) from error
        return connection

    async def _close(self) -> None:
        connections = [each for each in (self._reader, self._writer) if each is not None]
        self._reader = self._writer = None
        for connection in connections:
            with contextlib.suppress(sqlite3.Error):
                await connection.close()
        for file, inode in self._files.items():
            # The log of a file that was deleted or replaced would be played into the file that takes its place.
            if file != self.path and self._files[self.path] != _inode(self.path) and inode == _inode(file):
                file.unlink(missing_ok=True)
        self._files.clear()

    def _check_files(self) -> None:
        """Raise where the path leads to another file by now: SQLite goes on writing to one that was deleted."""
        if _inode(self.path) != self._files.get(self.path):
            raise StoreUnavailable(f"{self.path}: was deleted or replaced")

    def _translated(self, error: Exception) -> StoreError:
        kind = StoreUnavailable if _is_trouble(error) else StoreError
        return kind(f"{self.path}: {error}")


async def _transaction(writer: aiosqlite.Connection, statements: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    """The rows of each statement, all in one transaction; one alone is one by itself."""
    if len(statements) == 1:
        return [await writer.execute_fetchall(*statements[0])]
    steps: list[tuple[str, dict[str, Any]]] = [("BEGIN IMMEDIATE", {}), *statements, ("COMMIT", {})]
    # Handed over together they stay in order and cost less than one by one; only one task ever writes.
    results = await asyncio.gather(*(writer.execute_fetchall(*step) for step in steps), return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            if writer.in_transaction:
                await writer.rollback()
            raise result
    return list(results[1:-1])


def _resolve(verb: _Verb, jobs: list[Job], rows: Iterable[Any]) -> None:
    match verb:
        case _Verb.CREATE:
            made = {sid for (sid,) in rows}
            for job in jobs:
                job.resolve(job.key in made)
        case _Verb.UPDATE:
            found = {sid: (sess, expired) for sid, sess, expired in rows}
            for job in jobs:
                sess, expired = found.get(job.key, (None, 0))
                if sess is None:
                    job.resolve(GONE)
                elif sess == job.row[2]:
                    job.resolve(SAVED)
                else:
                    job.resolve(Update(Outcome.CONFLICT, _stored(sess, expired)))
        case _Verb.TOUCH:
            moved = dict(rows)
            for job in jobs:
                expired = moved.get(job.key)
                job.resolve(
                    Outcome.GONE if expired is None else Outcome.SAVED if expired == job.row[1] else Outcome.CONFLICT
                )
        case _Verb.SWEEP:
            deleted = len(list(rows))
            for job in jobs:
                job.resolve(deleted)
        case _Verb.SET | _Verb.DESTROY | _Verb.CLEAR:
            for job in jobs:
                job.resolve(None)


def _stored(sess: Any, expired: Any) -> StoredSession:
    """A row as a record. Node binds its numbers as REAL; what is no text is no session, which the reader will say."""
    return StoredSession(sess if isinstance(sess, str) else "", int(expired))


def _inode(file: Path) -> int:
    try:
        return os.stat(file).st_ino
    except OSError:
        return 0


def _is_trouble(error: Exception) -> bool:
    """Whether the file, and not the row, is at fault, for the moment."""
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(
        ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "SQLITE_NOMEM",
         "SQLITE_READONLY", "SQLITE_INTERRUPT", "SQLITE_PROTOCOL")
    )  # fmt: skip


def _must_reopen(error: Exception) -> bool:
    name = getattr(error, "sqlite_errorname", "")
    return name.startswith(("SQLITE_IOERR", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_CANTOPEN", "SQLITE_READONLY"))
