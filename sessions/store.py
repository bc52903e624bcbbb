"""Owns the contract between the sessions and whatever keeps them: the record, the verbs, their outcomes.

A store keeps text under an id until a moment. It never meets a cookie, a signature or Tornado. Every verb is one
atomic step, and raises StoreError, or StoreUnavailable where trying again later may help, from the driver's error.
"""

from collections.abc import AsyncIterator
from enum import Enum
from typing import NamedTuple, Protocol, Self, runtime_checkable


class StoredSession(NamedTuple):
    """What a store keeps under an id."""

    data: str
    """The session as JSON text: opaque to the store, which may refuse what is none (StoreError)."""
    expires_at: int
    """Milliseconds since the epoch; from that moment on the session is gone, swept or not."""

    def __repr__(self) -> str:
        return f"<StoredSession until {self.expires_at}>"  # not the data: it comes into logs and error pages


class Outcome(Enum):
    """What became of a write to a session that was loaded."""

    SAVED = "saved"
    CONFLICT = "conflict"
    """Another request has changed the session meanwhile."""
    GONE = "gone"
    """The session was destroyed or has expired meanwhile."""


class Update(NamedTuple):
    """What became of an update, and on a conflict the record that stands there instead."""

    outcome: Outcome
    newer: StoredSession | None = None


SAVED = Update(Outcome.SAVED)
GONE = Update(Outcome.GONE)


class Store(Protocol):
    """Where sessions are kept. `async with store:` opens and closes it."""

    @property
    def ready(self) -> bool:
        """Whether the store is up, as far as it knows without asking."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    async def get(self, sid: str) -> StoredSession | None:
        """The session of an id. None, which is no error, where there is none or it has expired."""

    async def create(self, sid: str, stored: StoredSession) -> bool:
        """Insert a new session. Never overwrites: False where a live one has the id."""

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Replace a session whose text is still `expected`. Never inserts: GONE where there is none or it expired."""

    async def set(self, sid: str, stored: StoredSession) -> None:
        """Insert or replace, whatever is there."""

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """Move the expiry of a session whose text is still `expected`. Never inserts, never writes the text."""

    async def destroy(self, sid: str) -> None:
        """Delete a session. Silent where there is none."""

    async def length(self) -> int:
        """How many sessions live."""

    def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Every living session with its id, read in pages: a change meanwhile may or may not be seen."""

    async def clear(self) -> None:
        """Delete every session."""


@runtime_checkable
class PreparedStore(Protocol):
    """A store that has something to make, or to ask, before the first of several processes opens it."""

    def prepare(self) -> None:
        """Do it, once, before any fork. Raises StoreError."""


@runtime_checkable
class SweepableStore(Protocol):
    """A store that does not drop expired sessions by itself and leaves that to the `Sweeper`."""

    def lead(self) -> bool:
        """Whether this process is the one that sweeps, among those that share the data; it stays so until it ends."""

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first. Returns how many there were."""

    async def backlog(self, limit: int) -> int:
        """How many expired sessions wait to be swept, counted up to `limit`."""
