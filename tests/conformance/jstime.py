"""Owns the dates of JavaScript that the transcripts use: `Date.parse`, `toISOString`, and times relative to a moment.

All times are milliseconds since the epoch.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

TWENTY_YEARS = 20 * 365.25 * 86_400_000
"""Times further away than this are written as dates: a relative one would say nothing."""

_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HTTP_DATE = re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", re.ASCII)


def parse_date(text: str) -> int | None:
    """`Date.parse` for ISO and HTTP dates; None where JavaScript gives NaN. A time without zone counts as UTC."""
    try:
        if match := _ISO.fullmatch(text):
            year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
            ms = int((match[7] or "0")[:3].ljust(3, "0"))
            zone = match[8] or "Z"
            moment = datetime(year, month, day, hour, minute, second, ms * 1000, tzinfo=UTC)
            if zone != "Z":
                offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
                moment -= offset if zone[0] == "+" else -offset
        elif _HTTP_DATE.fullmatch(text):
            moment = parsedate_to_datetime(text)
        else:
            return None
    except ValueError:
        return None
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def to_iso(ms: float) -> str:
    """`new Date(ms).toISOString()`."""
    moment = _EPOCH + timedelta(milliseconds=math.trunc(ms))
    return moment.strftime(f"{moment.year:04}-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def js_round(value: float) -> int:
    """`Math.round`: halves go up."""
    return math.floor(value + 0.5)


def relative_date(text: str, now: int) -> str:
    """An Expires attribute as whole seconds from now."""
    moment = parse_date(text)
    if moment is None:
        return "invalid"
    if abs(moment - now) > TWENTY_YEARS:
        return "@" + to_iso(moment)
    return f"{js_round((moment - now // 1000 * 1000) / 1000):+}s"


def relative_ms(ms: float, now: int) -> str:
    """A span of milliseconds, written like a relative time."""
    if abs(ms) > TWENTY_YEARS:
        return "@" + to_iso(js_round((now + ms) / 1000) * 1000)
    return f"{js_round(ms):+}ms"


def relative_iso(value: object, now: int) -> object:
    """A stored `expires` as milliseconds from now; what is not a date stays as it is."""
    moment = parse_date(value) if isinstance(value, str) else None
    if moment is None:
        return value
    if abs(moment - now) > TWENTY_YEARS:
        return "@" + to_iso(moment)
    return f"{moment - now:+}ms"
