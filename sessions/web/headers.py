"""Owns the headers that a session adds to a response: Set-Cookie, and what keeps it out of caches.

It must not know when a response leaves, nor what was stored.
"""

import logging
from collections.abc import Callable

from tornado.httputil import HTTPHeaders

from ..manager import SessionManager
from ..state import SessionState

log: logging.Logger = logging.getLogger("sessions")


class _Sealed(HTTPHeaders):
    """Takes nothing in: what a handler sets after its answer is finished has no place any more."""

    def add(self, name: str, value: str, *, _chars_are_bytes: bool = True) -> None:
        """Nothing."""

    def __setitem__(self, name: str, value: str) -> None:
        pass


SEALED = _Sealed()
"""The headers of an answer that is finished and waits for its commit. It holds nothing, so it serves all requests."""


def vary_by_cookie(headers: HTTPHeaders) -> None:
    """Tell caches that the response is this visitor's: append Cookie to Vary."""
    given = headers.get_list("Vary")
    if not given:
        headers["Vary"] = "Cookie"
        return
    vary = ", ".join(given)
    if vary != "*" and "cookie" not in (each.strip() for each in vary.lower().split(",")):
        headers["Vary"] = f"{vary}, Cookie"


def add_cookie(
    headers: HTTPHeaders, state: SessionState, manager: SessionManager, is_secure: Callable[[], bool]
) -> None:
    """Send, or clear, the session's cookie where the session says so. It is appended to those already there."""
    if state.cookie_act == "keep":
        return
    if state.cookie.member("secure") and not is_secure():
        _warn_of_withheld(manager)
        return
    options = manager.options
    if state.cookie_act == "clear":
        cookie = state.cookie.clearing(options.name)
    else:
        cookie = state.cookie.set_cookie(options.name, manager.signer.sign(state.id))
    headers.add("Set-Cookie", cookie)
    if options.cache_headers and not headers.get_list("Cache-Control"):
        headers["Cache-Control"] = "no-store"


def _warn_of_withheld(manager: SessionManager) -> None:
    if not manager.has_warned:
        manager.has_warned = True
        log.warning(
            "a Secure session cookie was not sent: this request counts as plain HTTP. Behind a proxy that ends TLS,"
            " set proxy = true and let the proxy send X-Forwarded-Proto: https"
        )
