"""Owns `StoreWrapper`: a store in front of another that forwards every verb and every power.

A wrapper that stores another text than it gets (encryption, compression) overrides `encode` and `decode`. A wrapper
that counts calls, or makes them fail, overrides verbs.
"""

from collections.abc import AsyncIterator
from copy import copy
from typing import Self, TypeVar

from ..errors import SessionError
from ..store import (
    Admin,
    Batching,
    Existing,
    Outcome,
    Overwriting,
    Prepared,
    Store,
    StoredSession,
    Sweepable,
    Update,
    Users,
    admin,
    batching,
    by_key,
    existing,
    is_ready,
    key_of,
    name_of,
    overwriting,
    prepared,
    sweepable,
    users,
)

Power = TypeVar("Power")


class StoreWrapper:
    """A store in front of `inner`. It offers the powers that the store inside offers.

    `encode` makes the record that the store inside keeps, `decode` is its inverse. Neither needs to give the same text
    twice: a record that this wrapper returns has the record of the store inside as its `version`.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self._translates = type(self).decode is not StoreWrapper.decode

    def encode(self, key: str, record: StoredSession) -> StoredSession:  # noqa: ARG002 # a seal binds the text to its key
        """Return what the store inside keeps under a key: here, the record as it is."""
        return record

    def decode(self, key: str, record: StoredSession) -> StoredSession:  # noqa: ARG002 # as above
        """Return the record of what the store inside keeps under a key. Raises CorruptSession."""
        return record

    # ---------------------------------------------------------------- the store inside

    @property
    def name(self) -> str:
        """The store inside, as messages name it."""
        return name_of(self.inner)

    @property
    def ready(self) -> bool:
        """True if the store inside is up, as far as it knows without asking."""
        return is_ready(self.inner)

    def key_of(self, sid: str) -> str:
        """Return the key of an id."""
        return key_of(self.inner, sid)

    @property
    def by_key(self) -> Store:
        """The store with verbs that take keys: this one, or, if the store inside hashes ids, a copy of this one."""
        inner = by_key(self.inner)
        if inner is self.inner:
            return self
        wrapper = copy(self)
        wrapper.inner = inner
        return wrapper

    async def __aenter__(self) -> Self:
        enter = getattr(self.inner, "__aenter__", None)
        if enter is not None:
            await enter()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        leave = getattr(self.inner, "__aexit__", None)
        if leave is not None:
            await leave(*exc_info)

    # ---------------------------------------------------------------- the six verbs

    async def get(self, sid: str) -> StoredSession | None:
        """Read the session of an id. Returns None if there is none or it has expired."""
        found = await self.inner.get(sid)
        return None if found is None else self._outer(self._key(sid), found)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session. Returns None if a living one has the id."""
        made = await self.inner.create(sid, self.encode(self._key(sid), record))
        return None if made is None else self._written(record, made)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session that is still the expected one."""
        key = self._key(sid)
        update = await self.inner.update(sid, self.encode(key, record), self._inner(expected))
        return self._update(key, record, update)

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one."""
        return self._update(self._key(sid), None, await self.inner.touch(sid, expires_at, self._inner(expected)))

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session that is still the expected one to a new id, in one step."""
        key = self._key(old)
        encoded = self.encode(self._key(new), record)
        closed = None if tombstone is None else self.encode(key, tombstone)
        return self._update(key, record, await self.inner.rename(old, new, encoded, self._inner(expected), closed))

    async def destroy(self, sid: str) -> None:
        """Delete a session; an id that has none is not an error."""
        await self.inner.destroy(sid)

    # ---------------------------------------------------------------- the powers

    @property
    def sweepable(self) -> Sweepable | None:
        """What sweeps the store inside; None if it drops expired sessions by itself."""
        return sweepable(self.inner)

    @property
    def prepared(self) -> Prepared | None:
        """What prepares the store inside before a fork."""
        return prepared(self.inner)

    @property
    def admin(self) -> Admin | None:
        """This wrapper, if the store inside can count, list and clear."""
        return None if admin(self.inner) is None else self

    @property
    def batching(self) -> Batching | None:
        """What reports the batches of the store inside."""
        return batching(self.inner)

    @property
    def overwriting(self) -> Overwriting | None:
        """This wrapper, if the store inside can write blindly."""
        return None if overwriting(self.inner) is None else self

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session, whatever is there. Raises SessionError if the store inside cannot."""
        made = await self._offered(overwriting(self.inner), "overwriting").set(sid, self.encode(self._key(sid), record))
        return self._written(record, made)

    async def length(self) -> int:
        """Return how many sessions live. Raises SessionError if the store inside cannot."""
        return await self._offered(admin(self.inner), "admin").length()

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its key. Raises SessionError if the store inside cannot."""
        async for key, record in self._offered(admin(self.inner), "admin").all():
            yield key, self._outer(key, record)

    async def clear(self) -> None:
        """Delete every session. Raises SessionError if the store inside cannot."""
        await self._offered(admin(self.inner), "admin").clear()

    @property
    def existing(self) -> Existing | None:
        """What keeps the store inside from making anything."""
        return existing(self.inner)

    @property
    def users(self) -> Users | None:
        """What finds a user's sessions in the store inside. None for a wrapper that keeps another text, by default."""
        return None if self._translates else users(self.inner)

    def _offered(self, power: Power | None, name: str) -> Power:
        if power is None:
            raise SessionError(f"{self.name}: lacks the power {name!r}")
        return power

    # ---------------------------------------------------------------- records of this wrapper and of the store inside

    def _key(self, sid: str) -> str:
        return self.key_of(sid) if self._translates else sid

    def _inner(self, expected: StoredSession) -> StoredSession:
        """Return the record of the store inside that an expected record was made from."""
        inner = expected.version
        return inner if self._translates and isinstance(inner, StoredSession) else expected

    def _outer(self, key: str, inner: StoredSession) -> StoredSession:
        """Return the record of this wrapper for one of the store inside."""
        return self.decode(key, inner)._replace(version=inner) if self._translates else inner

    def _written(self, record: StoredSession, inner: StoredSession) -> StoredSession:
        """Return the record of this wrapper for one that it has just encoded, without decoding it again."""
        return StoredSession(record.data, inner.expires_at, inner) if self._translates else inner

    def _update(self, key: str, record: StoredSession | None, update: Update) -> Update:
        """Return the outcome in records of this wrapper; `record` is what was written, None for a touch."""
        outcome, inner = update
        if inner is None:
            return update
        if outcome is Outcome.SAVED and record is not None:
            return Update(outcome, self._written(record, inner))
        return Update(outcome, self._outer(key, inner))
