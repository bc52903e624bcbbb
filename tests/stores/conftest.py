"""Owns the fixtures of the store tests: each store in turn, open on the test's own loop and clock."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock
from tornado.ioloop import IOLoop

from sessions.stores.sqlite import SQLiteStore

from .support import STORES, opened


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
def pair(
    request: pytest.FixtureRequest, io_loop: IOLoop, tmp_path: Path, clock: MovableClock
) -> Iterator[tuple[Any, Any]]:
    """Two store objects on the same data, as two processes have them."""
    with ExitStack() as stack:
        make = STORES[request.param].make
        yield tuple(stack.enter_context(opened(io_loop, make(tmp_path, clock))) for _ in range(2))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Where a test of SQLite's own keeps its file; not made yet."""
    return tmp_path / "sessions.db"


@pytest.fixture
def sqlite(io_loop: IOLoop, database: Path, clock: MovableClock) -> Iterator[SQLiteStore]:
    """The SQLite store, open, with a short patience for locks."""
    with opened(io_loop, SQLiteStore(database, busy_timeout=100, clock=clock)) as store:
        yield store


@pytest.fixture
def connections(monkeypatch: pytest.MonkeyPatch) -> list[aiosqlite.Connection]:
    """The connections that are opened through aiosqlite from now on, in the order in which they are made."""
    made: list[aiosqlite.Connection] = []
    connect = aiosqlite.connect

    def noting(*arguments: Any, **options: Any) -> aiosqlite.Connection:
        made.append(connect(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(aiosqlite, "connect", noting)
    return made
