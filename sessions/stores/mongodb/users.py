"""Owns how MongoDB finds a user: by the member `user` of a document, which every write of ours keeps, and its index.

The user of a session is the member `user` of its `__meta`, which the manager keeps, so that the text need not be
decoded for each write. The index only finds; the text decides. What Node writes has no such member, or keeps the one of
an earlier write; with `node_peer` every document is looked at too.
"""

# ruff: noqa: SLF001 # it is a part of MongoStore in a file of its own

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from ...errors import CorruptSession
from ...store import Limit, Outcome, SignedIn, StoredSession
from ...user_text import UserPlace
from ..users import end_each, sign_in_and_end
from .documents import READ, Document, record_of
from .errors import DRIVER, words

log: logging.Logger = logging.getLogger("sessions")

_MOST_INDEXED = 50_000
"""Documents of a collection that gets an index of its users by itself."""

_READINGS = 2
"""Readings after one another that find no session before a user counts as signed out."""

INDEX = "user_1"
"""The name of the index, as MongoDB makes it of the key."""


class MongoUsers:
    """The power `users` of MongoDB."""

    by_meta: ClassVar[bool] = True
    refuses: ClassVar[bool] = False

    def __init__(self, store: Any) -> None:
        self._store = store  # MongoStore, which imports this file
        self.place: UserPlace = UserPlace()
        """Where rows name the user."""
        self._walks = False  # whether every document is looked at
        self._is_told = False
        self._has_looked = False  # whether the index was looked for since `index` was called
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def index(self, path: tuple[str, ...], *, node_peer: bool = False, in_meta: bool = False) -> None:
        """Say under which keys of the data the user is, and whether Node writes documents, which do not name it."""
        self.place, self._walks = UserPlace(path, in_meta), node_peer
        self._has_looked = False

    async def look(self) -> None:
        """Look for the index, if anybody asks for users, and make it if it is missing and the documents are few."""
        if not self.place.path or self._has_looked:
            return
        self._has_looked = True
        why = await self._missing()
        if why and not self._is_told:
            self._is_told = True
            log.warning("%s: has no index of the users (%s); to find one reads all", self._store.name, why)

    async def _missing(self) -> str:
        """Return why there is no index, or "" if there is one."""
        sessions = self._store.opened().sessions
        try:
            if INDEX in await sessions.index_information():
                return ""
            if not self._store.makes or await sessions.estimated_document_count() >= _MOST_INDEXED:
                return f"`sessions index` makes it; a server does while there are under {_MOST_INDEXED} sessions"
            await self._make()
        except DRIVER as error:
            return words(error)
        return ""

    async def _make(self) -> None:
        await self._store.opened().sessions.create_index("user", sparse=True)

    async def make_index(self, *, rebuild: bool, progress: Callable[[int, int], None]) -> bool:  # noqa: ARG002 # MongoDB does not tell
        """Make the index, while others write. Returns False if it is there already."""
        with self._store.driver_errors():
            sessions = self._store.opened().sessions
            has_index = INDEX in await sessions.index_information()
            if has_index and not rebuild:
                return False
            if has_index:
                await sessions.drop_index(INDEX)
            await self._make()
        return True

    # ---------------------------------------------------------------- the verbs

    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        """Return the living sessions that may be a user's."""
        await self.look()
        names = (user, *aliases)
        found = await self._noted(names)
        if self._walks:
            found |= await self._walked(names)
        return list(found.items())

    async def end(
        self,
        user: str,
        keys: Collection[str] | None = None,
        keep: str | None = None,
        aliases: Collection[str] = (),
    ) -> list[str]:
        """Delete sessions of a user. Returns the ids of those that lived.

        A session that moves has its new document before its old one ends, and a cursor may miss what comes or goes
        while it reads. So the documents are read until `_READINGS` after one another have found no session.
        """
        await self.look()
        names = (user, *aliases)
        if keys is not None:
            return await end_each(self._store, [key for key in keys if key != keep], names, self.place)
        ended: list[str] = []
        walks, quiet = self._walks, 0
        while quiet < _READINGS:
            found = await (self._walked(names) if walks else self._noted(names))
            living = {sid: record for sid, record in found.items() if sid != keep and self._is(names, record)}
            done = await asyncio.gather(*(self._store.remove(sid, record) for sid, record in living.items()))
            ended += [sid for sid, update in zip(living, done, strict=True) if update.outcome is Outcome.SAVED]
            quiet = 0 if living else quiet + 1
            walks = walks and bool(living)
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
        """Create a session of a user, or rename one; then those end that are beyond the limit."""
        await self.look()
        turn = self._turns.get(limit.user)
        if turn is None:
            turn = self._turns[limit.user] = asyncio.Lock()
        async with turn:  # so that in one process nobody counts in vain
            return await sign_in_and_end(self._store, self.place, limit, new, record, old, expected, tombstone)

    # ---------------------------------------------------------------- what is found

    def _is(self, names: Collection[str], record: StoredSession) -> bool:
        return self.place.user_in(record.data) in names

    async def _noted(self, names: Collection[str]) -> dict[str, StoredSession]:
        """Return the living sessions of the documents that name a user."""
        with self._store.driver_errors():
            cursor = self._store.opened().sessions.find({"user": {"$in": list(names)}}, READ)
            return self._records(await cursor.to_list())

    async def _walked(self, names: Collection[str]) -> dict[str, StoredSession]:
        """Return a user's sessions, whatever their documents name."""
        found: dict[str, StoredSession] = {}
        async for document in self._store.documents():
            found |= {sid: row for sid, row in self._records([document]).items() if self._is(names, row)}
        return found

    def _records(self, documents: list[Document]) -> dict[str, StoredSession]:
        """Return the living sessions of documents; what cannot be read is nobody's."""
        records = {}
        for document in documents:
            try:
                record = record_of(document, self._store._clock())
            except CorruptSession:
                continue
            if record is not None:
                records[document["_id"]] = record
        return records
