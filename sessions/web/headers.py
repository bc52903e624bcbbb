"""Owns the headers that a session adds to a response: Set-Cookie, and what keeps it out of shared caches.

What cannot work for a visitor's browser, and would be noticed by nobody, is logged once for each manager.
"""

import logging
from collections.abc import Callable

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from ..manager import SessionManager
from ..state import SessionState
from ..validation import BROWSER_MAX_AGE

log: logging.Logger = logging.getLogger("sessions")


class _Sealed(HTTPHeaders):
    """Takes nothing in: what a handler sets after its answer is finished has no place any more."""

    def add(self, name: str, value: str, *, _chars_are_bytes: bool = True) -> None:
        """Do nothing."""

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
    headers: HTTPHeaders,
    state: SessionState,
    manager: SessionManager,
    request: HTTPServerRequest,
    is_secure: Callable[[], bool],
) -> None:
    """Send, or clear, the session's cookie, if the session says so. It is appended to those of the handler."""
    if state.cookie_act == "keep":
        return
    if state.cookie.member("secure") and not is_secure():
        _warn(
            manager,
            "a Secure session cookie was not sent: this request counts as plain HTTP. Behind a proxy that ends TLS,"
            " set proxy = true and let the proxy send X-Forwarded-Proto: https",
        )
        return
    options = manager.options
    if state.cookie_act == "clear":
        cookie = state.cookie.clearing(options.name)
    else:
        cookie = state.cookie.set_cookie(options.name, manager.signer.sign(state.id))
        _warn_of_what_browsers_drop(state, manager, request)
    _remove_own(headers, manager)
    headers.add("Set-Cookie", cookie)
    if options.cache_headers:
        vary_by_cookie(headers)
        _keep_out_of_shared_caches(headers, manager)


def _keep_out_of_shared_caches(headers: HTTPHeaders, manager: SessionManager) -> None:
    given = headers.get_list("Cache-Control")
    if not given:
        headers["Cache-Control"] = "no-store"
        return
    directives = [each.strip() for each in ", ".join(given).split(",") if each.strip()]
    names = {each.partition("=")[0].lower() for each in directives}
    if names & {"private", "no-store"}:
        return
    kept = [each for each in directives if each.partition("=")[0].lower() not in ("public", "s-maxage")]
    headers["Cache-Control"] = ", ".join(["private", *kept])
    _warn(
        manager,
        "a response that sets the session cookie had a Cache-Control that lets shared caches keep it: it was made"
        " private. Where caches shall keep it, let its handler not use the session",
    )


def _remove_own(headers: HTTPHeaders, manager: SessionManager) -> None:
    """Take away the handler's own cookies of our name: of two, a browser keeps either."""
    given = headers.get_list("Set-Cookie")
    if not given:
        return
    kept = [each for each in given if each.partition("=")[0].strip() != manager.options.name]
    if len(kept) < len(given):
        del headers["Set-Cookie"]
        for each in kept:
            headers.add("Set-Cookie", each)
        _warn(
            manager, f"a handler set a cookie named {manager.options.name!r} of its own: the session's took its place"
        )


def _warn_of_what_browsers_drop(state: SessionState, manager: SessionManager, request: HTTPServerRequest) -> None:
    domain, expires = state.cookie.member("domain"), state.cookie.member("expires")
    if domain and not _is_within(request.host_name.lower(), str(domain).lower().lstrip(".")):
        _warn(
            manager,
            f"the session cookie's Domain {domain!r} does not fit the host of the request: browsers drop the cookie,"
            " and every visit begins a new session",
        )
    if isinstance(expires, int) and expires - manager.clock() > BROWSER_MAX_AGE + 1000:
        _warn(manager, "a session cookie was given a lifetime of over 400 days: browsers cap it there")


def _is_within(host: str, domain: str) -> bool:
    return host == domain or host.endswith(f".{domain}")


def _warn(manager: SessionManager, message: str) -> None:
    if message not in manager.warned:
        manager.warned.add(message)
        log.warning(message)
