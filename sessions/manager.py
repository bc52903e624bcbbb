"""Owns the trip of a session between a request and the store: `load` at its start, `commit` at its end.

`commit` is the one place that acts on what the end of a request owes to the store. What a handler awaits in between
(`save`, `regenerate`, ...) stands below. The manager must not know HTTP: the mixin brings it an id that was verified,
and takes the cookie from the session.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from logging import DEBUG
from typing import Any, TypeVar

from .clock import Clock, now_ms
from .errors import NoSession, SessionError, StoreError, StoreUnavailable
from .formats.signing import Signer
from .keeper import Birth
from .observe import CREATED, DESTROYED, RENEWED, UNKNOWN, note
from .options import SessionOptions
from .session import Session
from .states import End
from .store import Outcome, Store, StoredSession
from .timeout import Deadline

Result = TypeVar("Result")

_ID_TRIES = 3


class SessionManager:
    """What an application's handlers share: a store, the options, a clock. Stands in its settings as `sessions`.

    `clock` returns milliseconds since the epoch.
    """

    def __init__(self, store: Store, options: SessionOptions, *, clock: Clock = now_ms) -> None:
        self.store = store
        self.options = options
        self.clock = clock
        self.signer = Signer(options.keys)
        self.has_warned = False
        """Whether the log has said already why a Secure cookie was withheld."""
        self._in_time = Deadline(options.store_timeout / 1000).keep
        self._queues = _Queues()

    async def load(self, sid: str, birth: Birth) -> Session:
        """The session of a verified id; for an unknown or an expired one a new session under a fresh id.

        Raises StoreError, and CorruptSession for a row that is no session.
        """
        if not self.store.ready:
            raise StoreUnavailable("the store is not ready")
        stored = await self._in_time(self.store.get(sid))
        if stored is None:
            note(UNKNOWN, sid)
            return self.new(birth, sid)
        session = Session.loaded(self, self.options, self.clock, birth, sid, stored)
        if self.options.absolute_timeout is not None and session.is_too_old:
            await self._in_time(self.store.destroy(sid))  # a Node server that has moved its expiry would still know it
            note(UNKNOWN, sid)
            return self.new(birth, sid)
        return session

    def new(self, birth: Birth, sid: str | None = None) -> Session:
        """A new session, for a browser that has sent no id, or the id of a session that is gone."""
        return Session.new(self, self.options, self.clock, birth, sid)

    def commit(self, session: Session, *, ends: bool = True) -> Awaitable[None] | None:
        """Do to the store what the end of a request, or the first bytes of a stream, owe it; None: nothing.

        Raises DataError at once; the awaitable raises StoreError. Afterwards `session.reply` tells what the response
        does to the browser's cookie.
        """
        match session.change(ends=ends):
            case "nothing":
                return None
            case "create" | "update":
                return self._in_time(self._write(session))
            case "touch":
                return self._in_time(self._touch(session))
            case "destroy":
                return self._in_time(self._destroy(session.id))

    # ---------------------------------------------------------------- the writes

    def _write(self, session: Session) -> Awaitable[None]:
        """Store the session as it is now, whatever is assigned to it before the store answers."""
        stored = session.to_store()
        if self.options.conflict == "overwrite":
            return self._set(session, stored)
        return self._create(session, stored) if session.base is None else self._update(session, stored)

    async def _set(self, session: Session, stored: StoredSession) -> None:
        await self.store.set(session.id, stored)
        session.saved(stored)

    async def _create(self, session: Session, stored: StoredSession) -> None:
        for _ in range(_ID_TRIES):
            if await self.store.create(session.id, stored):
                note(CREATED, session.id, DEBUG)
                return session.saved(stored)
            if session.base is not None:  # a save() of the same request, beside this one, was first
                return await self._update(session, session.to_store())
            session.restart(keep=True)  # the id is another visitor's: never theirs to share
        raise SessionError(f"genid returned an id that is taken, {_ID_TRIES} times")

    async def _update(self, session: Session, stored: StoredSession) -> None:
        sid = session.id
        queue = await self._queues.enter(sid)
        try:
            expected = _known(session)
            if queue.newest is not None and queue.newest.data != expected.data:
                expected, stored = queue.newest, session.merged_with(queue.newest)
            while True:
                outcome, newer = await self.store.update(sid, stored, expected.data)
                if outcome is Outcome.GONE:
                    return session.end(End.GONE)
                if newer is None:
                    queue.newest = stored
                    return session.saved(stored)
                expected, stored = newer, session.merged_with(newer)
        finally:
            self._queues.leave(sid, queue)

    async def _touch(self, session: Session) -> None:
        expected = _known(session).data
        while True:
            expires_at = session.expires_at()
            match await self.store.touch(session.id, expires_at, expected):
                case Outcome.SAVED:
                    return session.touched(expires_at)
                case Outcome.GONE:
                    return session.end(End.GONE)
            if not self.options.rolling:
                return None  # whoever changed the row has moved its expiry too
            newer = await self.store.get(session.id)  # the cookie goes out: this very touch has to be confirmed
            if newer is None:
                return session.end(End.GONE)
            expected = newer.data

    async def _destroy(self, sid: str) -> None:
        await self.store.destroy(sid)
        note(DESTROYED, sid)

    # ---------------------------------------------------------------- what a handler awaits

    async def save(self, session: Session) -> None:
        """`session.save()`: as the end of the request does it, without starting the lifetime again."""
        if session.over is not None:
            return
        if session.base is None:
            session.check_open()
        await self._in_time(self._write(session))

    async def destroy(self, session: Session) -> None:
        """`session.destroy()`: over at once, whatever the store says."""
        session.end(End.DESTROYED)
        try:
            await self._in_time(self._destroy(session.id))
        except Exception:
            session.end(End.FAILED)
            raise

    async def regenerate(self, session: Session) -> None:
        """`session.regenerate()`: a new session only once the old one is gone."""
        session.check_open()
        await self._in_time(self.store.destroy(session.id))
        note(RENEWED, session.id)
        session.restart(keep=False)

    async def rotate(self, session: Session) -> None:
        """`session.rotate()`: the new row first, so that a failure leaves the visitor with the old one."""
        session.check_open()
        if session.base is None:
            session.restart(keep=True)
            return
        await self.save(session)
        if session.over is not None:
            return
        old = session.id
        undo = session.restart(keep=True)
        new = session.id
        try:
            await self.save(session)
            await self._in_time(self.store.destroy(old))
        except BaseException:
            undo()
            with suppress(StoreError):  # or two sessions would have the data
                await self._in_time(self.store.destroy(new))
            raise
        note(RENEWED, old)

    async def reload(self, session: Session) -> None:
        """`session.reload()`."""
        stored = await self._in_time(self.store.get(session.id))
        if stored is None or session.is_too_old:
            raise SessionError("failed to load session")
        session.read(stored)

    async def mutate(self, session: Session, change: Callable[[dict[str, Any]], Result]) -> Result:
        """`session.mutate(change)`: compare and set, whatever `conflict` says."""
        if session.base is not None:
            return await self._in_time(self._mutate(session, session.base, change))
        session.check_open()  # nobody else knows the id yet
        before = session.data_text()
        try:
            result = change(session.draft())
            await self._in_time(self._create(session, session.to_store()))
        except BaseException:
            session.undo(before)
            raise
        return result

    async def _mutate(
        self, session: Session, expected: StoredSession, change: Callable[[dict[str, Any]], Result]
    ) -> Result:
        sid = session.id
        queue = await self._queues.enter(sid)
        try:
            newer = queue.newest
            while True:
                if newer is not None and newer.data != expected.data:
                    session.merged_with(newer)
                    expected = newer
                before = session.data_text()
                try:
                    result = change(session.draft())
                    stored = session.to_store()
                    outcome, newer = await self.store.update(sid, stored, expected.data)
                except BaseException:
                    session.undo(before)
                    raise
                if outcome is Outcome.SAVED:
                    queue.newest = stored
                    session.saved(stored)
                    return result
                session.undo(before)
                if newer is None:
                    session.end(End.GONE)
                    raise NoSession(f"no session: {End.GONE.value}")
        finally:
            self._queues.leave(sid, queue)


class _Queues:
    """The commits of each session in this process, one at a time.

    Each leaves the row it wrote to the next, which merges on it at once instead of meeting a conflict in the store.
    """

    def __init__(self) -> None:
        self._queues: dict[str, _Queue] = {}

    async def enter(self, sid: str) -> "_Queue":
        """Wait until it is this commit's turn."""
        queue = self._queues.get(sid)
        if queue is None:
            queue = self._queues[sid] = _Queue()
            return queue
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(sid, queue)  # the turn came together with the cancellation
            raise
        return queue

    def leave(self, sid: str, queue: "_Queue") -> None:
        """Give the turn to the next."""
        while queue.waiting:
            turn = queue.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[sid]


class _Queue:
    __slots__ = ("newest", "waiting")

    def __init__(self) -> None:
        self.newest: StoredSession | None = None
        self.waiting: deque[asyncio.Future[None]] = deque()


def _known(session: Session) -> StoredSession:
    if session.base is None:
        raise SessionError("a session that is not stored has nothing to update")
    return session.base
