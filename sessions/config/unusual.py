"""Owns what is said of values that are legal and mostly a mistake: seconds for milliseconds, a bare name.

A server logs it at its start, and `python -m sessions doctor` prints it.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from ..clock import now_ms
from ..findings import Finding, fault, warning
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


def unusual(tables: Mapping[str, Any]) -> Iterator[Finding]:
    """Yield a finding for each such value, in the spelling of the file. `tables` are those of `Config.tables`.

    A table `server` is that of a server which speaks plain HTTP.
    """
    session = tables.get("session")
    if isinstance(session, SessionOptions):
        yield from _host_prefix(session)
        yield from _overwrites_revocation(session)
        yield from _secure_on_plain_http(session, tables)
    for name, options in named_tables(tables):
        table, _, inner = name.partition(".")
        for option, value in options.items():
            place = f"[{table}] {inner}{'.' if inner else ''}{option}"
            yield from _seconds(place, option, value)
            yield from _past(place, option, value)


def _seconds(place: str, option: str, value: Any) -> Iterator[Finding]:
    """A number that is usual for seconds, where milliseconds are meant."""
    if option in LEAST and is_number(value) and _looks_like_seconds(option, value):
        problem, advice = f"{place}: {value} are milliseconds", f"for as many seconds write {value * 1000}"
        if LEAST[option] == _MINUTE:
            yield fault("options.lifetime-in-seconds", problem, advice)
        else:
            yield warning("options.seconds", problem, advice)


def _past(place: str, option: str, value: Any) -> Iterator[Finding]:
    """A date that has passed."""
    if option == "expires" and isinstance(value, datetime) and value.timestamp() * 1000 < now_ms():
        problem = f"{place}: {value} has passed: every new session has expired when it is made"
        yield fault("options.expires", problem, "give maxAge, or a later date")


def _host_prefix(options: SessionOptions) -> Iterator[Finding]:
    """A cookie that could be named `__Host-…`, which no sibling domain can set (RFC 6265bis, 4.1.3.2)."""
    cookie = options.cookie
    if (
        isinstance(cookie, CookieOptions)
        and cookie.secure is True
        and not cookie.domain
        and cookie.path == "/"
        and not options.name.lower().startswith(("__host-", "__host-http-"))
    ):
        problem = f"[session] name: a sibling domain can set a cookie named {options.name!r} before ours"
        yield warning("options.prefix", problem, f"it cannot set one named '__Host-{options.name}'")


def _overwrites_revocation(options: SessionOptions) -> Iterator[Finding]:
    """A request in flight that brings back a session which was revoked meanwhile."""
    if options.conflict == "overwrite" and options.user_key is not None:
        problem = (
            '[session] conflict = "overwrite": a request in flight brings back a session that was revoked meanwhile'
        )
        yield warning("options.overwrite", problem, 'with userKey set "merge" or "reject"')


def _secure_on_plain_http(options: SessionOptions, tables: Mapping[str, Any]) -> Iterator[Finding]:
    """A cookie for TLS from a server that has none, and believes nobody who says that a proxy has."""
    cookie = options.cookie
    if "server" not in tables or not isinstance(cookie, CookieOptions) or cookie.secure is not True:
        return
    believes = options.proxy or dict(named_tables({"server": tables["server"]}))["server"].get("xheaders")
    if not believes:
        problem = "[session] cookie.secure = true: no browser gets the cookie, because this server speaks plain HTTP"
        yield fault("options.plain-http", problem, "let a proxy end TLS, and set proxy = true")


def _looks_like_seconds(option: str, value: float) -> bool:
    return 0 < value < LEAST[option] or (LEAST[option] == _MINUTE and value in USUAL_SECONDS)
