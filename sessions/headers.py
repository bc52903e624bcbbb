"""Owns the headers that a session adds to a response: Set-Cookie, and what keeps it out of caches.

It must not know when a response leaves, nor what was stored.
"""

import logging
from collections.abc import Callable

from tornado.httputil import HTTPHeaders

from .manager import SessionManager
from .session import Session
from .states import Reply

log = logging.getLogger("sessions")


def vary_by_cookie(headers: HTTPHeaders) -> None:
    """Tell caches that the response is this visitor's: append Cookie to Vary."""
    vary = headers.get("Vary")
    if vary is None:
        headers["Vary"] = "Cookie"
    elif vary != "*" and "cookie" not in (each.strip() for each in vary.lower().split(",")):
        headers["Vary"] = f"{vary}, Cookie"


def add_cookie(
    headers: HTTPHeaders, session: Session, manager: SessionManager, is_secure: Callable[[], bool]
) -> None:
    """Send, or clear, the session's cookie where the session says so. It is appended to those already there."""
    if session.reply is Reply.KEEP:
        return
    if session.cookie.secure and not is_secure():
        _warn_of_withheld(manager)
        return
    options = manager.options
    if session.reply is Reply.CLEAR:
        cookie = session.cookie.clearing(options.name)
    else:
        cookie = session.cookie.set_cookie(options.name, manager.signer.sign(session.id))
    headers.add("Set-Cookie", cookie)
    if options.cache_headers and "Cache-Control" not in headers:
        headers["Cache-Control"] = "no-store"


def _warn_of_withheld(manager: SessionManager) -> None:
    if not manager.has_warned:
        manager.has_warned = True
        log.warning(
            "a Secure session cookie was not sent: this request counts as plain HTTP. Behind a proxy that ends TLS,"
            " set proxy = true and let the proxy send X-Forwarded-Proto: https"
        )
