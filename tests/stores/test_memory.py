"""The limits of the store in memory: by sessions and by bytes, and nobody is signed out by either."""

import gc

import pytest
from clock import MINUTE, START, MovableClock

from sessions import MemoryStore, Outcome, StoredSession, StoreUnavailable

MOST = 10_000


def record(size: int, expires_at: int = START + MINUTE) -> StoredSession:
    """A session of about so many bytes."""
    return StoredSession("x" * size, expires_at)


async def filled(clock: MovableClock) -> MemoryStore:
    """A store that holds two sessions of 4,000 bytes, of 10,000."""
    store = MemoryStore(max_bytes=MOST, clock=clock)
    for sid in ("a", "b"):
        await store.create(sid, record(4_000))
    return store


async def test_a_session_that_does_not_fit_is_refused(clock: MovableClock) -> None:
    """Those that are there stay."""
    store = await filled(clock)

    with pytest.raises(StoreUnavailable, match="maxBytes is 10000"):
        await store.create("c", record(4_000))

    assert await store.length() == 2
    assert await store.create("d", record(500)) is not None


async def test_a_refused_session_is_let_go(clock: MovableClock) -> None:
    """A flood that meets a full store leaves nothing to the garbage collector."""
    store = await filled(clock)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            with pytest.raises(StoreUnavailable):
                await store.create("c", record(4_000))
        assert gc.collect() == 0
    finally:
        gc.enable()


@pytest.mark.parametrize("verb", ["update", "rename", "set"])
async def test_a_session_that_grows_too_large_stays_as_it_was(clock: MovableClock, verb: str) -> None:
    """Its visitor is still signed in."""
    store = await filled(clock)
    large, small = record(8_000), record(4_000)
    arguments = {"update": ("a", large, small), "rename": ("a", "c", large, small), "set": ("a", large)}[verb]

    with pytest.raises(StoreUnavailable, match="maxBytes"):
        await getattr(store, verb)(*arguments)

    assert await store.get("a") == record(4_000)


class TickingClock(MovableClock):
    """A clock on which time passes whenever it is read."""

    def __call__(self) -> int:
        self.advance(1)
        return super().__call__()


@pytest.mark.parametrize("verb", ["update", "rename", "set"])
async def test_a_session_that_expires_while_it_grows_is_written(verb: str) -> None:
    """The verb finds it alive, and drops it to make room; its text counts once."""
    clock = TickingClock()
    store = await filled(clock)
    clock.now = START + MINUTE - 2
    old, new = record(4_000), record(8_000, START + 2 * MINUTE)
    arguments = {"update": ("a", new, old), "rename": ("a", "c", new, old), "set": ("a", new)}[verb]

    await getattr(store, verb)(*arguments)

    assert [kept async for _, kept in store.all()] == [new]
    assert await store.create("d", record(1_800, START + 2 * MINUTE)) is not None
    with pytest.raises(StoreUnavailable, match="maxBytes"):
        await store.create("e", record(100))


async def test_a_session_that_shrinks_is_taken_by_a_full_store(clock: MovableClock) -> None:
    """And makes room for another."""
    store = await filled(clock)

    update = await store.update("a", record(10), record(4_000))

    assert update.outcome is Outcome.SAVED
    assert await store.create("c", record(4_000)) is not None


@pytest.mark.parametrize("end", ["destroy", "expiry", "sweep", "clear", "rename"])
async def test_what_has_ended_takes_no_room(clock: MovableClock, end: str) -> None:
    """However it ended."""
    store = await filled(clock)
    match end:
        case "destroy":
            await store.destroy("a")
        case "clear":
            await store.clear()
        case "rename":
            await store.rename("a", "c", record(10), record(4_000))
        case _:
            clock.forward(MINUTE)
            if end == "sweep":
                await store.sweep(10)

    assert await store.create("d", record(4_000)) is not None


async def test_a_full_store_renames_without_a_tombstone(clock: MovableClock) -> None:
    """A login needs no room."""
    store = await filled(clock)

    update = await store.rename("a", "c", record(4_000), record(4_000), record(3_000))

    assert update.outcome is Outcome.SAVED
    assert await store.get("a") is None
