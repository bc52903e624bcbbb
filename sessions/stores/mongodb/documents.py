"""Owns the document of a session, as the npm package connect-mongo 6 has it, and the filters and updates of the verbs.

    { _id: id, expires: Date, session: JSON text }

Beside them there may be `user` (users.py), and Node's `lastModified`, `createdAt` and `updatedAt`, which stay as they
are. `lastModified` is when Node last wrote or touched a session (`touchAfter`); where we have touched it since, Node
touches it once more. A document without `expires` lives, as in connect-mongo.

Each write is one update of one document, which MongoDB makes as a whole: it compares the filter with the document and
changes it, and no other write comes between (MongoDB's manual, "Atomicity and Transactions"). This file must not know
how a command reaches the server.
"""

from collections.abc import Mapping
from typing import Any

import orjson
from bson.codec_options import CodecOptions, DatetimeConversion
from bson.datetime_ms import DatetimeMS

from ...errors import CorruptSession
from ...store import StoredSession

Document = Mapping[str, Any]

CODEC: CodecOptions[dict[str, Any]] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
"""Dates as milliseconds: Python's own end with the year 9999, JavaScript's and BSON's do not."""

READ = {"session": 1, "expires": 1}
"""What of a document is read."""

_NEVER = 365 * 86_400_000
"""Milliseconds from now at which a session ends that has no expiry."""


def living(now: int) -> Document:
    """Return the filter of sessions that have not expired, as connect-mongo's `get` has it."""
    return {"$or": [{"expires": {"$exists": False}}, {"expires": {"$gt": DatetimeMS(now)}}]}


def expired(now: int) -> Document:
    """Return the filter of what is to be swept: by the index on `expires`."""
    return {"expires": {"$lte": DatetimeMS(now)}}


def free(sid: str, now: int) -> Document:
    """Return the filter of an id that no living session has.

    An update by it that may insert ("upsert") replaces what has expired, inserts where there is nothing, and fails by
    the unique index on `_id` where a living session is.
    """
    return {"_id": sid, "$nor": [living(now)]}


def unchanged(sid: str, expected: StoredSession, now: int) -> Document:
    """Return the filter of a session that lives and has the expected text."""
    return {"_id": sid, "session": expected.data, **living(now)}


def untouched(sid: str, expected: StoredSession, now: int) -> Document:
    """Return the filter of a session that lives and has the expected end, or none."""
    end = {"$eq": DatetimeMS(expected.expires_at), "$gt": DatetimeMS(now)}
    return {"_id": sid, "$or": [{"expires": {"$exists": False}}, {"expires": end}]}


def touching(expires_at: int) -> Document:
    """Return the update that moves an expiry."""
    return {"$set": {"expires": DatetimeMS(expires_at)}}


def writing(record: StoredSession, user: str | None, *, notes_user: bool) -> Document:
    """Return the update that replaces a session, and with `notes_user` enters it under its user, or under none."""
    fields = {"session": record.data, "expires": DatetimeMS(record.expires_at)}
    if not notes_user:
        return {"$set": fields}
    if user is None:
        return {"$set": fields, "$unset": {"user": ""}}
    return {"$set": {**fields, "user": user}}


def is_session_text(text: str) -> bool:
    """Return True for JSON, which what connect-mongo's `crypto` writes is not; of an object one character says it."""
    if text.startswith("{"):
        return True
    try:
        orjson.loads(text)
    except ValueError:
        return False
    return True


def record_of(document: Document, now: int) -> StoredSession | None:
    """Return the record of a document, or None if it has expired. Raises CorruptSession for what Node has encoded."""
    expires = document.get("expires", DatetimeMS(now + _NEVER))
    if not isinstance(expires, DatetimeMS) or int(expires) <= now:  # a number is no date: no filter finds it
        return None
    text = document.get("session")
    if not isinstance(text, str):
        raise CorruptSession(
            "its document has no text: connect-mongo has written it with stringify = false or with serialize, which is"
            " not read here; set stringify to true there"
        )
    if not is_session_text(text):
        raise CorruptSession(
            "its document holds no JSON: connect-mongo has written it with crypto or cryptoAdapter, which is not read"
            " here; leave them out there"
        )
    return StoredSession(text, int(expires))
