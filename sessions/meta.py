"""Owns `__meta`, the one reserved member of a stored session, in which our own features keep what they must remember.

    {"cookie":{…},"__meta":{"createdAt":1900000000000,"xsrf":"…"},"user":"ada"}

It survives a whole-session save by Node, and a visitor never sees it. It is ours if it is an object with at least one
member of ours; members that we do not know are kept. Anything else under that name belongs to another application and
is data.

A **tombstone** is the record under an id that a session has left: a row without data. Its `__meta` says until when it
counts (`closed`, milliseconds since the epoch) and under which key the session goes on (`next`). To every store, and to
Node, it is an ordinary session.
"""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from .errors import CorruptSession
from .formats import json_text
from .renewal import MEMBERS
from .store import StoredSession
from .stored_cookie import StoredCookie, iso
from .validation import is_number

Meta: TypeAlias = dict[str, Any]

HOPS = 10
"""Successors that are followed from a tombstone: a session rotates seldom within its grace."""

DECISIONS = {"endsAt", "renewedAt"}
"""Moments that are no facts: of two the one that was set last counts, by a sign-in or a new value of the cookie."""

_CLOSED = '"closed"'
_TAG = '"tag'  # and tagBefore


def parsed(text: str) -> Meta | None:
    """Return our `__meta` of its text; None if there is none ("") or if it is another application's."""
    found = json_text.loads(text) if text else None
    return found if json_text.is_meta(found) else None


def check_own(data: str) -> None:
    """Raise CorruptSession if a session's data holds another application's `__meta`: nothing can be recorded there."""
    if json_text.META in data and json_text.split_meta(data)[0]:
        raise CorruptSession("its member __meta belongs to another application")


class SessionMeta:
    """The `__meta` of one session in one request: as the row has it, and what this request has set."""

    row: Mapping[str, Any] = MappingProxyType({})
    """The members that the row has."""
    assigned: Mapping[str, Any] = row  # both are replaced, never changed: sessions share them
    """What was set here and is not stored."""

    def read(self, text: str) -> None:
        """Take over the `__meta` of a stored session; "" for none."""
        self.row = parsed(text) or {}

    def get(self, name: str) -> Any:
        """Return a member; None if there is none."""
        return self.assigned.get(name, self.row.get(name))

    def set(self, **members: Any) -> None:
        """Set members, which are stored with the next write. None removes one."""
        self.assigned = {**self.assigned, **members}

    def forget(self, names: Collection[str]) -> None:
        """Drop members that were set here and are not stored."""
        self.assigned = {name: value for name, value in self.assigned.items() if name not in names}

    def copy(self) -> "SessionMeta":
        """Return another one that says the same."""
        other = SessionMeta()
        other.row, other.assigned = self.row, self.assigned
        return other

    def saved(self) -> None:
        """Note that the store has written: what the row has by now need not be set any more."""
        self.assigned = {name: value for name, value in self.assigned.items() if self.row.get(name) != value}

    @property
    def closed_until(self) -> int:
        """Until when a tombstone counts, in milliseconds since the epoch; 0 for a session that is none."""
        closed = self.row.get("closed")
        return int(closed) if is_number(closed) else 0  # type: ignore[arg-type] # a number, just asked

    def text(self, created: int | None) -> str:
        """Return the text to store, "" for none; `created` is recorded where an absolute timeout needs it.

        The row's members count, and over them those that were set here; of two times the later.
        """
        if not self.row and not self.assigned and created is None:
            return ""
        members = {**self.row, **self.assigned}
        for name in self.row.keys() & self.assigned.keys():
            if name.endswith("At") and is_number(self.row[name]) and is_number(self.assigned[name]):
                members[name] = max(self.row[name], self.assigned[name])
        for name in DECISIONS & self.assigned.keys():
            members[name] = self.assigned[name]
        members = {name: value for name, value in members.items() if value is not None}
        members.pop("closed", None)  # of a tombstone that Node has filled: it is a session again
        members.pop("next", None)
        if created is not None:
            members["createdAt"] = created
        return json_text.dumps(members) if members else ""


# ---------------------------------------------------------------- tombstones


def tombstone(
    cookie: StoredCookie, grace: float, now: int, successor: str, left: StoredSession, *, is_moved: bool = False
) -> StoredSession:
    """Return the record that takes the place of `left` for `grace` milliseconds; `successor` is the key of the new row.

    It keeps which values of the cookie are good. `is_moved` says that it is the very same login there, which was
    confirmed: a socket goes on with it.
    """
    closed = now + int(grace)
    view = {**cookie.to_json(), "originalMaxAge": int(grace), "expires": iso(closed)}
    members: Meta = {**_values(left), "closed": closed, "next": successor, **({"moved": True} if is_moved else {})}
    return StoredSession(json_text.join(json_text.dumps(view), json_text.EMPTY, json_text.dumps(members)), closed)


def _values(record: StoredSession) -> Meta:
    """Return what a row says of its cookie's values; nothing for a row that cannot be read."""
    try:
        meta = _meta_with(_TAG, record) or {}
    except CorruptSession:
        return {}
    return {name: meta[name] for name in MEMBERS if name in meta}


def closed_meta(record: StoredSession) -> Meta | None:
    """Return the `__meta` of a record that is, or was, a tombstone; None for any other. Raises CorruptSession."""
    meta = _meta_with(_CLOSED, record)
    return meta if meta is not None and is_number(meta.get("closed")) else None


def _meta_with(mark: str, record: StoredSession) -> Meta | None:
    """Return the `__meta` of a record that has a mark in its text; None if there is none. Raises CorruptSession."""
    if mark not in record.data or json_text.META not in record.data:
        return None
    _, data = json_text.split(record.data)
    text, _ = json_text.split_meta(data)
    return parsed(text)


def is_closed(record: StoredSession, now: int) -> bool:
    """Return True for a tombstone: until `closed` whatever the row holds, and after it while the row has no data.

    The moment in `closed` counts and not the row's expiry, which Express prolongs. After it a row that Node has filled
    is a session again, and one without data is as good as none.
    """
    try:
        meta = closed_meta(record)
    except CorruptSession:
        return False  # whoever reads it will say so
    if meta is None:
        return False
    if meta["closed"] > now:
        return True
    _, data = json_text.split(record.data)
    return json_text.split_meta(data)[1] == json_text.EMPTY
