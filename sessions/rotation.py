"""Owns `rotate()`: the move of a row to a new id in one step, and the way back where the outcome is unknown."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from .errors import SessionError, StoreError, StoreUnavailable
from .observe import RENEWED, note
from .queues import CommitQueues
from .state import Generate, SessionState
from .store import Outcome, Store, StoredSession, Update

ID_TRIES = 3
"""Ids that are made before a new id is given up because each was taken."""

SETTLED = 5.0
"""Seconds after which a store that answers has performed, or dropped, what was asked before."""

PAUSE = 0.25
"""Seconds between two questions whether the row has moved after all."""


class _Attempt:
    """A rename that was begun: what was under the old id, and the new id."""

    __slots__ = ("expected", "new")

    def __init__(self, new: str, expected: StoredSession) -> None:
        self.new = new
        self.expected = expected


class Rotation:
    """Rotates the sessions of one manager. `in_time` keeps the deadline, `start` runs a task in the background."""

    def __init__(
        self,
        store: Store,
        queues: CommitQueues,
        in_time: Callable[[Awaitable[None]], Awaitable[None]],
        start: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store = store
        self._queues = queues
        self._in_time = in_time
        self._start = start

    async def rotate(self, state: SessionState) -> None:
        """Move the row to a new id, with what this request has changed.

        If the row is gone the session goes on as a new one with only what this request itself assigned. If the move
        fails the session can still be read, and this request writes nothing more.
        """
        generate = state.check_can_send()
        base, old = state.base, state.id
        if base is None:
            state.restart(keep=True)
            return
        state.to_store()  # raises the handler's own errors before anything is done
        begun: list[_Attempt] = []
        try:
            await self._in_time(self._move(state, base, generate, begun))
        except BaseException as error:
            state.failed()
            refused = isinstance(error, StoreError) and not isinstance(error, StoreUnavailable)
            if begun and not refused:
                self._start(self._way_back(old, begun[-1]))
            raise
        note(RENEWED, old)

    async def _move(self, state: SessionState, base: StoredSession, generate: Generate, begun: list[_Attempt]) -> None:
        old = state.id
        for _ in range(ID_TRIES):
            new, cookie = generate()

            async def step(expected: StoredSession, new: str = new) -> Update:
                sent = state.on(expected)
                begun.append(_Attempt(new, expected))
                update = await self._renamed(old, new, sent, expected)
                begun.pop()
                if update.record is not None and update.outcome is Outcome.SAVED:
                    state.moved(new, sent, update.record)
                    return update._replace(record=None)  # nobody may merge under the old id
                return update

            update = await self._queues.commit(old, base, step)
            if update.outcome is Outcome.GONE:
                state.restart_with_assigned(new, cookie)
            if update.outcome is not Outcome.TAKEN:
                return
        raise SessionError(f"genid returned an id that is taken, {ID_TRIES} times")

    async def _renamed(self, old: str, new: str, record: StoredSession, expected: StoredSession) -> Update:
        """Rename, and ask what became of it where the reply is lost. Raises StoreUnavailable where it stays unknown."""
        try:
            return await self._store.rename(old, new, record, expected)
        except StoreUnavailable:
            found = await self._store.get(new)
            if found is None or found.data != record.data:
                raise  # a row that is absent proves nothing: the step may still be performed
            return Update(Outcome.SAVED, found)

    async def _way_back(self, old: str, attempt: _Attempt) -> None:
        """Undo a rename that is performed after its caller was told that it failed.

        The visitor has the session as it was, under the old id: never two sessions, never the login under the old id.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        while getattr(self._store, "is_open", True) and loop.time() - asked < SETTLED:
            try:
                if await self._store.get(attempt.new) is not None:
                    await self._store.create(old, attempt.expected)
                    await self._store.destroy(attempt.new)  # only after the old id is back
                    return
            except StoreError:
                asked = loop.time()  # the store is away: what it was asked before may come when it is back
            await asyncio.sleep(PAUSE)
