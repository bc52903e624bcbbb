"""Owns a login: the user in a session's data, under the path `userKey`, and what a sign-in is given.

What names a user is in user_text.py. This file knows data only, neither sessions nor stores.
"""

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeAlias

from .errors import OptionsError
from .formats.signing import Signer
from .user_text import user_text, value_at
from .validation import wrong

User: TypeAlias = str | int
Stamp: TypeAlias = str | bytes

MAX_AGENT = 200
"""Characters of a browser's name that are kept; those of today's browsers have about 120."""

_NOT_SHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff{}\"\\]+")
"""What has no place in the name of a browser; `{}"` and the backslash would make `__meta` slow to read."""


def user_of(values: Mapping[str, Any], path: Sequence[str] | None) -> User | None:
    """Return the user in some data, as it is there; None if there is nobody, or no path."""
    if path is None:
        return None
    value = value_at(values, path)
    return value if user_text(value) is not None else None


def placed(value: Any, path: Sequence[str], user: User) -> Any:
    """Return a value with the user in it at the rest of a path; what lies beside it is kept."""
    if not path:
        return user
    inner = value if isinstance(value, dict) else {}
    return {**inner, path[0]: placed(inner.get(path[0]), path[1:], user)}


# ---------------------------------------------------------------- what a sign-in is given


@dataclass(slots=True)
class Login:
    """A sign-in: the user, and what the session remembers of it."""

    user: User = field(repr=False)
    lifetime: int | None = None
    """Milliseconds of "remember me": the cookie's lifetime, and the session's own end. None: as the options say."""
    stamp: Stamp | None = field(default=None, repr=False)
    """What the user's password is known by; a session with another one ends."""
    stamp_of: Callable[[User], Awaitable[Stamp | None]] | None = None
    """Asks for the stamp where none was given."""
    agent: str | None = field(default=None, repr=False)
    """The name of the browser."""
    ip: str | None = field(default=None, repr=False)
    """The address of the browser."""


def milliseconds(remember: timedelta | None) -> int | None:
    """Return how long a session is remembered. Raises OptionsError for what is no time."""
    if remember is None:
        return None
    if not isinstance(remember, timedelta) or remember < timedelta(milliseconds=1):
        raise wrong("remember", "a timedelta of at least a millisecond", remember)
    return remember // timedelta(milliseconds=1)


def agent_of(header: str | None) -> str | None:
    """Return the name of a browser as it is kept: its User-Agent, shortened, on one line."""
    name = _NOT_SHOWN.sub(" ", header or "").strip()[:MAX_AGENT]
    return name or None


# ---------------------------------------------------------------- stamps

_PURPOSE = "stamp"


def stamp_text(signer: Signer, stamp: Stamp) -> str:
    """Return what a session keeps of a stamp: an HMAC of it with a key that comes from the first secret."""
    return signer.derived(_PURPOSE, _text(stamp)).hex()


def is_stamp(signer: Signer, stamp: Stamp, kept: object) -> bool:
    """Return True if a session keeps this stamp, by any of the secrets."""
    given = kept if isinstance(kept, str) else ""
    return any(hmac.compare_digest(each.hex(), given) for each in signer.derived_by_all(_PURPOSE, _text(stamp)))


def _text(stamp: Stamp) -> str:
    if not isinstance(stamp, str | bytes):
        raise OptionsError(f"stamp: expected a str or bytes, got {type(stamp).__name__}")
    return stamp.decode("latin-1") if isinstance(stamp, bytes) else stamp
