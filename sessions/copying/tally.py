"""Owns the numbers of a pass."""

from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

Happened: TypeAlias = Literal["created", "updated", "touched", "removed", "kept", "ended", "refused"]


def is_few(some: int, sessions: int) -> bool:
    """Return True if some of the sessions are under 1 % of them, or none."""
    return some * 100 < sessions or not some


@dataclass(slots=True)
class Tally:
    """What a pass has done, in sessions."""

    read: int = 0
    """Living at FROM, without tombstones."""
    created: int = 0
    updated: int = 0
    touched: int = 0
    """Only their expiry was moved."""
    removed: int = 0
    kept: int = 0
    """Changed at FROM, or gone there; but TO had something newer, which stays."""
    ended: int = 0
    """Found to have ended at TO."""
    refused: int = 0
    """TO cannot keep them."""
    seconds: float = 0.0

    @property
    def changes(self) -> int:
        """How many sessions were made, changed or removed at TO. An expiry that moves signs nobody out or in."""
        return self.created + self.updated + self.removed

    @property
    def is_settled(self) -> bool:
        """True if under 1 % changed."""
        return is_few(self.changes, self.read)

    def count(self, what: Happened, sessions: int = 1) -> None:
        """Add to a number."""
        setattr(self, what, getattr(self, what) + sessions)

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers by their names."""
        return {**asdict(self), "seconds": round(self.seconds, 3)}
