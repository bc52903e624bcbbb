"""Owns the tolerant comparison of two observations: what a transcript recorded and what a server did.

A port of the oracle's compare.js, difference for difference, so that a scenario fails here exactly when it
fails there. It knows JSON and the transcripts' relative times, nothing of HTTP.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .jstime import parse_date

EXPIRES_SECONDS = 2
MILLISECONDS = 1500
ORIGINAL_MS = 250

_MS = re.compile(r"([+-]\d+(?:\.\d+)?)ms", re.ASCII)
_SECONDS = re.compile(r"([+-]\d+)s", re.ASCII)
_STRICT_ONLY = {"keys", "cookie_keys", "uid24"}


class _Absent:
    """JavaScript's undefined: a key that is not there, which is not the same as null."""

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
    """The differences of one step."""
    exp, act = dict(expected), dict(actual)
    streams = any(op["op"] in {"write", "flush"} for op in ops)
    if early_commit and streams and "calls" in exp and "calls" in act:
        exp["calls"], act["calls"] = _collapse(exp["calls"]), _collapse(act["calls"])
    status = exp.get("status") or 0
    if status >= 400 or exp.get("body", ABSENT) is None:
        exp.pop("body", None), act.pop("body", None)
    if status >= 500 and not strict:  # a 5xx is itself the report of the error
        exp.pop("errors", None), act.pop("errors", None)
    return [Difference(number, *found) for found in _diff((), exp, act, strict)]


def _collapse(calls: Sequence[str]) -> list[str]:
    """Calls without repetitions, and without a touch beside a set.

    A server that commits before the first byte may write twice in a streamed answer: what was changed before
    the headers left, and what was changed after.
    """
    once = list(dict.fromkeys(calls))
    return [call for call in once if not (call.startswith("touch ") and "set " + call[6:] in once)]


def _diff(path: tuple[str, ...], exp: Any, act: Any, strict: bool) -> list[tuple[str, Any, Any]]:
    leaf = path[-1] if path else ""
    different = [(".".join(path), exp, act)]
    if leaf == "info" or (not strict and leaf in _STRICT_ONLY):
        return []
    if leaf == "attrs" and isinstance(exp, list) and isinstance(act, list):
        same = len(exp) == len(act) and all(map(_same_attribute, exp, act))
        return [] if same else different
    if leaf == "errors" and not strict:
        return [] if _has_items(exp) == _has_items(act) else different
    if leaf == "originalMaxAge" and _is_number(exp) and _is_number(act):
        return [] if abs(exp - act) <= ORIGINAL_MS else different
    if _same_time(exp, act) or _identical(exp, act):
        return []
    if isinstance(exp, dict) and isinstance(act, dict):
        pairs = {key: (exp.get(key, ABSENT), act.get(key, ABSENT)) for key in {**exp, **act}}
    elif isinstance(exp, list) and isinstance(act, list):
        pairs = {
            str(i): (exp[i] if i < len(exp) else ABSENT, act[i] if i < len(act) else ABSENT)
            for i in range(max(len(exp), len(act)))
        }
    else:
        return different
    return [found for key, (e, a) in pairs.items() for found in _diff((*path, key), e, a, strict)]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _has_items(value: object) -> bool:
    return isinstance(value, list) and bool(value)


def _identical(a: Any, b: Any) -> bool:
    """JavaScript's `===` for what JSON holds: True is not 1, while 1 is 1.0."""
    if _is_number(a) and _is_number(b):
        return float(a) == float(b)
    if isinstance(a, dict | list) or isinstance(b, dict | list):
        return False
    return type(a) is type(b) and bool(a == b)


def _same_attribute(a: str, b: str) -> bool:
    if a.startswith("Expires=") and b.startswith("Expires="):
        return _same_time(a[8:], b[8:])
    return a == b


def _same_time(a: object, b: object) -> bool:
    """Whether two relative times (`+60s`, `+60000ms`) or far dates (`@ISO`) are near enough."""
    if not isinstance(a, str) or not isinstance(b, str):
        return False
    if a == b:
        return True
    for pattern, tolerance in ((_MS, MILLISECONDS), (_SECONDS, EXPIRES_SECONDS)):
        x, y = pattern.fullmatch(a), pattern.fullmatch(b)
        if x and y:
            return abs(float(x[1]) - float(y[1])) <= tolerance
    if a[:1] == b[:1] == "@":
        x_ms, y_ms = parse_date(a[1:]), parse_date(b[1:])
        return x_ms is not None and y_ms is not None and abs(x_ms - y_ms) <= 2000
    return False
