"""Owns the verbs of a session that are under way, in the order in which a handler has called them.

What a verb returns may be awaited, or not: the answer waits for it either way (`Pending.settled`), so a forgotten
`await` is harmless, as in Express. To stop waiting stops no verb.

A failure is *seen* when it was raised into somebody who was still waiting. One that nobody has seen becomes the
answer's failure, and the verbs behind it are not performed but fail with it.
"""

import asyncio
import logging
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

log: logging.Logger = logging.getLogger("sessions")

Result = TypeVar("Result")


class Verb(Coroutine[Any, Any, Result], Generic[Result]):
    """A verb that was called: `gather`, `wait_for`, `create_task`, a TaskGroup and `await` take it."""

    __slots__ = ("_pending", "_waiting", "task")

    def __init__(self, task: "asyncio.Task[Result]", pending: "Pending") -> None:
        self.task: asyncio.Task[Result] = task
        """What performs it."""
        self._pending = pending
        self._waiting: Coroutine[Any, Any, Result] | None = None

    async def _wait(self) -> Result:
        try:
            return await asyncio.shield(self.task)
        except Exception as error:
            self._pending.see(error)
            raise

    def _coroutine(self) -> Coroutine[Any, Any, Result]:
        if self._waiting is None:
            self._waiting = self._wait()
        return self._waiting

    def __await__(self) -> Generator[Any, Any, Result]:
        return self._wait().__await__()

    def send(self, value: Any) -> Any:
        """Go on waiting: the protocol of a coroutine."""
        return self._coroutine().send(value)

    def throw(self, *error: Any) -> Any:
        """Stop waiting with an error: the protocol of a coroutine."""
        return self._coroutine().throw(*error)

    def close(self) -> None:
        """Stop waiting: the protocol of a coroutine."""
        if self._waiting is not None:
            self._waiting.close()


class Pending:
    """The verbs of one session in one request."""

    __slots__ = ("_last", "_unseen", "is_answered")

    def __init__(self) -> None:
        self._last: asyncio.Task[Any] | None = None
        self._unseen: Exception | None = None
        self.is_answered: bool = False
        """Whether the answer has left, or is a socket: an unseen failure is logged then."""

    def start(self, fingerprint: str, work: Coroutine[Any, Any, Result]) -> Verb[Result]:
        """Perform the rest of a verb behind those that were called before it."""
        task = asyncio.get_running_loop().create_task(self._behind(self._last, work))
        task.add_done_callback(lambda done: self._done(done, fingerprint))
        self._last = task
        return Verb(task, self)

    async def _behind(self, before: "asyncio.Task[Any] | None", work: Coroutine[Any, Any, Result]) -> Result:
        if before is not None and not before.done():
            await asyncio.wait({before})
        if self._unseen is not None:
            work.close()
            raise self._unseen
        return await work

    def _done(self, task: "asyncio.Task[Any]", fingerprint: str) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if not isinstance(error, Exception):
            return
        self._unseen = error
        if self.is_answered:
            loop = task.get_loop()
            loop.call_soon(loop.call_soon, self._report, fingerprint)  # after whoever waits has seen it

    def _report(self, fingerprint: str) -> None:
        error, self._unseen = self._unseen, None
        if error is not None:
            log.error("session %s: a verb that nobody awaited failed: %s", fingerprint, error)

    def see(self, error: Exception) -> None:
        """Note that a failure was raised into somebody who waits."""
        if error is self._unseen:
            self._unseen = None

    @property
    def is_clear(self) -> bool:
        """True if no verb is under way, and no failure is unseen."""
        return self._unseen is None and (self._last is None or self._last.done())

    async def settled(self) -> None:
        """Wait for all verbs. Raises a failure that nobody has seen."""
        while self._last is not None and not self._last.done():
            await asyncio.wait({self._last})
        if self._unseen is not None:
            error, self._unseen = self._unseen, None
            raise error
