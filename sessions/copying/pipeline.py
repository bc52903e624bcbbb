"""Owns the way of many sessions side by side: a bounded queue before some tasks, and calls that a store gathers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Self, TypeVar

from ..store import Store, StoredSession

Item = TypeVar("Item")
Result = TypeVar("Result")


async def side_by_side(calls: Iterable[Awaitable[Result]]) -> list[Result]:
    """Return what calls of one moment return, which a store makes in batches. All end before one's error is raised."""
    results: list[Result] = []
    for outcome in await asyncio.gather(*calls, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
        results.append(outcome)
    return results


async def asked(store: Store, keys: Iterable[str]) -> dict[str, StoredSession]:
    """Return the living records under some keys."""
    keys = list(keys)
    found = await side_by_side(store.get(key) for key in keys)
    return {key: record for key, record in zip(keys, found, strict=True) if record is not None}


class Pipeline(Generic[Item]):
    """Works on at most so many items at a time, `async with` it; `put` waits for room.

    What `work` raises is raised by the next `put`, or at the end.
    """

    def __init__(self, work: Callable[[Item], Awaitable[None]], most: int) -> None:
        self._work = work
        self._room = asyncio.Semaphore(most)
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: Exception | None = None

    async def __aenter__(self) -> Self:
        return self

    async def put(self, item: Item) -> None:
        """Begin to work on an item, as soon as there is room."""
        await self._room.acquire()
        self._raise()
        task = asyncio.create_task(self._run(item))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        tasks = list(self._tasks)
        if kind is not None:
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if kind is None:
            self._raise()

    async def _run(self, item: Item) -> None:
        try:
            await self._work(item)
        except Exception as error:  # noqa: BLE001 # whoever gives the next item gets it
            self._error = error
        finally:
            self._room.release()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
