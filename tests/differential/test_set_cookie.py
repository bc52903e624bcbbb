"""Our Set-Cookie as a browser has it, which parses by the steps of RFC 6265bis: what was meant, and nothing else."""

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessions import CookieOptions
from sessions.formats.signing import Signer, new_id
from sessions.stored_cookie import Attributes, StoredCookie, set_cookie

from .rfc6265bis import cookie_date, received

NAMES = st.text("!#$%&'*+-.^_`|~0129abyzABYZ", min_size=1, max_size=12)
MOMENTS = st.integers(0, 253_402_300_799_999)
LABEL = st.text("abXY09", min_size=1, max_size=5)
PATHS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E, exclude_characters=";<"), max_size=20).map(
    lambda rest: "/" + rest.strip()
)
MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "path": PATHS,
        "domain": st.lists(LABEL, min_size=1, max_size=3).map(".".join),
        "expires": MOMENTS | st.sampled_from([None, False]),
        "secure": st.booleans(),
        "httpOnly": st.booleans(),
        "partitioned": st.booleans(),
        "priority": st.sampled_from(["low", "medium", "high"]),
        "sameSite": st.sampled_from([True, False, "lax", "Strict", "none"]),
    },
)


def meant(members: dict[str, Any]) -> dict[str, object]:
    """The attributes that a browser should have, by the names of the RFC."""
    same_site = members.get("sameSite")
    expires = members.get("expires")
    wanted: dict[str, object] = {
        "Domain": members.get("domain", "").lower(),
        "Path": members.get("path"),
        "Expires": datetime.fromtimestamp(expires // 1000, UTC) if type(expires) is int else None,
        "HttpOnly": "" if members.get("httpOnly") else None,
        "Secure": "" if members.get("secure") else None,
        "partitioned": "" if members.get("partitioned") else None,
        "priority": members["priority"].title() if "priority" in members else None,
        "SameSite": "strict" if same_site is True else same_site.lower() if same_site else None,
    }
    if not wanted["Domain"]:
        del wanted["Domain"]
    return {name: value for name, value in wanted.items() if value is not None}


@given(name=NAMES, value=st.text(st.characters(exclude_categories=["Cs"]), max_size=40), members=MEMBERS)
def test_a_browser_has_what_was_meant(name: str, value: str, members: dict[str, Any]) -> None:
    """The name, the value, and each attribute once."""
    found = received(set_cookie(name, value, members))

    assert found is not None
    assert (found.name, unquote(found.value, errors="strict")) == (name, value)
    assert dict(found.attributes) == meant(members)
    assert len(found.attributes) == len(meant(members))


@given(secret=st.binary(min_size=32, max_size=80), now=MOMENTS, lifetime=st.integers(1_000, 400 * 86_400_000))
def test_a_signed_id_comes_to_the_browser_whole(secret: bytes, now: int, lifetime: int) -> None:
    """With the second in which it expires."""
    options = CookieOptions(max_age=lifetime, same_site="lax")
    cookie = StoredCookie.new(options, lambda: now, is_secure=lambda: False)
    signed = Signer([secret]).sign(new_id())

    found = received(cookie.set_cookie("connect.sid", signed))

    assert found is not None
    assert unquote(found.value) == signed
    expires = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=min(now + lifetime, 253_402_300_799_999) // 1000)
    assert found.attributes == [("Path", "/"), ("Expires", expires), ("HttpOnly", ""), ("SameSite", "lax")]


@given(members=MEMBERS)
def test_the_cookie_that_removes_it_is_one_of_the_past(members: dict[str, Any]) -> None:
    """With the attributes by which a browser knows which one: its Domain and its Path."""
    cookie = StoredCookie(Attributes(members), lambda: 0)

    found = received(cookie.clearing("connect.sid"))

    assert found is not None
    assert (found.name, found.value) == ("connect.sid", "")
    assert dict(found.attributes) == meant(members | {"expires": 0})


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a=b; Path=/x;Secure", ("a", "b", [("Path", "/x"), ("Secure", "")])),
        (" a = b ; ; HTTPONLY ", ("a", "b", [("", ""), ("HttpOnly", "")])),
        ("novalue", ("", "novalue", [])),
        (
            "a=b=c; Domain=.Example.COM; SameSite=odd",
            ("a", "b=c", [("Domain", "example.com"), ("SameSite", "default")]),
        ),
        ("a=b; Path=x; Max-Age=-5", ("a", "b", [("Path", "the request's"), ("Max-Age", -5)])),
        ("a=\x01", None),
        (f"a={'x' * 4096}", None),
    ],
)
def test_the_parser_follows_the_steps(header: str, expected: tuple[Any, ...] | None) -> None:
    """Examples by hand, so that it is not as lenient as what it reads."""
    assert received(header) == expected


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Wed, 09 Jun 2031 10:18:14 GMT", datetime(2031, 6, 9, 10, 18, 14, tzinfo=UTC)),
        ("09-JUN-31 10:18:14", datetime(2031, 6, 9, 10, 18, 14, tzinfo=UTC)),
        ("Jun 9 1999 1:2:3", datetime(1999, 6, 9, 1, 2, 3, tzinfo=UTC)),
        ("Wed, 31 Feb 2031 10:18:14 GMT", None),
        ("Wed, 09 Jun 2031 24:00:00 GMT", None),
        ("09 Jun 2031", None),
    ],
)
def test_the_parser_of_dates_follows_the_steps(text: str, moment: datetime | None) -> None:
    """The date of a browser, which knows no other form than these numbers and names."""
    assert cookie_date(text) == moment
