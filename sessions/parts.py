"""Owns the taking apart of a stored session: the texts of its cookie, its data, and what our features keep with it.

The cookie is looked at; the data stays a text until somebody looks. This file must not know what a session does with
them.
"""

from typing import Any

from .clock import Clock
from .cookie import Cookie
from .errors import CorruptSession
from .formats import json_text
from .formats.signing import fingerprint
from .store import StoredSession


def parts_of(sid: str, stored: StoredSession, clock: Clock, *, aged: bool) -> tuple[str, str, str, Cookie]:
    """The texts of the cookie, the data and `__meta` ("" where there is none), and the cookie. Raises CorruptSession.

    Where no feature is on that keeps something there (`aged` is False) it is not looked for, and stays in the data.
    """
    try:
        try:
            text, data = json_text.split(stored.data)
            cookie = Cookie.load(text, stored.expires_at, clock)
        except CorruptSession:
            text, data = json_text.split_slowly(stored.data)
            cookie = Cookie.load(text, stored.expires_at, clock)
        if not aged:
            return text, data, "", cookie
        meta, data = json_text.split_meta(data)
    except CorruptSession as error:
        raise CorruptSession(f"session {fingerprint(sid)}: {error}") from None
    return text, data, meta, cookie


def data_of(sid: str, text: str) -> dict[str, Any]:
    """The data, decoded. Raises CorruptSession."""
    try:
        return json_text.read(text)
    except CorruptSession as error:
        raise CorruptSession(f"session {fingerprint(sid)}: {error}") from None
