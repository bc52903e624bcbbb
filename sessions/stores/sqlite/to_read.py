"""Owns a SQLite file that is opened to be read and nothing else.

It is opened as by a server where that changes nothing: it is in WAL mode, and this user may write it. Then the files
beside it are locked, made and deleted as always. Else it is opened by SQLite's read-only mode, which leaves a rollback
journal as it is, and needs a log that is there already.
"""

import asyncio
import contextlib
import os
import sqlite3

import aiosqlite

from . import statements
from .beside import Names, identity
from .errors import DRIVER, opening
from .file import OpenFile, Settings, check_columns, check_there, text_of, uri_of

_MODE = slice(18, 20)
"""Where a file's header says how it is written (SQLite's file format, 1.3.3)."""
_WAL = b"\2\2"


async def open_to_read(settings: Settings) -> OpenFile:
    """Open a file to read it. Raises StoreError."""
    names = Names(settings.path)
    with opening(settings.path, names):
        check_there(settings, names)
        if await asyncio.to_thread(_is_as_served, names):
            return await OpenFile.open(settings)
        return await FileToRead.open(settings)


def _is_as_served(names: Names) -> bool:
    """True if a server's way to open the file would change nothing, and is open to this user."""
    with names.main.open("rb") as file:
        header = file.read(100)
    beside = [file for file in (names.main, names.wal, names.shm, names.main.parent) if file.exists()]
    return header[_MODE] == _WAL and all(os.access(each, os.R_OK | os.W_OK, effective_ids=True) for each in beside)


class FileToRead(OpenFile):
    """A file with two connections that only read."""

    @classmethod
    async def open(cls, settings: Settings) -> "FileToRead":
        """Open the file. Raises what `opening` translates."""
        names = Names(settings.path)
        file = cls(settings, names, identity(names.main))
        try:
            with contextlib.closing(sqlite3.connect(_uri(names), uri=True)) as looking:
                check_columns(settings, looking)
            file.reader = file.writer = await file._connect_to_read()
            file.counter = await file._connect_to_read()
            file.row_key = "rowid" if list(await file.counter.execute_fetchall(statements.HAS_ROWID)) else "sid"
        except BaseException:
            await file.close()
            raise
        return file

    def check(self) -> None:
        """Nothing: what is read may be another file by now, and nobody writes into the wrong one."""

    async def close(self, patience: float | None = None) -> None:  # noqa: ARG002 # it has nothing to finish
        """Close the connections."""
        for connection in self._connections:
            stopped = connection.stop()
            if stopped is not None:
                with contextlib.suppress(*DRIVER):
                    await stopped

    async def _connect_to_read(self) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(_uri(self._names), uri=True, isolation_level=None)
        self._connections.append(connection)
        await connection.execute_fetchall(f"PRAGMA busy_timeout = {self._settings.busy_timeout}")
        connection.text_factory = text_of
        connection.row_factory = sqlite3.Row  # as in OpenFile
        return connection


def _uri(names: Names) -> str:
    return uri_of(names.main).replace("mode=rw", "mode=ro")
