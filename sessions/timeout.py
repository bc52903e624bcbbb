"""Owns the limit on how long a call of the store may take. It must not know what is called."""

import asyncio
from collections.abc import Awaitable, Callable
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
        self._ends: dict[asyncio.Task[object] | None, float] = {}  # by the task that waits, in the order of their ends
        self._late: set[asyncio.Task[object]] = set()  # those that were cut off
        self._loop: asyncio.AbstractEventLoop | None = None  # that the timer is of
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, awaitable: Awaitable[Result]) -> Result:
        """Await a call. Raises StoreUnavailable if it takes too long: then it is unknown what the call has done."""
        loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        cancellations = 0 if task is None else task.cancelling()
        self._ends[task] = end = loop.time() + self._seconds
        if self._timer is None or self._loop is not loop:
            self._loop, self._timer = loop, loop.call_at(end, self._ring, loop)
        try:
            return await awaitable
        except asyncio.CancelledError as cancelled:
            if task is None or task not in self._late or task.cancelling() - 1 > cancellations:  # by others as well
                raise
            raise StoreUnavailable(
                f"{str(cancelled) or self._name} did not answer within {self._seconds:g} s;"
                " whether a change was saved is unknown"
            ) from None
        finally:
            del self._ends[task]
            if task is not None and task in self._late:  # whatever the call has made of it
                self._late.discard(task)
                task.uncancel()

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for task, end in self._ends.items():
            if end > loop.time():
                self._timer = loop.call_at(end, self._ring, loop)
                return
            if task is not None and task not in self._late:
                self._late.add(task)
                task.cancel()
