"""Owns the clock: one notion of now, passed in wherever time is read, so that a test can move it."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns the time in milliseconds since the epoch."""


def now_ms() -> int:
    """Return the time of day in milliseconds since the epoch. This is the clock if no other is given."""
    return time.time_ns() // 1_000_000
