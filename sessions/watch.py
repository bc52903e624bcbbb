"""Owns the watch over sessions that have an open socket or event stream: both end when their session does.

The verbs report what ends in this process (ends.py). Everything else (another process or machine, Node, an expiry,
a row that was deleted by hand) is found by asking: one task asks the store for the watched sessions, at most 64 at a
time and one step at a time, each once in `watchInterval`. Whether a row lives is the manager's rule. While nothing is
watched there is no task, and the store is not asked. It must not know sockets.
"""

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable
from contextvars import Context
from typing import Any, TypeAlias

from .ends import End
from .errors import CorruptSession, StoreError
from .manager import SessionManager
from .meta import closed_meta
from .observe import Sockets
from .progress import no_new_id
from .state import SessionState
from .store import StoredSession
from .user_text import user_text
from .users import handle_of

log: logging.Logger = logging.getLogger("sessions")

AT_ONCE = 64
"""Sessions in one step. All 10,000 at once would keep other requests waiting for up to half a second (tried)."""

OnEnd: TypeAlias = Callable[[End], None]
"""Called once, when the session of a watched has ended."""


class Watched:
    """A socket or a stream that is open, its session, and what ends it."""

    __slots__ = ("key", "on_end", "state", "user")

    def __init__(self, state: SessionState, key: str, user: str | None, on_end: OnEnd) -> None:
        self.state: SessionState = state
        self.key: str = key
        self.user: str | None = user
        """The user of the session when the watch began."""
        self.on_end: OnEnd = on_end


class _Row:
    """A session that is watched, for all its sockets and streams."""

    __slots__ = ("absolute_end", "due", "seen", "watched")

    def __init__(self, due: float) -> None:
        self.due: float = due
        """When it is to be asked for, in seconds of the loop's clock."""
        self.watched: dict[Watched, None] = {}
        self.seen: StoredSession | None = None
        """The record that was judged last."""
        self.absolute_end: int = 0
        """From when on that record is gone however much it is used."""

    def is_over_by(self, now: int) -> bool:
        """Return True if the last that is known of the session says that it has ended: its expiry, its end."""
        return self.seen is not None and min(self.seen.expires_at, self.absolute_end) <= now


class Watch:
    """The watched sessions of one manager. Sessions are named by their keys."""

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._interval = manager.options.watch_interval / 1000
        self._rows: OrderedDict[str, _Row] = OrderedDict()  # in the order in which they are asked for
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # that the task runs in
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        """Return how many sockets and streams are watched."""
        return sum(len(row.watched) for row in self._rows.values())

    @property
    def keys(self) -> frozenset[str]:
        """The keys of the watched sessions."""
        return frozenset(self._rows)

    @property
    def is_asking(self) -> bool:
        """True if the task runs that asks the store."""
        return self._task is not None

    # ---------------------------------------------------------------- what is watched

    def add(self, state: SessionState, on_end: OnEnd) -> Watched:
        """Watch a stored session for a socket or a stream. It is asked for at once: it was loaded some time ago."""
        watched = Watched(state, self._manager.key_of(state.row.id), self._user_of(state), on_end)
        self._put(watched)
        self._count(1)
        return watched

    def remove(self, watched: Watched) -> None:
        """Watch no longer: the socket is closed, or the answer is finished. It may have ended already."""
        row = self._rows.get(watched.key)
        if row is not None and watched in row.watched:
            del row.watched[watched]
            self._count(-1)
            if not row.watched:
                self._drop(watched.key)

    def _user_of(self, state: SessionState) -> str | None:
        try:
            return user_text(self._manager.user_of(state)) if self._manager.options.user_path else None
        except CorruptSession:
            return None

    def _put(self, watched: Watched) -> None:
        loop = asyncio.get_running_loop()
        row = self._rows.get(watched.key)
        if row is None:
            row = self._rows[watched.key] = _Row(loop.time())
        row.watched[watched] = None
        row.due = loop.time()
        self._rows.move_to_end(watched.key, last=False)
        if self._task is None or self._loop is not loop:
            self._loop, self._wake = loop, asyncio.Event()
            self._task = loop.create_task(self._run(), context=Context())  # of no request, as it outlives them
        self._wake.set()

    def _count(self, change: int) -> None:
        if change:
            self._manager.reporter.report(Sockets(change))

    def _drop(self, key: str) -> None:
        del self._rows[key]
        if not self._rows:
            self.close()

    def close(self) -> None:
        """Stop asking. Whoever is watched stays open."""
        self._count(-len(self))
        task, self._task = self._task, None
        self._rows.clear()
        if task is not None and not task.done() and task is not _current():
            task.cancel()

    # ---------------------------------------------------------------- what the verbs report

    def ended(self, key: str, end: End) -> None:
        """End all sockets and streams of a session."""
        row = self._rows.get(key)
        if row is not None:
            watched = list(row.watched)
            self._drop(key)
            self._count(-len(watched))
            for each in watched:
                _end(each, end)

    def moved(self, key: str, sid: str) -> None:
        """Go on with a session under its new id."""
        self._follow(key, self._manager.key_of(sid), sid)

    def revoked(self, user: str, handle: str | None, keep: frozenset[str]) -> None:
        """End the sessions of a user: the one with a handle, or all but those under some keys."""
        keys = [
            key
            for key, row in self._rows.items()
            if key not in keep and any(each.user == user for each in row.watched)
            if handle is None or handle_of(key) == handle
        ]
        for key in keys:
            self.ended(key, "ended")

    def _follow(self, key: str, new: str, sid: str) -> None:
        row = self._rows.get(key)
        if row is None:
            return
        watched = list(row.watched)
        self._drop(key)
        for each in watched:
            each.key = new
            each.state.go_on_as(sid)
            self._put(each)

    # ---------------------------------------------------------------- what the store says

    async def _run(self) -> None:
        """Ask for the watched sessions, the ones that were asked for the longest ago first."""
        while self._rows and self._task is _current():
            now, pace = asyncio.get_running_loop().time(), self._interval * min(1, AT_ONCE / len(self._rows))
            keys = self._due(now + min(pace / 2, self._interval / 8))  # some come early, or each step would be small
            for key in keys:
                self._rows[key].due = now + self._interval
                self._rows.move_to_end(key)
            if not await self._step(keys):  # the store is away: many questions would not bring it back
                self._end_known()
                await self._rest(self._interval)
            else:
                await self._rest(pace / 2 if len(keys) == AT_ONCE else 0)

    def _due(self, moment: float) -> list[str]:
        """Return the sessions that are due at a moment, at most as many as one step takes."""
        due = itertools.takewhile(lambda item: item[1].due <= moment, self._rows.items())
        return [key for key, _ in itertools.islice(due, AT_ONCE)]

    async def _rest(self, least: float) -> None:
        """Wait until a session is due, and for some seconds at least: what comes all at once is spread."""
        loop = asyncio.get_running_loop()
        until = loop.time() + least
        while self._rows:
            self._wake.clear()
            seconds = max(next(iter(self._rows.values())).due, until) - loop.time()
            if seconds <= 0:
                return
            timer = loop.call_later(seconds, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

    async def _step(self, keys: list[str]) -> bool:
        """Ask for some sessions, and end those that are over. Returns False if the store is away."""
        asked = {key: self._rows[key] for key in keys}
        try:
            found = await self._manager.rows(keys)
        except StoreError:
            return False
        except Exception:  # of a store from elsewhere; the watch goes on
            log.exception("the watch over the sessions of open sockets")
            return False
        failed = 0
        for key, record in zip(keys, found, strict=True):
            if self._rows.get(key) is not asked[key]:
                continue  # it has ended, or moved, while the store was asked
            if isinstance(record, BaseException):
                failed += 1
                if asked[key].is_over_by(self._manager.clock()):
                    self.ended(key, "ended")
                continue
            try:
                self._judge(key, asked[key], record)
            except Exception:  # the others are watched on
                log.exception("the watch over the session of an open socket")
        return failed < len(keys)

    def _judge(self, key: str, row: _Row, record: StoredSession | None) -> None:
        now = self._manager.clock()
        if record is None:
            self.ended(key, "ended")
            return
        if row.seen is None or not record.same_as(row.seen):
            try:
                state = self._manager.judged(key, record, no_new_id)
            except CorruptSession:  # which each request says, and which ends no session
                return
            if state.end == "closed":
                self._go_on(key, row, record)
                return
            if state.end is not None:
                self.ended(key, "ended")
                return
            row.absolute_end = state.absolute_end
        row.seen = record
        if row.absolute_end <= now:
            self.ended(key, "ended")

    def _go_on(self, key: str, row: _Row, record: StoredSession) -> None:
        """Follow a tombstone that says that it is the same login; any other ends the socket."""
        meta = closed_meta(record) or {}
        new = str(meta.get("next", ""))
        if not new or meta.get("moved") is not True or any(each.state.row.id != each.key for each in row.watched):
            self.ended(key, "changed")  # of a hashed id only the key is known elsewhere, and a handler needs the id
        else:
            self._follow(key, new, new)

    def _end_known(self) -> None:
        """End, without the store, what is known to have ended."""
        now = self._manager.clock()
        for key in [key for key, row in self._rows.items() if row.is_over_by(now)]:
            self.ended(key, "ended")


def watch_of(manager: SessionManager) -> Watch:
    """Return the watch of a manager."""
    watch = manager.ends.watcher
    if not isinstance(watch, Watch):
        manager.ends.watcher = watch = Watch(manager)
    return watch


def _end(watched: Watched, end: End) -> None:
    """Let a handler's session be over, then end its socket or stream."""
    state = watched.state
    if state.end is None or state.is_readable:
        state.over("gone" if end == "ended" else "closed")
        state.is_readable = False
    watched.on_end(end)


def _current() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop runs
        return None
