"""Owns the headers that a session adds to a response: its id, in a cookie or a header, and what caches have to know.

What cannot work for a visitor's browser, and would be noticed by nobody, is logged once for each manager.
"""

import logging
from collections.abc import Callable

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from ..formats.cookie_header import encode_for_header
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


def vary(headers: HTTPHeaders, manager: SessionManager) -> None:
    """Tell caches that the response is this visitor's: append Cookie, and the option's header, to Vary."""
    given, header = headers.get_list("Vary"), manager.options.header
    if not given and header is None:
        headers["Vary"] = "Cookie"
        return
    names = [each.strip() for each in ", ".join(given).split(",") if each.strip()]
    known = {each.lower() for each in names}
    missing = [each for each in ("Cookie", header) if each is not None and each.lower() not in known]
    if missing and "*" not in names:
        headers["Vary"] = ", ".join((*names, *missing))


def add_id(
    headers: HTTPHeaders,
    state: SessionState,
    manager: SessionManager,
    request: HTTPServerRequest,
    is_secure: Callable[[], bool],
    *,
    by_header: bool,
) -> None:
    """Send, or clear, the session's cookie, as the session says. It is appended to those of the handler.

    To a client that sends its id in a header the id leaves there, and "" where a cookie would be cleared.
    """
    if state.cookie.member("secure") and not is_secure():
        _warn(
            manager,
            "a Secure session cookie was not sent: this request counts as plain HTTP. Behind a proxy that ends TLS,"
            " set proxy = true and let the proxy send X-Forwarded-Proto: https",
        )
        return
    options, clears = manager.options, state.cookie_act == "clear"
    value = "" if clears else manager.signer.sign(state.cookie_value)
    if by_header and options.header is not None:
        headers[options.header] = encode_for_header(value)
        if options.cache_headers:
            headers["Cache-Control"] = "no-store"  # not even a private cache: to a script its answer is a new one
    else:
        if clears:
            cookie = state.cookie.clearing(options.name)
        else:
            cookie = state.cookie.set_cookie(options.name, value)
            _warn_of_what_browsers_drop(state, manager, request)
        given = headers.get_list("Set-Cookie")
        if given:
            _remove_own(headers, manager, given)
            headers.add("Set-Cookie", cookie)
        else:  # without the check of every character that `add` makes: all of ours were checked
            headers["Set-Cookie"] = cookie
    if options.cache_headers:
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


def _remove_own(headers: HTTPHeaders, manager: SessionManager, given: list[str]) -> None:
    """Take away the handler's own cookies of our name: of two, a browser keeps either."""
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
