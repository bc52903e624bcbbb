"""How large things may be: the header of a request, the cookie that is sent. At each limit, and one byte beyond it."""

from typing import Any
from urllib.parse import quote

import pytest
from client import Response

from sessions import OptionsError, SessionOptions

from .conftest import memory_only
from .world import MARK, SECRET, Site, show, visit

pytestmark = memory_only

HEADER = 65_536
"""Bytes of a request's head that Tornado reads, the blank line at its end included."""

COOKIE = 4_096
"""Bytes of name and value that a browser keeps (RFC 6265bis, section 5.7)."""

HEAD = b"GET /show HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"


async def known(serve: Any, **options: Any) -> tuple[Site, bytes]:
    """A site with one visitor, and the visitor's cookie."""
    site: Site = await serve({"/visit": visit, "/show": show}, **options)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()
    return site, f"connect.sid={browser.kept().value}".encode()


async def ask(site: Site, cookie: bytes, size: int) -> Response:
    """Ask with a head of that size; its Cookie header holds much else before our cookie."""
    start, end = HEAD + b"Cookie: a=", b"; " + cookie + b"\r\n\r\n"
    return await site.raw(start + b"x" * (size - len(start) - len(end)) + end)


# ---------------------------------------------------------------- what comes in


async def test_the_largest_head_is_read_to_its_end(serve: Any) -> None:
    """64 KiB of it: the cookie behind all the others is found."""
    site, cookie = await known(serve)

    response = await ask(site, cookie, HEADER)

    assert (response.status, response.json()) == (200, {"mark": MARK})


async def test_a_larger_head_closes_the_connection(serve: Any) -> None:
    """Without an answer, without a store call; the server goes on serving others."""
    site, cookie = await known(serve)

    response = await ask(site, cookie, HEADER + 1)
    calls = list(site.store.calls)
    other = await ask(site, cookie, 1_000)

    assert (response.status, calls) == (0, [])
    assert other.json() == {"mark": MARK}


async def test_a_head_that_never_ends_closes_the_connection(serve: Any) -> None:
    """At 64 KiB too, although its end has not come."""
    site, _ = await known(serve)

    response = await site.raw(HEAD + b"Cookie: " + b"connect.sid=s%3Aa.b; " * 5_000)

    assert response.status == 0
    assert site.store.calls == []


@pytest.mark.parametrize(
    "piece", [b"%", b".", b'"', b"=", b";", b"connect.sid=", b"connect.sid=s%3A", b"connect.sid=s:.;", b"%zz", b"%C3"]
)
async def test_a_header_full_of_one_thing_is_a_fresh_visitor(serve: Any, piece: bytes) -> None:
    """Whatever would be slow if something were quadratic: 60,000 bytes of it, in our own cookie and around it."""
    site, _ = await known(serve)
    many = piece * (60_000 // len(piece))

    response = await site.raw(HEAD + b"Cookie: connect.sid=s%3A" + many + b"\r\n\r\n")

    assert (response.status, response.json(), response.set_cookies) == (200, {}, [])
    assert site.store.calls == []


async def test_a_thousand_cookie_headers_are_read(serve: Any) -> None:
    """One after the other, the last one too."""
    site, cookie = await known(serve)
    lines = b"".join(b"Cookie: a%d=b\r\n" % number for number in range(1_000))

    response = await site.raw(HEAD + lines + b"Cookie: " + cookie + b"\r\n\r\n")

    assert response.json() == {"mark": MARK}


# ---------------------------------------------------------------- what goes out


def size_of(response: Response) -> int:
    """Bytes of name and value of the one cookie that a response sets."""
    (header,) = response.set_cookies
    return len(header.partition(";")[0]) - len("=")


def longest(sizes: range, is_taken: Any) -> int:
    """The largest of the sizes that is taken, all below it being taken too."""
    return max(size for size in sizes if is_taken(size))


def takes_name(size: int) -> bool:
    """Whether a name of that size is an option."""
    try:
        SessionOptions(secret=SECRET, name="n" * size)
    except OptionsError:
        return False
    return True


async def test_the_longest_name_makes_a_cookie_that_is_kept(serve: Any) -> None:
    """Whatever the signature holds: a name that is one byte longer could make one that is not, and is refused at start."""
    size = longest(range(3_900, 4_096), takes_name)
    site: Site = await serve({"/visit": visit, "/show": show}, name="n" * size)
    browser = site.browser()

    response = await browser.fetch("/visit")
    shown = await browser.fetch("/show")

    with pytest.raises(OptionsError, match=r"^name: expected a cookie name .* bytes"):
        SessionOptions(secret=SECRET, name="n" * (size + 1))
    every_sign_escaped = size + len("s%3A") + 32 + len(".") + 3 * 43
    assert every_sign_escaped == COOKIE
    assert size_of(response) <= COOKIE
    assert shown.json() == {"mark": MARK}


ID_ROOM = COOKIE - len("connect.sid") - len("s%3A") - len(".") - 3 * 43
"""Bytes of an id, as it is escaped, beside a signature with every character escaped."""


@pytest.mark.parametrize("letter", ["a", "/", "ü"])
async def test_the_longest_id_makes_a_cookie_that_is_kept(serve: Any, letter: str) -> None:
    """An id of genid's own, counted as it is escaped."""
    size = ID_ROOM // len(quote(letter, safe=""))
    site: Site = await serve({"/visit": visit, "/show": show}, genid=lambda _: letter * size)
    browser = site.browser()

    response = await browser.fetch("/visit")
    shown = await browser.fetch("/show")

    assert (response.status, shown.json()) == (200, {"mark": MARK})
    assert size_of(response) <= COOKIE


async def test_a_longer_id_is_a_500_and_stores_nothing(serve: Any) -> None:
    """By one byte: a session with a cookie that no browser keeps is not stored, and the error shows no id."""
    site: Site = await serve(visit, genid=lambda _: "a" * (ID_ROOM + 1))

    response = await site.browser().fetch()

    assert (response.status, response.set_cookies) == (500, [])
    assert await site.rows() == {}
