"""Owns `SealedStore`: a store in front of another that encrypts what the other keeps, row by row (seal.py).

Rows in the clear are read, and sealed when they are written next. A row that cannot be opened is left as it is and is
an error for its visitor, never an empty session.
"""

import logging
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from ..errors import CorruptSession, OptionsError
from ..formats import json_text
from ..formats.signing import fingerprint
from ..observe import CORRUPT, REFUSED, Reporter
from ..store import Limit, SignedIn, Store, StoredSession, Update, Users, admin, is_sealed, key_of, users
from ..stores.wrappers import StoreWrapper
from ..user_text import outline, user_in_meta, user_text, value_at
from .keyring import Keyring
from .seal import Opened, Seal

log: logging.Logger = logging.getLogger("sessions")


class RefusedSession(CorruptSession):
    """The row's fault: it, or a part of it, is in the clear, and `requireSealed` is on."""


class SealedStore(StoreWrapper):
    """A store in front of `inner` that seals every session (AES-256-GCM) for the row that it is in.

    `keys` are keys by their ids, each of 32 bytes or their text in base64, base64url or hex: the first seals, all open.
    With `require_sealed` a row, or a part of one, that was not sealed is refused with CorruptSession. Raises
    OptionsError for a wrong key, and for a store that hashes ids or is sealed: a seal is bound to the store's own key.
    """

    def __init__(
        self, inner: Store, keys: Mapping[str, bytes | str] | Keyring, *, require_sealed: bool = False
    ) -> None:
        super().__init__(inner)
        if key_of(inner, "x") != "x" or is_sealed(inner):
            raise OptionsError("SealedStore: goes next to the store: HashedIds(SealedStore(store)) is the only order")
        self._seal = Seal(keys if isinstance(keys, Keyring) else Keyring(keys))
        self._requires = require_sealed
        self._reporter = Reporter()
        self.user_path: tuple[str, ...] = ()
        """Where the data names the user; none: nobody asks for users."""

    def use_keys(self, keys: Mapping[str, bytes | str]) -> None:
        """Use other keys from now on: the first seals, all open. Raises OptionsError and keeps those before."""
        self._seal.keyring.use(keys)

    def report_to(self, reporter: Reporter) -> None:
        """Report what cannot be opened, or is refused, to the observers of a manager as well as to the log."""
        self._reporter = reporter

    @property
    def is_sealed(self) -> bool:
        """True."""
        return True

    # ---------------------------------------------------------------- texts

    def encode(self, key: str, record: StoredSession) -> StoredSession:
        """Return the sealed record."""
        return record._replace(data=self._seal.sealed(key, record.data, self._user_of(record.data)))

    def _user_of(self, text: str) -> str | None:
        """Return the user of a session: as the data has it, and where it has nothing, as `__meta` has it."""
        path = self.user_path
        if path and (f'"{path[-1]}"' in text or "\\" in text):
            try:
                value = value_at(outline(text), path)
            except CorruptSession:
                return None
            if value is not None:
                return user_text(value)
        return user_in_meta(text)

    def decode(self, key: str, record: StoredSession) -> StoredSession:
        """Return the record in the clear. Raises CorruptSession, which leaves the row as it is."""
        return record._replace(data=self._opened(key, record).text)

    def resealed(self, key: str, record: StoredSession) -> StoredSession | None:
        """Return a record of the store inside, sealed with the first key; None if it is so. Raises CorruptSession.

        A row that the store does not find by its user is sealed again too: it may be from before `userKey` was set.
        """
        opened = self._opened(key, record)
        if opened.key_id == self._seal.keyring.first.id and not opened.is_later:
            user = self._seal.name(self._user_of(opened.text)) if self.user_path else None
            if not self.user_path or user_in_meta(record.data) == user:
                return None
        text = json_text.join(*json_text.split(opened.text))  # in our spelling, which leaves the cookie in the clear
        return self.encode(key, record._replace(data=text))

    def _opened(self, key: str, record: StoredSession) -> Opened:
        try:
            opened = self._seal.opened(key, record.data)
        except CorruptSession as error:
            self._reporter.note(CORRUPT, key)
            raise CorruptSession(f"session {fingerprint(key)}: {error}") from None
        if self._requires and opened.is_later:
            self._reporter.note(REFUSED, key)
            raise RefusedSession(f"session {fingerprint(key)}: is not sealed, or not as a whole (requireSealed)")
        return opened

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one."""
        update = await self.inner.touch(sid, expires_at, self._inner(expected))
        inner, known = update.record, self._inner(expected)
        if inner is not None and inner.data == known.data:  # nothing new to open
            return Update(update.outcome, StoredSession(expected.data, inner.expires_at, inner))
        return self._update(sid, None, update)

    # ---------------------------------------------------------------- powers

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session that can be opened, with its key. The log says which cannot."""
        async for key, inner in self._offered(admin(self.inner), "admin").all():
            try:
                record = self._outer(key, inner)
            except CorruptSession:
                continue
            yield key, record

    @property
    def users(self) -> Users | None:
        """What finds a user's sessions, by the HMAC of the user in the clear."""
        inner = users(self.inner)
        return None if inner is None else _Users(self, inner)

    def aliases(self, user: str, aliases: Collection[str]) -> tuple[str, ...]:
        """Return what a user is called in the rows, beside its name: each name under each key."""
        return (*aliases, *(hidden for name in (user, *aliases) for hidden in self._seal.names(name)))


class _Users:
    """The power `users` of a sealed store: the store inside finds an HMAC, and the name itself in rows in the clear."""

    def __init__(self, store: SealedStore, inner: Users) -> None:
        self._store = store
        self._inner = inner
        self.by_meta: bool = True
        self.refuses: bool = inner.refuses
        if hasattr(inner, "make_index"):
            self.make_index: Any = inner.make_index

    def index(self, path: tuple[str, ...], *, node_peer: bool, in_meta: bool = True) -> None:  # noqa: ARG002 # always so here
        """Say under which keys of the data the user is."""
        self._store.user_path = path
        self._inner.index(path, node_peer=node_peer, in_meta=True)

    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        """Return the living sessions that may be a user's, but those that cannot be opened: the log says which."""
        found = []
        for key, inner in await self._inner.rows(user, self._store.aliases(user, aliases)):
            try:
                found.append((key, self._store._outer(key, inner)))  # noqa: SLF001 # a part of it
            except CorruptSession:
                continue
        return found

    async def end(
        self,
        user: str,
        keys: Collection[str] | None = None,
        keep: str | None = None,
        aliases: Collection[str] = (),
    ) -> list[str]:
        """Delete a user's sessions, also those that cannot be opened. Returns their keys."""
        return await self._inner.end(user, keys, keep, self._store.aliases(user, aliases))

    async def sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None = None,
        expected: StoredSession | None = None,
        tombstone: StoredSession | None = None,
    ) -> SignedIn:
        """Create a session of a user, or rename one, within a limit."""
        store = self._store
        limit = limit._replace(aliases=store.aliases(limit.user, limit.aliases))
        step: tuple[Any, ...] = ()
        if old is not None and expected is not None:
            closed = None if tombstone is None else store.encode(old, tombstone)
            step = (old, store._inner(expected), closed)  # noqa: SLF001 # a part of it
        signed = await self._inner.sign_in(limit, new, store.encode(new, record), *step)
        if signed.update is None:
            return signed
        return signed._replace(update=store._update(old or new, record, signed.update))  # noqa: SLF001 # as above
