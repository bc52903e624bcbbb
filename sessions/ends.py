"""Owns the way from the verbs to the watch: which sessions of this process end, or go on under another id.

The verbs call `Ends`, which calls a `Watcher` (watch.py) if there is one. A session is named by its key (`key_of`).
"""

from typing import Literal, Protocol, TypeAlias

End: TypeAlias = Literal["ended", "changed"]
"""How a session ends for a socket: it is over, or its visitor goes on under another id that no socket can be given."""


class Watcher(Protocol):
    """Watches sessions, by their keys."""

    def ended(self, key: str, end: End) -> None:
        """End what belongs to a session."""

    def moved(self, key: str, sid: str) -> None:
        """Go on with a session under its new id: it is the same login, which was confirmed."""

    def revoked(self, user: str, handle: str | None, keep: frozenset[str]) -> None:
        """End what belongs to the sessions of a user: to the one with a handle, or to all but those under some keys."""

    def close(self) -> None:
        """Stop watching."""


class Ends:
    """Calls the watcher of one manager's sessions, if there is one."""

    def __init__(self) -> None:
        self.watcher: Watcher | None = None

    def ended(self, key: str, end: End = "ended") -> None:
        """Report that a session has ended, or is about to."""
        if self.watcher is not None:
            self.watcher.ended(key, end)

    def moved(self, key: str, sid: str) -> None:
        """Report that a session goes on under another id."""
        if self.watcher is not None:
            self.watcher.moved(key, sid)

    def revoked(self, user: str, handle: str | None = None, keep: frozenset[str] = frozenset()) -> None:
        """Report that sessions of a user are about to end."""
        if self.watcher is not None:
            self.watcher.revoked(user, handle, keep)
