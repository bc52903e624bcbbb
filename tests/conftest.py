"""Owns what every test may ask for: the movable clock, and how many examples Hypothesis makes.

It puts this folder on the import path, too (`from clock import ...`).
"""

import os
from collections.abc import Iterator

import pytest
from clock import MovableClock
from hypothesis import settings
from stores.redis_server import end_all

settings.register_profile("short", deadline=None, database=None, max_examples=50, derandomize=True)
settings.register_profile("long", deadline=None, database=None, max_examples=2_000)
settings.load_profile(
    "short"
)  # the same in every run: a red test is then the fault of the change; `make properties` takes "long"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Of `-n auto`: more than there are cores, as many tests wait for a server. Each has servers of its own."""
    return min(2 * (os.cpu_count() or 1), 8)


@pytest.fixture
def clock() -> MovableClock:
    """A clock that the test moves."""
    return MovableClock()


@pytest.fixture(scope="session", autouse=True)
def _shared_servers_end() -> Iterator[None]:
    """What tests have started for each other ends with them."""
    yield
    end_all()
