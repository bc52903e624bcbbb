"""Owns the clock of this project's tests: it begins at a fixed moment, the same for the store, the manager and the jar."""

from collections.abc import Callable

from sessions.testing import Clock

START = 1_900_000_000_000
"""Milliseconds since the epoch (March 2030): any moment will do, and this one is not the machine's."""

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


class MovableClock(Clock):
    """A clock that begins at START. What is not in this process follows it by `follow`."""

    def __init__(self, now: int = START) -> None:
        self._followers: list[Callable[[int], None]] = []
        super().__init__(now)

    @property
    def now(self) -> int:
        """Milliseconds since the epoch; a test may set it."""
        return self._now

    @now.setter
    def now(self, now: int) -> None:
        self._now = now
        for follower in self._followers:
            follower(now)

    def follow(self, follower: Callable[[int], None]) -> None:
        """Call something with the time, at once and whenever the clock is moved."""
        self._followers.append(follower)
        follower(self._now)

    def forward(self, milliseconds: int) -> None:
        """Let time pass."""
        self.advance(milliseconds)
