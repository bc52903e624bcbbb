"""The watch: how many sessions it asks for at a time, how often, and that one that fails stops no other."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from clock import DAY

from sessions import CookieOptions, MemoryStore, SessionManager, SessionOptions, StoredSession, StoreError, StoreWrapper
from sessions.ends import End
from sessions.formats.signing import new_id
from sessions.stored_cookie import StoredCookie
from sessions.watch import AT_ONCE, Watch, Watched, watch_of

SECONDS = 60
DATA = '{"cookie":{"originalMaxAge":86400000,"expires":null,"path":"/"},"n":1}'
INTERVAL = 100
"""A `watchInterval` in milliseconds."""


class CountingStore(StoreWrapper):
    """Notes the questions, in steps: those that wait together. It takes a moment for each."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.asked: list[tuple[float, str]] = []
        self.waiting = self.most = 0
        self.broken: set[str] = set()

    async def get(self, sid: str) -> StoredSession | None:
        self.asked.append((asyncio.get_running_loop().time(), sid))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        try:
            await asyncio.sleep(0.001)
        finally:
            self.waiting -= 1
        if sid in self.broken:
            raise StoreError("this one is broken")
        return await super().get(sid)


class Stage:
    """A manager, its store, its watch, and what has ended."""

    def __init__(self, manager: SessionManager, store: CountingStore) -> None:
        self.manager, self.store = manager, store
        self.watch: Watch = watch_of(manager)
        self.ended: list[tuple[str, End]] = []
        self.watched: list[Watched] = []

    async def add(self, count: int) -> list[str]:
        """Watch so many sessions. Returns their ids."""

        def generate() -> Any:
            return new_id(), StoredCookie.new(CookieOptions(max_age=DAY), self.manager.clock, is_secure=lambda: False)

        sids = [new_id() for _ in range(count)]
        for sid in sids:
            await self.store.inner.create(sid, StoredSession(DATA, self.manager.clock() + DAY))
            state = await self.manager.load([sid], generate)
            self.watched.append(self.watch.add(state, partial(self._note, sid)))
        self.store.asked.clear()
        self.store.most = 0
        return sids

    def _note(self, sid: str, end: End) -> None:
        self.ended.append((sid, end))

    async def until(self, condition: Any) -> None:
        """Wait."""
        async with asyncio.timeout(SECONDS):
            while not condition():  # noqa: ASYNC110 # of a store, which has no event for it
                await asyncio.sleep(0.001)


@asynccontextmanager
async def stage(interval: float = INTERVAL) -> AsyncIterator[Stage]:
    """Watch until the test is over."""
    store = CountingStore()
    manager = SessionManager(store, SessionOptions(secret="of the tests of the watch " * 2, watch_interval=interval))
    site = Stage(manager, store)
    yield site
    await manager.close()
    assert not site.watch.is_asking


async def test_at_most_so_many_are_asked_for_at_a_time() -> None:
    """One step under way at once."""
    async with stage() as site:
        await site.add(5 * AT_ONCE)

        await site.until(lambda: len(site.store.asked) > 10 * AT_ONCE)

    assert site.store.most <= AT_ONCE


async def test_each_session_is_asked_for_once_in_the_interval() -> None:
    """Give or take what makes a step of several; none is left out."""
    async with stage(400) as site:
        sids = await site.add(3 * AT_ONCE)
        await site.until(lambda: {sid for _, sid in site.store.asked} == set(sids))
        site.store.asked.clear()

        await site.until(lambda: len(site.store.asked) >= 6 * AT_ONCE)

        times: dict[str, list[float]] = {}
        for moment, sid in site.store.asked:
            times.setdefault(sid, []).append(moment)
    gaps = [later - sooner for each in times.values() for sooner, later in itertools.pairwise(each)]
    assert set(times) == set(sids)
    assert min(gaps) > 0.25


async def test_two_sockets_of_a_session_are_one_question() -> None:
    """And both end."""
    async with stage() as site:
        (sid,) = await site.add(1)
        state = site.watched[0].state
        site.watch.add(state, lambda end: site.ended.append((sid, end)))

        await site.until(lambda: len(site.store.asked) > 3)
        most = site.store.most
        await site.store.inner.destroy(sid)
        await site.until(lambda: len(site.ended) == 2)

    assert most == 1
    assert site.ended == [(sid, "ended"), (sid, "ended")]


async def test_a_row_that_the_store_refuses_stops_no_other() -> None:
    """It ends nothing, and its neighbour in the step ends."""
    async with stage() as site:
        broken, good = await site.add(2)
        site.store.broken.add(broken)

        await site.store.inner.destroy(broken)
        await site.store.inner.destroy(good)
        await site.until(lambda: site.ended)

    assert site.ended == [(good, "ended")]


async def test_what_ends_while_the_store_is_asked_ends_once() -> None:
    """The answer that comes behind it changes nothing."""
    async with stage() as site:
        (sid,) = await site.add(1)
        await site.until(lambda: site.store.waiting)

        await site.store.inner.destroy(sid)
        site.manager.ends.ended(sid)
        await site.until(lambda: not site.store.waiting)

    assert site.ended == [(sid, "ended")]


async def test_whoever_is_removed_is_not_ended() -> None:
    """And the task ends with the last one; to remove it twice is no error."""
    async with stage() as site:
        (sid,) = await site.add(1)

        site.watch.remove(site.watched[0])
        site.watch.remove(site.watched[0])
        site.manager.ends.ended(sid)
        is_asking = site.watch.is_asking

    assert (site.ended, len(site.watch), is_asking) == ([], 0, False)


async def test_the_end_of_one_may_open_another() -> None:
    """A handler that reacts at once: the task goes on, or begins again."""
    async with stage() as site:
        first, second = await site.add(2)
        site.watch.remove(site.watched[1])
        site.watched[0].on_end = lambda _: site.watch._put(site.watched[1])  # as `add` does

        await site.store.inner.destroy(first)
        await site.until(lambda: second in site.watch.keys)
        await site.store.inner.destroy(second)
        await site.until(lambda: site.ended)

    assert site.ended == [(second, "ended")]


async def test_ten_thousand_that_come_and_go_leave_nothing() -> None:
    """No task, no timer, no id."""
    async with stage() as site:
        await site.add(1)
        state = site.watched[0].state
        site.watch.remove(site.watched[0])

        for _ in range(10_000):
            site.watch.remove(site.watch.add(state, lambda _: None))
            if site.watch.is_asking:
                break
        await asyncio.sleep(0)

        left = [task for task in asyncio.all_tasks() if "Watch" in repr(task.get_coro())]
    assert (len(site.watch), site.watch.keys, left) == (0, frozenset(), [])
