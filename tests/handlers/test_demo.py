"""The seed example, to the byte: /set-session and /get-session with either of its two sets of options."""

import re
from pathlib import Path

import pytest
from browser.servers import reference_server
from client import Browser
from clock import HOUR
from stage import Serve, Site

from sessions import now_ms
from sessions.formats.signing import fingerprint

SEED = """
[session]
resave = false
saveUninitialized = true
userKey = "username"
"""
SECOND = """
[session]
name = "mySession"
cookie = { maxAge = 86400000, secure = true, httpOnly = true, sameSite = "strict" }
store = "sqlite:sessions.db"
resave = false
saveUninitialized = true
rolling = true
proxy = true
proxySecure = true
"""
COOKIE = (
    r"mySession=s%3A[\w-]{32}\.[\w%]+; Path=/; Expires=\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT;"
    r" HttpOnly; Secure; SameSite=Strict"
)


def behind_a_proxy(site: Site, stated: str | None) -> tuple[Browser, dict[str, str]]:
    """A visitor by https to a proxy that ends TLS, and what that proxy says of it."""
    visitor = site.visitor()
    visitor.secure = True
    return visitor, {} if stated is None else {"X-Forwarded-Proto": stated}


async def test_set_session(serve: Serve) -> None:
    """Says so, and the browser has a cookie with which the session is found."""
    site = await serve(SEED)
    visitor = site.visitor()

    response = await visitor.fetch("/set-session")

    assert (response.status, response.body) == (200, b"Session data set successfully")
    (cookie,) = response.set_cookies
    assert re.fullmatch(r"connect\.sid=s%3A[\w-]{32}\.[\w%]+; Path=/; HttpOnly; SameSite=Lax", cookie)


async def test_set_session_is_a_login_that_keeps_the_id(serve: Serve) -> None:
    """Whoever opens it is the same user, with a session of their own; the answer has no other cookie than the first."""
    site = await serve(SEED)
    visitor, other = site.visitor(), site.visitor()
    await visitor.fetch("/get-session")
    before = visitor.sid

    response = await visitor.fetch("/set-session")
    await other.fetch("/set-session")

    assert (response.body, response.set_cookies, visitor.sid) == (b"Session data set successfully", [], before)
    assert "Other sessions of exampleuser" in (await visitor.page()).text
    assert (await visitor.page()).others.keys() == {fingerprint(other.sid or "")}


async def test_get_session(serve: Serve) -> None:
    """Gives back what was set, to this visitor."""
    site = await serve(SEED)
    visitor = site.visitor()
    await visitor.fetch("/set-session")

    response = await visitor.fetch("/get-session")

    assert (response.status, response.body) == (200, b"Session data: exampleuser")
    assert response.set_cookies == []


async def test_get_session_of_a_new_visitor(serve: Serve) -> None:
    """Has nothing, in Express's word for it; with saveUninitialized there is a session all the same."""
    site = await serve(SEED)
    await site.visitor().fetch("/set-session")

    response = await site.visitor().fetch("/get-session")

    assert (response.status, response.body) == (200, b"Session data: undefined")
    assert len(response.set_cookies) == 1
    assert await site.store.length() == 2


@pytest.mark.parametrize("path", ["/set-session", "/get-session", "/"])
async def test_head(serve: Serve, path: str) -> None:
    """Is answered as GET, headers and all, without the body."""
    site = await serve(SEED)

    got = await site.visitor().fetch(path)
    head = await site.visitor().fetch(path, method="HEAD")

    own = ("Date", "Set-Cookie", "Etag")
    assert (head.status, head.body) == (200, b"")
    assert [each for each in head.headers if each[0] not in own] == [each for each in got.headers if each[0] not in own]
    assert [each[0] for each in head.headers] == [each[0] for each in got.headers]
    assert head.header("Content-Length") == str(len(got.body))


async def test_head_does_what_get_does(serve: Serve) -> None:
    """HEAD of /set-session sets, as in Express."""
    site = await serve(SEED)
    visitor = site.visitor()

    await visitor.fetch("/set-session", method="HEAD")

    assert (await visitor.fetch("/get-session")).text == "Session data: exampleuser"


@pytest.mark.parametrize(
    ("stated", "is_sent"),
    [("https", True), (None, True), ("HTTPS, http", True), ("http", False), ("http, https", False)],
)
async def test_the_second_set_of_options(serve: Serve, stated: str | None, is_sent: bool) -> None:
    """The hop from the proxy is plain HTTP: the cookie is sent as secure unless the proxy says that the visitor's hop is too."""
    site = await serve(SECOND)
    visitor, headers = behind_a_proxy(site, stated)

    first = await visitor.fetch("/set-session", headers=headers)
    second = await visitor.fetch("/get-session", headers=headers)

    assert first.text == "Session data set successfully"
    assert [bool(re.fullmatch(COOKIE, each)) for each in first.set_cookies] == [True] * is_sent
    assert second.text == f"Session data: {'exampleuser' if is_sent else 'undefined'}"


async def test_the_second_set_of_options_rolls(serve: Serve) -> None:
    """Each response carries the same cookie, its day counted from then."""
    site = await serve(SECOND)
    visitor, headers = behind_a_proxy(site, "https")
    await visitor.fetch("/set-session", headers=headers)
    first = visitor.cookie("mySession")

    site.clock.forward(23 * HOUR)
    await visitor.fetch("/get-session", headers=headers)
    site.clock.forward(23 * HOUR)
    response = await visitor.fetch("/get-session", headers=headers)

    assert response.text == "Session data: exampleuser"
    last = visitor.cookie("mySession")
    assert first is not None
    assert last is not None
    assert last.value == first.value
    assert last.expires == site.clock() + 24 * HOUR


async def test_a_restart(tmp_path: Path) -> None:
    """A session outlives the process: the next one finds it in the SQLite file."""
    config = SEED + 'store = "sqlite:{db}"\n'
    with reference_server(tmp_path, config) as (port, _):
        visitor = Browser(port, now_ms)
        await visitor.fetch("/set-session")

    with reference_server(tmp_path, config) as (port, _):
        visitor.port = port
        response = await visitor.fetch("/get-session")

    assert response.text == "Session data: exampleuser"
    assert response.set_cookies == []
