"""Owns an open SQLite file: its three connections, and the knowledge whether the path still leads to it.

SQLite goes on writing to a file that was deleted or replaced, so the identities of the file, its log and the log's
index are looked at before and after every step. Who opens the file among processes is known in beside.py. What is read
and written is not known here.
"""

import asyncio
import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple, Self

import aiosqlite

from ...errors import StoreError, StoreUnavailable
from . import at_exit, permissions, statements
from .beside import Identity, Lock, Names, Pin, Trio, drop_log, hold, identity
from .errors import DRIVER, opening

log: logging.Logger = logging.getLogger("sessions")

LARGE_LOG = 200 * 1024 * 1024
"""Bytes of the log that are worth a warning; SQLite cuts it to a third of that when it is free to begin it again."""

MOST_INDEXED = 50_000
"""Rows of a table that gets an index of its users by itself: a third of a second, in which nobody writes."""

_PATIENCE = 60.0
"""Seconds that the making of an index waits for its lock: it asks for one, and servers wait for it afterwards."""

_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_CACHE_KIB = 32_768
_WAL_LIMIT = 64 * 1024 * 1024
COLUMNS = ["sid", "expired", "sess"]
_INODE_AND_DEVICE = slice(stat.ST_INO, stat.ST_DEV + 1)
"""Of what os.stat returns: an Identity, the other way round. A check makes three, and names cost more than places."""


class Settings(NamedTuple):
    """How a file is opened."""

    path: Path
    durability: str
    busy_timeout: int
    """Milliseconds."""
    user_index: tuple[str, str] | None = None
    """The name of the index of the users and the statement that makes it; None: nobody asks for users."""
    makes: bool = True
    """Whether a file, a table or an index that is missing is made."""


class OpenFile:
    """A file with connections for reading, for writing, and for counting and listing.

    So a write that waits for a lock holds up no read, and neither does a count of a million rows.
    """

    reader: aiosqlite.Connection
    writer: aiosqlite.Connection
    counter: aiosqlite.Connection
    row_key: str
    """The column that finds a row: "rowid", or "sid" in a table WITHOUT ROWID."""

    def __init__(self, settings: Settings, names: Names, main: Identity | None) -> None:
        self._settings = settings
        self._names = names
        self._trio = Trio(main, None, None)
        # what check() looks at, as str, of which a stat costs less than of a Path; the log is the last
        self._watched: tuple[str, ...] = ()
        self._noted: tuple[Any, ...] = ()  # what _INODE_AND_DEVICE has to find of each
        self._connections: list[aiosqlite.Connection] = []
        self._log: int | None = None  # a descriptor; its lock tells other processes that the log is in use
        self._log_is_large = False

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Prepare the file and open it. Raises StoreError."""
        names = Names(settings.path)
        with opening(settings.path, names):
            check_there(settings, names)
            async with Lock(names) as lock:
                with await asyncio.to_thread(_made, settings, names, lock) as pin:
                    file = cls(settings, names, pin.identity)
                    try:
                        await file._connect_all(pin)
                    except BaseException:
                        file._drops_log()
                        await _to_its_end(file._leave())
                        raise
                lock.record = file._trio
            if settings.makes:
                permissions.warn(names)
        at_exit.watch(file)
        return file

    def check(self) -> None:
        """Raise StoreUnavailable if the path leads to another file by now, or to none."""
        try:
            for file, noted, found in zip(self._watched, self._noted, map(os.stat, self._watched), strict=True):
                if found[_INODE_AND_DEVICE] != noted:
                    raise StoreUnavailable(f"{file}: was deleted or replaced")
        except OSError as error:
            raise StoreUnavailable(f"{error.filename}: was deleted or replaced") from None
        if (found.st_size > LARGE_LOG) is not self._log_is_large:
            self._note_log(found.st_size)

    async def close(self, patience: float | None = None) -> None:
        """Close all connections; wait for each so many seconds at the most: it may have more to do first."""
        await _to_its_end(self._close(patience))

    # ---------------------------------------------------------------- opening and leaving, one process at a time

    async def _connect_all(self, pin: Pin) -> None:
        self.reader = await self._connect(pin, f"cache_size = -{_CACHE_KIB}")
        self.writer = await self._connect(pin, f"cache_size = -{_CACHE_KIB}")
        self.counter = await self._connect(pin)
        self.row_key = "rowid" if list(await self.counter.execute_fetchall(statements.HAS_ROWID)) else "sid"
        self._watched = (str(self._settings.path), str(self._names.shm), str(self._names.wal))
        self._noted = tuple(each and each[::-1] for each in (self._trio.main, self._trio.shm, self._trio.wal))
        self.check()

    async def _connect(self, pin: Pin, *pragmas: str) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(uri_of(self._names.main), uri=True, isolation_level=None)
        self._connections.append(connection)
        pin.check()  # before the first statement: that opens the log, and so far the log is this file's
        try:
            for pragma in (
                f"busy_timeout = {self._settings.busy_timeout}",
                f"synchronous = {self._settings.durability}",
                f"journal_size_limit = {_WAL_LIMIT}",
                *pragmas,
            ):
                await connection.execute_fetchall(f"PRAGMA {pragma}")
            await connection.execute_fetchall("SELECT 1 FROM sessions LIMIT 1")  # makes the log
        finally:
            self._note_trio()
        connection.text_factory = text_of
        connection.row_factory = sqlite3.Row  # its repr() hides the row from asyncio's debug log
        return connection

    def _note_trio(self) -> None:
        """Note the log and its index, if the connection has made them, and hold the log."""
        if self._log is None:
            with contextlib.suppress(FileNotFoundError):
                self._log = hold(self._names)
                self._trio = self._trio._replace(wal=identity(self._log), shm=identity(self._names.shm))

    async def _close(self, patience: float | None) -> None:
        lock = Lock(self._names)
        with contextlib.suppress(StoreUnavailable):  # if the lock is not free in time, it goes on without
            await lock.acquire()
        try:
            if self._drops_log():
                lock.release()  # a write may be under way for long; SQLite deletes nothing beside a file that has moved
            await self._leave(patience)
        finally:
            lock.release()
        at_exit.forget(self)

    def _drops_log(self) -> bool:
        """If the path leads to another file, delete the log: it would be played into that. Returns whether it does."""
        has_moved = identity(self._names.main) != self._trio.main
        if has_moved:
            with contextlib.suppress(OSError):
                drop_log(self._names, self._trio)
        return has_moved

    async def _leave(self, patience: float | None = None) -> None:
        """Close the connections. A log that has no name any more is brought into its file first: nobody else can."""
        if self._log is not None and identity(self._names.wal) is None:
            with contextlib.suppress(*DRIVER):
                await self._connections[-1].execute_fetchall("PRAGMA wal_checkpoint")
        for connection in self._connections:  # one after another: the last one brings the log into the file
            stopped = connection.stop()
            if stopped is not None:
                with contextlib.suppress(*DRIVER, TimeoutError):
                    await asyncio.wait_for(stopped, patience)
        descriptor, self._log = self._log, None
        if descriptor is not None:
            os.close(descriptor)

    def _note_log(self, size: int) -> None:
        self._log_is_large = size > LARGE_LOG
        if self._log_is_large:
            log.warning(
                "%s: has grown to %d MB, because a connection reads an old state of the file (a backup that hangs, a"
                " shell with an open transaction); it grows until that ends",
                self._names.wal,
                size // 1_000_000,
            )


def prepare(settings: Settings) -> None:
    """Make the file, its table and its index where they are missing, and switch it to WAL. Raises StoreError.

    Once before any fork: several processes that switch a new file to WAL at the same time fail.
    """
    names = Names(settings.path)
    with opening(settings.path, names):
        with Lock(names) as lock, _made(settings, names, lock):
            pass
        permissions.warn(names)


def check_there(settings: Settings, names: Names) -> None:
    """Raise StoreError if there is no file and none is to be made."""
    if not settings.makes and not names.main.exists():
        raise StoreError(f"{settings.path}: there is no such file (a relative path begins in the working folder)")


def check_columns(settings: Settings, connection: sqlite3.Connection) -> None:
    """Raise StoreError if the table has other columns, or if there is none and none is to be made."""
    found = [column[1] for column in connection.execute("PRAGMA table_info(sessions)")]
    if not found and not settings.makes:
        raise StoreError(f"{settings.path}: has no table sessions, which a server makes when it starts")
    if found not in ([], COLUMNS):
        raise StoreError(f"{settings.path}: the table sessions has the columns {found}, not {COLUMNS}")


def _made(settings: Settings, names: Names, lock: Lock) -> Pin:
    """Make what is missing of the file. Returns the file, pinned. Raises StoreError, OSError."""
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"SQLite 3.35 or newer is needed, this is {sqlite3.sqlite_version}")
    with contextlib.ExitStack() as opened:
        pin = opened.enter_context(Pin(names, makes=settings.makes))
        lock.drop_log_of_another(pin.identity)
        _make_table(settings, names, pin)
        opened.pop_all()
    return pin


def _make_table(settings: Settings, names: Names, pin: Pin) -> None:
    with _connected(names, settings.busy_timeout / 1000) as made:
        pin.check()  # before the first statement, as in _connect
        try:
            check_columns(settings, made)
            (mode,) = made.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(
                    f"{settings.path}: SQLite cannot keep a write-ahead log there (its journal mode is {mode})"
                )
            if settings.makes:
                made.executescript(statements.SCHEMA)
            made.execute(statements.HAS_KEY)
            if settings.makes and settings.user_index is not None:
                _make_user_index(made, *settings.user_index)
        finally:
            if not pin.is_in_place:  # what this connection has made is not for the next file
                drop_log(names, names.now)


def _connected(names: Names, seconds: float) -> "contextlib.closing[sqlite3.Connection]":
    """Return a connection for the `with` statement that waits so many seconds for a lock."""
    return contextlib.closing(sqlite3.connect(uri_of(names.main), uri=True, timeout=seconds, isolation_level=None))


def make_user_index(settings: Settings, *, rebuild: bool) -> bool:
    """Make the index of the users, in one transaction, while nobody writes. Returns False if it is there already.

    With `rebuild` one that is there is made again. Raises StoreError.
    """
    name, make = settings.user_index or ("", "")
    names = Names(settings.path)
    with opening(settings.path, names), Pin(names, makes=False) as pin, _connected(names, _PATIENCE) as connection:
        pin.check()
        connection.execute("BEGIN IMMEDIATE")
        if connection.execute(statements.HAS_INDEX, (name,)).fetchone() is not None:
            if not rebuild:
                return False
            connection.execute(f'DROP INDEX "{name.replace(chr(34), chr(34) * 2)}"')
        connection.execute(make)
        connection.execute("COMMIT")
        return True


def _make_user_index(connection: sqlite3.Connection, name: str, make: str) -> None:
    """Make the index of the users, if the table has few rows. Where that fails everything works without, and slowly."""
    if connection.execute(statements.HAS_INDEX, (name,)).fetchone() is None:
        (rows,) = connection.execute(
            "SELECT count(*) FROM (SELECT 1 FROM sessions LIMIT ?)", (MOST_INDEXED,)
        ).fetchone()
        if rows < MOST_INDEXED:
            with contextlib.suppress(sqlite3.OperationalError):  # another process writes for long
                connection.execute(make)


def uri_of(path: Path) -> str:
    """The file as a URI that opens it and never makes it: made by SQLite it would have neither mode nor table."""
    return f"{path.as_uri()}?mode=rw"


def text_of(raw: bytes) -> str | bytes:
    """A text, or bytes where it is not UTF-8: the driver's refusal would show the data and leave its statement open."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for work; who is cancelled meanwhile waits all the same, or a thread would be left behind."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
