"""A store that is away when it is to be opened: it is given all the same, unready, and opened as soon as it is there."""

import asyncio
import logging
from typing import Self

import pytest

from sessions import (
    MemoryStore,
    SessionManager,
    SessionOptions,
    StoredSession,
    StoreError,
    StoreUnavailable,
    late_store,
)
from sessions.late_store import LateStore, opened
from sessions.store import is_ready, name_of, overwriting, sweepable

RECORD = StoredSession('{"cookie":{}}', 2**42)
OPTIONS = SessionOptions(secret="of-the-tests-and-as-long-as-a-server-demands", conflict="overwrite")


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is tried again at once."""
    monkeypatch.setattr(late_store, "RETRY_SECONDS", 0)


class Place(MemoryStore):
    """A store that can be opened from the so manieth try on; it does not say whether it is ready."""

    def __init__(self, fails: float = 0, error: type[Exception] = StoreUnavailable) -> None:
        super().__init__()
        self.fails = fails
        self.error = error
        self.opened = 0
        self.closed = 0

    async def __aenter__(self) -> Self:
        self.opened += 1
        if self.opened <= self.fails:
            raise self.error("the place is away")
        return await super().__aenter__()

    async def __aexit__(self, *exc_info: object) -> None:
        self.closed += 1
        await super().__aexit__(*exc_info)


async def test_a_store_that_is_there_is_given_itself() -> None:
    """Nothing wraps it; it is closed at the end, after an error too."""
    place = Place()
    context = opened(place)

    store = await context.__aenter__()
    is_hidden = await context.__aexit__(ZeroDivisionError, ZeroDivisionError(), None)

    assert store is place
    assert not is_hidden
    assert (place.opened, place.closed) == (1, 1)


@pytest.mark.parametrize("error", [StoreUnavailable, StoreError])
async def test_a_store_that_is_away_is_opened_later(caplog: pytest.LogCaptureFixture, error: type[Exception]) -> None:
    """Until then it is not ready, afterwards it is what it is; that it is away and that it is back is a line each."""
    place = Place(fails=3, error=error)

    with caplog.at_level(logging.INFO):
        async with opened(place) as store:
            before = is_ready(store)
            while not is_ready(store):  # noqa: ASYNC110 # it sets no event
                await asyncio.sleep(0)
            made = await store.create("an-id", RECORD)

            assert not before
            assert made is not None
            assert await store.get("an-id") == made
            assert await place.get("an-id") == made

    assert (place.opened, place.closed) == (4, 1)
    assert caplog.messages == ["goes on without the store: the place is away", f"the store is back: {name_of(place)}"]


async def test_what_is_asked_before_it_is_open_is_refused() -> None:
    """As of a store that is away for the moment, so that the answer is a 503."""
    async with opened(Place(fails=float("inf"))) as store:
        writing = overwriting(store)
        assert writing is not None
        for verb in (
            store.get("an-id"),
            store.create("an-id", RECORD),
            store.destroy("an-id"),
            writing.set("an-id", RECORD),
        ):
            with pytest.raises(StoreUnavailable, match="is not open yet"):
                await verb


async def test_it_offers_what_the_store_offers() -> None:
    """A manager can be made of it before it is open, and a sweeper knows whether there is something to sweep."""
    place = Place(fails=float("inf"))

    async with opened(place) as store:
        manager = SessionManager(store, OPTIONS)

        assert not manager.is_ready
        assert sweepable(store) is sweepable(place)
        assert name_of(store) == name_of(place)


async def test_the_end_does_not_wait_for_the_store() -> None:
    """What was never opened is not closed."""
    place = Place(fails=float("inf"))

    async with opened(place) as store:
        assert isinstance(store, LateStore)

    assert place.closed == 0
    assert [task for task in asyncio.all_tasks() if task.get_name() == "session store"] == []


async def test_an_error_of_another_kind_is_no_store_that_is_away() -> None:
    """It is somebody's mistake, and is raised."""
    with pytest.raises(TypeError):
        async with opened(Place(fails=1, error=TypeError)):
            pass


@pytest.mark.parametrize("error", [OSError, TypeError])
async def test_an_error_of_another_kind_later_is_said_and_ends_nothing(
    caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    """The requests are served by then, and the store may still come."""

    class Worse(Place):
        async def __aenter__(self) -> Self:
            if self.opened == 1:
                self.error = error
            return await super().__aenter__()

    place = Worse(fails=2)

    async with opened(place) as store:
        async with asyncio.timeout(10):
            while not is_ready(store):  # noqa: ASYNC110 # it sets no event
                await asyncio.sleep(0)

    assert caplog.messages[1:] == [f"the store cannot be opened: {name_of(place)}"]
    assert [each.exc_info[0] for each in caplog.records if each.exc_info] == [error]
