"""Owns the fixtures of the tests of the command line: a store of each kind."""

from collections.abc import Callable
from pathlib import Path

import pytest

from .support import KINDS, Place


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine has in its environment names no store, no secret and no zone."""
    for name in ("SESSION_STORE", "SESSION_SECRET", "SESSION_SECRET_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty store of each kind, which knows the user by the key `username`."""
    return Place(request.param, tmp_path)


@pytest.fixture
def sqlite(tmp_path: Path) -> Callable[..., Place]:
    """`sqlite(*lines)` → an empty SQLite store; the lines are options of [session]."""
    return lambda *lines: Place("sqlite", tmp_path, *lines)
