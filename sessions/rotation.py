"""Owns what takes two ids: `rotate()`, `regenerate()`, and the tombstone under the old id.

A row moves in one step (`rename`), so another request under the old id finds it gone or closed. If the outcome of that
step is unknown, nothing is deleted: the move is undone when the store says where the row is.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias

from .clock import Clock
from .errors import CorruptSession, SessionError, StoreError, StoreUnavailable
from .formats import json_text
from .meta import tombstone
from .observe import RENEWED
from .state import Row, SessionState
from .store import Outcome, Store, StoredSession, Update
from .timeout import InTime
from .writes import ID_TRIES, Writes, known

SETTLED = 5.0
"""Seconds after which a store that answers has performed, or dropped, what was asked before."""

PAUSE = 0.25
"""Seconds between two questions whether the row has moved after all."""

On: TypeAlias = Callable[[StoredSession], Awaitable[StoredSession]]
"""Makes the record that moves, of the one that is stored."""

Rename: TypeAlias = Callable[[str, str, StoredSession, StoredSession, StoredSession | None], Awaitable[Update]]
"""Moves a row, as a store's `rename` does."""


class Attempt:
    """A row that was asked for: its new id, the record that was under the old id, and the one that is left there."""

    __slots__ = ("closed", "expected", "new")

    def __init__(self, new: str, expected: StoredSession | None = None, closed: StoredSession | None = None) -> None:
        self.new: str = new
        self.expected: StoredSession | None = expected
        """What has moved from the old id; None if the row was created."""
        self.closed: StoredSession | None = closed


class Rotation:
    """The new ids of one manager's sessions.

    An old id is a tombstone for `grace` milliseconds. `in_time` keeps the deadline, `start` runs a task in the
    background.
    """

    def __init__(
        self,
        store: Store,
        writes: Writes,
        clock: Clock,
        grace: float,
        in_time: InTime,
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store = store
        self._writes = writes
        self._clock = clock
        self._grace = grace
        self._in_time = in_time
        self._start = start

    # ---------------------------------------------------------------- regenerate

    def regenerate(self, state: SessionState) -> Coroutine[Any, Any, None]:
        """Go on as a new session at once; what is returned ends the row of the old one."""
        row, was_closed = state.row, state.end == "closed"
        go_back = state.snapshot()
        state.restart(keep=False)
        self._writes.tell(row.id, "changed")

        async def work() -> None:
            try:
                if not was_closed:  # it is a tombstone already
                    await self._in_time(self.leave(state, row))
            except BaseException:
                go_back()
                if not self._writes.is_blind:
                    state.failed()
                raise
            self._writes.reporter.note(RENEWED, row.id)

        return work()

    async def leave(self, state: SessionState, row: Row) -> None:
        """End the row that a session has left: a tombstone there leads to its new id."""
        if row.base is None or not _is_led_to(state) or not self._grace:
            await self._store.destroy(row.id)  # an id that nobody knows leaves no tombstone
        else:
            await self._writes.close(row.id, row.base, lambda left: self._tombstone(state, state.id, left))
        self._writes.tell(row.id, "changed")  # again: a socket may have come with the old id meanwhile

    def _tombstone(
        self, state: SessionState, new: str, left: StoredSession, *, is_moved: bool = False
    ) -> StoredSession:
        return tombstone(state.cookie, self._grace, self._clock(), self._writes.key_of(new), left, is_moved=is_moved)

    # ---------------------------------------------------------------- rotate

    def rotate(self, state: SessionState) -> Coroutine[Any, Any, None]:
        """Go on under a new id at once; what is returned moves the row there, with what this request has changed.

        If the row is gone, or closed, the session goes on as a new one with only what this request itself assigned. If
        the move fails the session can still be read, and this request writes nothing more.
        """
        if state.end in ("gone", "closed", "destroyed"):
            state.restart_with_assigned()
            return _nothing()
        row = state.row
        go_back = state.snapshot()
        state.take_new_id()
        self._writes.tell(row.id, "changed")
        begun: list[Attempt] = []

        async def work() -> None:
            if row is not state.row or state.end is not None or row.id == state.id:
                return  # the verb behind this one ends the row, or the one before has moved it
            if row.base is None:
                row.id = state.id
                return
            old = row.id
            try:
                outcome = await self._in_time(self.move(state, row, begun, partial(self._writes.turns.on, state)))
                if outcome is Outcome.GONE and row is state.row and state.end != "destroyed":  # by a later call
                    state.restart_with_assigned()
            except BaseException:
                go_back()
                state.failed()
                self.undo(old, begun)
                raise
            self._writes.reporter.note(RENEWED, old)

        return work()

    async def move(
        self,
        state: SessionState,
        row: Row,
        begun: list[Attempt],
        on: On,
        *,
        rename: Rename | None = None,
        is_moved: bool = False,
    ) -> Outcome:
        """Move a row to the session's new id, as the record that `on` makes of what is stored.

        Returns GONE if there is nothing to move, or a tombstone. In `begun` is left what `undo` needs after an error.
        """
        rename = rename or self._store.rename
        old = row.id
        for _ in range(ID_TRIES):
            new = state.id
            leaves_one = bool(self._grace) and _is_led_to(state)

            async def step(expected: StoredSession, new: str = new, leaves_one: bool = leaves_one) -> Update:
                if row is not state.row:
                    return Update(Outcome.SAVED, expected)  # regenerate(), called meanwhile, ends it
                sent = await on(expected)
                closed = self._tombstone(state, new, expected, is_moved=is_moved) if leaves_one else None
                with attempted(Attempt(new, expected, closed), begun):
                    update = await self._renamed(rename, old, new, sent, expected, closed)
                begun.pop()
                if update.record is not None and update.outcome is Outcome.SAVED:
                    state.moved(row, new, sent, update.record)
                    if is_moved:
                        self._writes.ends.moved(self._writes.key_of(old), new)
                    else:
                        self._writes.tell(old, "changed")
                    return update._replace(record=closed)  # what the next commit under the old id finds
                return update

            update = await self._writes.queues.commit(old, known(row), step)
            if update.outcome is not Outcome.TAKEN:
                return update.outcome
            state.take_new_id()
        raise SessionError(f"genid returned an id that is taken, {ID_TRIES} times")

    async def _renamed(
        self,
        rename: Rename,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        closed: StoredSession | None,
    ) -> Update:
        """Rename; if the reply is lost, read what became of it. Raises StoreUnavailable if that stays unknown."""
        try:
            return await rename(old, new, record, expected, closed)
        except StoreUnavailable:
            found = await self._store.get(new)
            if found is None or not _has_text(found, record.data):
                raise  # a row that is absent proves nothing: the step may still be performed
            return Update(Outcome.SAVED, found)

    def undo(self, old: str, begun: list[Attempt]) -> None:
        """Take the way back, in the background, from what may have been performed, or still be."""
        if begun:
            self._start(self._way_back(old, begun[-1]))

    async def _way_back(self, old: str, attempt: Attempt) -> None:
        """Undo a rename, or a create, that is performed after its caller had its failure.

        The visitor has the session as it was, under the old id: never two sessions, never the login under the old id.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while getattr(self._store, "is_open", True) and loop.time() - asked < SETTLED:
            try:
                if await self._store.get(attempt.new) is not None:
                    await self._restore(old, attempt)
                    await self._store.destroy(attempt.new)  # only after the old id is back
                    return
            except StoreError:
                asked = loop.time()  # the store is away: what it was asked before may come when it is back
            await asyncio.sleep(PAUSE)

    async def _restore(self, old: str, attempt: Attempt) -> None:
        if attempt.expected is None:
            return
        found, closed = await self._store.get(old), attempt.closed
        if found is not None and closed is not None and _has_text(found, closed.data):
            await self._store.update(old, attempt.expected, found)
        elif found is None and (closed is None or closed.expires_at <= self._clock()):
            await self._store.create(old, attempt.expected)  # a sign-out removes a tombstone before it expires


@contextmanager
def attempted(attempt: Attempt, begun: list[Attempt]) -> Iterator[None]:
    """Note a write that is begun, and that it was not performed if the store has refused it."""
    begun.append(attempt)
    try:
        yield
    except StoreUnavailable:
        raise
    except SessionError:
        begun.pop()
        raise


def _is_led_to(state: SessionState) -> bool:
    """Return True if a browser may know the session's id, or a tombstone that this request has left leads to it."""
    return state.request_sid is not None


def _has_text(found: StoredSession, text: str) -> bool:
    """Return True if a record has a text, however the database spells it: `jsonb` keeps its value."""
    try:
        return found.data == text or bool(json_text.loads(found.data) == json_text.loads(text))
    except CorruptSession:
        return False


async def _nothing() -> None:
    """The rest of a verb that the store has no part in."""
