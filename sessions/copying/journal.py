"""Owns the journal of a copy: a SQLite file with an entry for each session that was written, or is about to be.

    copied(row INTEGER PRIMARY KEY, key, expires_at, wrote, writing, ended)      as rules.py has them
    about(name, value)      FROM and TO, and whether a copy has said that the servers may change over

It holds session ids, so nobody but its owner may read the file. What becomes of a write is kept in memory until the
next writes begin: a copy that is killed meanwhile finds it out at TO.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from ..errors import OptionsError, StoreError
from .rules import Entry

_APPLICATION = 0x73636F70
"""SQLite's application_id of a journal, so that no other file is taken for one."""

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS copied (
        row INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, expires_at INTEGER NOT NULL, wrote BLOB, writing BLOB,
        ended INTEGER NOT NULL
    );
    CREATE TABLE IF NOT EXISTS about (name TEXT PRIMARY KEY, value TEXT);
"""
_PUT = "INSERT OR REPLACE INTO copied (row, key, expires_at, wrote, writing, ended) VALUES (?, ?, ?, ?, ?, ?)"
_DROP = "DELETE FROM copied WHERE row = ?"
_FIND = "SELECT row, key, expires_at, wrote, writing, ended FROM copied WHERE "
_PAGE = 1_000

Result = TypeVar("Result")


class Journal:
    """The journal of the copy from one store to another, `async with` it. `source` and `target` are their names.

    Opening raises OptionsError if the file is another copy's, in use, or no journal. What fails later is a StoreError.
    """

    def __init__(self, path: str | os.PathLike[str], source: str, target: str) -> None:
        self.path: Path = Path(path)
        self._names = {"from": source, "to": target}
        self._thread = ThreadPoolExecutor(1, "journal")  # its own: a close waits there for what was called before it
        self._known: dict[int, Entry | None] = {}  # what became of writes, by row; None: forgotten
        self._last = 0  # the highest row that was given away
        self._is_settled = False

    async def __aenter__(self) -> Self:
        try:
            await self._call(self._open)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self._call(self._connection.close)
        finally:
            self._thread.shutdown()

    @property
    def is_settled(self) -> bool:
        """True if a copy has said that the servers may change over: from then on TO is in use."""
        return self._is_settled

    async def settle(self) -> None:
        """Note that the servers may change over."""
        await self._do(partial(self._ask, "INSERT OR REPLACE INTO about VALUES ('settled', '1')", []))
        self._is_settled = True

    def new_row(self) -> int:
        """Return a number for a new entry."""
        self._last += 1
        return self._last

    # ---------------------------------------------------------------- entries

    async def entries(self, keys: Collection[str]) -> dict[str, Entry]:
        """Return the entries of some keys."""
        places = ", ".join("?" * len(keys))
        rows = await self._do(partial(self._ask, f"{_FIND} key IN ({places})", list(keys)))
        found = map(_entry, rows)
        return {entry.key: entry for entry in found}

    async def all(self) -> AsyncIterator[list[Entry]]:
        """Yield all entries, in pages."""
        last = 0
        while True:
            rows = await self._do(partial(self._ask, f"{_FIND} row > ? ORDER BY row LIMIT ?", [last, _PAGE]))
            if not rows:
                return
            yield [_entry(row) for row in rows]
            last = rows[-1][0]

    def know(self, entry: Entry) -> None:
        """Note what became of a write. It is stored with the next `begin`, or by `flush`."""
        self._known[entry.row] = entry

    def forget(self, entry: Entry) -> None:
        """Note that a session is of no concern any more."""
        self._known[entry.row] = None

    async def begin(self, entries: Sequence[Entry]) -> None:
        """Store entries that are about to be written at TO, in one transaction with what is known of earlier ones."""
        known, self._known = self._known, {}
        if entries or known:
            await self._do(partial(self._put, known, entries))

    async def flush(self) -> None:
        """Store what is known."""
        await self.begin([])

    # ---------------------------------------------------------------- the file

    def _ask(self, sql: str, values: Sequence[Any]) -> list[Any]:
        return self._connection.execute(sql, values).fetchall()

    def _put(self, known: dict[int, Entry | None], entries: Sequence[Entry]) -> None:
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_DROP, [(row,) for row, entry in known.items() if entry is None])
            self._connection.executemany(_PUT, [entry for entry in known.values() if entry is not None])
            self._connection.executemany(_PUT, entries)

    async def _do(self, work: Callable[[], Result]) -> Result:
        """Do work in the journal's thread. A StoreError tells what SQLite says."""

        def watched() -> Result:
            with self._errors():
                return work()

        return await self._call(watched)

    async def _call(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StoreError(f"the journal {self.path}: {error}") from error

    def _open(self) -> None:
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise OptionsError(f"journal: {self.path}: {error.strerror}") from error
        self._connection = sqlite3.connect(self.path, timeout=0, isolation_level=None)
        try:
            self._read()
        except sqlite3.OperationalError as error:
            self._connection.close()
            problem = "another copy uses it" if "locked" in str(error) else str(error)
            raise OptionsError(f"journal: {self.path}: {problem}") from error
        except sqlite3.DatabaseError as error:
            self._connection.close()
            raise OptionsError(f"journal: {self.path}: is no journal of a copy: {error}") from error
        except BaseException:
            self._connection.close()
            raise

    def _read(self) -> None:
        ask = self._connection.execute
        ask("PRAGMA locking_mode = EXCLUSIVE")
        ask("BEGIN IMMEDIATE")  # another copy holds the lock until it ends
        ((application,),) = ask("PRAGMA application_id")
        ((tables,),) = ask("SELECT count(*) FROM sqlite_master")
        if tables and application != _APPLICATION:
            ask("ROLLBACK")
            raise OptionsError(f"journal: {self.path}: is a database, and no journal of a copy")
        ask(f"PRAGMA application_id = {_APPLICATION}")
        ask("COMMIT")
        ask("PRAGMA journal_mode = WAL")
        ask("PRAGMA synchronous = FULL")
        self._connection.executescript(_SCHEMA)
        about: dict[str, Any] = dict(ask("SELECT name, value FROM about").fetchall())
        for name, place in self._names.items():
            if about.setdefault(name, place) != place:
                raise OptionsError(
                    f"journal: {self.path}: is of the copy from {about['from']} to {about.get('to', place)};"
                    " each copy has a journal of its own"
                )
            ask("INSERT OR REPLACE INTO about VALUES (?, ?)", (name, place))
        self._is_settled = "settled" in about
        ((self._last,),) = ask("SELECT coalesce(max(row), 0) FROM copied")


def _entry(row: Sequence[Any]) -> Entry:
    number, key, expires_at, wrote, writing, ended = row
    return Entry(number, key, expires_at, wrote, writing, bool(ended))
