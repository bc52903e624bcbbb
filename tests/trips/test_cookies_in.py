"""What browsers send: duplicates, two headers, quotes and junk. A bad cookie is a new visitor, never a failure."""

from itertools import permutations
from typing import Any

import pytest
from client import Browser, Response

from sessions import CookieOptions

from .conftest import memory_only
from .world import MARK, Site, show, visit

pytestmark = memory_only

OLD = "s%3Aan-old-id.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
"""A cookie of the same name from another path, domain or secret."""


async def ask(site: Site, *headers: bytes) -> Response:
    """Ask for the session with raw Cookie headers."""
    lines = b"".join(b"Cookie: " + header + b"\r\n" for header in headers)
    return await site.raw(b"GET /show HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + lines + b"\r\n")


async def known(serve: Any, **options: Any) -> tuple[Site, str]:
    """A site with one visitor, and the value of the visitor's cookie."""
    site: Site = await serve({"/visit": visit, "/show": show}, **options)
    browser: Browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()
    return site, browser.kept().value


# ---------------------------------------------------------------- the good one is found


@pytest.mark.parametrize(
    "template",
    [
        "connect.sid={}",
        'connect.sid="{}"',
        "  connect.sid = {}  ",
        "connect.sid={};",
        ";;; connect.sid={}",
        "a=1; connect.sid={}; b=2",
        "a=1;connect.sid={};b=2",
        "novalue; connect.sid={}",
        "=nameless; connect.sid={}",
        "bad=%; worse=%zz; connect.sid={}",
        'quoted="a; connect.sid={}',
        "Connect.Sid=x; xconnect.sid=y; connect.sid={}",
        "a=b=c; connect.sid={}; d==",
        "\t connect.sid={}\t",
    ],
)
async def test_the_cookie_is_found_in_the_header(serve: Any, template: str) -> None:
    """Whatever comes before or after it."""
    site, value = await known(serve)

    response = await ask(site, template.format(value).encode())

    assert response.json() == {"mark": MARK}


@pytest.mark.parametrize("spelled", ["raw", "lower case", "all escaped"])
async def test_the_value_may_be_escaped_or_not(serve: Any, spelled: str) -> None:
    """Some clients decode the value, some encode it again."""
    site, value = await known(serve)
    plain = value.replace("%3A", ":").replace("%2F", "/").replace("%2B", "+")
    values = {
        "raw": plain,
        "lower case": value.replace("%3A", "%3a").replace("%2F", "%2f").replace("%2B", "%2b"),
        "all escaped": "".join(f"%{ord(letter):02X}" for letter in plain),
    }

    response = await ask(site, f"connect.sid={values[spelled]}".encode())

    assert response.json() == {"mark": MARK}


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("bad", [OLD, "", "junk", "s%3A", "%"])
async def test_of_four_duplicates_the_valid_one_counts(serve: Any, place: int, bad: str) -> None:
    """An old cookie of another path or domain locks nobody out."""
    site, value = await known(serve)
    values = [bad] * 3
    values.insert(place, value)

    response = await ask(site, "; ".join(f"connect.sid={each}" for each in values).encode())

    assert response.json() == {"mark": MARK}


async def test_a_seventeenth_duplicate_is_not_tried(serve: Any) -> None:
    """A header full of forgeries costs sixteen signatures and no store call."""
    site, value = await known(serve)

    response = await ask(site, "; ".join(f"connect.sid={each}" for each in [OLD] * 16 + [value]).encode())

    assert (response.status, response.json()) == (200, {})
    assert site.store.calls == []


async def test_of_two_valid_ones_the_first_counts(serve: Any) -> None:
    """The browser sends the longer path first; each order is taken as it comes."""
    site, _ = await known(serve)
    values = []
    for word in ("one", "two"):
        browser = site.browser()
        await browser.fetch("/visit")
        stored = await site.stored(browser.sid)
        text = stored.data.replace(MARK, word)
        await site.store.inner.update(browser.sid or "", stored._replace(data=text), stored)
        values.append((word, browser.kept().value))

    for first, second in permutations(values):
        response = await ask(site, f"connect.sid={first[1]}; connect.sid={second[1]}".encode())
        assert response.json() == {"mark": first[0]}


@pytest.mark.parametrize("order", [0, 1])
async def test_two_cookie_headers_are_both_read(serve: Any, order: int) -> None:
    """HTTP/2 front ends split the header; Tornado's own `request.cookies` loses the id then."""
    site, value = await known(serve)
    headers = [b"theme=dark", f"connect.sid={value}".encode()]

    response = await ask(site, headers[order], headers[1 - order])

    assert response.json() == {"mark": MARK}


async def test_duplicates_over_two_headers_are_tried_in_their_order(serve: Any) -> None:
    """As if there were one header."""
    site, value = await known(serve)

    response = await ask(site, f"connect.sid={OLD}".encode(), f"a=1; connect.sid={value}".encode())

    assert response.json() == {"mark": MARK}


# ---------------------------------------------------------------- junk


JUNK = {
    "10 kB": b"connect.sid=" + b"x" * 10_240,
    "10 kB, signed in form": b"connect.sid=s%3A" + b"x" * 10_000 + b"." + b"y" * 43,
    "10 kB of percent signs": b"connect.sid=" + b"%" * 10_240,
    "10 kB of dots": b"connect.sid=s%3A" + b"." * 10_240,
    "10 kB of other cookies": b"; ".join(b"c%d=%d" % (number, number) for number in range(1_000)),
    "10 kB of semicolons": b";" * 10_240,
    "a thousand duplicates": b"; ".join([b"connect.sid=s%3Aid.sig"] * 400),
    "escaped NUL": b"connect.sid=s%3A%00.%00",
    "escaped line ends": b"connect.sid=s%3A%0D%0ASet-Cookie%3A%20a%3D1.x",
    "latin-1": "connect.sid=s%3Aé.ü; thème=clair".encode("latin1"),
    "utf-8": "connect.sid=s%3A日本.本; テーマ=暗い".encode(),
    "escaped utf-8": b"connect.sid=s%3A%E6%97%A5.%E6%97%A5",
    "escaped half of a character": b"connect.sid=s%3A%E6%97.%C3",
    "escaped surrogate": b"connect.sid=s%3A%ED%A0%80.%ED%B0%80",
    "bad escapes": b"connect.sid=s%3Aid.%zz%; x=%",
    "one quote": b'connect.sid="',
    "unbalanced quotes": b'connect.sid="s%3Aid.sig',
    "quotes inside": b'connect.sid=s%3A"id".sig',
    "backslashes": b'connect.sid="s:\\"id\\\\.sig"',
    "SQL": b"connect.sid=s%3A'%20OR%20'1'%3D'1.x",
    "JSON": b"connect.sid=j%3A%7B%22a%22%3A1%7D",
    "a list": b"connect.sid[]=1; connect.sid[0]=2",
    "only the name": b"connect.sid",
    "only an equals sign": b"=",
    "nothing": b"",
}


@pytest.mark.parametrize("junk", JUNK)
async def test_promise_4_junk_is_a_fresh_visitor(serve: Any, junk: str) -> None:
    """200 and no store call."""
    site, _ = await known(serve)

    response = await ask(site, JUNK[junk])

    assert (response.status, response.json(), response.set_cookies) == (200, {}, [])
    assert site.store.calls == []


@pytest.mark.parametrize("byte", [b"\x00", b"\x01", b"\x7f", b"\n connect.sid=x"])
async def test_bytes_that_no_header_may_hold_are_tornados_to_refuse(serve: Any, byte: bytes) -> None:
    """Raw NUL and control characters are a 400 before any handler runs; the store hears nothing."""
    site, _ = await known(serve)

    response = await ask(site, b"connect.sid=s%3Aid" + byte + b".sig")

    assert response.status in (200, 400)
    assert site.store.calls == []


async def test_junk_before_the_good_one_does_not_hide_it(serve: Any) -> None:
    """8 kB of other people's cookies on the same domain."""
    site, value = await known(serve)
    others = "; ".join(f"_ga_{number}=GS1.1.{'x' * 60}" for number in range(100))

    response = await ask(site, f"{others}; connect.sid={value}".encode())

    assert response.json() == {"mark": MARK}


@pytest.mark.parametrize("name", ["sid", "SID", "__Host-sid", "my.session-id", "a!#$%&'*+-.^_`|~z"])
async def test_any_cookie_name_works(serve: Any, name: str) -> None:
    """Every token of RFC 9110, letter case kept; a name that only begins or ends alike is another cookie."""
    cookie = CookieOptions(secure=name.startswith("__"))
    site: Site = await serve({"/visit": visit, "/show": show}, name=name, cookie=cookie, proxy=True)
    browser = site.browser(proxied=True)

    await browser.fetch("/visit")
    response = await browser.fetch("/show")
    value = browser.kept(name).value
    other = await ask(site, f"x{name}={value}; {name}x={value}".encode())

    assert response.json() == {"mark": MARK}
    assert other.json() == {}
