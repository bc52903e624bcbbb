"""Owns who a session's user is: the text of a user, and where a stored session has it.

A user is a string or an integer, compared as text (1 and "1" are one user), of 1 to 200 characters without control
characters. Whatever else is found under the user's key is nobody. An index finds rows, and the row decides: whoever
finds one compares its user by this file.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from .errors import CorruptSession
from .formats import json_text

LONGEST = 200
"""Characters of a user: far more than an e-mail address has (254 bytes, RFC 5321), or a key of any identity provider
that is in use, and little enough for an index of PostgreSQL, which takes 2,700 bytes."""

_LARGEST = 2**63 - 1
"""An integer of SQL; in JSON larger ones are floats to many a reader."""

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # and halves of characters, which UTF-8 cannot hold

_LEVELS = 3
"""Levels of objects in which a user, or a member of `__meta`, can be."""
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[{]|[\]}]', re.DOTALL)
"""What the levels of a JSON text are counted by; a string is passed over."""

_META = '"__meta"'
_META_FIRST = re.compile(r'\{"cookie":\{[^{}]*\},"__meta":(\{[^{}"\\]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"\\]*)*\})')
"""A flat object behind the cookie, as we write it and Node keeps it."""


def user_text(value: object) -> str | None:
    """Return the text of a user; None for what is nobody."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, int):
        return str(value) if abs(value) <= _LARGEST else None
    return value if 1 <= len(value) <= LONGEST and _CONTROL.search(value) is None else None


def value_at(values: object, path: Sequence[str]) -> Any:
    """Return what decoded data has under a path of keys; None if it has nothing there."""
    for key in path:
        if not isinstance(values, dict):
            return None
        values = values.get(key)
    return values


def user_at(values: object, path: Sequence[str]) -> str | None:
    """Return the user that decoded data names under a path of keys; None if it names nobody."""
    return user_text(value_at(values, path))


def user_in(text: str, path: Sequence[str]) -> str | None:
    """Return the user of a stored session; None if it names nobody, or is no session."""
    if f'"{path[-1]}"' not in text and "\\" not in text:
        return None
    try:
        return user_at(outline(text), path)
    except CorruptSession:
        return None


def user_in_meta(text: str) -> str | None:
    """Return the member `user` of a stored session's `__meta`: whom its writer has found; None where there is none."""
    if _META not in text:
        return None
    found = _META_FIRST.match(text)
    try:
        meta = outline(text).get("__meta") if found is None else json_text.loads(found[1])
    except CorruptSession:
        return None
    return user_text(meta.get("user")) if isinstance(meta, dict) else None


class UserPlace(NamedTuple):
    """Where the rows of a store name their user."""

    path: tuple[str, ...] = ()
    """The keys of the data, from the outermost on; none: nobody asks for users."""
    in_meta: bool = False
    """True if a row that names nobody there may name the user in `__meta`."""

    def user_in(self, text: str) -> str | None:
        """Return the user of a stored session; None if it names nobody, or is no session."""
        user = user_in(text, self.path)
        return user_in_meta(text) if user is None and self.in_meta else user


def outline(text: str) -> dict[str, Any]:
    """Return a stored session decoded. If it is nested too deeply for that, what lies deep in it is left out.

    Node stores, and reads, what is nested more deeply than Python decodes. Raises CorruptSession.
    """
    try:
        whole = json_text.loads(text)
    except CorruptSession:
        whole = json_text.loads(_cut(text))
    if not isinstance(whole, dict):
        raise CorruptSession("the stored session is no object")
    return whole


def _cut(text: str) -> str:
    """Return a JSON text with null in the place of each list and object that lies deeper than `_LEVELS`."""
    level = 0
    bounds = [0]
    for token in _TOKEN.finditer(text):
        match token[0]:
            case "{" | "[":
                level += 1
                if level == _LEVELS + 1:
                    bounds.append(token.start())
            case "}" | "]":
                if level == _LEVELS + 1:
                    bounds.append(token.end())
                level -= 1
    return "null".join(text[start:end] for start, end in list(pairwise([*bounds, len(text)]))[::2])


def signed_in_at(text: str) -> float:
    """Return when the user of a stored session signed in, in milliseconds since the epoch; 0 if it does not say."""
    try:
        meta = outline(text).get("__meta")
    except CorruptSession:
        return 0
    moment = meta.get("signedInAt") if isinstance(meta, dict) else None
    return moment if isinstance(moment, int | float) and not isinstance(moment, bool) else 0


def surplus(rows: Iterable[tuple[str, str]], new: str, most: int) -> list[str]:
    """Return the keys of a user's sessions that are to end beside a new one, so that `most` are left.

    `rows` are the user's living rows, a key and a text each, the one under the key `new` included or not. The sessions
    that signed in last stay; one that does not say when it did is the oldest.
    """
    others = sorted((signed_in_at(text), key) for key, text in rows if key != new)
    return [key for _, key in others[: max(len(others) + 1 - most, 0)]]
