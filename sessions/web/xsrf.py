"""Owns the tie between Tornado's XSRF token and the session.

Tornado compares the token of a form with that of a cookie, and a sibling domain can plant both. So a session that has
rendered a form remembers its token (`xsrf` in `__meta`), and a form with another one is refused. The token belongs to
the data: `rotate()` takes it along, or every open form would break, and `regenerate()` leaves it behind. A sign-in
does so too, or whoever gave a visitor an anonymous session would know the token of the user.
"""

import hmac
import time
from collections.abc import Callable
from typing import Any

from tornado.web import HTTPError

from ..errors import CorruptSession
from ..formats.signing import Signer
from ..state import SessionState

TOKEN_BYTES = 16
"""Bytes of a token, as Tornado has them (`RequestHandler._get_raw_xsrf_token`)."""


def bind(handler: Any, state: SessionState, signer: Signer) -> None:
    """Let the token that the handler is about to render be that of its session; it has one from here on.

    The token is derived from the id, so two pages that are rendered side by side get the same. A session with
    a `__meta` that belongs to another application stays without.
    """
    if state.end is not None or state.is_finished:
        return
    token = token_of(state)
    if token is None:
        token = signer.derived("xsrf", state.id)[:TOKEN_BYTES]
        try:
            state.set_meta(xsrf=token.hex())
        except CorruptSession:
            return
    _, of_cookie, _ = handler._get_raw_xsrf_token()  # noqa: SLF001 # Tornado's; nothing public gives the bare token
    if not hmac.compare_digest(of_cookie, token):
        _use(handler, token)


def renew(handler: Any) -> Callable[[], None]:
    """Tie a new token to the session that a sign-in begins, and send it. Returns what sends the one before again."""
    _, before, _ = handler._get_raw_xsrf_token()  # noqa: SLF001 # Tornado's; nothing public gives the bare token

    def send() -> None:
        handler.__dict__.pop("_xsrf_token", None)  # Tornado's: of what was rendered before
        _ = handler.xsrf_token

    def go_back() -> None:
        _use(handler, before)
        send()

    send()
    return go_back


def _use(handler: Any, token: bytes) -> None:
    handler._raw_xsrf_token = None, token, time.time()  # noqa: SLF001 # Tornado's; None lets it send the cookie


def check(handler: Any, state: SessionState | None) -> None:
    """Refuse with 403 a form with a token that Tornado has found right, and that is not the session's."""
    token = None if state is None or state.end is not None else token_of(state)
    if token is None:
        return
    _, of_cookie, _ = handler._get_raw_xsrf_token()  # noqa: SLF001 # Tornado's; nothing public gives the bare token
    if not hmac.compare_digest(of_cookie, token):
        raise HTTPError(403, "the XSRF token does not belong to the session")


def token_of(state: SessionState) -> bytes | None:
    """Return the token of a session; None if it has rendered no form."""
    text = state.meta.get("xsrf")
    try:
        return bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        return None
