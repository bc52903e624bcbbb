"""Owns the store in memory: the contract in its shortest form, for tests and for single processes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping
from functools import wraps
from sys import getsizeof
from typing import ClassVar, Concatenate, ParamSpec, Self, TypeVar

from ..clock import Clock, now_ms
from ..errors import StoreError, StoreUnavailable
from ..store import GONE, TAKEN, Limit, Outcome, SignedIn, StoredSession, Update
from ..user_text import UserPlace, surplus
from ..validation import wrong
from .base import Itself
from .tables import MemoryOptions
from .users import create_or_rename

_LOOK_EVERY = 1_000
"""Milliseconds between two looks for expired sessions in a full store: a look takes its time, a flood takes no end."""

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


def _at_once(
    verb: "Callable[Concatenate[MemoryStore, Parameters], Result]",
) -> "Callable[Concatenate[MemoryStore, Parameters], Awaitable[Result]]":
    """Make a verb of a method that waits for nothing: it returns a Future that is done, so it costs nobody a task."""

    @wraps(verb)
    def perform(store: "MemoryStore", /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Awaitable[Result]:
        future: asyncio.Future[Result] = asyncio.Future(loop=asyncio.get_running_loop())
        try:
            future.set_result(verb(store, *args, **kwargs))
        except StoreError as error:
            future.set_exception(error.with_traceback(None))  # its frames would lead back to the future
        return future

    return perform


class MemoryStore:
    """Keeps sessions in a dict until the process ends. `clock` returns milliseconds since the epoch.

    A store that holds `max_sessions`, or texts of `max_bytes`, drops expired sessions to make room. If there are none
    it refuses a new id, or a session that grows, with StoreUnavailable, and it drops no living session: a flood of
    strangers may lock new visitors out for as long as its sessions live, but it signs nobody out. A `rename` needs no
    room; in a full store it leaves no tombstone.
    """

    name = "memory:"
    sweepable: ClassVar[Itself] = Itself()
    admin: ClassVar[Itself] = Itself()
    overwriting: ClassVar[Itself] = Itself()
    users: ClassVar[Itself] = Itself()
    by_meta: ClassVar[bool] = False
    refuses: ClassVar[bool] = True

    def __init__(
        self,
        *,
        max_sessions: int = MemoryOptions.max_sessions,
        max_bytes: int = MemoryOptions.max_bytes,
        clock: Clock = now_ms,
    ) -> None:
        for name, number in (("maxSessions", max_sessions), ("maxBytes", max_bytes)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise wrong(name, "a whole number above 0", number)
        self._max = max_sessions
        self._max_bytes = max_bytes
        self._bytes = 0  # of all texts
        self._looked: int | None = None  # when a full store was last searched for expired sessions
        self._clock = clock
        self._rows: dict[str, StoredSession] = {}
        self._index: _Index | None = None

    async def __aenter__(self) -> Self:
        return self  # nothing to open: it can be used without, and in place of a store that is opened

    async def __aexit__(self, *_: object) -> None:
        pass

    # ---------------------------------------------------------------- the six verbs

    @_at_once
    def get(self, sid: str) -> StoredSession | None:
        """Read the session of an id. Returns None if there is none or it has expired."""
        return self._living(sid)

    @_at_once
    def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session. Returns None if a living one has the id. Raises StoreUnavailable in a full store."""
        if self._living(sid) is not None:
            return None
        return self._put(sid, record)

    @_at_once
    def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session if its text is still the expected one."""
        row = self._living(sid)
        if row is None:
            return GONE
        if row.data != expected.data:
            return Update(Outcome.CONFLICT, row)
        return Update(Outcome.SAVED, self._put(sid, record))

    @_at_once
    def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session if it is still the expected one."""
        row = self._living(sid)
        if row is None:
            return GONE
        if row.expires_at != expected.expires_at:
            return Update(Outcome.CONFLICT, row)
        self._rows[sid] = row._replace(expires_at=expires_at)
        return Update(Outcome.SAVED, StoredSession(expected.data, expires_at))

    @_at_once
    def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session to a new id, in one step, if its text is still the expected one."""
        row = self._living(old)
        if row is None:
            return GONE
        if row.data != expected.data:
            return Update(Outcome.CONFLICT, row)
        if new in self._rows:
            return TAKEN
        if (size := _size(record) - _size(row)) > 0:
            self._check_growth(size)
        self._drop(old)
        made = self._put(new, record)
        if tombstone is not None and self._has_room(_size(tombstone)):
            self._put(old, tombstone)
        return Update(Outcome.SAVED, made)

    @_at_once
    def destroy(self, sid: str) -> None:
        """Delete a session; an id that has none is not an error."""
        self._drop(sid)

    # ---------------------------------------------------------------- the powers

    @_at_once
    def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session. Raises StoreUnavailable in a full store."""
        return self._put(sid, record)

    async def length(self) -> int:
        """Return how many sessions live."""
        now = self._clock()
        return sum(row.expires_at > now for row in self._rows.values())

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its id, as they were when this began."""
        now = self._clock()
        for sid, row in list(self._rows.items()):
            if row.expires_at > now:
                yield sid, row

    async def clear(self) -> None:
        """Delete every session."""
        for sid in list(self._rows):
            self._drop(sid)

    def lead(self) -> bool:
        """Return True: the memory belongs to this process."""
        return True

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first. Returns how many it deleted."""
        expired = sorted(self._expired(), key=lambda sid: self._rows[sid].expires_at)[:limit]
        for sid in expired:
            self._drop(sid)
        return len(expired)

    async def backlog(self, limit: int) -> int:
        """Return how many expired sessions wait to be swept, counted up to `limit`."""
        return min(limit, len(self._expired()))

    # ---------------------------------------------------------------- the sessions of a user

    def index(self, path: tuple[str, ...], *, node_peer: bool = False, in_meta: bool = False) -> None:  # noqa: ARG002 # Node has no part here
        """Say under which keys of the data the user is."""
        place = UserPlace(path, in_meta)
        if self._index is None or self._index.place != place:
            self._index = _Index(place, self._rows)

    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        """Return the living sessions of a user."""
        found = ((sid, self._living(sid)) for name in (user, *aliases) for sid in self._sids(name))
        return [(sid, row) for sid, row in found if row is not None]

    async def end(
        self,
        user: str,
        keys: Collection[str] | None = None,
        keep: str | None = None,
        aliases: Collection[str] = (),
    ) -> list[str]:
        """Delete the sessions of a user. Returns the ids of those that lived."""
        ended = [sid for sid, _ in await self.rows(user, aliases) if sid != keep and (keys is None or sid in keys)]
        for sid in ended:
            self._drop(sid)
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
        """Create a session of a user, or rename one, within a limit, in one step."""
        rows = [(sid, row.data) for sid, row in await self.rows(limit.user, limit.aliases) if sid != old]
        if limit.refuses and len(rows) >= limit.most:
            return SignedIn(None, [])
        update = await create_or_rename(self, new, record, old, expected, tombstone)
        ended = surplus(rows, new, limit.most) if update.outcome is Outcome.SAVED else []
        for sid in ended:
            self._drop(sid)
        return SignedIn(update, ended)

    def _sids(self, user: str) -> list[str]:
        return [] if self._index is None else list(self._index.sids.get(user, ()))

    # ---------------------------------------------------------------- the dict

    def _living(self, sid: str) -> StoredSession | None:
        row = self._rows.get(sid)
        return row if row is not None and row.expires_at > self._clock() else None

    def _put(self, sid: str, record: StoredSession) -> StoredSession:
        """Keep a record. Raises StoreUnavailable if there is no room for it."""
        row = self._rows.get(sid)
        if row is None and not self._has_room():
            raise StoreUnavailable(f"the store in memory is full: maxSessions is {self._max}")
        size, before = _size(record), 0 if row is None else _size(row)
        if size > before:
            self._check_growth(size - before)
        self._drop(sid)
        self._bytes += size
        self._rows[sid] = record = StoredSession(record.data, record.expires_at)
        if self._index is not None:
            self._index.add(sid, record.data)
        return record

    def _drop(self, sid: str) -> None:
        """Delete a row if it is there: one that expires during a call may have made room already."""
        row = self._rows.pop(sid, None)
        if row is not None:
            self._bytes -= _size(row)
            if self._index is not None:
                self._index.drop(sid)

    def _check_growth(self, size: int) -> None:
        if not self._has_room(size, rows=0):
            raise StoreUnavailable(f"the store in memory is full: maxBytes is {self._max_bytes}")

    def _has_room(self, size: int = 0, rows: int = 1) -> bool:
        """Return True if so much more fits; a full store drops what has expired first."""
        if not self._fits(size, rows):
            now = self._clock()
            if self._looked is None or abs(now - self._looked) >= _LOOK_EVERY:
                self._looked = now
                for sid in self._expired():
                    self._drop(sid)
        return self._fits(size, rows)

    def _fits(self, size: int, rows: int) -> bool:
        return len(self._rows) + rows <= self._max and self._bytes + size <= self._max_bytes

    def _expired(self) -> list[str]:
        now = self._clock()
        return [sid for sid, row in self._rows.items() if row.expires_at <= now]


class _Index:
    """The ids of each user's sessions."""

    def __init__(self, place: UserPlace, rows: Mapping[str, StoredSession]) -> None:
        self.place: UserPlace = place
        self.sids: dict[str, set[str]] = {}
        self._users: dict[str, str] = {}
        for sid, row in rows.items():
            self.add(sid, row.data)

    def add(self, sid: str, text: str) -> None:
        user = self.place.user_in(text)
        if user is not None:
            self.sids.setdefault(user, set()).add(sid)
            self._users[sid] = user

    def drop(self, sid: str) -> None:
        user = self._users.pop(sid, None)
        if user is not None:
            self.sids[user].discard(sid)
            if not self.sids[user]:
                del self.sids[user]


def _size(record: StoredSession) -> int:
    """Return the bytes of memory that the text of a record takes."""
    return getsizeof(record.data)
