"""Owns how an option is checked: what it takes, the limits with their sources, and the words for a value that is wrong.

The tables here are the one place that says what each option of express-session, and each of our own, may be. Messages
use the spelling of the file (`saveUninitialized`, `maxAge`, ...), because that is what its author reads, and never show
a secret. This file must not know the options' defaults, stores, sessions or HTTP.
"""

import logging
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from difflib import get_close_matches
from enum import Enum
from typing import Any, Literal

from .errors import OptionsError
from .weak_secrets import is_published

log: logging.Logger = logging.getLogger("sessions")

DAY = 86_400_000
"""Milliseconds in a day."""

# -------------------------------------------------------------------- the limits

COOKIE_BYTES = 4_096
"""Name and value of a cookie: browsers drop one that is longer (RFC 6265bis, section 5.7)."""

ATTRIBUTE_BYTES = 1_024
"""An attribute's value: browsers pass a longer one over (RFC 6265bis, section 5.6)."""

DOMAIN_BYTES = 254
"""A leading dot and 253 characters: the 255 octets of RFC 1035 (2.3.4) without the first length and the root's."""

AROUND_ID = 4 + 1 + 43 * 3
"""Bytes of a cookie's value beside the id: "s%3A", the dot, and a signature with every character escaped.

A signature is the base64 of an HMAC-SHA-256 without its padding: 43 characters (npm's cookie-signature 1.0).
"""

NAME_BYTES = COOKIE_BYTES - AROUND_ID - 32
"""A cookie's name: what is left beside an id of 24 random bytes in base64url, as express-session makes them."""

BROWSER_MAX_AGE = 400 * DAY
"""Milliseconds: browsers cap a cookie's lifetime here (RFC 6265bis, section 5.5)."""

SECRET_BYTES = 32
"""A secret's length at the least: that of the HMAC's output, as RFC 2104 (section 3) asks of a key."""

GRACE = 30_000
"""Milliseconds for which a replaced id is a tombstone, where nothing is said: longer than requests in flight take."""

MAX_GRACE = 300_000
"""And at most: five minutes, in which a planted or stolen id tells its bearer nothing but that it is over."""

RENEWAL_GRACES = 10
"""How many times `grace` a cookie's value counts at least, so that the value before the last is long out of use."""

TAG_CHARACTERS = 1 + 8
"""Characters that a renewed value has more: "~" and six bytes in base64url."""

MAX_LIFETIME = 250_000_000_000_000
"""Milliseconds, near 8,000 years: a date so far from now has four digits in its year, as HTTP's have (RFC 9110, 5.6.7).

JavaScript's own dates end at 8,640,000,000,000,000 (ECMA-262, 21.4.1.1).
"""

USER_KEYS = 3
"""Keys of a path to the user: Passport's `passport.user` has two, and the path becomes part of an index's name."""

# The patterns of the npm package cookie 0.7 (index.js), which are those of RFC 6265 and RFC 1034.
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"\.?{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_PATH = re.compile(r"[\x20-\x3a\x3d-\x7e]*")

_HEADERS = frozenset((
    "accept", "accept-charset", "accept-encoding", "accept-language", "authorization", "cache-control", "connection",
    "content-encoding", "content-language", "content-length", "content-type", "cookie", "date", "dnt", "etag", "expect",
    "forwarded", "host", "keep-alive", "last-event-id", "location", "origin", "pragma", "range", "referer",
    "retry-after", "server", "set-cookie", "te", "trailer", "transfer-encoding", "upgrade", "user-agent", "vary", "via",
    "x-csrftoken", "x-xsrftoken",
))  # fmt: skip
"""Names that mean something else (the last two: Tornado's XSRF token), or that a page may set without asking first."""
_HEADER_STARTS = ("sec-", "proxy-", "access-control-", "if-", "x-forwarded-")

_KEY = re.compile(r"[A-Za-z_$][A-Za-z0-9_$-]*")
"""A key in a path that is written with dots: a name of JavaScript, or with "-" in it."""
_LISTED_KEY = re.compile(r"(?!-?\d+$)[^\x00-\x1f\x7f\"\\\ud800-\udfff]{1,100}")
"""A key in a list: what SQLite can name in a path, which knows no escapes, and no place in a list of PostgreSQL."""

_NUMBERS = (int, float)
_INFINITY = float("inf")

# -------------------------------------------------------------------- values


class Absent(Enum):
    """The type of `ABSENT`: a cookie attribute that was never given, as JavaScript's undefined (null is None)."""

    ABSENT = "absent"

    def __bool__(self) -> Literal[False]:
        return False

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = Absent.ABSENT


def is_number(value: object) -> bool:
    """True if a value is a finite number; True and False are none."""
    return isinstance(value, _NUMBERS) and value is not True and value is not False and abs(value) < _INFINITY


def is_lifetime(value: object) -> bool:
    """True if a value is a number of milliseconds that a date can be away from now."""
    return is_number(value) and abs(value) <= MAX_LIFETIME  # type: ignore[arg-type] # a number, just asked


def _is_positive(value: object) -> bool:
    return is_lifetime(value) and value > 0  # type: ignore[operator] # a number, just asked


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0 and not _is_bool(value)


def _is_lifetime_or_false(value: object) -> bool:
    return value is False or is_lifetime(value)


def _is_bool(value: object) -> bool:
    return isinstance(value, bool)


def _is_word(value: object, words: tuple[str, ...]) -> bool:
    """True if it is one of the words, in any letter case; "" leaves the attribute out, as in npm's cookie."""
    return isinstance(value, str) and (value == "" or value.lower() in words)


def _matches(pattern: re.Pattern[str], text: str) -> bool:
    return pattern.fullmatch(text) is not None


def _is_free_header(name: str) -> bool:
    return name.lower() not in _HEADERS and not name.lower().startswith(_HEADER_STARTS)


def path_of(user_key: str | Sequence[str]) -> tuple[str, ...]:
    """The keys of a path, from the outermost on: of "passport.user", or of a list."""
    return tuple(user_key.split(".") if isinstance(user_key, str) else user_key)


def _is_path(user_key: object) -> bool:
    if not isinstance(user_key, str | list | tuple):
        return False
    path, pattern = path_of(user_key), _KEY if isinstance(user_key, str) else _LISTED_KEY
    return (
        1 <= len(path) <= USER_KEYS
        and all(isinstance(key, str) and _matches(pattern, key) for key in path)
        and path[0] not in ("cookie", "__meta")
    )


# -------------------------------------------------------------------- what each option takes

# For each cookie attribute what it takes, in words and as a test.
_ATTRIBUTES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "path": (
        f"a path of printable ASCII without ';', {ATTRIBUTE_BYTES} bytes at most",
        lambda each: isinstance(each, str) and _matches(_PATH, each) and len(each) <= ATTRIBUTE_BYTES,
    ),
    "domain": (
        "a domain name",
        lambda each: each == "" or (isinstance(each, str) and _matches(_DOMAIN, each) and len(each) <= DOMAIN_BYTES),
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

# The same for each option of a session; secret and cookie have checks of their own.
_OPTIONS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "name": (
        f"a cookie name (a token of RFC 9110: no blanks, no separators) of at most {NAME_BYTES} bytes",
        lambda each: isinstance(each, str) and _matches(_TOKEN, each) and len(each) <= NAME_BYTES,
    ),
    "genid": ("a function of the request that returns a string", lambda each: each is None or callable(each)),
    "resave": ("true or false", _is_bool),
    "rolling": ("true or false", _is_bool),
    "saveUninitialized": ("true or false", _is_bool),
    "unset": ('"keep" or "destroy"', lambda each: each in ("keep", "destroy")),
    "proxy": ("true or false, or nothing", lambda each: each is None or _is_bool(each)),
    "proxySecure": ("true or false", _is_bool),
    "store": ("a URL such as sqlite:sessions.db or memory:", lambda each: isinstance(each, str)),
    "secretFile": (
        "the path of a file, or nothing",
        lambda each: each is None or (isinstance(each, str) and each != "" and "\0" not in each),
    ),
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
    "grace": (
        f"a number of milliseconds from 0 to {MAX_GRACE}, or nothing",
        lambda each: each is None or (is_lifetime(each) and 0 <= each <= MAX_GRACE),
    ),
    "conflict": ('"merge", "reject" or "overwrite"', lambda each: each in ("merge", "reject", "overwrite")),
    "saveOnError": ("true or false", _is_bool),
    "clearCookie": ("true or false", _is_bool),
    "cacheHeaders": ("true or false", _is_bool),
    "renewAfter": (
        "a number of milliseconds above 0, or nothing",
        lambda each: each is None or _is_positive(each),
    ),
    "reuse": ('"log" or "end"', lambda each: each in ("log", "end")),
    "userKey": (
        f"a key of the data, or up to {USER_KEYS} of them with dots between, that are not cookie or __meta",
        lambda each: each is None or _is_path(each),
    ),
    "maxPerUser": ("a whole number above 0, or nothing", lambda each: each is None or (_is_count(each) and each > 0)),
    "atLimit": ('"evict" or "refuse"', lambda each: each in ("evict", "refuse")),
    "devices": ("true or false", _is_bool),
    "header": (
        "the name of a header (a token of RFC 9110) that HTTP has no meaning for, such as X-Session, or nothing",
        lambda each: each is None or (isinstance(each, str) and _matches(_TOKEN, each) and _is_free_header(each)),
    ),
    "nodePeer": ("true or false", _is_bool),
    "requireSealed": ("true or false", _is_bool),
    "hashedIds": ("true or false", _is_bool),
    "storeDown": ('"error" or "none"', lambda each: each in ("error", "none")),
    "storeTimeout": ("a number of milliseconds above 0", _is_positive),
    "watchInterval": ("a number of milliseconds above 0", _is_positive),
}


def wrong(name: str, expected: str, value: object) -> OptionsError:
    """The error for a value that is not what the option takes. A password in it is not shown."""
    return OptionsError(f"{name}: expected {expected}, got {masked(value)!r}")


def check_attribute(name: str, value: Any) -> None:
    """Raise OptionsError unless the cookie attribute `name` (express-session's spelling) takes the value.

    For the options at start, and for what a handler assigns to `session.cookie` later. Every attribute takes None and
    ABSENT.
    """
    expected, takes = _ATTRIBUTES[name]
    if value is not ABSENT and value is not None and not takes(value):
        raise wrong(f"cookie.{name}", expected, value)


def check_options(options: object) -> None:
    """Raise OptionsError unless each option of a `SessionOptions`, except `secret` and `cookie`, takes its value."""
    for name, (expected, takes) in _OPTIONS.items():
        value = getattr(options, snake(name))
        if not takes(value):
            raise wrong(name, expected, value)


class Secrets(tuple[bytes, ...]):
    """Secrets that `secrets_of` has looked at: it does not look again."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<{len(self)} secrets>"


def secrets_of(given: object, *, refuses_weak: bool = False) -> Secrets:
    """The secrets as bytes, of one secret or of a list. A weak one is warned of, or refused.

    Raises OptionsError, which shows none of them.
    """
    if isinstance(given, Secrets):
        return given
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
    for weakness in filter(None, map(_weakness, secrets)):
        message = f"secret: whoever guesses it can sign in as anybody, and {weakness}"
        if refuses_weak:
            raise OptionsError(message)
        log.warning("%s", message)
    return Secrets(secrets)


def _weakness(secret: bytes) -> str | None:
    """Return why a secret is weak, without the secret; None if it is not."""
    if is_published(secret):
        return "it is one of a tutorial"
    return f"it has {len(secret)} bytes, {SECRET_BYTES} are wanted" if len(secret) < SECRET_BYTES else None


# -------------------------------------------------------------------- what is not shown

MASK = "********"

_SECRET_NAME = re.compile("secret(?!_?file)|passw|passphrase|token|credential|(?<!user)keys?$", re.IGNORECASE)
_LOGIN = re.compile(r"(?s)(?<=:)(//)?[^@]*:.*(?=@)|(?<=://).*(?=@)")
"""User and password of a URL: what is between its scheme, a second one too, and the last "@"."""
_PASSWORD = re.compile("((?:password|authMechanismProperties)=)[^&]*", re.IGNORECASE)
"""A password in the query of a URL; among MongoDB's properties is the token of a session at AWS."""


def is_secret_name(name: str) -> bool:
    """True if an option of that name holds a secret, of a store from elsewhere too; a user key is a name."""
    return _SECRET_NAME.search(name) is not None


def masked(value: Any) -> Any:
    """The value without the passwords in it: those of URLs, and those that a key in it names."""
    if isinstance(value, str):
        return _PASSWORD.sub(rf"\1{MASK}", _LOGIN.sub(lambda found: f"{found[1] or ''}{MASK}", value))
    if isinstance(value, list):
        return [masked(each) for each in value]
    if isinstance(value, tuple):
        return tuple(masked(each) for each in value)
    if isinstance(value, Mapping):
        return {key: MASK if is_secret_name(str(key)) else masked(each) for key, each in value.items()}
    return value


# -------------------------------------------------------------------- names


def snake(name: str) -> str:
    """`saveUninitialized` → `save_uninitialized`."""
    return re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", name)


def camel(name: str) -> str:
    """`save_uninitialized` → `saveUninitialized`."""
    return re.sub("_(.)", lambda letter: letter[1].upper(), name)


def express_names(cls: type[Any]) -> dict[str, str]:
    """The fields of an options class: express-session's spelling → Python's."""
    return {camel(each.name): each.name for each in fields(cls)}


def unknown_key(key: object, known: Collection[str], place: str = "", *, what: str = "option") -> OptionsError:
    """The error for a name that no option has, or no store, with the nearest that there is."""
    near = get_close_matches(str(key), list(known), n=1, cutoff=0.6)
    if near:
        hint = f"; did you mean {place}{near[0]}?"
    elif "cookie" in known and key in _ATTRIBUTES:
        hint = f"; did you mean cookie.{key}?"
    else:
        hint = f"; known are {', '.join(known)}" if known else "; there is none"
    return OptionsError(f"{place}{key}: no such {what}{hint}")


def read_table(cls: type[Any], mapping: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """The values of a mapping in express-session's spelling under the field names of a dataclass.

    Raises OptionsError for a key that is none of them.
    """
    known = express_names(cls)
    for key in mapping:
        if key not in known:
            raise unknown_key(key, known, place)
    return {known[key]: value for key, value in mapping.items()}
