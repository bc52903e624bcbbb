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
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

from ..clock import Clock, now_ms
from ..errors import OptionsError, StoreError, StoreUnavailable
from ..observe import Reporter
from ..store import GONE, Limit, Outcome, SignedIn, Store, StoredSession, Update, Users, by_key, key_of, users
from ..stores.base import rename_in_steps
from ..stores.wrappers import StoreWrapper
from .keyring import Key, Keyring

_HASH = re.compile(r"h1\.[A-Za-z0-9_-]{43}")
_TO_URL = bytes.maketrans(b"+/", b"-_")

_ROUNDS = 5
"""How often all keys are asked: while a key rotates, a process may move a row away from the key that is asked next."""

_PAUSE = 0.001
"""Seconds after the first round, and twice as long after each: two processes stop to move a row when each has."""

_TRIES = 10
"""How often a row is moved that others change or move meanwhile."""

Write: TypeAlias = Callable[[str], Awaitable[Update]]
"""A write to the row under a key."""


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

    def report_to(self, reporter: Reporter) -> None:
        """Let a sealed store inside report to the observers of a manager."""
        report_to = getattr(self.inner, "report_to", None)
        if report_to is not None:
            report_to(reporter)

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
        return await self._performed(sid, lambda key: self.inner.update(key, record, expected))

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one."""
        _check(sid)
        return await self._performed(sid, lambda key: self.inner.touch(key, expires_at, expected))

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
        to = self.key_of(new)
        return await self._performed(old, lambda key: self.inner.rename(key, to, record, expected, tombstone))

    async def destroy(self, sid: str) -> None:
        """Delete a session; an id that has none is not an error.

        The first key comes last, as whoever moves a row moves it there; twice, where others may have another first key.
        """
        if _HASH.fullmatch(sid):
            return
        keys = (*self._others(sid), self.key_of(sid))
        for key in keys * (2 if len(self._keyring.keys) > 1 else 1):
            await self.inner.destroy(key)

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

        The first key is asked last: what others move there meanwhile is found.
        """
        others = self._others(sid)
        rounds = _ROUNDS if len(self._keyring.keys) > 1 else len(others)
        for number in range(rounds):
            record = await self._moved(self.key_of(sid), others)
            if record is not None:
                return record
            if number + 1 < rounds:
                await asyncio.sleep(_PAUSE * 2**number)
        return None

    async def _moved(self, key: str, others: list[str]) -> StoredSession | None:
        for _ in range(_TRIES):
            found = await asyncio.gather(*map(self.inner.get, others))
            old, record = next(((old, each) for old, each in zip(others, found, strict=True) if each), ("", None))
            if record is None:
                return await self.inner.get(key)
            update = await self.inner.rename(old, key, record, record)
            if update.outcome is Outcome.SAVED:
                return update.record
            if update.outcome is Outcome.TAKEN:  # by another process, or by a row that has expired and is not swept yet
                living = await self.inner.get(key)
                if living is not None:
                    return living
                update = await rename_in_steps(self.inner, old, key, record, record)
                if update.outcome is Outcome.SAVED:
                    return update.record
        raise StoreUnavailable(f"{self.name}: a session under another key could not be moved in {_TRIES} tries")

    async def _performed(self, sid: str, write: Write) -> Update:
        """Write to the row of an id, under whatever key it is by now. It stays there: only a read moves it."""
        keys = (self.key_of(sid), *self._others(sid))
        for _ in range(_ROUNDS if len(keys) > 1 else 1):
            for key in keys:
                update = await write(key)
                if update.outcome is not Outcome.GONE:
                    return update
        return GONE


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
        store, to = self._store, self._store.key_of(new)
        if old is None:
            return await self._inner.sign_in(limit, to, record, None, *step, **named)
        signed = SignedIn(None, [])

        async def write(key: str) -> Update:
            nonlocal signed
            signed = await self._inner.sign_in(limit, to, record, key, *step, **named)
            return signed.update or Update(Outcome.SAVED)

        await store._performed(old, write)  # noqa: SLF001 # a part of it
        return signed


def _hashed(key: Key, sid: str) -> str:
    digest = hmac.digest(key.master, sid.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return "h1." + b2a_base64(digest, newline=False).translate(_TO_URL)[:43].decode("ascii")


def _check(*sids: str) -> None:
    if any(map(_HASH.fullmatch, sids)):
        raise StoreError("HashedIds: an id must not look like a key of the store")
