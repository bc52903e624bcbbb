"""Owns the fixtures of the trips: a world for each store, and the log that is read after every trip."""

import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clock import MovableClock
from stores.redis_server import shared_server
from stores.redis_time import redis_store
from stores.support import mongodb, postgres, postgres_of_peers
from tornado.ioloop import IOLoop

from sessions import Store, open_store

from .ends import PAGE
from .world import MARK, SECRET, World


class Logbook(logging.Handler):
    """Everything that was logged, at any level, by anybody."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._entries: list[tuple[str, int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text, and let go of what the traceback holds: what nobody has awaited is to be noticed in its trip."""
        self._entries.append((record.name, record.levelno, self.format(record)))
        record.exc_info = None  # its text stays in the record for pytest's own report

    def lines(self, logger: str = "", *, level: int = logging.DEBUG) -> list[str]:
        """The messages of a logger and those below it, with their tracebacks."""
        return [
            text
            for name, levelno, text in self._entries
            if levelno >= level and (name == logger or name.startswith(f"{logger}." if logger else ""))
        ]


@pytest.fixture
def logbook() -> Iterator[Logbook]:
    """What is logged in this trip."""
    root, book = logging.getLogger(), Logbook()
    level = root.level
    root.addHandler(book)
    root.setLevel(logging.DEBUG)
    yield book
    root.removeHandler(book)
    root.setLevel(level)


KINDS = ["memory"]
"""The stores of every trip that does not choose its own. That stores are alike is what the contract suite shows."""

MORE_KINDS = {
    **dict.fromkeys(("test_ended", "test_mutate"), ("sqlite", "redis", "postgres", "mongodb")),
    **dict.fromkeys(("test_cookie_values", "test_cookie_values_copied"), ("sqlite",)),
    "test_cookie_values_parallel": ("sqlite", "redis", "redis_itself", "postgres", "jsonb"),
    **dict.fromkeys(("test_parallel", "test_rotate"), ("sqlite", "redis", "postgres", "jsonb", "mongodb")),
    "test_sign_in": ("sqlite", "redis_itself", "postgres", "mongodb"),
    "test_sign_in_limit": ("sqlite", "redis_itself", "postgres", "mongodb"),
    "test_touch": ("jsonb",),
    "test_socket_watch": ("sqlite", "redis_itself", "postgres", "mongodb"),
    **dict.fromkeys(("test_finishing", "test_large", "test_neighbours", "test_streams"), ("sqlite",)),
    **dict.fromkeys(("test_phases", "test_phases_commit", "test_phases_connection"), ("sqlite",)),
}
"""Further ones: of trips in which requests meet in the store, and of those in which it matters when a store answers.

"jsonb" is PostgreSQL with a table that keeps values and no texts; "redis_itself" is not in the suite's time, and has all
powers.
"""


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The store of the trip."""
    return str(request.param)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make every trip with each store, where it does not choose its own."""
    chosen = {name for mark in metafunc.definition.iter_markers("parametrize") for name in _names(mark.args[0])}
    if "kind" in metafunc.fixturenames and "kind" not in chosen:
        kinds = [*KINDS, *MORE_KINDS.get(metafunc.module.__name__.rpartition(".")[2], ())]
        metafunc.parametrize("kind", kinds, indirect=True)


def _names(given: str | list[str] | tuple[str, ...]) -> list[str]:
    return [name.strip() for name in given.split(",")] if isinstance(given, str) else list(given)


@pytest.fixture
def make_store(kind: str, request: pytest.FixtureRequest, clock: MovableClock) -> Callable[[], Store]:
    """Makes stores that share their data. A memory's data is the store itself."""
    if kind == "memory":
        memory = open_store("memory:", clock=clock)
        return lambda: memory
    tmp_path: Path = request.getfixturevalue("tmp_path")  # of 1,500 trips on memory none needs a folder
    if kind == "redis_itself":
        shared_server().command("FLUSHALL")
    makers: dict[str, Callable[[], Store]] = {
        "postgres": lambda: postgres(tmp_path, clock),
        "jsonb": lambda: postgres_of_peers(tmp_path, clock),
        "mongodb": lambda: mongodb(tmp_path, clock),
        "redis_itself": lambda: open_store(shared_server().url, clock=clock),
        "redis": lambda: redis_store(tmp_path, clock),
        "sqlite": lambda: open_store(f"sqlite:{tmp_path / 'sessions.db'}", clock=clock, durability="normal"),
    }
    return makers[kind]


@pytest.fixture
def world(io_loop: IOLoop, logbook: Logbook, make_store: Callable[[], Store], clock: MovableClock) -> Iterator[World]:
    """Where the trip takes place. At its end nobody may wait any more, and the log must be clean."""
    world = World(make_store, clock)
    gc.disable()  # so that all that the trip makes is young at its end, and only that has to be looked through
    try:
        yield world
        io_loop.run_sync(world.close)
        gc.collect(0)  # a task with an exception that nobody has looked at says so only now
    finally:
        gc.enable()
    check_log(logbook, world.sids)


def check_log(logbook: Logbook, sids: set[str]) -> None:
    """No secret, id or data at any level, and nothing that was overlooked."""
    text = "\n".join(logbook.lines())
    for hidden in {SECRET, MARK, *(sid for sid in sids if len(sid) > 8)}:
        assert hidden not in text, f"the log shows {hidden}"
    assert logbook.lines("asyncio", level=logging.ERROR) == []


@pytest.fixture
def serve(world: World) -> Any:
    """What starts a site, given pages and options of SessionOptions."""
    return world.serve


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """Application settings under which the pages of `ends` find their template."""
    (tmp_path / PAGE).write_text("{{ word }}")
    return {"template_path": str(tmp_path)}


memory_only = pytest.mark.parametrize("kind", ["memory"], indirect=True)
"""For trips in which the store does not matter."""

sqlite_only = pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
"""For trips in which the file matters."""
