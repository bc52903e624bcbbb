"""Owns a user agent's parser of Set-Cookie, written from the steps of RFC 6265bis (revision 22), sections 5.1.1 and 5.6.

It follows the text and nothing else: it knows no code of ours. A number in a comment is that of the step.
"""

import re
from datetime import UTC, datetime
from typing import NamedTuple

NAME_AND_VALUE = 4096
ATTRIBUTE_VALUE = 1024
WSP = " \t"
DELIMITER = re.compile(r"[\x09\x20-\x2F\x3B-\x40\x5B-\x60\x7B-\x7E]+")
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Received(NamedTuple):
    """What a user agent has of a Set-Cookie header."""

    name: str
    value: str
    attributes: list[tuple[str, object]]


def cookie_date(text: str) -> datetime | None:  # noqa: C901 # the steps in their order
    """Section 5.1.1: the date of a cookie-date; None where it is none. Section 5.6.1 caps it at 400 days."""
    time: tuple[int, int, int] | None = None
    day = month = year = None
    for token in filter(None, DELIMITER.split(text)):  # 1, 2
        if time is None and (found := re.match(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)", token)):  # 2.1
            time = int(found[1]), int(found[2]), int(found[3])
        elif day is None and (found := re.match(r"(\d{1,2})(?!\d)", token)):  # 2.2
            day = int(found[1])
        elif month is None and token[:3].lower() in MONTHS:  # 2.3
            month = MONTHS.index(token[:3].lower()) + 1
        elif year is None and (found := re.match(r"(\d{2,4})(?!\d)", token)):  # 2.4
            year = int(found[1])
    if year is not None and 70 <= year <= 99:  # 3
        year += 1900
    if year is not None and 0 <= year <= 69:  # 4
        year += 2000
    if time is None or day is None or month is None or year is None:  # 5
        return None
    if not 1 <= day <= 31 or year < 1601 or time[0] > 23 or time[1] > 59 or time[2] > 59:  # 5
        return None
    try:
        return datetime(year, month, day, *time, tzinfo=UTC)  # 6
    except ValueError:
        return None


def received(header: str) -> Received | None:
    """Section 5.6: what a user agent has of the header; None where it ignores it entirely."""
    if re.search(r"[\x00-\x08\x0A-\x1F\x7F]", header):  # 1
        return None
    pair, semicolon, rest = header.partition(";")  # 2
    unparsed = semicolon + rest
    name, equals, value = pair.partition("=")  # 3
    if not equals:
        name, value = "", pair
    name, value = name.strip(WSP), value.strip(WSP)  # 4
    if len(name.encode()) + len(value.encode()) > NAME_AND_VALUE:  # 5
        return None
    attributes: list[tuple[str, object]] = []
    while unparsed:  # of the unparsed-attributes: 1
        unparsed = unparsed[1:]  # 2
        av, semicolon, rest = unparsed.partition(";")  # 3
        unparsed = semicolon + rest
        key, _, text = av.partition("=")  # 4
        key, text = key.strip(WSP), text.strip(WSP)  # 5
        if len(text.encode()) <= ATTRIBUTE_VALUE:  # 6
            attributes += processed(key.lower(), text)  # 7
    return Received(name, value, attributes)


def processed(key: str, text: str) -> list[tuple[str, object]]:
    """Sections 5.6.1 to 5.6.7: what is appended for an attribute; unknown ones are kept by their lower-case name."""
    if key == "expires":
        moment = cookie_date(text)
        return [] if moment is None else [("Expires", moment)]
    if key == "max-age":
        return [("Max-Age", int(text))] if re.fullmatch(r"-?[0-9]+", text) else []
    if key == "domain":
        return [("Domain", text.removeprefix(".").lower())]
    if key == "path":
        return [("Path", text if text.startswith("/") else "the request's")]
    if key == "samesite":
        return [("SameSite", text.lower() if text.lower() in ("none", "strict", "lax") else "default")]
    known = {"secure": "Secure", "httponly": "HttpOnly"}
    return [(known[key], "")] if key in known else [(key, text)]
