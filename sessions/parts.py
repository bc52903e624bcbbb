"""Owns the taking apart of a stored session: the texts of its cookie, its data, and what our features keep with it.

The cookie is looked at; the data stays a text until somebody looks. This file must not know what a session does with
them.
"""

from typing import Any

from . import jsontext
from .cookie import stored_members
from .errors import CorruptSession
from .signature import fingerprint
from .store import StoredSession


def parts_of(sid: str, stored: StoredSession, *, aged: bool) -> tuple[str, str, str]:
    """The texts of the cookie, the data and `__meta` ("" where there is none). Raises CorruptSession.

    Where no feature is on that keeps something there (`aged` is False) it is not looked for, and stays in the data.
    """
    try:
        try:
            cookie, data = jsontext.split(stored.data)
            stored_members(cookie)
        except CorruptSession:
            cookie, data = jsontext.split_slowly(stored.data)
            stored_members(cookie)
        if not aged:
            return cookie, data, ""
        meta, data = jsontext.split_meta(data)
    except CorruptSession as error:
        raise CorruptSession(f"session {fingerprint(sid)}: {error}") from None
    return cookie, data, meta


def data_of(sid: str, text: str) -> dict[str, Any]:
    """The data, decoded. Raises CorruptSession."""
    try:
        return jsontext.read(text)
    except CorruptSession as error:
        raise CorruptSession(f"session {fingerprint(sid)}: {error}") from None
