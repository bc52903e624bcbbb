"""Owns how a session is shown: the members of its JSON object, and the columns of a table of them."""

import math
from typing import Any

from ..errors import CorruptSession
from ..formats import json_text
from ..user_text import outline
from ..users import handle_of
from .found import Found
from .output import Column, Output, Row, utc

_OWN = ("cookie", "__meta")
"""Members of a stored session that are no data of the application's."""

LEVELS = 3
"""How deep the data is shown that is nested more deeply than Python can walk through."""

_ID = "(id)"
"""What is shown in the place of the session's own id, where an application keeps it in its data."""


def as_row(found: Found) -> Row:
    """Return the JSON object of a session. Times are in UTC; None: not known."""
    info = found.info
    return {
        "handle": info.handle,
        "user": info.user or None,
        "signedIn": utc(info.signed_in),
        "seen": utc(info.seen),
        "expires": utc(info.expires),
        "created": utc(info.created),
        "ip": info.ip,
        "agent": info.agent,
        "bytes": len(found.record.data.encode("utf-8", "surrogatepass")),
        "readable": found.is_readable,
    }


def columns(out: Output) -> list[Column]:
    """Return the columns of a table of such objects."""
    return [
        ("HANDLE", lambda row: out.handle(row["handle"])),
        ("USER", lambda row: _or_dash(row["user"]) if row["readable"] else "(no session)"),
        ("SIGNED IN", lambda row: out.moment(row["signedIn"])),
        ("SEEN", lambda row: out.moment(row["seen"])),
        ("EXPIRES", lambda row: out.moment(row["expires"])),
        ("IP", lambda row: _or_dash(row["ip"])),
        ("AGENT", lambda row: _or_dash(row["agent"])),
    ]


def data_of(found: Found) -> tuple[dict[str, Any] | None, bool]:
    """Return the application's data of a session, and whether it is whole: what is nested too deeply is None in it.

    The data is None if the row is no session.
    """
    if not found.is_readable:
        return None, False
    text = found.record.data
    try:
        return _shown(found.key, json_text.loads(text)), True
    except (CorruptSession, RecursionError):  # from Python 3.14 on more can be decoded than walked through
        return _shown(found.key, outline(text), LEVELS), False


def _shown(key: str, whole: dict[str, Any], levels: float = math.inf) -> dict[str, Any]:
    """Return the application's data of a whole session, as many levels deep."""
    own = [name for name in _OWN if name != "__meta" or json_text.is_meta(whole.get(name))]
    shown: dict[str, Any] = _without(key, {name: value for name, value in whole.items() if name not in own}, levels)
    return shown


def _without(key: str, value: Any, levels: float) -> Any:
    """Return a value without the session's id in it. What is nested deeper is None."""
    if isinstance(value, str):
        return value.replace(key, _ID)
    if isinstance(value, list | dict) and not levels:
        return None
    if isinstance(value, list):
        return [_without(key, each, levels - 1) for each in value]
    if isinstance(value, dict):
        return {name.replace(key, _ID): _without(key, each, levels - 1) for name, each in value.items()}
    return value


def successor(found_next: object) -> str | None:
    """Return the handle under which a session goes on, of the member `next` of a tombstone."""
    return handle_of(found_next) if isinstance(found_next, str) else None


def _or_dash(text: str | None) -> str:
    return text or "-"
