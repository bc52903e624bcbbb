"""Owns the JSON text of a session, spelled as `JSON.stringify` spells it in Node.

The text is `{"cookie":{...},"key":value,...}`. It is split into its two halves without decoding the data, and joined
again. What JSON or Node cannot hold is refused here, by place. This file must not know what the cookie means.
"""

import json
import re
from decimal import Decimal
from math import isfinite
from typing import Any

import orjson

from ..errors import CorruptSession, DataError

EMPTY = "{}"
_HEAD = '{"cookie":'
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_EXACT = 2**53
LEVELS = 500
"""How deep lists and dicts of a value may be nested, on every Python; PHP's JSON has 512, Jackson's 1,000."""

META = '"__meta"'
"""The member that our own features keep with a session, as it is spelled in a stored text: Node keeps it at a save."""
SEALED = '"__sealed"'
"""The member that a sealed session is in (at_rest/seal.py)."""
OURS = '"__'
"""How both begin: most sessions have neither."""
_META_AS_WRITTEN = re.compile(r'\{"__meta":(\{[^{}"\\]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"\\]*)*\}),?')
"""A flat object in front of the data, as we write it; anything else is decoded."""

META_MEMBERS = frozenset((
    "createdAt", "signedInAt", "endsAt", "renewedAt", "tag", "tagBefore", "tagUsed", "moved", "stamp", "user", "xsrf",
    "agent", "ip", "closed", "next",
))  # fmt: skip
"""What our features keep there (meta.py). An object without any of these belongs to another application."""

# Members of Object.prototype and of express-session's Session: Node drops a top-level key of such a name at load.
_OBJECT = (
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf",
    "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__",
)  # fmt: skip
_SESSION = ("req", "id", "touch", "resetMaxAge", "save", "reload", "destroy", "regenerate")
_LOST = frozenset((*_OBJECT, *_SESSION, "cookie"))
RESERVED = _LOST | {"__meta", "__sealed"}
"""Top-level keys that are not a handler's to use."""
RESERVED_BECAUSE = "the name is taken, by this library or by express-session, which would drop the key"


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_PLAIN = orjson.OPT_STRICT_INTEGER | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
"""Refuses most of what orjson takes and JSON or Node cannot hold."""

# orjson does nearly all of the work, and these two what it refuses: deep nesting, and halves of surrogate pairs.
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def _finite(number: str) -> float:
    value = float(number)
    if not isfinite(value):
        raise ValueError(f"{number} is no finite number")
    return value


_decoder = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)


def dumps(value: Any) -> str:
    """The value as JSON text; raises DataError for what JSON cannot hold.

    What orjson alone takes for JSON (dates, NaN as null, ...) passes here: `check` finds it before anything is stored.
    """
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return _dumps_slowly(value)


def _dumps_slowly(value: Any) -> str:
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError):
        text = None
    if text is None:
        for key, each in value.items() if isinstance(value, dict) else ():
            check(key, each)
        raise DataError("session: has no JSON form")  # a value that is no session
    return _SURROGATE.sub(lambda half: f"\\u{ord(half[0]):04x}", text)  # well-formed JSON.stringify (ES2019)


def loads(text: str) -> Any:
    """The value of a JSON text; raises CorruptSession (which does not show the text)."""
    try:
        return orjson.loads(text)
    except ValueError:
        pass
    try:
        return _decoder.decode(text)
    except (ValueError, RecursionError):
        raise CorruptSession("the stored session is not JSON") from None


def split(text: str) -> tuple[str, str]:
    """A stored text as the texts of its cookie and of its data, neither decoded.

    A guess, right for what JSON.stringify makes of a session: the cookie ends at the first "}". Whether it does is
    seen when the cookie is decoded; if not, `split_slowly` knows. Of several members `cookie` the last counts, as in
    JSON.parse. Raises CorruptSession where there is no cookie object.
    """
    head, _, rest = text.partition("}")
    if head.startswith('{"cookie":{') and rest.endswith("}"):
        cookie = head[len(_HEAD) :] + "}"
        if rest == "}":
            return cookie, EMPTY
        data = "{" + rest[1:]
        if rest.startswith(',"') and (not _names_cookie(data) or "cookie" not in loads(data)):
            return cookie, data
    return split_slowly(text)


def _names_cookie(data: str) -> bool:
    """Return False if no member `cookie` can be in a text: its name is not there, nor a letter of it as an escape."""
    return '"cookie"' in data or "\\u006" in data


def split_slowly(text: str) -> tuple[str, str]:
    """The same of any JSON, however it is spelled. Raises CorruptSession."""
    whole = loads(text)
    cookie = whole.pop("cookie", None) if isinstance(whole, dict) else None
    if not isinstance(cookie, dict):
        raise CorruptSession("the stored session has no cookie object")
    return dumps(cookie), dumps(whole)


def split_meta(data: str) -> tuple[str, str]:
    """The text of the member `__meta`, wherever it is, and the data without it; "" where there is none.

    Raises CorruptSession.
    """
    if META not in data:
        return "", data
    found = _META_AS_WRITTEN.match(data)
    if found is not None and META not in (rest := data[found.end() :]):
        return found[1], "{" + rest
    whole = loads(data)
    if "__meta" not in whole:  # but further down
        return "", data
    meta = whole.pop("__meta")
    return dumps(meta), dumps(whole)


def is_sealed(data: str) -> bool:
    """Return True if a session's data is sealed, and so is none that can be read. Raises CorruptSession."""
    return isinstance(loads(data).get(SEALED[1:-1]), str)


def is_meta(value: object) -> bool:
    """Return True if a member `__meta` is ours; any other is data."""
    return isinstance(value, dict) and not META_MEMBERS.isdisjoint(value)


def join(cookie: str, data: str, meta: str = "") -> str:
    """The text to store, of the texts of its parts."""
    head = f"{_HEAD}{cookie},{META}:{meta}" if meta else _HEAD + cookie
    return head + "}" if data == EMPTY else f"{head},{data[1:]}"


def check_size(text: str, limit: int) -> None:
    """Raise DataError for a text to store of more than so many bytes of UTF-8."""
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limit:
        raise DataError(f"session: it would take {size} bytes in the store, and maxBytes is {limit}")


def read(data: str) -> dict[str, Any]:
    """The data of `split`, decoded, without the keys that Node would drop. Raises CorruptSession."""
    if data == EMPTY:
        return {}
    values = loads(data)
    if not values.keys().isdisjoint(_LOST):  # looks for a few names, however many keys there are
        for key in values.keys() & _LOST:
            del values[key]
    return values  # type: ignore[no-any-return] # the text of an object, by split()


def check(key: object, value: Any) -> None:
    """Raise DataError, naming the place, for a key with a value that JSON cannot hold or Node could not read back.

    A value that comes back from its text as it was is right; any other is looked through, item by item.
    """
    place = _place("session", key)
    if key in RESERVED:
        raise DataError(f"{place}: {RESERVED_BECAUSE}")
    if _comes_back(value):
        return
    try:
        _look_through(value, LEVELS)
    except RecursionError:
        raise DataError(f"{place}: is nested more than {LEVELS} levels deep, or holds itself") from None
    except _Refused as refused:
        raise DataError(f"{place}{''.join(reversed(refused.place))}: {refused}") from None


def is_plain(values: dict[str, Any]) -> bool:
    """Return True for data that is right as a whole: each key would pass `check`."""
    return values.keys().isdisjoint(RESERVED) and _comes_back(values)


def _comes_back(value: Any) -> bool:
    try:
        return bool(orjson.loads(orjson.dumps(value, option=_PLAIN)) == value)
    except (TypeError, ValueError, RecursionError):
        return False


class _Refused(Exception):
    """Says what is wrong with a value; the steps to its place are added on the way out."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.place: list[str] = []


def _look_through(value: Any, levels: int) -> None:
    """Look for what JSON or Node cannot hold, in a value of at most so many levels of lists and dicts.

    Raises _Refused, and RecursionError for more levels.
    """
    if not isinstance(value, dict | list | tuple):
        _look_at(value)
        return
    if not levels:
        raise RecursionError
    for step, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict) and not isinstance(step, str):
            raise _Refused(_not_a_string(step))
        try:
            _look_through(each, levels - 1)
        except _Refused as refused:
            refused.place.append(f"[{step!r}]")
            raise


def _look_at(value: Any) -> None:
    if value is None or isinstance(value, str | bool):
        return
    if isinstance(value, int):
        if abs(value) > _MAX_EXACT and not _survives_node(value):
            raise _Refused("the integer is beyond what a JavaScript number holds exactly")
    elif not isinstance(value, float):
        raise _Refused(f"a {type(value).__name__} has no JSON form")
    elif not isfinite(value):
        raise _Refused(f"{value} has no JSON form")


def _place(place: str, key: object) -> str:
    if not isinstance(key, str):
        raise DataError(f"{place}: {_not_a_string(key)}")
    return f"{place}[{key!r}]"


def _not_a_string(key: object) -> str:
    return f"the key {key!r} is not a string"


def _survives_node(value: int) -> bool:
    """Whether Node reads the integer and writes the same digits: it prints the shortest ones, up to 1e21."""
    return abs(value) < 10**21 and int(Decimal(repr(float(value)))) == value
