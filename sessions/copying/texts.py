"""Owns what a copy knows of a session's text: its digest, its user for the sets of a store, the row that keeps a place.

A digest is that of the JSON value, so that a database that spells a text in its own way (jsonb) holds the same session.
"""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import orjson

from ..errors import CorruptSession
from ..formats import json_text
from ..meta import closed_meta, is_closed, parsed
from ..store import StoredSession
from ..user_text import user_in, user_in_meta

_PLACE = '{{"cookie":{{"originalMaxAge":null,"expires":null,"path":"/"}},"__meta":{{"closed":{closed}}}}}'

PLACE_MS = 60_000
"""How long the row that keeps a place counts as a tombstone, in milliseconds: far longer than one step of a copy."""


class Row(NamedTuple):
    """A session as a copy compares it."""

    record: StoredSession
    digest: bytes

    @property
    def expires_at(self) -> int:
        """When it ends, in milliseconds since the epoch."""
        return self.record.expires_at


def digest_of(text: str) -> bytes:
    """Return the digest of a session's text, however it is spelled: 16 bytes."""
    try:
        canonical = orjson.dumps(orjson.loads(text), option=orjson.OPT_SORT_KEYS)
    except (ValueError, TypeError):  # no JSON, or none that orjson takes: then the text itself counts
        canonical = text.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(canonical, digest_size=16).digest()


def row_of(record: StoredSession) -> Row:
    """Return a record with its digest."""
    return Row(record, digest_of(record.data))


def with_user(text: str, path: Sequence[str]) -> str:
    """Return a session's text with the user that its data has under a path, or nobody, in its `__meta`.

    A store with a set of sessions for each user (Redis) finds the session by that. A text that is no session, or has
    another application's `__meta`, stays as it is.
    """
    user = user_in(text, path)
    if user == user_in_meta(text):
        return text
    try:
        cookie, data = json_text.split(text)
        own, data = json_text.split_meta(data)
    except CorruptSession:
        return text
    members = parsed(own) if own else {}
    if members is None:
        return text
    members = {name: value for name, value in members.items() if name != "user"}
    if user is not None:
        members["user"] = user
    return json_text.join(cookie, data, json_text.dumps(members) if members else "")


def place_for(record: StoredSession, now: int) -> StoredSession:
    """Return the row that keeps the place of a session: a tombstone, which nobody can use and nobody can end."""
    return StoredSession(_PLACE.format(closed=now + PLACE_MS), record.expires_at)


def is_tombstone(record: StoredSession, now: int) -> bool:
    """Return True for the row of an id that a session has left: it is not copied."""
    return is_closed(record, now)


def successor_of(record: StoredSession) -> str | None:
    """Return the key under which the session of a tombstone goes on; None if it does not say."""
    meta = closed_meta(record)
    key = None if meta is None else meta.get("next")
    return key if isinstance(key, str) and key else None
