"""Owns the clock of this project's tests: it begins at a fixed moment, the same for the store, the manager and the jar."""

from sessions.testing import Clock

START = 1_900_000_000_000
"""Milliseconds since the epoch (March 2030): any moment will do, and this one is not the machine's."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class MovableClock(Clock):
    """A clock that begins at START."""

    def __init__(self, now: int = START) -> None:
        super().__init__(now)

    def forward(self, milliseconds: int) -> None:
        """Let time pass."""
        self.advance(milliseconds)
