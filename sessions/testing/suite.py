"""Owns what the contracts of this package share: how a store is made, how a coroutine becomes a test, how time passes.

A test is a plain function for pytest, which runs its coroutine on an event loop of its own. It asks pytest for
`tmp_path` and nothing else, and this package imports no pytest.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from ..errors import StoreError
from ..store import Outcome, Store, StoredSession, Update
from ..stores.wrappers import StoreWrapper
from .clock import Clock

LONG = 3_600_000
"""Milliseconds that a session lives which a test expects to be there."""

SOON = 5
"""Milliseconds that a session lives which a test expects to expire. Nothing is expected of it before."""

GRAIN = 1_000
"""Milliseconds by which an expiry may come back changed, less than that.

On a busy machine a reply waits before it is read, and a store that counts the time that is left takes that for life: so
the time that the test has taken is allowed as well.
"""

_began: ContextVar[float] = ContextVar("_began")

Stores = tuple[Store, Store]


class Suite:
    """What a contract runs on: the store that `make_store` returns, empty for each new `place`.

    `make_store` may hand `self.clock` to a store that takes a clock. A store that asks another clock (its server's, the
    machine's) is right as well: `pass_time` moves the suite's clock and sleeps as long.
    """

    shared: ClassVar[bool] = False
    """True if two stores that are made with one place have the same data."""

    many: ClassVar[int] = 300
    """Calls at once where a test wants many, a multiple of six. A database that is slow may have fewer."""

    def make_store(self, place: Path) -> Store:
        """Return a store, not opened, with its data under `place`: an empty folder, or a name for a server's data."""
        raise NotImplementedError

    @cached_property
    def clock(self) -> Clock:
        """The time of this test; it begins at the present moment."""
        return Clock()

    async def pass_time(self, milliseconds: int) -> None:
        """Let time pass on every clock."""
        self.clock.advance(milliseconds)
        await asyncio.sleep((milliseconds + 1) / 1000)

    def record(self, n: int, life: int = LONG) -> StoredSession:
        """Return the nth of many records that differ. It lives for `life` milliseconds from now on."""
        return StoredSession(f'{{"n":{n}}}', self.clock() + life)

    @asynccontextmanager
    async def opened(self, place: Path) -> AsyncIterator[Store]:
        """Open a store at a place while the block runs."""
        async with StoreWrapper(self.make_store(place)) as wrapper:  # which opens a store that can be opened
            yield wrapper.inner

    @asynccontextmanager
    async def opened_twice(self, place: Path) -> AsyncIterator[Stores]:
        """Open two stores on one data while the block runs: twice the same store if the data is not shared."""
        async with self.opened(place) as one:
            if self.shared:
                async with self.opened(place) as two:
                    yield one, two
            else:
                yield one, one


SuiteT = TypeVar("SuiteT", bound=Suite)


def on_store(test: Callable[[SuiteT, Store], Coroutine[Any, Any, None]]) -> Callable[[SuiteT, Path], None]:
    """Make a plain test of a coroutine function that takes an open store."""

    async def opening(self: SuiteT, place: Path) -> None:
        async with self.opened(place) as store:
            await test(self, store)

    return _plain(test, opening)


def on_two_stores(test: Callable[[SuiteT, Stores], Coroutine[Any, Any, None]]) -> Callable[[SuiteT, Path], None]:
    """Make a plain test of a coroutine function that takes two open stores on one data."""

    async def opening(self: SuiteT, place: Path) -> None:
        async with self.opened_twice(place) as stores:
            await test(self, stores)

    return _plain(test, opening)


def _plain(
    test: Callable[..., object], opening: Callable[[SuiteT, Path], Coroutine[Any, Any, None]]
) -> Callable[[SuiteT, Path], None]:
    def run(self: SuiteT, tmp_path: Path) -> None:
        _began.set(time.monotonic())
        with asyncio.Runner() as runner:
            runner.run(opening(self, tmp_path))

    # Not by functools.wraps, through which pytest would see the arguments of the coroutine function.
    run.__name__, run.__qualname__, run.__doc__ = test.__name__, test.__qualname__, test.__doc__
    run.__module__ = test.__module__
    return run


# ---------------------------------------------------------------- what is expected of a store's answers


async def create(store: Store, sid: str, record: StoredSession) -> StoredSession:
    """Create a session under an id that is free. Returns the record that the store has now."""
    return assert_record(await store.create(sid, record), record)


async def kept_or_refused(call: Awaitable[Any]) -> Any:
    """Return what a call returns, or the class StoreError if the store refuses."""
    try:
        return await call
    except StoreError:
        return StoreError


def assert_record(record: StoredSession | None, wanted: StoredSession) -> StoredSession:
    """Assert that a record is there and has a text and an expiry; return it."""
    assert record is not None, f"expected a record with {_short(wanted.data)}, got None"
    assert record.data == wanted.data, f"expected a record with {_short(wanted.data)}, got {_short(record.data)}"
    off = abs(record.expires_at - wanted.expires_at)
    allowed = GRAIN + (time.monotonic() - _began.get()) * 1000
    assert off < allowed, f"expected a record that expires at {wanted.expires_at}, got {record.expires_at}"
    return record


def assert_saved(update: Update, wanted: StoredSession) -> StoredSession:
    """Assert that a write was SAVED and left this record; return the store's record."""
    assert update.outcome is Outcome.SAVED, f"expected SAVED, got {update.outcome.name}"
    return assert_record(update.record, wanted)


def assert_conflict(update: Update, newer: StoredSession) -> StoredSession:
    """Assert that a write was a CONFLICT and brought this newer record; return the store's record."""
    assert update.outcome is Outcome.CONFLICT, f"expected CONFLICT, got {update.outcome.name}"
    return assert_record(update.record, newer)


def assert_gone(update: Update) -> None:
    """Assert that a write found no session."""
    assert update.outcome is Outcome.GONE, f"expected GONE, got {update.outcome.name}"
    assert update.record is None, "expected no record with GONE"


def assert_taken(update: Update) -> None:
    """Assert that a rename found a row under the new id."""
    assert update.outcome is Outcome.TAKEN, f"expected TAKEN, got {update.outcome.name}"
    assert update.record is None, "expected no record with TAKEN"


def _short(text: str) -> str:
    return ascii(text[:80])
