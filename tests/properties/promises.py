"""Owns what is promised of one sign-in: the values that it may hold, whether it may live, and where its ids lead."""

import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Write:
    """A value that may be under a key (None: no value), from when, and since when for sure."""

    value: Any
    start: int
    end: float = math.inf
    is_sure: bool = False


@dataclass(eq=False)
class Generation:
    """What is promised about the data of one sign-in."""

    mark: int
    writes: dict[str, list[Write]] = field(default_factory=lambda: defaultdict(lambda: [Write(None, 0, 0, True)]))
    counted: list[int] = field(default_factory=lambda: [0, 0])
    """Increments by `mutate`: those that are sure, and all."""
    dead_since: int | None = None
    is_sure: bool = False
    """Whether a session of it was surely stored."""
    stored_since: float = math.inf
    is_shaky: bool = False
    """Whether it may have ended: a sign-out without an answer, an expiry."""
    is_blurred: bool = False
    """Whether Node has written over it while requests were under way: nothing is demanded."""
    is_unreached: bool = False
    """Whether its id was renewed before it was stored: the tombstone of the id before leads to none."""
    next: "Generation | None" = None
    """Where the tombstone of its last id leads; None if of several logins any may have left it."""
    has_left: bool = False
    """Whether a login has begun another session in its place."""
    begun: "list[Generation]" = field(default_factory=list)
    """Those that a login under one of its ids has begun, or tried to, and what Node has written over them."""

    def everything_begun(self) -> "set[Generation]":
        """Itself, all that came of it, and where its tombstones lead."""
        found: set[Generation] = set()
        waiting = [self]
        while waiting:
            one = waiting.pop()
            if one not in found:
                found.add(one)
                waiting += one.begun if one.next is None else [*one.begun, one.next]
        return found

    def allowed(self, key: str) -> list[Any]:
        """What may be under a key now."""
        writes = self.writes[key]
        return [each.value for each in writes if not any(other.is_sure and other.start > each.end for other in writes)]


@dataclass
class Cover:
    """A tombstone: when it was there, the earliest moment at which it may end, and whether Node has filled it."""

    since: int
    until: int
    is_filled: bool = False
