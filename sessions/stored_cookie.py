"""Owns the cookie of a stored session: its members and lifetime, its JSON view, and its Set-Cookie header.

The JSON view and the arithmetic are those of express-session 1.19's session/cookie.js. It must not know ids, signatures
or stores; formats/cookie_header.py knows the wire. All times are integer milliseconds since the epoch.
"""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeGuard

from .clock import Clock
from .errors import CorruptSession, HeadersSent, OptionsError
from .formats.cookie_header import around_expires, encode, http_date
from .formats.json_text import EMPTY, dumps, loads
from .options import CookieOptions
from .validation import ABSENT, check_attribute, is_lifetime, is_number, wrong

# The members of the stored cookie in the order in which session/cookie.js lists them (`get data`).
_MEMBERS = (
    "originalMaxAge", "partitioned", "priority", "expires", "secure", "httpOnly", "domain", "path", "sameSite",
)  # fmt: skip
_HEADER_MEMBERS = ("domain", "path", "httpOnly", "secure", "partitioned", "priority", "sameSite")
LAST_MOMENT = 253_402_300_799_999
"""The end of the year 9999, in milliseconds since the epoch: a later moment has no HTTP date."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_YEAR = 9999
_MILLISECOND = timedelta(milliseconds=1)


_LIFETIME = ("originalMaxAge", "expires")


class StoredCookie:
    """The cookie of one session. A member that was never given is absent, as JavaScript's undefined."""

    is_sealed: bool = False
    """Whether the answer is finished: nothing can be assigned any more."""
    _assigned: Mapping[str, Any] = MappingProxyType({})  # it is replaced, never changed
    _last = LAST_MOMENT  # no expiry is later
    _asked: tuple[bool, bool] = (False, False)  # whether secure and sameSite were "auto" in the options

    def __init__(self, attributes: "Attributes", clock: Clock, lifetime: Any = ABSENT, expires: Any = ABSENT) -> None:
        self._attributes = attributes
        self.clock: Clock = clock
        """The clock by which it expires."""
        self.lifetime: Any = lifetime
        """Its originalMaxAge in milliseconds; None, or False as Node writes it; or ABSENT."""
        self.expires: Any = expires
        """Milliseconds since the epoch; None or False: it lives until the browser is closed; or ABSENT."""

    @classmethod
    def new(cls, options: CookieOptions, clock: Clock, *, is_secure: Callable[[], bool]) -> "StoredCookie":
        """Make the cookie of a new session. `is_secure` is called only if an option is "auto"."""
        asks = options.secure == "auto", options.same_site == "auto"
        answer = bool(is_secure()) if True in asks else None
        attributes = options.made.get(answer)
        if attributes is None:
            attributes = options.made[answer] = _resolved(options, answer)
        cookie = cls(attributes, clock)
        if answer is not None:
            cookie._asked = asks
        if options.expires is not ABSENT:
            cookie._set_expires(options.expires)
        else:
            cookie._set_max_age(None if options.max_age is ABSENT else options.max_age)
        if options.original_max_age is not ABSENT and options.original_max_age is not None:
            cookie.lifetime = options.original_max_age
        return cookie

    @classmethod
    def load(cls, text: str, expires_at: int, clock: Clock) -> "StoredCookie":
        """The cookie of a stored session, by its JSON text. A touch moves only the row's expiry: `expires_at` counts.

        Raises CorruptSession.
        """
        attributes, lifetime, expires = _stored(text)
        return cls(attributes, clock, lifetime, _in_range(expires_at) if expires else expires)

    @property
    def has_expiry(self) -> bool:
        """Express's `cookie.expires != null`, which is true of False as well: a changed session re-sends the cookie."""
        return self.expires is not None and self.expires is not ABSENT

    def touch(self) -> None:
        """Start the lifetime again: express-session's `resetMaxAge`."""
        if self.lifetime is ABSENT:  # a foreign row without it: Express makes it a cookie without expiry at that
            self.expires = ABSENT
        else:
            self._set_max_age(self.lifetime)

    def cap(self, last: int) -> None:
        """Let no expiry be later than this moment, neither the present one nor one that is set from here on."""
        self._last = max(last, 0)
        if is_moment(self.expires):
            self.expires = min(self.expires, self._last)

    def capped(self, moment: float) -> int:
        """The moment, or the last one that an expiry may be."""
        return min(max(int(moment), 0), self._last)

    def changed_from(self, text: str) -> bool:
        """Whether a handler assigned anything that differs from the stored cookie, its expiry aside."""
        if not self._assigned:
            return False
        stored = _stored(text)
        return any(stored.get(name) != value for name, value in self._assigned.items() if name != "expires")

    def clashes(self, loaded: str, newer: str) -> bool:
        """Whether an attribute that a handler assigned has become something else since the cookie was loaded."""
        before, theirs = _stored(loaded), _stored(newer)
        return any(
            theirs.get(name) not in (before.get(name), value)
            for name, value in self._assigned.items()
            if name != "expires"  # which every renewal moves
        )

    @property
    def assigned(self) -> Mapping[str, Any]:
        """What a handler has assigned, by stored name."""
        return self._assigned

    def become(self, other: "StoredCookie") -> None:
        """Take over another cookie: nothing of it has been assigned here."""
        self._attributes, self.lifetime, self.expires = other._attributes, other.lifetime, other.expires  # noqa: SLF001 # of the same class
        self._assigned = {}

    def snapshot(self) -> Callable[[], None]:
        """Return what puts the cookie back to this moment."""
        before = self._attributes, self.lifetime, self.expires, self._assigned, self._last

        def go_back() -> None:
            self._attributes, self.lifetime, self.expires, self._assigned, self._last = before

        return go_back

    def ask_again(self, new: "StoredCookie") -> None:
        """Take over from a new session's cookie what "auto" comes to in this request; it never lowers what was set."""
        asks_secure, asks_same_site = new._asked  # noqa: SLF001 # of the same class
        if asks_secure and new.member("secure") is True and self.member("secure") is not True:
            self._attributes = self._attributes.having({"secure": True})
        if asks_same_site and _strictness(new.member("sameSite")) > _strictness(self.member("sameSite")):
            self._attributes = self._attributes.having({"sameSite": new.member("sameSite")})

    def take_lifetime(self, new: "StoredCookie") -> None:
        """Give the cookie the lifetime of a new session's, as if a handler had assigned it."""
        self.lifetime = new.lifetime
        self.expires = self.capped(new.expires) if is_moment(new.expires) else new.expires
        self._lifetime_is_assigned()

    def reassign(self, assigned: Mapping[str, Any]) -> None:
        """Apply what was assigned before to what the cookie has become, and compute its expiry again."""
        self._attributes = self._attributes.having(assigned)
        self.lifetime = assigned.get("originalMaxAge", self.lifetime)
        self.expires = assigned.get("expires", self.expires)
        self._assigned = assigned
        self.touch()

    def to_json(self) -> dict[str, Any]:
        """The cookie as it is stored: express-session's members in its order, `expires` as an ISO date or null."""
        expires = iso(self.expires) if is_moment(self.expires) else self.expires
        members = {**self._attributes.members, "originalMaxAge": self.lifetime, "expires": expires}
        return {name: members[name] for name in _MEMBERS if members.get(name, ABSENT) is not ABSENT}

    def text(self) -> str:
        """`to_json` as JSON text."""
        lifetime, expires = self.lifetime, self.expires
        if (lifetime is not None and type(lifetime) is not int) or expires is ABSENT or expires is False:
            return dumps(self.to_json())  # what only a foreign row, or an odd option, has
        before, after = self._attributes.json
        lifetime = "null" if lifetime is None else lifetime
        date = "null" if expires is None else f'"{iso(expires)}"'
        return f'{{"originalMaxAge":{lifetime}{before},"expires":{date}{after}}}'

    def set_cookie(self, name: str, value: str) -> str:
        """The Set-Cookie header that sends this cookie. Raises OptionsError for an attribute that cannot be sent."""
        return self._attributes.set_cookie(name, value, self.expires)

    def check(self) -> None:
        """Raise CorruptSession where a stored cookie, another's work perhaps, could not be sent."""
        try:
            _ = self._attributes.header
        except (OptionsError, TypeError):  # TypeError: a list, say, where a word belongs
            raise CorruptSession("the stored cookie has an attribute that cannot be sent") from None

    def clearing(self, name: str) -> str:
        """The Set-Cookie header that removes it: the same attributes, an empty value, a date in the past."""
        return self._attributes.set_cookie(name, "", 0)

    def __repr__(self) -> str:
        return f"<StoredCookie {self.text()}>"

    def member(self, name: str) -> Any:
        """An attribute under its stored name; None where there is none."""
        if name not in _LIFETIME:
            return self._attributes.members.get(name)
        value = self.expires if name == "expires" else self.lifetime
        return None if value is ABSENT else value

    def assign(self, name: str, value: Any) -> None:
        """Set an attribute under its stored name. Raises OptionsError for a value that cannot be sent."""
        if self.is_sealed:
            raise HeadersSent(f"cookie.{name} was assigned after the answer was finished")
        _check_assigned(name, value)
        if name in ("maxAge", "expires"):
            (self._set_expires if name == "expires" else self._set_max_age)(value)
            self._lifetime_is_assigned()
            return
        if name == "originalMaxAge":
            self.lifetime = value
        else:
            self._attributes = self._attributes.having({name: value})
        self._assigned = {**self._assigned, name: value}

    def _lifetime_is_assigned(self) -> None:
        self._assigned = {**self._assigned, "originalMaxAge": self.lifetime, "expires": self.expires}

    # The two setters of session/cookie.js: maxAge sets expires, and expires sets originalMaxAge to what is left.
    def _set_max_age(self, value: Any) -> None:
        if value is not None and is_number(value):
            self.expires = self.capped(self.clock() + value)
            self.lifetime = int(value)  # a Date has no fractions of a millisecond
        else:
            self.expires = self.lifetime = value

    def _set_expires(self, value: Any) -> None:
        if isinstance(value, datetime):
            moment = (value - _EPOCH) // _MILLISECOND
            self.expires = min(moment, self._last)
            self.lifetime = moment - self.clock()
        else:
            self.expires = self.lifetime = value


def _resolved(options: CookieOptions, is_secure: bool | None) -> "Attributes":
    """Return the attributes of a new session's cookie, where "auto" comes to what the request says."""
    members = options.members.copy()
    if options.secure == "auto":
        members["secure"] = is_secure
    if options.same_site == "auto":
        members["sameSite"] = "none" if is_secure else "lax"
    return Attributes(members)


_SAME_SITE = ("none", "lax", "strict")


def _strictness(same_site: Any) -> int:
    """Return how much a SameSite attribute keeps back; one that is left out counts as the least."""
    word = "strict" if same_site is True else str(same_site).lower()
    return _SAME_SITE.index(word) if word in _SAME_SITE else 0


def _check_assigned(name: str, value: Any) -> None:
    """What options may be and a cookie may not: absent, and "auto", which is resolved when the session is made."""
    if value is ABSENT or value == "auto":
        raise wrong(f"cookie.{name}", "a value that can be sent", value)
    check_attribute(name, value)


def is_moment(expires: Any) -> TypeGuard[int]:
    """Return True for a moment in milliseconds; None, False and ABSENT are none."""
    return expires is not None and expires is not False and expires is not ABSENT


def as_date(moment: int) -> datetime:
    """Return a moment in milliseconds since the epoch as a date in UTC."""
    return _EPOCH + moment * _MILLISECOND


def _in_range(moment: int) -> int:
    return min(max(moment, 0), LAST_MOMENT)


class Attributes:
    """The attributes of a cookie, its lifetime aside, and what they come to: made once for each set that occurs.

    Cookies share them, so they do not change.
    """

    def __init__(self, members: Mapping[str, Any]) -> None:
        self.members: Mapping[str, Any] = members
        """By their stored names; one that was never given is not there. What the lifetime says there does not count."""

    def having(self, members: Mapping[str, Any]) -> "Attributes":
        """Return the same with some others."""
        return Attributes({**self.members, **members})

    @cached_property
    def header(self) -> tuple[str, str]:
        """What comes before and after Expires in Set-Cookie. Raises OptionsError."""
        return around_expires(*map(self.members.get, _HEADER_MEMBERS))

    @cached_property
    def json(self) -> tuple[str, str]:
        """What comes between originalMaxAge and expires in the stored cookie, and after them."""
        split = _MEMBERS.index("expires")
        before, after = (
            dumps({name: self.members[name] for name in names if name in self.members})
            for names in (_MEMBERS[1:split], _MEMBERS[split + 1 :])
        )
        return (f",{before[1:-1]}" if before != EMPTY else ""), (f",{after[1:-1]}" if after != EMPTY else "")

    def set_cookie(self, name: str, value: str, expires: Any) -> str:
        """The Set-Cookie header of a cookie, in npm cookie's order of attributes. Raises OptionsError."""
        before, after = self.header
        date = f"; Expires={http_date(int(expires // 1000))}" if is_moment(expires) else ""
        return f"{name}={encode(value)}{before}{date}{after}"


class _Stored(NamedTuple):
    """A stored cookie as express-session knows it, with its defaults."""

    attributes: Attributes
    lifetime: Any
    expires: bool | None
    """True for a date, which one is said by the row; False or None as in a cookie."""

    def get(self, name: str) -> Any:
        """Return a member but for its expiry; ABSENT where there is none."""
        return self.lifetime if name == "originalMaxAge" else self.attributes.members.get(name, ABSENT)


# The head of a stored cookie with a lifetime, as Node and this library write it: in most sessions of an application all
# that differs. A date that is none is left to the slow way, and so is the leap day.
_HEAD = re.compile(
    r'\{"originalMaxAge":(0|[1-9][0-9]{0,13}),((?:"partitioned":[a-z]+,)?(?:"priority":"[a-z]*",)?)"expires":'
    r'"[12][0-9]{3}-'
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r'T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"'
)


def _stored(text: str) -> _Stored:
    """Return the cookie of a stored text. Raises CorruptSession."""
    head = _HEAD.match(text)
    if head is None:
        return _read_stored(text)
    stored = _read_stored(f'{{"originalMaxAge":0,{head[2]}"expires":1{text[head.end() :]}')
    return stored._replace(lifetime=int(head[1]))


@lru_cache(maxsize=1024)
def _read_stored(text: str) -> _Stored:
    stored = loads(text)
    members = {name: stored[name] for name in _MEMBERS if name in stored}
    if any(isinstance(value, list | dict) for value in members.values()):
        raise CorruptSession("the stored cookie has an attribute of a type that none has")
    lifetime, expires = members.pop("originalMaxAge", ABSENT), members.pop("expires", None)
    if lifetime is not None and lifetime is not False and lifetime is not ABSENT and not is_lifetime(lifetime):
        raise CorruptSession("the stored cookie's originalMaxAge is no number of milliseconds")
    members.setdefault("path", "/")
    members.setdefault("httpOnly", True)
    if expires == 0:  # a false one of Node's: no date, but not null either
        return _Stored(Attributes(members), lifetime, expires=False)
    return _Stored(Attributes(members), lifetime, True if expires is not None and _is_date(expires) else None)


def _is_date(expires: object) -> bool:
    """Whether a stored `expires` is one: Node writes an ISO date; a number of milliseconds passes there too."""
    if not isinstance(expires, str):
        return is_number(expires)
    try:
        datetime.fromisoformat(expires)
    except ValueError:
        return expires.startswith("+")  # a year beyond 9999, which datetime does not know
    return True


def iso(moment: int) -> str:
    """Milliseconds since the epoch as JavaScript's `Date.prototype.toISOString` writes them."""
    seconds, milliseconds = divmod(moment, 1000)
    return f"{_iso_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=64)
def _iso_second(seconds: int) -> str:
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    years = f"{year:04d}" if 0 <= year <= _LAST_YEAR else f"{'-' if year < 0 else '+'}{abs(year):06d}"
    return f"{years}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"


def set_cookie(name: str, value: str, members: Mapping[str, Any]) -> str:
    """The Set-Cookie header of a cookie with the members of a stored one, `expires` in milliseconds since the epoch."""
    return Attributes(members).set_cookie(name, value, members.get("expires"))
