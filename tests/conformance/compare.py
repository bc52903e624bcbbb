"""Owns the comparison of two observations: what a transcript recorded and what a server did.

A port of the oracle's compare.js, difference for difference, without its tolerances: here, as in the recorder, the
clock does not move, so times are compared exactly. It knows JSON and nothing of HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_STRICT_ONLY = {"keys", "cookie_keys", "uid24"}


class _Absent:
    """JavaScript's undefined: a key that is not there, which is not the same as null."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Difference:
    """One place where the server was not what the transcript says."""

    step: int | str
    path: str
    expected: Any
    actual: Any

    def __str__(self) -> str:
        return f"step {self.step}: {self.path}\n     expected {self.expected!r}\n     actual   {self.actual!r}"


def compare_step(
    number: int,
    expected: Mapping[str, Any],
    actual: Mapping[str, Any],
    ops: Sequence[Mapping[str, Any]] = (),
    *,
    strict: bool = False,
    early_commit: bool = False,
) -> list[Difference]:
    """The differences of one step.

    `strict` adds the order of keys in the store, the texts of errors and the shape of ids; `early_commit` lets the
    store calls of a stream come more than once.
    """
    exp, act = dict(expected), dict(actual)
    streams = any(op["op"] in {"write", "flush"} for op in ops)
    if early_commit and streams and "calls" in exp and "calls" in act:
        exp["calls"], act["calls"] = _collapse(exp["calls"]), _collapse(act["calls"])
    status = exp.get("status") or 0
    if status >= 400 or exp.get("body", ABSENT) is None:
        _drop("body", exp, act)
    if status >= 500 and not strict:  # a 5xx is itself the report of the error
        _drop("errors", exp, act)
    return [Difference(number, *found) for found in _diff((), exp, act, strict=strict)]


def _drop(key: str, *mappings: dict[str, Any]) -> None:
    for each in mappings:
        each.pop(key, None)


def _collapse(calls: Sequence[str]) -> list[str]:
    """Calls without repetitions, and without a touch beside a set.

    A server that commits before the first byte may write twice in a streamed answer: what was changed before the
    headers left, and what was changed after.
    """
    once = list(dict.fromkeys(calls))
    return [call for call in once if not (call.startswith("touch ") and "set " + call[6:] in once)]


def _diff(path: tuple[str, ...], exp: Any, act: Any, *, strict: bool) -> list[tuple[str, Any, Any]]:
    leaf = path[-1] if path else ""
    if leaf == "info" or (not strict and leaf in _STRICT_ONLY):
        return []
    if leaf == "errors" and not strict:
        exp, act = exp or [], act or []  # that there were some is compared, not what they say
        return [] if bool(exp) == bool(act) else [(".".join(path), exp, act)]
    if isinstance(exp, dict) and isinstance(act, dict):
        pairs = {key: (exp.get(key, ABSENT), act.get(key, ABSENT)) for key in {**exp, **act}}
    elif isinstance(exp, list) and isinstance(act, list) and leaf != "attrs":
        pairs = {str(i): (_at(exp, i), _at(act, i)) for i in range(max(len(exp), len(act)))}
    else:
        return [] if _identical(exp, act) else [(".".join(path), exp, act)]
    return [found for key, (e, a) in pairs.items() for found in _diff((*path, key), e, a, strict=strict)]


def _at(items: Sequence[Any], index: int) -> Any:
    return items[index] if index < len(items) else ABSENT


def _identical(a: Any, b: Any) -> bool:
    """JavaScript's `===` for what JSON holds: True is not 1, while 1 is 1.0."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return bool(a == b)
