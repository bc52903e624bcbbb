"""Owns what every test may ask for: the movable clock, a place without a secret, and that no loop is made unasked.

It also says how many examples Hypothesis makes, on how many processes `make test` runs, and which tests come first.

It puts this folder on the import path, too (`from clock import ...`).
"""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import MovableClock
from hypothesis import Phase, settings
from stores import mongo_server, redis_server

from sessions import SessionOptions, manager, policy, state

asyncio.set_event_loop(None)  # else the first io_loop has asyncio make another, which nobody closes: up to Python 3.13

# The same examples in every run: a red test is then the fault of the change. `make properties` takes "long". `make mutants`
# takes "unshrunk": it is enough that an example fails, and a history that fails may be shrunk for minutes.
settings.register_profile("short", deadline=None, database=None, max_examples=50, derandomize=True)
settings.register_profile("long", deadline=None, database=None, max_examples=2_000)
settings.register_profile("unshrunk", settings.get_profile("short"), phases=[Phase.explicit, Phase.generate])
settings.load_profile("short")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: more than there are cores, as many tests wait for a server. Each has servers of its own."""
    return min(2 * (os.cpu_count() or 1), 8)


LONGEST = ("/web/test_tornados_tests.py", "/test_types.py", "/test_stores_doc.py", "/test_stores_example.py")
"""The files of the tests that take several seconds each: at the end of a run all processes but one would wait for them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest."""
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONGEST))


def _decide_what_is_possible(facts: policy.Facts, options: SessionOptions, *, ends: bool = True) -> policy.Plan:
    """Hold every decision of the suite against what the laws of tests/test_policy.py are proved for."""
    assert policy.possible(facts), facts
    return _decide(facts, options, ends=ends)


_decide = policy.decide
for _module in (policy, manager, state):
    vars(_module)["decide"] = _decide_what_is_possible


@pytest.fixture
def clock() -> MovableClock:
    """A clock that the test moves."""
    return MovableClock()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, empty, and no secret in the environment."""
    monkeypatch.chdir(tmp_path)
    for variable in ("SESSION_SECRET", "SESSION_SECRET_FILE"):
        monkeypatch.delenv(variable, raising=False)
    return tmp_path


@pytest.fixture(scope="session", autouse=True)
def _shared_servers_end() -> Iterator[None]:
    """What tests have started for each other ends with them."""
    yield
    redis_server.end_all()
    mongo_server.end_all()
