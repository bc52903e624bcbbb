"""Owns how SQLite finds a user: an index of an expression over the text, which it keeps for Node's writes too.

A row with a text that not every SQLite reads (it is nested more than 1,000 levels deep, which Node writes and reads) is
in the index under "", and is looked at in Python. The index finds rows; the row decides. It is made while the table has
few rows; without it each question reads the whole table.
"""

# ruff: noqa: SLF001 # it is a part of SQLiteStore in a file of its own

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, ClassVar

from ...errors import StoreError
from ...store import Limit, SignedIn, StoredSession
from ...user_text import user_in
from ..users import as_update, end_each
from . import statements
from .file import MOST_INDEXED, OpenFile, make_user_index, prepare
from .user_statements import SignIn, UserStatements

log: logging.Logger = logging.getLogger("sessions")


class SQLiteUsers:
    """The power `users` of a SQLite file."""

    by_meta: ClassVar[bool] = False
    refuses: ClassVar[bool] = True

    def __init__(self, store: Any) -> None:
        self._store = store  # SQLiteStore, which imports this file
        self._path: tuple[str, ...] = ()
        self._looked_in: OpenFile | None = None  # the file in which the index was looked for
        self._has_index = False
        self._is_told = False

    def index(self, path: tuple[str, ...], *, node_peer: bool = False) -> None:  # noqa: ARG002 # SQLite sees its writes
        """Say under which keys of the data the user is."""
        if path != self._path:
            self._path, self._looked_in = path, None
            self._store._settings = self._store._settings._replace(user_index=UserStatements(path).index)

    async def rows(self, user: str) -> list[tuple[str, StoredSession]]:
        """Return the living sessions that may be a user's."""
        rows = await self._asked(lambda sql: self._store._query(sql.found(1), self._store._clock(), user))
        return [(sid, statements.record(sess, expires_at)) for sid, sess, expires_at in rows]

    async def end(self, user: str, keys: Collection[str] | None = None, keep: str | None = None) -> list[str]:
        """Delete sessions of a user, in transactions that keep nobody waiting. Returns the ids of those that lived.

        A row that moves meanwhile is found by a later one: the last of them finds none.
        """
        if keys is not None:
            return await end_each(self._store, [key for key in keys if key != keep], user, self._path)
        ended: list[str] = []

        async def delete(sql: UserStatements) -> None:
            async for rows in self._store._deleted(lambda key, most: sql.deletion(key, user, keep, most), None):
                ended.extend(sid for sid, lived in rows if lived)

        await self._asked(delete)
        while odd := await self._odd(user, keep):
            ended += await end_each(self._store, odd, user, self._path)
        return ended

    async def sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None = None,
        expected: StoredSession | None = None,
        tombstone: StoredSession | None = None,
    ) -> SignedIn:
        """Create a session of a user, or rename one, within a limit, in one transaction."""
        self._store._check(new if old is None else old, record, expected, tombstone)
        self._store._check(new)

        async def ask(sql: UserStatements) -> SignedIn:
            job = SignIn.to_create_or_rename(new, record, old, expected, tombstone).within(limit, sql)
            outcome = await self._store._writes.add(job)
            return SignedIn(None if job.is_refused else as_update(outcome), job.ended)

        signed_in: SignedIn = await self._asked(ask)
        return signed_in

    async def make_index(self, *, rebuild: bool, progress: Callable[[int, int], None]) -> bool:  # noqa: ARG002 # SQLite does not tell
        """Make the index, in one transaction: nobody else writes meanwhile. Returns False if it is there already."""
        made = await asyncio.to_thread(make_user_index, self._store._settings, rebuild=rebuild)
        self._looked_in = None
        return made

    async def _odd(self, user: str, keep: str | None) -> list[str]:
        """Return the ids of the user's rows of which not every SQLite can say so."""
        rows = await self._asked(lambda sql: self._store._query(sql.odd, self._store._clock()))
        return [sid for sid, sess in rows if sid != keep and user_in(str(sess), self._path) == user]

    async def _asked(self, ask: Callable[[UserStatements], Any]) -> Any:
        """Ask with the index, if there is one; if somebody has dropped it meanwhile, once more without."""
        file = await self._store._opened()
        if file is not self._looked_in or not self._has_index:  # somebody may have made it meanwhile
            await self._look(file)
        try:
            return await ask(UserStatements(self._path, uses_index=self._has_index))
        except StoreError as error:
            if "no such index" not in str(error):
                raise
        self._looked_in = None
        await self._look(file)
        return await ask(UserStatements(self._path, uses_index=self._has_index))

    async def _look(self, file: OpenFile) -> None:
        """Look for the index, and make it if it is missing and the table has few rows."""
        name, _ = UserStatements(self._path).index
        has = bool(await self._store._query(statements.HAS_INDEX, name))
        if not has and self._store._settings.makes and file is not self._looked_in:
            await asyncio.to_thread(prepare, self._store._settings)
            has = bool(await self._store._query(statements.HAS_INDEX, name))
        self._has_index, self._looked_in = has, file
        if not has and not self._is_told:
            self._is_told = True
            log.warning(
                "%s: has no index of the users, so to find one reads all: `sessions index` makes it (a server does that"
                " while the table has under %d rows)",
                self._store.name,
                MOST_INDEXED,
            )
