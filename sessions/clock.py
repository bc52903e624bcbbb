"""Owns the clock: one notion of now, passed in wherever time is read, so that a test can move it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns the time in milliseconds since the epoch."""


def now_ms() -> int:
    """The time of day in milliseconds since the epoch: the clock where none is given."""
    return time.time_ns() // 1_000_000
