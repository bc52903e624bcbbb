"""Owns `HashedIds`: a store in front of another in which a session is under an HMAC of its id.

    h1.<43 characters>      HMAC-SHA-256(key, id) in base64url

So nobody who reads the database, or a copy of it, has an id that a cookie could carry. The first key writes, all are
asked. What another key finds, or the id itself where rows from before are taken over, moves to the first.
"""

import asyncio
import hashlib
import hmac
import re
from binascii import b2a_base64
from collections.abc import Mapping
from typing import Any

from ..clock import Clock, now_ms
from ..errors import OptionsError, StoreError
from ..store import GONE, Limit, Outcome, SignedIn, Store, StoredSession, Update, Users, by_key, key_of, users
from ..stores.wrappers import StoreWrapper
from .keyring import Key, Keyring

_HASH = re.compile(r"h1\.[A-Za-z0-9_-]{43}")
_TO_URL = bytes.maketrans(b"+/", b"-_")

_TRIES = 10
"""How often a row is asked for that others move or change meanwhile."""


class HashedIds(StoreWrapper):
    """A store in front of `inner` that knows the HMAC of an id in its place. No Node server can share the store.

    `keys` are keys by their ids, each of 32 bytes or their text in base64, base64url or hex: the first writes, all are
    asked. Rows under plain ids are taken over until `legacy_until`, in milliseconds since the epoch; None: without an
    end. Raises OptionsError for a wrong key, and for a store that hashes ids already.
    """

    def __init__(
        self,
        inner: Store,
        keys: Mapping[str, bytes | str] | Keyring,
        *,
        legacy_until: float | None = None,
        clock: Clock = now_ms,
    ) -> None:
        super().__init__(inner)
        if key_of(inner, "x") != "x":
            raise OptionsError("HashedIds: the store inside hashes ids already; once is enough")
        self._keyring = keys if isinstance(keys, Keyring) else Keyring(keys)
        self._legacy_until = legacy_until
        self._clock = clock

    def use_keys(self, keys: Mapping[str, bytes | str]) -> None:
        """Use other keys from now on: the first writes, all are asked. Raises OptionsError and keeps those before."""
        self._keyring.use(keys)

    def key_of(self, sid: str) -> str:
        """Return the key of an id: its HMAC under the first key."""
        return _hashed(self._keyring.first, sid)

    @property
    def by_key(self) -> Store:
        """The store inside, in which a key is the id."""
        return by_key(self.inner)

    # ---------------------------------------------------------------- the six verbs

    async def get(self, sid: str) -> StoredSession | None:
        """Read the session of an id. What looks like a key of the store is no id: a list of keys opens nothing."""
        if _HASH.fullmatch(sid):
            return None
        found = await self.inner.get(self.key_of(sid))
        return found if found is not None else await self._taken_over(sid)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session. Returns None if a living one has the id."""
        _check(sid)
        if await self._taken_over(sid) is not None:
            return None
        return await self.inner.create(self.key_of(sid), record)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session that is still the expected one."""
        _check(sid)
        return await self._or_moved(sid, await self.inner.update(self.key_of(sid), record, expected))

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one."""
        _check(sid)
        return await self._or_moved(sid, await self.inner.touch(self.key_of(sid), expires_at, expected))

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session that is still the expected one to a new id, in one step."""
        _check(old, new)
        moved = await self.inner.rename(self.key_of(old), self.key_of(new), record, expected, tombstone)
        return await self._or_moved(old, moved)

    async def destroy(self, sid: str) -> None:
        """Delete a session; an id that has none is not an error."""
        if not _HASH.fullmatch(sid):
            await asyncio.gather(*map(self.inner.destroy, (*self._others(sid), self.key_of(sid))))

    # ---------------------------------------------------------------- powers

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session, whatever is there."""
        _check(sid)
        made = await super().set(self.key_of(sid), record)
        await asyncio.gather(*map(self.inner.destroy, self._others(sid)))
        return made

    @property
    def users(self) -> Users | None:
        """What finds a user's sessions, by their keys."""
        inner = users(self.inner)
        return None if inner is None else _Users(self, inner)

    # ---------------------------------------------------------------- rows under another key

    def _others(self, sid: str) -> list[str]:
        """Return under what else a session may be: older hashes, and its plain id while those are taken over."""
        others = [_hashed(key, sid) for key in self._keyring.keys[1:]]
        if self._legacy_until is None or self._clock() < self._legacy_until:
            others.append(sid)
        return others

    async def _taken_over(self, sid: str) -> StoredSession | None:
        """Return a session that is under another key, after it was moved to the first, or None.

        The key itself is asked last: what others move meanwhile is there by then.
        """
        others = self._others(sid)
        if not others:
            return None
        key = self.key_of(sid)
        for _ in range(_TRIES):
            found = await asyncio.gather(*map(self.inner.get, others))
            old, record = next(((old, each) for old, each in zip(others, found, strict=True) if each), ("", None))
            if record is None:
                return await self.inner.get(key)
            update = await self.inner.rename(old, key, record, record)
            if update.outcome is Outcome.SAVED:
                return update.record
            if update.outcome is Outcome.TAKEN:
                living = await self.inner.get(key)
                if living is not None:
                    return living
                await self.inner.destroy(key)  # it has expired and is not swept yet
        raise StoreError(f"{self.name}: a session under another key could not be moved in {_TRIES} tries")

    async def _or_moved(self, sid: str, update: Update) -> Update:
        """Return the outcome of a write; if it found no row but another key does, that is the newer record."""
        if update.outcome is not Outcome.GONE:
            return update
        found = await self._taken_over(sid)
        return GONE if found is None else Update(Outcome.CONFLICT, found)


class _Users:
    """The power `users` behind hashed ids. All of it speaks of keys but `sign_in`, which is given ids."""

    def __init__(self, store: HashedIds, inner: Users) -> None:
        self._store = store
        self._inner = inner
        self.by_meta: bool = inner.by_meta
        self.refuses: bool = inner.refuses
        self.index, self.rows, self.end = inner.index, inner.rows, inner.end
        if hasattr(inner, "make_index"):
            self.make_index: Any = inner.make_index

    async def sign_in(
        self, limit: Limit, new: str, record: StoredSession, old: str | None = None, *step: Any, **named: Any
    ) -> SignedIn:
        """Create a session of a user under the id `new`, or rename one, within a limit."""
        _check(new)
        key = None if old is None else self._store.key_of(old)
        signed = await self._inner.sign_in(limit, self._store.key_of(new), record, key, *step, **named)
        if signed.update is None or old is None:
            return signed
        return signed._replace(update=await self._store._or_moved(old, signed.update))  # noqa: SLF001 # a part of it


def _hashed(key: Key, sid: str) -> str:
    digest = hmac.digest(key.master, sid.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return "h1." + b2a_base64(digest, newline=False).translate(_TO_URL)[:43].decode("ascii")


def _check(*sids: str) -> None:
    if any(map(_HASH.fullmatch, sids)):
        raise StoreError("HashedIds: an id must not look like a key of the store")
