"""Owns the cookie of a stored session: its members and lifetime, its JSON view, and its Set-Cookie header.

The JSON view and the arithmetic are those of express-session 1.19's session/cookie.js. It must not know ids, signatures
or stores; formats/cookie_header.py knows the wire. All times are integer milliseconds since the epoch.
"""

import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any, TypeGuard

from .clock import Clock
from .errors import CorruptSession, HeadersSent, OptionsError
from .formats.cookie_header import around_expires, encode, http_date
from .formats.json_text import EMPTY, dumps, loads
from .options import CookieOptions
from .validation import ABSENT, Absent, check_attribute, is_lifetime, is_number, wrong

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


class StoredCookie:
    """The cookie of one session. A member that was never given is absent, as JavaScript's undefined."""

    is_sealed: bool = False
    """Whether the answer is finished: nothing can be assigned any more."""
    _last = LAST_MOMENT  # no expiry is later
    _asked: tuple[bool, bool] = (False, False)  # whether secure and sameSite were "auto" in the options

    def __init__(self, members: dict[str, Any], clock: Clock, fixed: "_Fixed | None" = None) -> None:
        self._members = members  # `expires` as milliseconds, None or False; a member never given is not there
        self._clock = clock
        self._fixed = fixed  # what becomes of them all but the lifetime; None: not made yet
        self._assigned: dict[str, Any] = {}

    @classmethod
    def new(cls, options: CookieOptions, clock: Clock, *, is_secure: Callable[[], bool]) -> "StoredCookie":
        """Make the cookie of a new session. `is_secure` is called only if an option is "auto"."""
        members = options.members.copy()
        if options.secure == "auto":
            members["secure"] = is_secure()
        if options.same_site == "auto":
            members["sameSite"] = "none" if is_secure() else "lax"
        resolved = members.get("secure"), members.get("sameSite")
        fixed = options.made.get(resolved)
        if fixed is None:
            fixed = options.made[resolved] = _Fixed(members.copy())
        cookie = cls(members, clock, fixed)
        cookie._asked = options.secure == "auto", options.same_site == "auto"
        if options.expires is not ABSENT:
            cookie._set_expires(options.expires)
        else:
            cookie._set_max_age(None if isinstance(options.max_age, Absent) else options.max_age)
        if options.original_max_age is not ABSENT and options.original_max_age is not None:
            members["originalMaxAge"] = options.original_max_age
        return cookie

    @classmethod
    def load(cls, text: str, expires_at: int, clock: Clock) -> "StoredCookie":
        """The cookie of a stored session, by its JSON text. A touch moves only the row's expiry: `expires_at` counts.

        Raises CorruptSession.
        """
        stored, fixed = _stored(text)
        members = stored.copy()
        if members["expires"] is not None and members["expires"] is not False:
            members["expires"] = _in_range(expires_at)
        return cls(members, clock, fixed)

    @property
    def has_expiry(self) -> bool:
        """Express's `cookie.expires != null`, which is true of False as well: a changed session re-sends the cookie."""
        return self._members.get("expires") is not None

    def touch(self) -> None:
        """Start the lifetime again: express-session's `resetMaxAge`."""
        if "originalMaxAge" in self._members:
            self._set_max_age(self._members["originalMaxAge"])
        else:  # a foreign row without it: Express makes it a cookie without expiry at the first touch
            self._members.pop("expires", None)

    def cap(self, last: int) -> None:
        """Let no expiry be later than this moment, neither the present one nor one that is set from here on."""
        self._last = max(last, 0)
        expires = self._members.get("expires")
        if is_moment(expires):
            self._members["expires"] = min(expires, self._last)

    def capped(self, moment: float) -> int:
        """The moment, or the last one that an expiry may be."""
        return min(max(int(moment), 0), self._last)

    def changed_from(self, text: str) -> bool:
        """Whether a handler assigned anything that differs from the stored cookie, its expiry aside."""
        if not self._assigned:
            return False
        stored, _ = _stored(text)
        return any(stored.get(name, ABSENT) != value for name, value in self._assigned.items() if name != "expires")

    def clashes(self, loaded: str, newer: str) -> bool:
        """Whether an attribute that a handler assigned has become something else since the cookie was loaded."""
        before, theirs = _stored(loaded)[0], _stored(newer)[0]
        return any(
            theirs.get(name, ABSENT) not in (before.get(name, ABSENT), value)
            for name, value in self._assigned.items()
            if name != "expires"  # which every renewal moves
        )

    @property
    def assigned(self) -> dict[str, Any]:
        """What a handler has assigned, by stored name."""
        return self._assigned

    def become(self, other: "StoredCookie") -> None:
        """Take over another cookie: nothing of it has been assigned here."""
        self._members, self._fixed, self._assigned = other._members, other._fixed, {}  # noqa: SLF001 # of the same class

    def snapshot(self) -> Callable[[], None]:
        """Return what puts the cookie back to this moment."""
        members, fixed, assigned, last = self._members.copy(), self._fixed, self._assigned.copy(), self._last

        def go_back() -> None:
            self._members, self._fixed, self._assigned, self._last = members, fixed, assigned, last

        return go_back

    def ask_again(self, new: "StoredCookie") -> None:
        """Take over from a new session's cookie what "auto" comes to in this request; it never lowers what was set."""
        asks_secure, asks_same_site = new._asked  # noqa: SLF001 # of the same class
        if asks_secure and new.member("secure") is True and self.member("secure") is not True:
            self._members["secure"], self._fixed = True, None
        if asks_same_site and _strictness(new.member("sameSite")) > _strictness(self.member("sameSite")):
            self._members["sameSite"], self._fixed = new.member("sameSite"), None

    def take_lifetime(self, new: "StoredCookie") -> None:
        """Give the cookie the lifetime of a new session's, as if a handler had assigned it."""
        expires = new.member("expires")
        self._members["originalMaxAge"] = self._assigned["originalMaxAge"] = new.member("originalMaxAge")
        self._members["expires"] = self._assigned["expires"] = self.capped(expires) if is_moment(expires) else expires

    def reassign(self, assigned: dict[str, Any]) -> None:
        """Apply what was assigned before to what the cookie has become, and compute its expiry again."""
        self._members.update(assigned)
        self._assigned = assigned
        self._fixed = None
        self.touch()

    def to_json(self) -> dict[str, Any]:
        """The cookie as it is stored: express-session's members in its order, `expires` as an ISO date or null."""
        members = self._members
        view = {name: members[name] for name in _MEMBERS if name in members}
        if is_moment(expires := view.get("expires")):
            view["expires"] = iso(expires)
        return view

    def text(self) -> str:
        """`to_json` as JSON text."""
        members = self._members
        lifetime, expires = members.get("originalMaxAge", ABSENT), members.get("expires", ABSENT)
        if (lifetime is not None and type(lifetime) is not int) or expires is ABSENT or expires is False:
            return dumps(self.to_json())  # what only a foreign row, or an odd option, has
        before, after = self._filled_in().json
        lifetime = "null" if lifetime is None else lifetime
        return f'{{"originalMaxAge":{lifetime}{before},"expires":{_json_date(expires)}{after}}}'

    def set_cookie(self, name: str, value: str) -> str:
        """The Set-Cookie header that sends this cookie. Raises OptionsError for an attribute that cannot be sent."""
        return self._filled_in().set_cookie(name, value, self._members.get("expires"))

    def check(self) -> None:
        """Raise CorruptSession where a stored cookie, another's work perhaps, could not be sent."""
        try:
            _ = self._filled_in().header
        except (OptionsError, TypeError):  # TypeError: a list, say, where a word belongs
            raise CorruptSession("the stored cookie has an attribute that cannot be sent") from None

    def clearing(self, name: str) -> str:
        """The Set-Cookie header that removes it: the same attributes, an empty value, a date in the past."""
        return self._filled_in().set_cookie(name, "", 0)

    def _filled_in(self) -> "_Fixed":
        if self._fixed is None:
            self._fixed = _Fixed(self._members.copy())
        return self._fixed

    def __repr__(self) -> str:
        return f"<StoredCookie {self.text()}>"

    def member(self, name: str) -> Any:
        """An attribute under its stored name; None where there is none."""
        return self._members.get(name)

    def assign(self, name: str, value: Any) -> None:
        """Set an attribute under its stored name. Raises OptionsError for a value that cannot be sent."""
        if self.is_sealed:
            raise HeadersSent(f"cookie.{name} was assigned after the answer was finished")
        _check_assigned(name, value)
        if name == "maxAge":
            self._set_max_age(value)
        elif name == "expires":
            self._set_expires(value)
        else:
            self._members[name] = self._assigned[name] = value
            self._fixed = None
            return
        self._assigned["originalMaxAge"] = self._members["originalMaxAge"]
        self._assigned["expires"] = self._members["expires"]

    @property
    def clock(self) -> Clock:
        """The clock by which it expires."""
        return self._clock

    # The two setters of session/cookie.js: maxAge sets expires, and expires sets originalMaxAge to what is left.
    def _set_max_age(self, value: Any) -> None:
        if is_number(value):
            self._members["expires"] = self.capped(self._clock() + value)
            self._members["originalMaxAge"] = int(value)  # a Date has no fractions of a millisecond
        else:
            self._members["expires"] = self._members["originalMaxAge"] = value

    def _set_expires(self, value: Any) -> None:
        if isinstance(value, datetime):
            moment = (value - _EPOCH) // _MILLISECOND
            self._members["expires"] = min(moment, self._last)
            self._members["originalMaxAge"] = moment - self._clock()
        else:
            self._members["expires"] = self._members["originalMaxAge"] = value


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
    """Return True for a moment in milliseconds; None and False are none."""
    return expires is not None and expires is not False


def as_date(moment: int) -> datetime:
    """Return a moment in milliseconds since the epoch as a date in UTC."""
    return _EPOCH + moment * _MILLISECOND


def _in_range(moment: int) -> int:
    return min(max(moment, 0), LAST_MOMENT)


class _Fixed:
    """What a cookie's attributes come to, its lifetime aside: made once for each set that occurs, then filled in."""

    def __init__(self, members: Mapping[str, Any]) -> None:
        self._members = members

    @cached_property
    def header(self) -> tuple[str, str]:
        """What comes before and after Expires in Set-Cookie. Raises OptionsError."""
        return around_expires(*map(self._members.get, _HEADER_MEMBERS))

    @cached_property
    def json(self) -> tuple[str, str]:
        """What comes between originalMaxAge and expires in the stored cookie, and after them."""
        split = _MEMBERS.index("expires")
        before, after = (
            dumps({name: self._members[name] for name in names if name in self._members})
            for names in (_MEMBERS[1:split], _MEMBERS[split + 1 :])
        )
        return (f",{before[1:-1]}" if before != EMPTY else ""), (f",{after[1:-1]}" if after != EMPTY else "")

    def set_cookie(self, name: str, value: str, expires: Any) -> str:
        """The Set-Cookie header of a cookie, in npm cookie's order of attributes. Raises OptionsError."""
        before, after = self.header
        date = f"; Expires={http_date(int(expires // 1000))}" if is_moment(expires) else ""
        return f"{name}={encode(value)}{before}{date}{after}"


# The head of a stored cookie with a lifetime, as Node and this library write it: in most sessions of an application all
# that differs. A date that is none is left to the slow way, and so is the leap day.
_LIFETIME = re.compile(
    r'\{"originalMaxAge":(0|[1-9][0-9]{0,13}),((?:"partitioned":[a-z]+,)?(?:"priority":"[a-z]*",)?)"expires":'
    r'"[12][0-9]{3}-'
    r"(?:(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    r'T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{3}Z"'
)


def _stored(text: str) -> "tuple[dict[str, Any], _Fixed]":
    """The members of a stored cookie that express-session knows, with its defaults; not to be changed.

    Raises CorruptSession.
    """
    lifetime = _LIFETIME.match(text)
    if lifetime is None:
        return _read_stored(text)
    members, fixed = _read_stored(f'{{"originalMaxAge":0,{lifetime[2]}"expires":1{text[lifetime.end() :]}')
    return members | {"originalMaxAge": int(lifetime[1])}, fixed


@lru_cache(maxsize=1024)
def _read_stored(text: str) -> "tuple[dict[str, Any], _Fixed]":
    stored = loads(text)
    members = {name: stored[name] for name in _MEMBERS if name in stored}
    if any(isinstance(value, list | dict) for value in members.values()):
        raise CorruptSession("the stored cookie has an attribute of a type that none has")
    lifetime = members.get("originalMaxAge")
    if lifetime is not None and lifetime is not False and not is_lifetime(lifetime):
        raise CorruptSession("the stored cookie's originalMaxAge is no number of milliseconds")
    members.setdefault("path", "/")
    members.setdefault("httpOnly", True)
    expires = members.setdefault("expires", None)
    if expires == 0:  # a false one of Node's: no date, but not null either
        members["expires"] = False
    elif expires is not None and not _is_date(expires):
        members["expires"] = None
    return members, _Fixed(members)


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


def _json_date(moment: int | None) -> str:
    return "null" if moment is None else f'"{iso(moment)}"'


@lru_cache(maxsize=64)
def _iso_second(seconds: int) -> str:
    year, month, day, hour, minute, second = time.gmtime(seconds)[:6]
    years = f"{year:04d}" if 0 <= year <= _LAST_YEAR else f"{'-' if year < 0 else '+'}{abs(year):06d}"
    return f"{years}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"


def set_cookie(name: str, value: str, members: Mapping[str, Any]) -> str:
    """The Set-Cookie header of a cookie with the members of a stored one, `expires` in milliseconds since the epoch."""
    return _Fixed(members).set_cookie(name, value, members.get("expires"))
