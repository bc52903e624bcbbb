"""Owns the turns of large sessions: their texts are decoded, merged and encoded one at a time.

That work cannot be divided, and a thread would not help, because orjson holds the interpreter's lock while it works. So
a large session waits for a turn, which is one step of the event loop. After a turn the loop does other work for as long
as the turn took, or for 50 ms. So another visitor waits for one large session at most, however many there are.
"""

import asyncio
from collections import deque
from typing import Any

from .state import SessionState
from .store import StoredSession

LARGE = 262_144
"""Characters of a stored text from which on its session takes turns: many keys are milliseconds of work."""

FREE = 0.05
"""Seconds for which the loop is free after a turn at most: enough for the steps of many an ordinary request."""


def is_large(state: SessionState) -> bool:
    """Return True for a session that lives and takes turns."""
    return len(state.data.text) >= LARGE and state.end is None


def decode_if_large(state: SessionState) -> None:
    """Decode a large session now, in its turn: a handler that looks cannot wait for one. Raises CorruptSession."""
    if is_large(state):
        _ = state.values


class Turns:
    """The turns of one manager's large sessions."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_taken = False
        self._holder: asyncio.Task[Any] | None = None  # has the turn, until its step of the loop ends

    async def on(self, state: SessionState, newer: StoredSession) -> StoredSession:
        """Return the record to store on top of this one, as `SessionState.on` does, in the next turn.

        A commit that has met a conflict waits within its deadline, so it comes before those that have not begun.
        """
        await self.take(newer.data, is_next=True)
        return state.on(newer)

    async def take(self, text: str, *, is_next: bool = False) -> None:
        """Wait for a turn, if the text is large. It ends with the step of the event loop that it begins in."""
        if len(text) < LARGE:
            return
        if self._is_taken:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            (self._waiting.appendleft if is_next else self._waiting.append)(turn)
            await turn  # if the caller is cancelled at that moment, the turn ends all the same
        else:
            self._begin()
        self._holder = asyncio.current_task()

    def is_mine(self) -> bool:
        """Return True if the turn that this task has taken has not ended: it has not waited since."""
        return self._holder is asyncio.current_task()

    def _begin(self) -> None:
        self._is_taken = True
        loop = asyncio.get_running_loop()
        loop.call_soon(self._end, loop.time())

    def _end(self, began: float) -> None:
        self._holder = None
        loop = asyncio.get_running_loop()
        loop.call_later(min(loop.time() - began, FREE), self._next)

    def _next(self) -> None:
        self._is_taken = False
        while self._waiting and not self._is_taken:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begin()
