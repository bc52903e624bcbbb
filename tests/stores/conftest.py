"""Owns the table of the stores under contract, and the fixtures that open them on the test's own loop and clock."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from clock import MovableClock
from tornado.ioloop import IOLoop

from sessions.stores.memory import MemoryStore
from sessions.stores.sqlite import SQLiteStore


class Entry(NamedTuple):
    """How a store is made in a folder; whether its data is shared between processes; whether it wants a sweeper."""

    make: Callable[[Path, MovableClock], Any]
    shared: bool
    sweeps: bool


STORES = {
    "memory": Entry(lambda _, clock: MemoryStore(clock=clock), shared=False, sweeps=True),
    "sqlite": Entry(lambda folder, clock: SQLiteStore(folder / "sessions.db", clock=clock), shared=True, sweeps=True),
}
"""A new store adds its line here, and nothing to the contract suite."""


@contextmanager
def opened(loop: IOLoop, store: Any) -> Iterator[Any]:
    """The store, open while the block runs on the loop."""
    loop.run_sync(store.__aenter__)
    try:
        yield store
    finally:
        loop.run_sync(partial(store.__aexit__, None, None, None))


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Async tests run on a loop of their own, also those that ask for no store."""


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[Any]:
    """Each store in turn, open and empty."""
    with opened(io_loop, STORES[request.param].make(tmp_path, clock)) as store:
        yield store


@pytest.fixture(params=[name for name, entry in STORES.items() if entry.sweeps])
def swept(request: pytest.FixtureRequest, io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[Any]:
    """Each store that leaves its expired sessions to the sweeper."""
    with opened(io_loop, STORES[request.param].make(tmp_path, clock)) as store:
        yield store


@pytest.fixture(params=[name for name, entry in STORES.items() if entry.shared])
def pair(request: pytest.FixtureRequest, io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[tuple[Any, Any]]:
    """Two store objects on the same data, as two processes have them."""
    with ExitStack() as stack:
        make = STORES[request.param].make
        yield tuple(stack.enter_context(opened(io_loop, make(tmp_path, clock))) for _ in range(2))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a test of SQLite's own keeps its file; not made yet."""
    return tmp_path / "sessions.db"
