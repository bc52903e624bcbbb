"""Owns the absolute timeout: a session ends a fixed time after its creation, however it is used (`absoluteTimeout`).

Its moment of creation is the member `createdAt` of `__meta` (meta.py). A session without it (made by Node, or before
the option was set) counts from the first request that reads it. So does a session with a moment that is no number, or
that is in the future because a clock was wrong. In both cases the new moment is written down at once, so that it counts
from then on. The answer is no 500, because it is not the visitor's fault.
"""

from typing import Any

from .meta import Meta
from .options import SessionOptions
from .validation import is_number


class AbsoluteTimeout:
    """When one session ends. Times are milliseconds since the epoch."""

    __slots__ = ("_timeout", "created", "is_recorded")

    def __init__(self, timeout: float, now: int) -> None:
        self._timeout = int(timeout)
        self.created: int = now
        """The moment of its creation, as far as it is known."""
        self.is_recorded: bool = False
        """Whether the store has that moment."""

    @property
    def ends_at(self) -> int:
        """The moment from which on the session is gone."""
        return self.created + self._timeout

    def read(self, meta: Meta, now: int) -> None:
        """Take over what a stored session says. What it does not say stays as it is known here."""
        created = meta.get("createdAt")
        self.is_recorded = is_number(created) and created <= now  # type: ignore[operator] # a number, just asked
        if self.is_recorded:
            self.created = int(created)  # type: ignore[arg-type] # the same

    def is_touch_due(self, renewed: float, expires_at: int, after: float) -> bool:
        """Return True if the stored expiry is to be moved to `renewed`, or to the end; False if it is there already.

        It is later than the end if a Node server has moved it, or if the timeout was made shorter.
        """
        if renewed < self.ends_at:
            return renewed - expires_at >= after
        return expires_at > self.ends_at or self.ends_at - expires_at >= max(after, 1)


def is_touch_due(
    options: SessionOptions, lifetime: Any, expires_at: int, now: int, timeout: AbsoluteTimeout | None
) -> bool:
    """Return True if enough of the lifetime has passed (`touchAfter`) that a read renews it.

    `lifetime` is the cookie's originalMaxAge; if it is no number, the `ttl` counts.
    """
    lives = lifetime if lifetime is not None and is_number(lifetime) else options.ttl
    after = options.touch_after
    if after is None:
        after = 0 if options.rolling else lives / 20
    if timeout is not None:
        return timeout.is_touch_due(now + lives, expires_at, after)
    return bool(now + lives - expires_at >= after)
