"""Owns `StoreWrapper`: a store in front of another that hands every verb and every power on.

A wrapper that keeps another text than it is given (a seal, a compression) overrides `encode` and `decode`; one that
watches or fails overrides verbs.
"""

from collections.abc import AsyncIterator
from typing import Any, Self

from ..errors import SessionError
from ..store import (
    Admin,
    Overwriting,
    Prepared,
    Store,
    StoredSession,
    Sweepable,
    Update,
    admin,
    by_key,
    is_ready,
    key_of,
    name_of,
    overwriting,
    prepared,
    sweepable,
)


class StoreWrapper:
    """A store in front of `inner`. It offers the powers that the store inside offers.

    `encode` makes the record that the store inside keeps, `decode` is its inverse. Neither needs to give the same text
    twice, since the record that was decoded carries the inner one as its `version`.
    """

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self._translates = type(self).decode is not StoreWrapper.decode

    def encode(self, key: str, record: StoredSession) -> StoredSession:
        """Return what the store inside keeps under a key: here, the record as it is."""
        return record

    def decode(self, key: str, record: StoredSession) -> StoredSession:
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
        """The store whose verbs take keys: this one, or, where the store inside hashes ids, the one in there."""
        return self if by_key(self.inner) is self.inner else by_key(self.inner)

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
        return self._decoded(sid, await self.inner.get(sid))

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session. Returns None if a living one has the id."""
        return self._decoded(sid, await self.inner.create(sid, self.encode(sid, record)))

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session that is still the expected one."""
        update = await self.inner.update(sid, self.encode(sid, record), self._inner_of(expected))
        return self._update(sid, update)

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one."""
        return self._update(sid, await self.inner.touch(sid, expires_at, self._inner_of(expected)))

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session that is still the expected one to a new id, in one step."""
        closed = None if tombstone is None else self.encode(old, tombstone)
        update = await self.inner.rename(old, new, self.encode(new, record), self._inner_of(expected), closed)
        return self._update(old if update.outcome.value == "conflict" else new, update)

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
    def overwriting(self) -> Overwriting | None:
        """This wrapper, if the store inside can write blindly."""
        return None if overwriting(self.inner) is None else self

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session, whatever is there. Raises SessionError if the store inside cannot."""
        power = self._power(overwriting(self.inner), "overwriting")
        made: StoredSession = await power.set(sid, self.encode(sid, record))
        return self._with_version(sid, made)

    async def length(self) -> int:
        """Return how many sessions live. Raises SessionError if the store inside cannot."""
        length: int = await self._power(admin(self.inner), "admin").length()
        return length

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its key. Raises SessionError if the store inside cannot."""
        async for key, record in self._power(admin(self.inner), "admin").all():
            yield key, self._with_version(key, record)

    async def clear(self) -> None:
        """Delete every session. Raises SessionError if the store inside cannot."""
        await self._power(admin(self.inner), "admin").clear()

    # ---------------------------------------------------------------- records

    def _power(self, power: Any, name: str) -> Any:
        if power is None:
            raise SessionError(f"{self.name}: lacks the power {name!r}")
        return power

    def _inner_of(self, expected: StoredSession) -> StoredSession:
        """Return the record of the store inside that an expected record was made from."""
        inner = expected.version
        return inner if self._translates and isinstance(inner, StoredSession) else expected

    def _with_version(self, key: str, record: StoredSession) -> StoredSession:
        return self.decode(key, record)._replace(version=record) if self._translates else record

    def _decoded(self, key: str, record: StoredSession | None) -> StoredSession | None:
        return None if record is None else self._with_version(key, record)

    def _update(self, key: str, update: Update) -> Update:
        return Update(update.outcome, self._decoded(key, update.record))
