"""Owns the merge: one request's changes applied to the newer data that another request has stored meanwhile.

Data is compared as JSON text, key by key at the top: 1 differs from True there. Many keys are compared by pieces
(the text of a piece is made in one go), so the cost is in the keys that differ. This file must not know where the
data comes from.
"""

from collections.abc import Callable, Iterator
from itertools import takewhile
from operator import eq
from typing import Any, NamedTuple, TypeAlias

from . import flash
from .errors import DataError
from .formats import json_text

Data: TypeAlias = dict[str, Any]

_PIECES = 64
"""Into how many pieces keys are divided if their values differ somewhere."""

_SCALARS = frozenset((str, int, float, bool, type(None)))

RESOLVERS: dict[str, Callable[[Any, Any, Any], Any]] = {flash.KEY: flash.merged}
"""By key, what merges the value itself, of what was loaded, mine and theirs. None is a key that is not there."""


class Changes(NamedTuple):
    """What one request has done to the data that it has loaded."""

    assigned: list[str]
    """The keys with a value that differs from what was loaded, or that are new."""
    deleted: set[str]

    def __bool__(self) -> bool:
        return bool(self.assigned or self.deleted)


def changes(loaded: Data, mine: Data) -> Changes:
    """Return the keys that were set and deleted between the two."""
    both = _paired(mine, loaded)
    return Changes([*_differing(both.keys, both.ones, both.others), *both.added], set(both.missing))


def merged(change: Changes, loaded: Data, mine: Data, theirs: Data) -> tuple[Data, Changes]:
    """Apply the changes that led from `loaded` to `mine` to `theirs`. Returns that, and how it differs from `theirs`.

    `theirs` is used up. What a handler holds of `mine` stays what it holds, as long as it is the same.
    """
    change, mine = _resolved(change, loaded, mine, theirs)
    again = [key for key in change.assigned if key in theirs]
    differing = set(_differing(again, [mine[key] for key in again], [theirs[key] for key in again]))
    left = Changes(
        [key for key in change.assigned if key not in theirs or key in differing], change.deleted & theirs.keys()
    )
    result = restored(mine, theirs)
    for key in left.deleted:
        del result[key]
    result.update((key, mine[key]) for key in left.assigned)
    return result, left


def _resolved(change: Changes, loaded: Data, mine: Data, theirs: Data) -> tuple[Changes, Data]:
    """Return the changes, and what they lead to, after the resolvers of the changed keys have had their say."""
    for key in RESOLVERS.keys() & {*change.assigned, *change.deleted}:
        value = RESOLVERS[key](loaded.get(key), mine.get(key), theirs.get(key))
        assigned = [each for each in change.assigned if each != key]
        if value is None:
            change = Changes(assigned, change.deleted | {key})
        else:
            change, mine = Changes([*assigned, key], change.deleted - {key}), {**mine, key: value}
    return change, mine


def clashes(change: Changes, loaded: Data, mine: Data, theirs: Data) -> list[str]:
    """Return the keys that `mine` and `theirs` have both changed since `loaded`, each to something else."""
    changed = [key for key in (*change.assigned, *sorted(change.deleted)) if key not in RESOLVERS]
    return [key for key in changed if not _agree(key, loaded, theirs) and not _agree(key, mine, theirs)]


def _agree(key: str, one: Data, other: Data) -> bool:
    if key in one and key in other:
        return _is_same(one[key], other[key])
    return key not in one and key not in other


def restored(values: Data, before: Data) -> Data:
    """Return `before`, in which what a handler holds of `values` stays what it holds, as long as it is the same.

    `before` is used up.
    """
    held = [key for key, value in values.items() if type(value) not in _SCALARS and key in before]
    ones = [values[key] for key in held]
    differing = set(_differing(held, ones, [before[key] for key in held]))
    before.update((key, value) for key, value in zip(held, ones, strict=True) if key not in differing)
    return before


class _Pairs(NamedTuple):
    """Two sets of data, their values side by side."""

    keys: list[str]
    """The keys that both have."""
    ones: list[Any]
    others: list[Any]
    added: list[str]
    """The keys that only the one has."""
    missing: list[str]
    """The keys that only the other has."""

    def __repr__(self) -> str:
        return f"<_Pairs of {len(self.keys)} keys>"  # without values: a repr comes into logs and error pages


def _paired(one: Data, other: Data) -> _Pairs:
    """Put the values of the same keys side by side. As long as the keys come in the same order none is looked up."""
    keys, others = list(one), list(other)
    same = sum(takewhile(bool, map(eq, keys, others)))
    rest = [key for key in keys[same:] if key in other]
    return _Pairs(
        keys[:same] + rest,
        list(one.values())[:same] + [one[key] for key in rest],
        list(other.values())[:same] + [other[key] for key in rest],
        [key for key in keys[same:] if key not in other],
        [key for key in others[same:] if key not in one],
    )


def _differing(keys: list[str], ones: list[Any], others: list[Any]) -> Iterator[str]:
    """Yield the keys with values that, side by side, differ."""
    step = -(-len(keys) // _PIECES)
    for start in range(0, len(keys), step or 1):
        piece = slice(start, start + step)
        if _is_same(ones[piece], others[piece]):
            continue
        if step == 1:
            yield keys[start]
        else:
            yield from _differing(keys[piece], ones[piece], others[piece])


def _is_same(one: Any, other: Any) -> bool:
    try:
        return json_text.dumps(one) == json_text.dumps(other)
    except DataError:  # a change that is undone may have left there what JSON cannot hold
        return False
