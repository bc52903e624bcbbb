"""Owns an open SQLite file: its two connections, and the knowledge whether the path still leads to it.

SQLite goes on writing to a file that was deleted or replaced, so the identity of the file is noted before it is opened
and looked at before and after every step. What is read and written is not known here.
"""

import asyncio
import contextlib
import os
import sqlite3
from pathlib import Path
from typing import NamedTuple, Self

import aiosqlite

from ...errors import StoreError, StoreUnavailable
from . import statements

DRIVER = (sqlite3.Error, ValueError, OverflowError)
"""What aiosqlite raises: ValueError for a text that is not UTF-8, or for a connection that was closed meanwhile."""

_OLDEST_SQLITE = (3, 35, 0)  # RETURNING
_CACHE_KIB = 32_768
_WAL_LIMIT = 64 * 1024 * 1024
_COLUMNS = ["sid", "expired", "sess"]

Identity = tuple[int, int]
"""Device and inode of a file."""


class Settings(NamedTuple):
    """How a file is opened."""

    path: Path
    durability: str
    busy_timeout: int
    """Milliseconds."""


class OpenFile:
    """A file with a connection for reading and one for writing: a write that waits for a lock holds up no read."""

    def __init__(self, settings: Settings, identities: dict[Path, Identity | None]) -> None:
        self._settings = settings
        self._identities = identities  # of the file, its log and the log's index, as they were when it was opened
        self.reader: aiosqlite.Connection
        self.writer: aiosqlite.Connection

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Prepare the file and open it. Raises StoreError."""
        path = settings.path
        await asyncio.to_thread(prepare, settings)
        before = identity(path)
        async with contextlib.AsyncExitStack() as opened:
            reader = await _connect(settings, opened)
            writer = await _connect(settings, opened)
            files = (path, _beside(path, "-wal"), _beside(path, "-shm"))
            file = cls(settings, {each: identity(each) for each in files})
            if before is None or identity(path) != before:
                raise StoreUnavailable(f"{path}: was deleted or replaced while it was opened")
            file.reader, file.writer = reader, writer
            opened.pop_all()
        return file

    def check(self) -> None:
        """Raise StoreUnavailable where the path leads to another file by now, or to none."""
        for file, noted in self._identities.items():
            if noted is None or identity(file) != noted:
                raise StoreUnavailable(f"{file}: was deleted or replaced")

    async def close(self) -> None:
        """Close both connections; who is cancelled meanwhile waits all the same, or a thread would be left behind."""
        closing = asyncio.ensure_future(self._close())
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            await closing
            raise

    async def _close(self) -> None:
        for connection in (self.reader, self.writer):
            with contextlib.suppress(sqlite3.Error, ValueError):
                await connection.close()
        path = self._settings.path
        if identity(path) != self._identities[path]:
            # The log of a file that is gone would be played into the file that takes its place.
            for file, noted in self._identities.items():
                if file != path and noted is not None and identity(file) == noted:
                    file.unlink(missing_ok=True)


def prepare(settings: Settings) -> None:
    """Make the file, its table and its index where they are missing, and switch it to WAL. Raises StoreError.

    Once before any fork: several processes that switch a new file to WAL at the same time fail.
    """
    path = settings.path
    if sqlite3.sqlite_version_info < _OLDEST_SQLITE:
        raise StoreError(f"SQLite 3.35 or newer is needed, this is {sqlite3.sqlite_version}")
    if not path.parent.is_dir():
        raise StoreUnavailable(f"{path}: the folder {path.parent} does not exist")
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        connection = sqlite3.connect(_uri(path), uri=True, timeout=settings.busy_timeout / 1000, isolation_level=None)
    except (OSError, sqlite3.Error) as error:
        raise StoreUnavailable(f"{path}: cannot be opened: {error}") from error
    with contextlib.closing(connection):
        try:
            found = [column[1] for column in connection.execute("PRAGMA table_info(sessions)")]
            if found not in ([], _COLUMNS):
                raise StoreError(f"{path}: the table sessions has the columns {found}, not {_COLUMNS}")
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            if mode != "wal":
                raise StoreError(f"{path}: SQLite cannot keep a write-ahead log there (its journal mode is {mode})")
            connection.executescript(statements.SCHEMA)
        except sqlite3.Error as error:
            raise translated(path, error) from error


async def _connect(settings: Settings, opened: contextlib.AsyncExitStack) -> aiosqlite.Connection:
    """A connection that `opened` closes; one that fails half-way would leave its thread behind."""
    try:
        connection = await opened.enter_async_context(
            aiosqlite.connect(_uri(settings.path), uri=True, isolation_level=None)
        )
        for pragma in (
            f"busy_timeout = {settings.busy_timeout}",
            f"synchronous = {settings.durability}",
            f"cache_size = -{_CACHE_KIB}",
            f"journal_size_limit = {_WAL_LIMIT}",
        ):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        connection.text_factory = _text
        connection.row_factory = sqlite3.Row  # its repr() hides the row from asyncio's debug log
        await connection.execute_fetchall("SELECT 1 FROM sessions LIMIT 1")  # makes the log, which is to be known
    except sqlite3.Error as error:
        raise translated(settings.path, error) from error
    return connection


def _text(raw: bytes) -> str | bytes:
    """A text, or bytes where it is not UTF-8: the driver's refusal would show the data and leave its statement open."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _uri(path: Path) -> str:
    """The file as a URI that opens it and never makes it: made by SQLite it would have neither mode nor table."""
    return f"{path.absolute().as_uri()}?mode=rw"


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def identity(file: Path) -> Identity | None:
    """What file a path leads to; None where there is none."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


_TROUBLE = ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "NOMEM", "READONLY", "INTERRUPT", "PROTOCOL")
_LOST = ("IOERR", "CORRUPT", "NOTADB", "CANTOPEN", "READONLY")


def translated(path: Path, error: Exception) -> StoreError:
    """A driver's error as ours."""
    kind = StoreUnavailable if is_trouble(error) else StoreError
    return kind(f"{path}: {error}")


def is_trouble(error: BaseException | None) -> bool:
    """Whether the file is at fault, for the moment, and not the row."""
    return _is_one_of(error, _TROUBLE)


def is_lost(error: BaseException | None) -> bool:
    """Whether only opening the file again can help."""
    return _is_one_of(error, _LOST)


def _is_one_of(error: BaseException | None, kinds: tuple[str, ...]) -> bool:
    name: str = getattr(error, "sqlite_errorname", "")
    return name.removeprefix("SQLITE_").startswith(kinds)
