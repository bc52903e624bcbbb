"""Owns the movable clock: the one notion of now that a test hands to the store, the manager and the visitor's jar."""

START = 1_900_000_000_000
"""Milliseconds since the epoch (March 2030): any moment will do, and this one is not the machine's."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class MovableClock:
    """A `sessions.clock.Clock` that stands still until it is moved."""

    def __init__(self, now: int = START) -> None:
        self.now = now

    def __call__(self) -> int:
        """Milliseconds since the epoch."""
        return self.now

    def forward(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now += milliseconds
