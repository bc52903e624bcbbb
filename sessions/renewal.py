"""Owns the values that the cookie of one session has over time: which are good, which is sent, when a new one is due.

The row stays under its id, and the cookie's value changes:

    s:<id>~<tag>.<signature>        tag = 8 base64url characters; a session that was never renewed has none

Four members of `__meta` say which value counts: `tag` is that of the present value, `tagBefore` that of the value
before, `tagUsed` when a request first brought the present one, and `renewedAt` when it was made. At most two are good:

1. The present value is good. The first request that brings it is noted.
2. The value before is good until then, however long that takes, because the answer with the present one may be lost:
   whoever brings it is sent the present one. After that it is good for requests that began within `grace`, and so were
   under way; no cookie is sent to them, as the browser has it, and a thief would not.
3. Any other value with our signature is one of ours that is over, so somebody uses a copy.

No new value is made before that grace is over. A value that would be sent again shortly before the next one is due is
replaced at once: an answer that is still under way must not put an older value into the browser. All here is pure.
"""

import re
import secrets
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from .validation import is_number

TAG_BYTES = 6
"""Random bytes of a tag: the signature keeps anybody from making one up."""

_TAG = re.compile(r"~[A-Za-z0-9_-]{8}")
_LENGTH = 9  # of a tag with its "~"

TagsOf: TypeAlias = Mapping[str, Collection[str]]
"""The tags that came with each id."""

NO_TAGS: TagsOf = MappingProxyType({})
"""Those of cookies that were never renewed."""

NO_TAG: tuple[str, ...] = ("",)
"""What a request with a cookie without a tag brings."""

Standing: TypeAlias = Literal["present", "lost", "replaced", "over"]
"""What a value is: the present one; the one before, while the present one may be lost or is in use; or none that is
good."""

Value: TypeAlias = Literal["fixed", "present", "soon", "due", "lost", "quiet"]
"""What becomes of the cookie's value in a request. fixed: there is one for good. present: it may be sent again. soon: a
new one takes its place if it is sent again. due: it is to be replaced. lost: the browser is to get the present one.
quiet: none is sent."""


def split(value: str) -> tuple[str, str]:
    """Return the id and the tag of a verified value; the tag is "" where there is none."""
    if "~" in value and len(value) > _LENGTH and _TAG.fullmatch(value, len(value) - _LENGTH):
        return value[:-_LENGTH], value[1 - _LENGTH :]
    return value, ""


def join(sid: str, tag: str) -> str:
    """Return the value of an id and a tag, which is to be signed."""
    return f"{sid}~{tag}" if tag else sid


class Tags(NamedTuple):
    """What `__meta` says of the values. Moments are milliseconds since the epoch; None: there is none."""

    present: str
    before: str | None
    used_at: float | None
    renewed_at: float | None

    def is_of(self, other: "Tags") -> bool:
        """Return True if no new value was made between the two."""
        return self[:2] == other[:2]


def tags_of(meta: Mapping[str, Any]) -> Tags:
    """Return what `__meta` says of the values."""
    used_at, renewed_at = meta.get("tagUsed"), meta.get("renewedAt")
    return Tags(
        present=meta.get("tag") or "",
        before=(meta.get("tagBefore") or "") if is_renewed(meta) else None,
        used_at=used_at if is_number(used_at) else None,
        renewed_at=renewed_at if is_number(renewed_at) else None,
    )


def is_renewed(meta: Mapping[str, Any]) -> bool:
    """Return True if the cookie has had another value before."""
    return "tag" in meta or "tagBefore" in meta


class Renewal(NamedTuple):
    """The rules for one request: the tags that it has brought, `renewAfter` (None: off) and `grace` in milliseconds.

    `waited`: the milliseconds since its head came, as a slow upload is loaded when its body is complete.
    """

    sent: Collection[str]
    after: float | None
    grace: float
    waited: float = 0

    def standing(self, tags: Tags, now: int) -> Standing:
        """Return what the values are that the request has brought."""
        if tags.present in self.sent:
            return "present"
        if tags.before is not None and tags.before in self.sent:
            if tags.used_at is None:
                return "lost"
            # Of a clock that was wrong once the future has an end too.
            if -self.grace < now - tags.used_at < self.grace + self.waited:
                return "replaced"
        return "over"

    def is_first_use(self, tags: Tags) -> bool:
        """Return True if no request has brought the present value before this one."""
        return tags.present in self.sent and tags.before is not None and tags.used_at is None

    def value(self, tags: Tags, now: int) -> Value:
        """Return what becomes of the cookie's value."""
        standing = self.standing(tags, now)
        if standing != "present":
            return "lost" if standing == "lost" else "quiet"
        if tags.before is not None and tags.used_at is None:
            return "present"  # it is noted first
        is_free = tags.used_at is None or abs(now - tags.used_at) >= self.grace
        left = self._left(tags, now)
        if left <= 0 and is_free:
            return "due"
        if left > self.grace:
            return "present"
        return "soon" if is_free else "quiet"

    def _left(self, tags: Tags, now: int) -> float:
        """Return the milliseconds until a new value is due; 0 or less: it is."""
        if self.after is None:  # switched off: the id alone is the value again
            return 0 if tags.present else float("inf")
        return 0 if tags.renewed_at is None else self.after - abs(now - tags.renewed_at)

    def following(self, tags: Tags, now: int) -> dict[str, Any]:
        """Return the members of `__meta` for a new value; None removes one."""
        if self.after is None:
            return {"tag": None, "tagBefore": tags.present, "tagUsed": None, "renewedAt": None}
        tag = secrets.token_urlsafe(TAG_BYTES)
        return {"tag": tag, "tagBefore": tags.present or None, "tagUsed": None, "renewedAt": now}


def first(after: float | None, now: int) -> dict[str, Any]:
    """Return the members of `__meta` for an id that the browser does not know yet: its value is the id alone."""
    return {"tag": None, "tagBefore": None, "tagUsed": None, "renewedAt": None if after is None else now}


MEMBERS = tuple(first(None, 0))
"""The members of `__meta` that belong to the values."""
