"""Owns the verbs of a session that are under way, in the order in which a handler has called them.

What a verb returns may be awaited, or not: the answer waits for it either way (`Pending.settled`), so a forgotten
`await` is harmless, as in Express. To stop waiting stops no verb.

A failure is *seen* if it was raised in a task that was still waiting. A failure that was not seen becomes the answer's
failure. If a verb fails, the verbs that were called after it are not performed, and fail with it: what they have done
to the session object was put back.
"""

import asyncio
import logging
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

log: logging.Logger = logging.getLogger("sessions")

Result = TypeVar("Result")

TURNS = 5
"""Turns of the loop until whoever waits for a verb has seen its failure, through the task of a gather() too."""


class Verb(Coroutine[Any, Any, Result], Generic[Result]):
    """A verb that was called: `gather`, `wait_for`, `create_task`, a TaskGroup and `await` take it."""

    __slots__ = ("_pending", "_waiting", "task")

    def __init__(self, task: "asyncio.Task[Result]", pending: "Pending") -> None:
        self.task: asyncio.Task[Result] = task
        """What performs it."""
        self._pending = pending
        self._waiting: Coroutine[Any, Any, Result] | None = None

    async def _wait(self) -> Result:
        await asyncio.wait({self.task})  # to stop waiting does not cancel it
        try:
            return self.task.result()
        except Exception as error:
            waiter = asyncio.current_task()
            if waiter is None or waiter.get_coro() is not self:
                self._pending.see(error)
            else:  # it is a task of this verb alone: whoever looks at its result sees the failure
                self._pending.watch(error, waiter)
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

    __slots__ = ("_last", "_seen", "_unseen", "_waiters", "is_answered")

    def __init__(self) -> None:
        self._last: asyncio.Task[Any] | None = None
        self._seen: Exception | None = None
        self._unseen: Exception | None = None
        self._waiters: list[asyncio.Task[Any]] = []  # they have failed with what is unseen
        self.is_answered: bool = False
        """Whether the answer has left, or is a socket: an unseen failure is logged then."""

    def start(self, fingerprint: str, work: Coroutine[Any, Any, Result]) -> Verb[Result]:
        """Perform the rest of a verb after those that were called before it."""
        task = asyncio.get_running_loop().create_task(self._behind(self._last, work))
        task.add_done_callback(lambda done: self._done(done, fingerprint))
        self._last = task
        return Verb(task, self)

    async def _behind(self, before: "asyncio.Task[Any] | None", work: Coroutine[Any, Any, Result]) -> Result:
        failure: BaseException | None = self.unseen
        if before is not None and not before.done():
            await asyncio.wait({before})
            failure = None if before.cancelled() else before.exception()
        if failure is not None:
            work.close()
            raise failure
        return await work

    def _done(self, task: "asyncio.Task[Any]", fingerprint: str) -> None:
        error = None if task.cancelled() else task.exception()
        if not isinstance(error, Exception) or error is self._seen:
            return
        self._unseen = error
        if self.is_answered:
            self._report(fingerprint, TURNS)

    def _report(self, fingerprint: str, turns: int) -> None:
        if turns:
            asyncio.get_running_loop().call_soon(self._report, fingerprint, turns - 1)
        elif (error := self._take()) is not None:
            log.error("session %s: a verb that nobody awaited failed: %s", fingerprint, error)

    # ---------------------------------------------------------------- failures

    def see(self, error: Exception) -> None:
        """Note that a failure was raised into somebody who waits."""
        self._seen = error
        if error is self._unseen:
            self._unseen = None
            self._waiters.clear()

    def watch(self, error: Exception, waiter: "asyncio.Task[Any]") -> None:
        """Note that a task fails with it, which somebody may look at, or not."""
        if error is self._seen:
            waiter.add_done_callback(_look)
        else:
            self._waiters.append(waiter)

    @property
    def unseen(self) -> Exception | None:
        """The failure that nobody has seen."""
        if self._unseen is not None and any(_is_looked_at(waiter) for waiter in self._waiters):
            self.see(self._unseen)
        return self._unseen

    def _take(self) -> Exception | None:
        """Return the failure that nobody has seen, to tell of it."""
        error = self.unseen
        if error is not None:
            for waiter in self._waiters:
                _look(waiter)
            self.see(error)
        return error

    @property
    def is_clear(self) -> bool:
        """True if no verb is under way, and no failure is unseen."""
        return self.unseen is None and (self._last is None or self._last.done())

    async def settled(self) -> None:
        """Wait for all verbs. Raises a failure that nobody has seen."""
        while self._last is not None and not self._last.done():
            await asyncio.wait({self._last})
        error = self._take()
        if error is not None:
            raise error


def _is_looked_at(task: "asyncio.Task[Any]") -> bool:
    """Return True if the failure of a task was raised, or read: asyncio would not say that it was never retrieved."""
    return task.done() and not task._log_traceback  # noqa: SLF001 # nothing public says so


def _look(task: "asyncio.Task[Any]") -> None:
    """Read the failure of a task: it is reported elsewhere."""
    if task.done() and not task.cancelled():
        task.exception()
