"""Owns the warnings of values that are legal and mostly a mistake: seconds for milliseconds, a bare name."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..clock import now_ms
from ..options import CookieOptions, SessionOptions
from ..validation import is_number
from .shown import named_tables

_SECOND = 1_000
_MINUTE = 60 * _SECOND

LEAST = {
    "maxAge": _MINUTE,
    "originalMaxAge": _MINUTE,
    "ttl": _MINUTE,
    "absoluteTimeout": _MINUTE,
    "renewAfter": _MINUTE,
    "touchAfter": _SECOND,
    "interval": _SECOND,
    "storeTimeout": 100,
    "watchInterval": 100,
    "busyTimeout": 100,
    "timeout": 100,
    "drain": 100,
}
"""For options that are milliseconds the least that anybody may mean; 0 is said by whoever means it."""

USUAL_SECONDS = {86_400, 604_800, 1_209_600, 2_592_000, 31_536_000}
"""A day, a week, two weeks, 30 days and a year, as they are known by heart. As milliseconds nobody chooses them."""


def unusual(tables: Mapping[str, Any]) -> Iterator[str]:
    """Yield a warning for each such value, in the spelling of the file. `tables` are those of `Config.tables`."""
    session = tables.get("session")
    if isinstance(session, SessionOptions) and _could_have_host_prefix(session):
        yield (
            f"[session] name: a sibling domain can set a cookie named {session.name!r} before ours;"
            f" it cannot set one named '__Host-{session.name}'"
        )
    for name, options in named_tables(tables):
        table, _, inner = name.partition(".")
        for option, value in options.items():
            place = f"[{table}] {inner}{'.' if inner else ''}{option}"
            if option in LEAST and is_number(value) and _looks_like_seconds(option, value):
                yield f"{place}: {value} are milliseconds; for as many seconds write {value * 1000}"
            elif option == "expires" and isinstance(value, datetime) and value.timestamp() * 1000 < now_ms():
                yield f"{place}: {value} has passed: every new session has expired when it is made"


def _could_have_host_prefix(options: Any) -> bool:
    """Return True if the cookie could be named `__Host-…`, which no sibling domain can set (RFC 6265bis, 4.1.3.2)."""
    cookie = options.cookie
    return (
        isinstance(cookie, CookieOptions)
        and cookie.secure is True
        and not cookie.domain
        and cookie.path == "/"
        and not options.name.lower().startswith(("__host-", "__host-http-"))
    )


def _looks_like_seconds(option: str, value: float) -> bool:
    return 0 < value < LEAST[option] or (LEAST[option] == _MINUTE and value in USUAL_SECONDS)
