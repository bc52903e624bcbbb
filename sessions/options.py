"""Owns the options: their names, defaults and every check on them.

`SessionOptions` and `CookieOptions` are frozen and checked when they are made, so nothing behind them checks again. A
mapping in express-session's spelling (`saveUninitialized`, `maxAge`, ...) is read by `SessionOptions.from_mapping`.
Messages use that spelling, because it is what stands in the file, and never show a secret. This file must not know
stores, sessions or HTTP: a request is handed through to the deployment's own functions unseen.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from functools import cached_property
from typing import Any, Literal, TypeAlias
from urllib.parse import quote

from .errors import OptionsError

log = logging.getLogger("sessions")

DAY = 86_400_000
"""Milliseconds in a day."""

COOKIE_BYTES = 4_096
"""Name and value of a cookie: browsers drop one that is longer (RFC 6265bis, section 5.7)."""

_AROUND_ID = 4 + 1 + 43 * 3
"""Bytes of a cookie's value beside the id: "s%3A", the dot, and a signature with every character escaped."""

_NAME_BYTES = COOKIE_BYTES - _AROUND_ID - 32
_ATTRIBUTE_BYTES = 1_024
"""An attribute's value: browsers pass a longer one over (RFC 6265bis, section 5.6)."""

BROWSER_MAX_AGE = 400 * DAY
"""Browsers cap a cookie's lifetime here (RFC 6265bis, section 5.5)."""

MAX_LIFETIME = 250_000_000_000_000
"""Milliseconds, near 8,000 years: a date so far from now still has four digits in its year."""


class Absent(Enum):
    """The type of `ABSENT`: a cookie attribute that was never given, as JavaScript's undefined (null is None)."""

    ABSENT = "absent"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent.ABSENT

MaxAge: TypeAlias = float | Literal[False] | None
SameSite: TypeAlias = bool | Literal["strict", "lax", "none", "auto"] | None
Priority: TypeAlias = Literal["low", "medium", "high"] | None

# The patterns of the npm package cookie 0.7 (index.js), which are those of RFC 6265 and RFC 1034.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"\.?{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_DOMAIN_BYTES = 254  # RFC 1035's 253 and a leading dot
_PATH = re.compile(r"[\x20-\x3a\x3d-\x7e]*")


_NUMBERS = (int, float)
_INFINITY = float("inf")
_LIFETIME = ("expires", "maxAge", "originalMaxAge")


def wrong(name: str, expected: str, value: object) -> OptionsError:
    """The error for a value that is not what the option takes."""
    return OptionsError(f"{name}: expected {expected}, got {value!r}")


def check_attribute(name: str, value: Any) -> None:
    """Raise OptionsError unless `value` will do for the cookie attribute `name` (express-session's spelling).

    For the options at start, and for what a handler assigns to `session.cookie` later. None and ABSENT always will.
    """
    expected, will_do = _ATTRIBUTES[name]
    if value is not ABSENT and value is not None and not will_do(value):
        raise wrong(f"cookie.{name}", expected, value)


def is_number(value: object) -> bool:
    """Whether a value is a finite number; True and False are none."""
    return isinstance(value, _NUMBERS) and value is not True and value is not False and abs(value) < _INFINITY


def is_lifetime(value: object) -> bool:
    """Whether a value is a number of milliseconds that a date can be away from now."""
    return is_number(value) and abs(value) <= MAX_LIFETIME  # type: ignore[arg-type] # a number, just asked


def unknown_key(
    key: object, known: Mapping[str, Any] | tuple[str, ...], place: str = "", *, what: str = "option"
) -> OptionsError:
    """The error for a name that no option has, or no store, with the nearest that there is."""
    near = get_close_matches(str(key), list(known), n=1, cutoff=0.6)
    if near:
        hint = f"; did you mean {place}{near[0]}?"
    elif not place and key in express_names(CookieOptions):
        hint = f"; did you mean cookie.{key}?"
    else:
        hint = f"; known are {', '.join(known)}"
    return OptionsError(f"{place}{key}: no such {what}{hint}")


def _is_word(value: object, words: tuple[str, ...]) -> bool:
    """Whether it is one of the words, in any letter case; "" leaves the attribute out, as in npm's cookie."""
    return isinstance(value, str) and (value == "" or value.lower() in words)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_positive(value: object) -> bool:
    return is_lifetime(value) and value > 0  # type: ignore[operator] # a number, just asked


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0 and not _is_bool(value)


def _is_lifetime_or_false(value: object) -> bool:
    return value is False or is_lifetime(value)


# For each cookie attribute what is expected, in words and as a test.
_ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "path": (
        f"a path of printable ASCII without ';', {_ATTRIBUTE_BYTES} bytes at most",
        lambda each: isinstance(each, str) and _matches(_PATH, each) and len(each) <= _ATTRIBUTE_BYTES,
    ),
    "domain": (
        "a domain name",
        lambda each: each == "" or (isinstance(each, str) and _matches(_DOMAIN, each) and len(each) <= _DOMAIN_BYTES),
    ),
    "expires": (
        "a date with a time zone",
        lambda each: each is False or (isinstance(each, datetime) and each.tzinfo is not None),
    ),
    "maxAge": ("a number of milliseconds", _is_lifetime_or_false),
    "originalMaxAge": ("a number of milliseconds", _is_lifetime_or_false),
    "httpOnly": ("true or false", _is_bool),
    "secure": ('true, false or "auto"', lambda each: _is_bool(each) or each == "auto"),
    "sameSite": (
        'true, false, "lax", "strict", "none" or "auto"',
        lambda each: _is_bool(each) or each == "auto" or _is_word(each, ("strict", "lax", "none")),
    ),
    "partitioned": ("true or false", _is_bool),
    "priority": ('"low", "medium" or "high"', lambda each: _is_word(each, ("low", "medium", "high"))),
}

# The same for each option of a session, but for secret and cookie, which have checks of their own.
_OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": (
        f"a cookie name (a token of RFC 9110: no blanks, no separators) of at most {_NAME_BYTES} bytes",
        lambda each: isinstance(each, str) and _matches(_TOKEN, each) and len(each) <= _NAME_BYTES,
    ),
    "genid": ("a function of the request that returns a string", lambda each: each is None or callable(each)),
    "resave": ("true or false", _is_bool),
    "rolling": ("true or false", _is_bool),
    "saveUninitialized": ("true or false", _is_bool),
    "unset": ('"keep" or "destroy"', lambda each: each in ("keep", "destroy")),
    "proxy": ("true or false, or nothing", lambda each: each is None or _is_bool(each)),
    "proxySecure": ("true or false", _is_bool),
    "store": ("a URL such as sqlite:sessions.db or memory:", lambda each: isinstance(each, str)),
    "touchAfter": (
        "a number of milliseconds, 0 or more",
        lambda each: each is None or (is_lifetime(each) and each >= 0),
    ),
    "ttl": ("a number of milliseconds above 0", _is_positive),
    "absoluteTimeout": (
        "a number of milliseconds above 0, or nothing",
        lambda each: each is None or _is_positive(each),
    ),
    "maxBytes": ("a whole number of bytes, 0 for no limit", _is_count),
    "conflict": ('"merge" or "overwrite"', lambda each: each in ("merge", "overwrite")),
    "clearCookie": ("true or false", _is_bool),
    "cacheHeaders": ("true or false", _is_bool),
    "storeDown": ('"error" or "none"', lambda each: each in ("error", "none")),
    "storeTimeout": ("a number of milliseconds above 0", _is_positive),
}


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class CookieOptions:
    """What a new session's cookie is made of. `ABSENT` is left out of the stored session, as Express does."""

    path: str | None = "/"
    """Only requests whose path begins with it have a session; the cookie's Path."""
    domain: str | None | Absent = ABSENT
    """The cookie's Domain; absent: this host only."""
    expires: datetime | Literal[False] | None | Absent = ABSENT
    """A date; it becomes the lifetime that is left when the session is made. `max_age` is mostly what is wanted."""
    max_age: MaxAge | Absent = ABSENT
    """Lifetime in milliseconds after the last use; None: until the browser is closed."""
    original_max_age: MaxAge | Absent = ABSENT
    """Milliseconds; the lifetime from the first touch on where it is to differ from `max_age`."""
    http_only: bool | None = True
    """Hide the cookie from the page's JavaScript."""
    secure: bool | Literal["auto"] | None | Absent = ABSENT
    """Send the cookie over TLS only; "auto": as the request that makes the session came."""
    same_site: SameSite | Absent = "lax"
    """SameSite: True is "strict"; False, None and ABSENT leave it out; "auto": "none" over TLS, else "lax"."""
    partitioned: bool | None | Absent = ABSENT
    """A cookie for each top-level site that embeds this one (CHIPS); needs `secure`."""
    priority: Priority | Absent = ABSENT
    """Chromium's Priority: which cookies it drops last."""

    def __post_init__(self) -> None:
        for name, attribute in express_names(CookieOptions).items():
            check_attribute(name, getattr(self, attribute))
        if self.expires is not ABSENT and self.max_age is not ABSENT:
            raise OptionsError("cookie.expires and cookie.maxAge: give one of the two")
        if self.path and not self.path.startswith("/"):
            log.warning("cookie.path %r does not begin with '/': no request will have a session", self.path)
        if is_number(self.max_age) and self.max_age > BROWSER_MAX_AGE:  # type: ignore[operator] # a number, just asked
            log.warning("cookie.maxAge is over 400 days: browsers will cap it there")

    @cached_property
    def members(self) -> dict[str, Any]:
        """The attributes under their stored names, without those of the lifetime and those that were never given."""
        names = express_names(CookieOptions).items()
        given = {name: getattr(self, attribute) for name, attribute in names if name not in _LIFETIME}
        return {name: value for name, value in given.items() if value is not ABSENT}

    @cached_property
    def made(self) -> dict[Any, Any]:
        """What the cookie's codec has made of these options, once for each way in which "auto" comes out."""
        return {}

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "CookieOptions":
        """From express-session's `cookie` object. Of `expires` and `maxAge` the later key counts, as there."""
        values = read_table(cls, mapping, "cookie.")
        if "expires" in values and "max_age" in values:
            del values["expires" if list(values).index("max_age") > list(values).index("expires") else "max_age"]
        lifetimes = [name for name in values if name in map(snake, _LIFETIME)]
        if lifetimes and lifetimes[-1] != "original_max_age":
            values.pop("original_max_age", None)  # Express's two setters overwrite it
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class SessionOptions:
    """The options of express-session 1.19 under their Python names, and those of our own."""

    secret: str | bytes | list[str | bytes] | tuple[str | bytes, ...] = field(repr=False)
    """Signs the cookie; of a list the first signs and all verify, so that secrets can be rotated."""
    name: str = "connect.sid"
    """The cookie's name."""
    genid: Callable[[Any], str] | None = None
    """Makes a session id from the request; None: 24 random bytes."""
    resave: bool = False
    """Write a session back after every request, changed or not."""
    rolling: bool = False
    """Send the cookie, with a new expiry, in every response."""
    save_uninitialized: bool = False
    """Store a new session although nothing was put into it."""
    unset: Literal["keep", "destroy"] = "keep"
    """What `self.session = None` does to the stored session."""
    proxy: bool | None = None
    """Believe X-Forwarded-Proto (True), never (False), or ask Tornado's `request.protocol` (None)."""
    proxy_secure: bool = False
    """With `proxy`: a request from the proxy counts as secure unless it says `X-Forwarded-Proto: http`."""
    store: str = field(default="sqlite:sessions.db", repr=False)
    """The URL that `open_store` takes; it may hold a password."""
    cookie: CookieOptions | Callable[[Any], CookieOptions] = field(default_factory=CookieOptions)
    """The cookie of new sessions, or a function of the request that returns it."""
    touch_after: float | None = None
    """Milliseconds of a session's lifetime that pass before a request that changes nothing renews its expiry.
    None: a twentieth of the lifetime, 0 when `rolling`; 0: on every request, as Express does."""
    ttl: float = DAY
    """Milliseconds that a session without maxAge is kept after its last use."""
    absolute_timeout: float | None = None
    """Milliseconds after its creation when a session ends, however much it is used; None: never for that reason."""
    max_bytes: int = 1_048_576
    """Bytes of UTF-8 that a session may take in the store; a change that would take more is refused. 0: no limit."""
    conflict: Literal["merge", "overwrite"] = "merge"
    """Parallel changes of one session: merge them by key, or let the last writer win as Express does."""
    clear_cookie: bool = True
    """`destroy()` also removes the browser's cookie."""
    cache_headers: bool = True
    """`Cache-Control: no-store` on responses that set the cookie, `Vary: Cookie` on those that read a session."""
    store_down: Literal["error", "none"] = "error"
    """While the store is not ready: 503 for requests that carry a session cookie, or no session at all."""
    store_timeout: float = 5_000
    """Milliseconds that a load or a commit may take before the request fails with 503."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "secret", _secrets(self.secret))
        for name, (expected, will_do) in _OPTIONS.items():
            value = getattr(self, snake(name))
            if not will_do(value):
                raise wrong(name, expected, value)
        if self.proxy_secure and self.proxy is not True:
            raise OptionsError("proxySecure: needs proxy = true, or any client could claim to be the proxy")
        if isinstance(self.cookie, CookieOptions):
            self._check_together(self.cookie)
        elif not callable(self.cookie):
            raise wrong("cookie", "a table of cookie options", self.cookie)

    def _check_together(self, cookie: CookieOptions) -> None:
        """What browsers refuse in combination (RFC 6265bis sections 4.1.3 and 5.7, CHIPS)."""
        if isinstance(cookie.same_site, str) and cookie.same_site.lower() == "none" and not cookie.secure:
            raise OptionsError('cookie.sameSite: "none" needs cookie.secure = true, browsers drop it otherwise')
        if cookie.partitioned and not cookie.secure:
            raise OptionsError("cookie.partitioned: needs cookie.secure = true, browsers drop it otherwise")
        prefix = self.name.lower()
        if prefix.startswith(("__secure-", "__host-", "__http-")) and cookie.secure is not True:
            raise OptionsError(f"name: {self.name!r} needs cookie.secure = true (its prefix promises it)")
        if prefix.startswith(("__http-", "__host-http-")) and cookie.http_only is not True:
            raise OptionsError(f"name: {self.name!r} needs cookie.httpOnly = true (its prefix promises it)")
        if prefix.startswith("__host-") and (cookie.domain or cookie.path != "/"):
            raise OptionsError(f'name: {self.name!r} needs cookie.path = "/" and no cookie.domain')

    def generated(self, request: Any) -> str:
        """An id by `genid`. Raises OptionsError, without the id, for what is none or what no browser would keep."""
        sid = self.genid(request) if self.genid is not None else None
        if not isinstance(sid, str) or not sid:
            raise OptionsError(f"genid: expected a string that is not empty, got {type(sid).__name__}")
        longest = COOKIE_BYTES - len(self.name) - _AROUND_ID
        if len(quote(sid, safe="", errors="surrogatepass")) > longest:
            raise OptionsError(
                f"genid: the id takes more than {longest} bytes: browsers drop a cookie over {COOKIE_BYTES}"
            )
        return sid

    @property
    def keys(self) -> tuple[bytes, ...]:
        """The secrets as bytes: the first signs, all verify."""
        return self.secret  # type: ignore[return-value] # made so by __post_init__

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "SessionOptions":
        """From a mapping in express-session's spelling, as `config.toml` holds it.

        Raises OptionsError for an unknown key (with the nearest known one), a wrong type or a wrong value.
        """
        values = read_table(cls, mapping)
        if isinstance(values.get("cookie"), Mapping):
            values["cookie"] = CookieOptions.from_mapping(values["cookie"])
        if "secret" not in values:
            raise OptionsError("secret: is missing")
        return cls(**values)


def snake(name: str) -> str:
    """`saveUninitialized` → `save_uninitialized`."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def express_names(cls: type[Any]) -> dict[str, str]:
    """The fields of an options class: express-session's spelling → Python's."""
    return {re.sub("_(.)", lambda m: m[1].upper(), each.name): each.name for each in fields(cls)}


def read_table(cls: type[Any], mapping: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """The values of a mapping in express-session's spelling under the field names of a dataclass.

    Raises OptionsError for a key that is none of them.
    """
    known = express_names(cls)
    for key in mapping:
        if key not in known:
            raise unknown_key(key, known, place)
    return {known[key]: value for key, value in mapping.items()}


def _secrets(given: object) -> tuple[bytes, ...]:
    listed = given if isinstance(given, list | tuple) else [given]
    if not listed:
        raise OptionsError("secret: expected at least one, got an empty list")
    secrets = []
    for each in listed:
        if not isinstance(each, str | bytes):
            raise OptionsError(f"secret: expected a string or a list of strings, got {type(each).__name__}")
        if not each:
            raise OptionsError("secret: is empty")
        secrets.append(each.encode() if isinstance(each, str) else each)
    return tuple(secrets)
