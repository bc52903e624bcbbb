"""Owns the age of a session: it ends so long after its creation, whatever is done with it (`absoluteTimeout`).

When it was created stands in the reserved member `__meta` of the stored session, `{"createdAt":1900000000000}`, and
nowhere else: it is the store's, a visitor never sees it. A session without it (born in Node, or before the option was
set) counts from the first time it is seen, and so does one whose moment is no number or lies in the future, where a
clock was wrong. Either is written down at once, so that it counts from then on. That is no 500: the visitor cannot help
it. This file takes texts and times, and must not know sessions, cookies or stores.
"""

from .formats.json_text import dumps, loads
from .validation import is_number


class AbsoluteTimeout:
    """How old one session is. Times are milliseconds since the epoch."""

    __slots__ = ("_created", "_timeout", "is_recorded", "meta")

    def __init__(self, timeout: float, now: int) -> None:
        self._timeout = int(timeout)
        self._created = now
        self.meta: str = dumps({"createdAt": now})
        self.is_recorded: bool = False

    @property
    def ends_at(self) -> int:
        """The moment from which on the session is gone."""
        return self._created + self._timeout

    def read(self, meta: str, now: int) -> None:
        """Take over what a stored session says ("": nothing). What it does not say stays as it is known here."""
        found = loads(meta) if meta else None
        members = found if isinstance(found, dict) else {}
        created = members.get("createdAt")
        self.is_recorded = is_number(created) and created <= now  # type: ignore[operator] # a number, just asked
        if self.is_recorded:
            self._created, self.meta = int(created), meta  # type: ignore[arg-type] # the same
        else:
            self.meta = dumps({**members, "createdAt": self._created})

    def is_touch_due(self, renewed: float, expires_at: int, after: float) -> bool:
        """Whether the stored expiry is to be moved to `renewed`, or to the end; nothing is due where it stands there.

        It stands behind the end where a Node server has moved it, or the timeout was made shorter.
        """
        if renewed < self.ends_at:
            return renewed - expires_at >= after
        return expires_at > self.ends_at or self.ends_at - expires_at >= max(after, 1)
