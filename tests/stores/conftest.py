"""Owns the fixtures of the store tests: the test's own loop, and a SQLite store that is open on it."""

import gc
import socket
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock
from tornado.ioloop import IOLoop

from sessions.stores.sqlite import SQLiteStore

from .support import opened


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Async tests run on a loop of their own, also those that ask for no store."""


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


@pytest.fixture
def unused() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def collected() -> Iterator[None]:
    """What a test leaves to the garbage collector is collected at its end, and a socket among it is no warning."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
