"""Owns the codecs of a cookie on the wire: Set-Cookie as npm's cookie 0.7 writes it, Cookie as that package reads it.

It must not know sessions, ids or what is stored.
"""

import re
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from functools import lru_cache
from operator import itemgetter
from typing import Any
from urllib.parse import quote, unquote

from ..errors import OptionsError
from ..validation import check_attribute

# ---------------------------------------------------------------- Set-Cookie (`serialize`)

_WORDS = {"strict": "Strict", "lax": "Lax", "none": "None", "low": "Low", "medium": "Medium", "high": "High"}
_SIGNED = re.compile("[A-Za-z0-9_.:+/-]*")


def encode(value: str) -> str:
    """JavaScript's encodeURIComponent."""
    if _SIGNED.fullmatch(value):  # what a session id of ours, signed, consists of
        return value.replace(":", "%3A").replace("+", "%2B").replace("/", "%2F")
    return quote(value, safe="!'()*", errors="strict")


_VISIBLE = "".join(chr(code) for code in range(0x21, 0x7F) if chr(code) not in '%",;')


def encode_for_header(value: str) -> str:
    """Return a value as it is in a header of its own: a signed id of ours is not encoded."""
    return quote(value, safe=_VISIBLE, errors="strict")


def around_expires(
    domain: Any, path: Any, http_only: Any, secure: Any, partitioned: Any, priority: Any, same_site: Any
) -> tuple[str, str]:
    """The attributes before Expires and those after it, in npm cookie's order. Raises OptionsError."""
    for name, value in (("domain", domain), ("path", path), ("sameSite", same_site), ("priority", priority)):
        if value:
            check_attribute(name, value)
    before = f"; Domain={domain}" if domain else ""
    before += f"; Path={path}" if path else ""
    after = "; HttpOnly" if http_only else ""
    after += "; Secure" if secure else ""
    after += "; Partitioned" if partitioned else ""
    after += f"; Priority={_WORDS[priority.lower()]}" if priority else ""
    if same_site:
        word = "strict" if same_site is True else same_site.lower()
        if word == "auto":
            raise OptionsError('cookie.sameSite: "auto" was not resolved')
        after += f"; SameSite={_WORDS[word]}"
    return before, after


@lru_cache(maxsize=64)
def http_date(seconds: int) -> str:
    """IMF-fixdate (RFC 9110). The second in which requests arrive is formatted once."""
    return formatdate(seconds, usegmt=True)


# ---------------------------------------------------------------- Cookie (`parse`)


def values(headers: Iterable[str], name: str) -> Iterator[str]:
    """The values that the Cookie headers give to a name, in their order, as they are there: `decoded` reads one.

    Whatever a client sends is read, and other cookies are passed over unseen.
    """
    return map(_value, _pair(name).finditer(f";{';'.join(headers)}"))


_value = itemgetter(1)


@lru_cache
def _pair(name: str) -> re.Pattern[str]:
    """Return the pattern of a name and its value, with a ";" before it. No white space is around the value."""
    return re.compile(rf";[ \t]*{re.escape(name)}[ \t]*=[ \t]*([^;]*[^; \t]|)")


_MALFORMED = re.compile("%(?![0-9A-Fa-f]{2})")


def decoded(value: str) -> str:
    """Return a value without its quotes and percent sequences; one with a bad sequence as it is."""
    if value[:1] == '"' == value[-1:]:
        value = value[1:-1]
    if "%" not in value:
        return value
    plain = value.replace("%3A", ":").replace("%2B", "+").replace("%2F", "/")  # all that a signed id of ours has
    if "%" not in plain:
        return plain
    try:
        whole = unquote(value, errors="strict")
    except UnicodeDecodeError:
        return value
    return value if _MALFORMED.search(value) else whole
