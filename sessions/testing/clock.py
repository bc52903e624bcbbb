"""Owns the clock of a test: a `sessions.clock.Clock` that does not move until the test moves it."""

from ..clock import now_ms


class Clock:
    """A clock in milliseconds since the epoch, for every `clock=` of this library. It begins at the present moment."""

    def __init__(self, now: int | None = None) -> None:
        self.now: int = now_ms() if now is None else now
        """Milliseconds since the epoch; a test may set it."""

    def __call__(self) -> int:
        """Return the time in milliseconds since the epoch."""
        return self.now

    def advance(self, milliseconds: int) -> None:
        """Let time pass; a negative number turns the clock back."""
        self.now += milliseconds
