"""Owns the limit on how long a call of the store may take. It must not know what is called."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import Any, TypeAlias, TypeVar

from .errors import StoreUnavailable

Result = TypeVar("Result")

InTime: TypeAlias = Callable[[Awaitable[Any]], Awaitable[Any]]
"""Keeps the deadline of a call of the store, as `Deadline.keep` does."""


class Deadline:
    """Lets no call take longer than a number of seconds, with one timer for all calls that are under way.

    `asyncio.timeout` would set and cancel a timer for each of them, which costs more than many a call.
    """

    def __init__(self, seconds: float, name: str = "the store") -> None:
        self._seconds = seconds
        self._name = name  # of what is called, for the message
        self._futures: deque[tuple[float, asyncio.Future[Any]]] = deque()  # with their ends, in the order of these
        self._ends: dict[asyncio.Task[object] | None, float] = {}  # by the task that waits, in the order of their ends
        self._late: set[asyncio.Task[object]] = set()  # those that were cut off
        self._loop: asyncio.AbstractEventLoop | None = None  # that has set the timer; None: no timer runs

    def keep(self, call: Awaitable[Result]) -> Awaitable[Result]:
        """Return what to await in place of a call. Raises StoreUnavailable there if the call takes too long.

        Then it is unknown what the call has done. A plain Future, as our stores return one, is failed at its deadline,
        which costs next to nothing; whoever resolves it has to ask whether it is done.
        """
        if type(call) is not asyncio.Future:
            return self._keep(call)
        if not call.done():
            loop = call.get_loop()
            end = loop.time() + self._seconds
            if self._loop is not loop:
                self._set_timer(loop, end)
            futures = self._futures
            futures.append((end, call))
            while futures[0][1].done():
                futures.popleft()
        return call

    async def _keep(self, call: Awaitable[Result]) -> Result:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        cancellations = 0 if task is None else task.cancelling()
        self._ends[task] = end = loop.time() + self._seconds
        if self._loop is not loop:
            self._set_timer(loop, end)
        try:
            return await call
        except asyncio.CancelledError as cancelled:
            if task is None or task not in self._late or task.cancelling() - 1 > cancellations:  # by others as well
                raise
            raise self._error(str(cancelled)) from None
        finally:
            del self._ends[task]
            if task is not None and task in self._late:  # whatever the call has made of it
                self._late.discard(task)
                task.uncancel()

    async def keep_rest(self, began: float, rest: Awaitable[Result]) -> Result:
        """Await the rest of a call that began at this moment of the loop's clock. Raises as `keep` does."""
        try:
            async with asyncio.timeout_at(began + self._seconds) as timeout:
                return await rest
        except TimeoutError as error:
            if not timeout.expired():
                raise
            raise self._error(str(error.__cause__ or "")) from None

    def _set_timer(self, loop: asyncio.AbstractEventLoop, end: float) -> None:
        self._loop = loop
        loop.call_at(end, self._ring, loop)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        while self._futures and (self._futures[0][0] <= now or self._futures[0][1].done()):
            _, future = self._futures.popleft()
            if not future.done() and future.get_loop() is loop:
                future.set_exception(self._error())
        for task, end in self._ends.items():
            if end > now:
                break
            if task is not None and task not in self._late:
                self._late.add(task)
                task.cancel()
        ends = [end for end, _ in islice(self._futures, 1)]
        ends += islice((end for end in self._ends.values() if end > now), 1)
        self._loop = None
        if ends:
            self._set_timer(loop, min(ends))

    def _error(self, name: str = "") -> StoreUnavailable:
        return StoreUnavailable(
            f"{name or self._name} did not answer within {self._seconds:g} s; whether a change was saved is unknown"
        )
