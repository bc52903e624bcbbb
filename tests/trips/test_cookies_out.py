"""What leaves with an answer: the session cookie, its removal, and the headers that keep caches honest."""

import logging
from typing import Any

import pytest
from clock import DAY, HOUR

from sessions import CookieOptions
from sessions.testing.jar import Cookie, Jar

from .conftest import Logbook, memory_only
from .world import LIFETIME, MARK, YEAR, Act, Site, count, logout, show, unset, visit

pytestmark = memory_only


async def login(handler: Any) -> None:
    await handler.session.regenerate()


PAGES: dict[str, Act] = {
    "/visit": visit,
    "/show": show,
    "/count": count,
    "/logout": logout,
    "/unset": unset,
    "/login": login,
    "/plain": lambda _: "plain",
}

HOST = "www.example.com"


# ---------------------------------------------------------------- removal

SCOPES = {
    "plain": CookieOptions(max_age=LIFETIME),
    "browser session": CookieOptions(),
    "path": CookieOptions(path="/visit", max_age=LIFETIME),
    "domain": CookieOptions(domain="example.com"),
    "secure": CookieOptions(secure=True, same_site="none"),
    "partitioned": CookieOptions(secure=True, partitioned=True, same_site="none", path="/"),
    "all": CookieOptions(
        domain=".example.com",
        path="/visit",
        secure=True,
        partitioned=True,
        same_site="none",
        priority="high",
        max_age=LIFETIME,
    ),
}


@pytest.mark.parametrize("scope", SCOPES)
async def test_destroy_removes_the_browsers_cookie(serve: Any, scope: str) -> None:
    """With the Domain, Path, Secure and Partitioned under which the browser keeps it, or it would stay."""
    pages = {"/visit": visit, "/visit/logout": logout}
    site: Site = await serve(pages, cookie=SCOPES[scope], proxy=True)
    browser = site.browser(proxied=True, host=HOST)
    await browser.fetch("/visit")
    before = attributes(browser.kept())

    response = await browser.fetch("/visit/logout")
    removal = browser_view(response.set_cookies[0])

    assert browser.cookie() is None
    assert removal.value == ""
    assert removal.attributes["expires"] == "Thu, 01 Jan 1970 00:00:00 GMT"
    assert attributes(removal) == before
    assert await site.rows() == {}


def attributes(cookie: Cookie) -> dict[str, str | bool]:
    """Without the date."""
    return {name: value for name, value in cookie.attributes.items() if name != "expires"}


def browser_view(header: str) -> Cookie:
    """A Set-Cookie header as a cookie, by a clock at which nothing has expired."""
    jar = Jar(lambda: -1)
    jar.receive(header, HOST, "/", secure=True)
    (cookie,) = jar.all()
    return cookie


async def test_the_removal_is_that_of_this_sessions_own_cookie(serve: Any) -> None:
    """Options that changed since then do not count: the browser's cookie is the stored one."""
    old: Site = await serve(PAGES, cookie=CookieOptions(domain="example.com", secure=True), proxy=True)
    browser = old.browser(proxied=True, host=HOST)
    await browser.fetch("/visit")
    new: Site = await serve(PAGES, store=old.store, cookie=CookieOptions(same_site="strict"), proxy=True)
    browser.port = new.port

    await browser.fetch("/logout")

    assert browser.cookie() is None


async def test_an_attribute_that_a_handler_assigned_counts(serve: Any) -> None:
    """The stored cookie is what the session's own cookie was made by."""

    def wide(handler: Any) -> None:
        visit(handler)
        handler.session.cookie.domain = "example.com"

    site: Site = await serve({**PAGES, "/wide": wide})
    browser = site.browser(host=HOST)
    await browser.fetch("/wide")

    await browser.fetch("/logout")

    assert browser.cookie() is None


@pytest.mark.parametrize(
    ("path", "options"),
    [
        ("/logout", {"clear_cookie": False}),
        ("/unset", {"unset": "keep"}),
        ("/unset", {"unset": "destroy", "clear_cookie": False}),
    ],
)
async def test_the_cookie_is_kept_where_that_is_wanted(serve: Any, path: str, options: dict[str, Any]) -> None:
    """`clearCookie = false` is Express's way; `unset = "keep"` ends nothing."""
    site: Site = await serve(PAGES, rolling=True, **options)
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch(path)

    assert response.set_cookies == []
    assert browser.cookie() is not None
    assert len(await site.rows()) == (1 if options.get("unset") == "keep" else 0)


async def test_a_visitor_without_a_cookie_has_none_removed(serve: Any) -> None:
    """A logout by somebody who never logged in sends nothing."""
    site: Site = await serve(PAGES)

    response = await site.browser().fetch("/logout")

    assert (response.status, response.set_cookies) == (200, [])


async def test_regenerate_replaces_the_cookie_and_removes_none(serve: Any) -> None:
    """One Set-Cookie, never two of one name."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")
    old = browser.sid

    response = await browser.fetch("/login")

    assert len(response.set_cookies) == 1
    assert browser.sid not in (None, old)


# ---------------------------------------------------------------- when it is sent


@pytest.mark.parametrize(
    ("options", "sent"),
    [
        ({}, {"/show": 0, "/plain": 0, "/count": 1}),
        ({"cookie": CookieOptions()}, {"/show": 0, "/plain": 0, "/count": 0}),
        ({"rolling": True}, {"/show": 1, "/plain": 1, "/count": 1}),
        ({"rolling": True, "touch_after": HOUR - 1}, {"/show": 0, "/plain": 0, "/count": 1}),
    ],
    ids=["maxAge", "no maxAge", "rolling", "rolling, throttled"],
)
async def test_when_a_known_visitor_gets_the_cookie_again(
    serve: Any, options: dict[str, Any], sent: dict[str, int]
) -> None:
    """With an expiry: when the data has changed. With `rolling`: whenever the expiry was moved."""
    site: Site = await serve(PAGES, **options)
    browser = site.browser()
    await browser.fetch("/visit")

    assert {path: len((await browser.fetch(path)).set_cookies) for path in sent} == sent


ASSIGNED: dict[str, tuple[str, Any, str]] = {
    "stricter": ("same_site", "strict", "SameSite=Strict"),
    "remember me": ("max_age", YEAR, "Expires="),
    "forget me": ("max_age", None, "HttpOnly"),
    "another path": ("path", "/show", "Path=/show"),
    "for scripts": ("http_only", False, "Path=/"),
}
"""What a handler assigns, and what its Set-Cookie has then."""


@pytest.mark.parametrize("what", ASSIGNED)
async def test_a_change_of_the_cookies_settings_alone_sends_it(serve: Any, what: str) -> None:
    """It is stored, and the browser gets what the row has, once."""
    name, value, sent = ASSIGNED[what]
    site: Site = await serve({**PAGES, "/set": lambda handler: setattr(handler.session.cookie, name, value)})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/set")
    later = await browser.fetch("/show")

    (cookie,) = response.set_cookies
    assert sent in cookie
    assert ("Expires" in cookie) is (value is not None)
    assert ("HttpOnly" in cookie) is (value is not False)
    assert later.json() == {"mark": MARK}
    assert later.set_cookies == []


# ---------------------------------------------------------------- what browsers drop


@pytest.mark.parametrize("domain", ["example.com", ".example.com", "27.0.0.1"])
async def test_a_domain_that_the_host_is_not_in_is_said_once(serve: Any, logbook: Logbook, domain: str) -> None:
    """Browsers drop the cookie, so every visit would begin a new session and nobody would know why."""
    site: Site = await serve(visit, cookie=CookieOptions(domain=domain))

    for _ in range(2):
        await site.browser().fetch()

    (said,) = logbook.lines("sessions", level=logging.WARNING)
    assert f"Domain {domain!r} does not fit the host of the request" in said


@pytest.mark.parametrize("host", ["example.com", "www.example.com:8080", "WWW.Example.com"])
async def test_a_domain_that_fits_is_nothing_to_say(serve: Any, logbook: Logbook, host: str) -> None:
    """The host itself, one below it, in any case, with a port."""
    site: Site = await serve(visit, cookie=CookieOptions(domain="example.com"))

    await site.browser().fetch(headers={"Host": host})

    assert logbook.lines("sessions", level=logging.WARNING) == []


async def test_a_lifetime_over_400_days_is_said_once(serve: Any, logbook: Logbook) -> None:
    """A handler has assigned it; browsers cap it. 400 days are nothing to say."""

    def lasting(days: int) -> Act:
        def page(handler: Any) -> None:
            visit(handler)
            handler.session.cookie.max_age = days * DAY

        return page

    site: Site = await serve({"/400": lasting(400), "/500": lasting(500)})
    await site.browser().fetch("/400")
    before = logbook.lines("sessions", level=logging.WARNING)

    for _ in range(2):
        await site.browser().fetch("/500")

    assert before == []
    (said,) = logbook.lines("sessions", level=logging.WARNING)
    assert "over 400 days" in said


async def test_a_handlers_own_cookies_stand_beside_ours(serve: Any) -> None:
    """Appended, not folded and not replaced; also to the page of an error."""

    def act(handler: Any) -> None:
        visit(handler)
        handler.set_cookie("theme", "dark")
        handler.send_error(404)

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert sorted(cookie.partition("=")[0] for cookie in response.set_cookies) == ["connect.sid", "theme"]


OWN: dict[str, Act] = {
    "set": lambda handler: handler.set_cookie("connect.sid", "mine"),
    "cleared": lambda handler: handler.clear_cookie("connect.sid"),
    "added as a header": lambda handler: handler.add_header("Set-Cookie", "connect.sid=mine; Path=/"),
    "all cleared": lambda handler: handler.clear_all_cookies(),
}


@pytest.mark.parametrize("how", OWN)
async def test_of_the_sessions_name_only_ours_is_sent(serve: Any, logbook: Logbook, how: str) -> None:
    """Of two cookies of a name a browser keeps either. Other cookies of the handler stay; the log says it once."""

    def act(handler: Any) -> None:
        handler.set_cookie("theme", "dark")
        OWN[how](handler)
        visit(handler)

    site: Site = await serve(act, rolling=True)
    browser = site.browser()

    responses = [await browser.fetch() for _ in range(2)]

    for response in responses:
        ours = [cookie for cookie in response.set_cookies if cookie.startswith("connect.sid=")]
        assert len(ours) == 1
        assert ours[0].startswith("connect.sid=s%3A")
    assert any("theme=" in cookie for cookie in responses[0].set_cookies)
    said = [line for line in logbook.lines("sessions") if "a cookie named 'connect.sid' of its own" in line]
    assert len(said) <= 1


# ---------------------------------------------------------------- caches


def with_header(name: str, value: str, act: Act = visit) -> Act:
    def page(handler: Any) -> None:
        handler.set_header(name, value)
        act(handler)

    return page


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        (None, "no-store"),
        ("max-age=60", "private, max-age=60"),
        ("private", "private"),
        ("no-store", "no-store"),
        ("public, max-age=9", "private, max-age=9"),
        ("s-maxage=5,no-cache", "private, no-cache"),
        ('Private="x"', 'Private="x"'),
    ],
)
async def test_an_answer_with_the_cookie_is_not_to_be_stored(serve: Any, own: str | None, expected: str) -> None:
    """`no-store`, unless the handler has its own opinion, which lets no shared cache keep it."""
    site: Site = await serve(visit if own is None else with_header("Cache-Control", own))

    response = await site.browser().fetch()

    assert response.all("Cache-Control") == [expected]


@pytest.mark.parametrize("path", ["/logout", "/count", "/login"])
async def test_every_kind_of_cookie_is_not_to_be_stored(serve: Any, path: str) -> None:
    """Sent, removed or replaced."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch(path)

    assert (response.header("Cache-Control"), response.header("Vary")) == ("no-store", "Cookie")


async def test_an_answer_that_only_reads_may_be_stored(serve: Any) -> None:
    """But it differs by visitor, and says so; for a visitor without a cookie as well."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")

    known, fresh = await browser.fetch("/show"), await site.browser().fetch("/show")

    assert (known.header("Vary"), known.header("Cache-Control")) == ("Cookie", None)
    assert (fresh.header("Vary"), fresh.header("Cache-Control")) == ("Cookie", None)


async def test_an_answer_that_never_looks_differs_by_nobody(serve: Any) -> None:
    """A page that does not ask for the session is the same for all, and may be cached for all."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/plain")

    assert (response.header("Vary"), response.header("Cache-Control")) == (None, None)


async def test_an_answer_by_the_session_id_differs_by_visitor(serve: Any) -> None:
    """`self.session_id` tells visitors apart just as the session does."""
    site: Site = await serve({"/visit": visit, "/id": lambda handler: str(handler.session_id is None)})

    response = await site.browser().fetch("/id")

    assert response.header("Vary") == "Cookie"


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ("Accept-Language", "Accept-Language, Cookie"),
        ("cookie", "cookie"),
        ("Accept, Cookie", "Accept, Cookie"),
        ("*", "*"),
        ("X-Cookie-Consent", "X-Cookie-Consent, Cookie"),
    ],
)
async def test_vary_is_appended(serve: Any, own: str, expected: str) -> None:
    """To the handler's own, once, by whole names."""
    site: Site = await serve(with_header("Vary", own, show))

    response = await site.browser().fetch()

    assert response.header("Vary") == expected


async def test_a_304_says_it_as_well(serve: Any) -> None:
    """Vary belongs to a 304, too (RFC 9110, section 15.4.5)."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")
    etag = (await browser.fetch("/show")).header("Etag")

    response = await browser.fetch("/show", headers={"If-None-Match": etag or ""})

    assert (response.status, response.header("Vary")) == (304, "Cookie")


async def test_an_error_page_says_it_as_well(serve: Any) -> None:
    """What came before the error was wiped by Tornado; these headers are added at the end."""

    def act(handler: Any) -> None:
        visit(handler)
        raise LookupError("the application's own")

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert response.status == 500
    assert (response.header("Vary"), response.header("Cache-Control")) == ("Cookie", "no-store")


async def test_cache_headers_can_be_switched_off(serve: Any) -> None:
    """`cacheHeaders = false`: the application sees to it."""
    site: Site = await serve(PAGES, cache_headers=False)
    browser = site.browser()

    responses = [await browser.fetch(path) for path in ("/visit", "/show", "/logout")]

    assert [(each.header("Vary"), each.header("Cache-Control")) for each in responses] == [(None, None)] * 3
    assert MARK not in responses[0].text
