"""Owns the limit on how long a call of the store may take. It must not know what is called."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from .errors import StoreUnavailable

Result = TypeVar("Result")


class Deadline:
    """Lets no call take longer than so many seconds, with one timer for all calls that are under way.

    `asyncio.timeout` would set and cancel a timer for each of them, which costs more than many a call.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._calls: dict[_Call, None] = {}  # in the order in which they end
        self._timer: asyncio.TimerHandle | None = None

    async def keep(self, awaitable: Awaitable[Result]) -> Result:
        """Await a call. Raises StoreUnavailable where it takes too long: what it has done by then is unknown."""
        loop = asyncio.get_running_loop()
        call = _Call(asyncio.current_task(loop), loop.time() + self._seconds)
        self._calls[call] = None
        if self._timer is None:
            self._timer = loop.call_at(call.end, self._ring, loop)
        try:
            return await awaitable
        except asyncio.CancelledError:
            if not call.is_late or call.task is None or call.task.uncancel() > call.cancelling:
                raise
            raise StoreUnavailable(
                f"the store did not answer within {self._seconds:g} s; whether a change was saved is unknown"
            ) from None
        finally:
            del self._calls[call]

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        for call in self._calls:
            if call.end > loop.time():
                self._timer = loop.call_at(call.end, self._ring, loop)
                return
            if not call.is_late and call.task is not None:
                call.is_late = True
                call.task.cancel()


class _Call:
    __slots__ = ("cancelling", "end", "is_late", "task")

    def __init__(self, task: "asyncio.Task[object] | None", end: float) -> None:
        self.task = task
        self.end = end
        self.cancelling = 0 if task is None else task.cancelling()
        self.is_late = False
