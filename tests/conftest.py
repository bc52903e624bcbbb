"""Owns what every test may ask for: the movable clock. It puts this folder on the import path, too (`from clock import ...`)."""

import pytest
from clock import MovableClock


@pytest.fixture
def clock() -> MovableClock:
    """A clock that the test moves."""
    return MovableClock()
