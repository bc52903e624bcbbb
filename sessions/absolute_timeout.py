"""Owns the absolute end of a session, however it is used: `absoluteTimeout` after its creation, or `endsAt`.

Both moments are members of `__meta` (meta.py). `endsAt` is the end that a sign-in has set ("remember me"); of two ends
the earlier one counts. `createdAt` is the moment of creation. A session without it (made by Node, or before the option
was set) counts from the first request that reads it. So does a session with a moment that is no number, or that is in
the future because a clock was wrong. In both cases the new moment is written down at once, so that it counts from then
on. The answer is no 500, because it is not the visitor's fault.
"""

from .meta import Meta
from .stored_cookie import LAST_MOMENT
from .validation import is_number


class AbsoluteTimeout:
    """When one session ends. Times are milliseconds since the epoch; `timeout` is None without `absoluteTimeout`."""

    __slots__ = ("_timeout", "created", "is_recorded", "remembered_until")

    def __init__(self, timeout: float | None, now: int) -> None:
        self._timeout = None if timeout is None else int(timeout)
        self.created: int = now
        """The moment of its creation, as far as it is known."""
        self.is_recorded: bool = timeout is None
        """Whether the store has that moment, if it has to."""
        self.remembered_until: int = LAST_MOMENT
        """The end that a sign-in has set."""

    def until(self, moment: int) -> "AbsoluteTimeout":
        """Return the same with another end that a sign-in has set."""
        other = AbsoluteTimeout(self._timeout, self.created)
        other.is_recorded, other.remembered_until = self.is_recorded, moment
        return other

    @property
    def ends_at(self) -> int:
        """The moment from which on the session is gone."""
        if self._timeout is None:
            return self.remembered_until
        return min(self.created + self._timeout, self.remembered_until)

    @property
    def to_record(self) -> int | None:
        """The moment of creation, if the store has to have it."""
        return None if self._timeout is None else self.created

    def read(self, meta: Meta, now: int) -> None:
        """Take over what a stored session says. What it does not say stays as it is known here."""
        ends = meta.get("endsAt")
        self.remembered_until = int(ends) if is_number(ends) else LAST_MOMENT  # type: ignore[arg-type] # a number, just asked
        if self._timeout is None:
            return
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
