"""Owns the store in memory: the contract in its shortest form, for tests and for single processes."""

from collections.abc import AsyncIterator
from typing import Self

from ..clock import Clock, now_ms
from ..errors import StoreUnavailable
from ..options import wrong
from ..store import GONE, SAVED, Outcome, StoredSession, Update

MAX_SESSIONS = 100_000
"""Some 60 MB, at 300 characters each."""
_LOOK_EVERY = 1_000
"""Milliseconds between two looks for expired sessions in a full store: a look takes its time, a flood takes no end."""


class MemoryStore:
    """Keeps sessions in a dict until the process ends. `clock` returns milliseconds since the epoch.

    Where `max_sessions` are there already, expired ones make room; if there are none a new id is refused with
    StoreUnavailable, that of a `rotate()` too. No living session is dropped for it: a flood of strangers may lock new
    visitors out for as long as its sessions live, but it signs nobody out.
    """

    def __init__(self, *, max_sessions: int = MAX_SESSIONS, clock: Clock = now_ms) -> None:
        if not isinstance(max_sessions, int) or isinstance(max_sessions, bool) or max_sessions < 1:
            raise wrong("maxSessions", "a whole number above 0", max_sessions)
        self._max = max_sessions
        self._looked: int | None = None  # when a full store was last searched for expired sessions
        self._clock = clock
        self._rows: dict[str, StoredSession] = {}

    @property
    def ready(self) -> bool:
        """Always."""
        return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, sid: str) -> StoredSession | None:
        """The session of an id; None where there is none or it has expired."""
        return self._live(sid)

    async def create(self, sid: str, stored: StoredSession) -> bool:
        """Insert a new session; False where a live one has the id. Raises StoreUnavailable where the store is full."""
        if self._live(sid) is not None:
            return False
        self._put(sid, stored)
        return True

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Replace a session whose text is still `expected`."""
        row = self._live(sid)
        if row is None:
            return GONE
        if row.data != expected:
            return Update(Outcome.CONFLICT, row)
        self._rows[sid] = stored
        return SAVED

    async def set(self, sid: str, stored: StoredSession) -> None:
        """Insert or replace. Raises StoreUnavailable where the store is full."""
        self._put(sid, stored)

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """Move the expiry of a session whose text is still `expected`."""
        row = self._live(sid)
        if row is None:
            return Outcome.GONE
        if row.data != expected:
            return Outcome.CONFLICT
        self._rows[sid] = row._replace(expires_at=expires_at)
        return Outcome.SAVED

    async def destroy(self, sid: str) -> None:
        """Delete a session; silent where there is none."""
        self._rows.pop(sid, None)

    async def length(self) -> int:
        """How many sessions live."""
        now = self._clock()
        return sum(row.expires_at > now for row in self._rows.values())

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Every living session with its id, as they were when this began."""
        now = self._clock()
        for sid, row in list(self._rows.items()):
            if row.expires_at > now:
                yield sid, row

    async def clear(self) -> None:
        """Delete every session."""
        self._rows.clear()

    def lead(self) -> bool:
        """True: the memory is this process's own."""
        return True

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first."""
        expired = sorted(self._expired(), key=lambda sid: self._rows[sid].expires_at)[:limit]
        for sid in expired:
            del self._rows[sid]
        return len(expired)

    async def backlog(self, limit: int) -> int:
        """How many expired sessions wait to be swept, counted up to `limit`."""
        return min(limit, len(self._expired()))

    def _put(self, sid: str, stored: StoredSession) -> None:
        if len(self._rows) >= self._max and sid not in self._rows:
            self._make_room()
        self._rows[sid] = stored

    def _make_room(self) -> None:
        now = self._clock()
        if self._looked is None or abs(now - self._looked) >= _LOOK_EVERY:
            self._looked = now
            for sid in self._expired():
                del self._rows[sid]
        if len(self._rows) >= self._max:
            raise StoreUnavailable(f"the store in memory is full: maxSessions is {self._max}")

    def _live(self, sid: str) -> StoredSession | None:
        row = self._rows.get(sid)
        return row if row is not None and row.expires_at > self._clock() else None

    def _expired(self) -> list[str]:
        now = self._clock()
        return [sid for sid, row in self._rows.items() if row.expires_at <= now]
