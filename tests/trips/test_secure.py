"""Plain HTTP, TLS and proxies: when a Secure cookie goes out, and the one warning when it does not."""

import logging
import ssl
from pathlib import Path
from typing import Any

import pytest
import tornado

from sessions import CookieOptions

from .conftest import Logbook, memory_only
from .world import MARK, Page, Site, count, logout, replay, show, visit

pytestmark = memory_only

SECURE = CookieOptions(secure=True)
CERTIFICATE = Path(tornado.__file__).parent / "test" / "test.crt"
NOTHING: dict[str, str] = {}
HTTPS = {"X-Forwarded-Proto": "https"}
HTTP = {"X-Forwarded-Proto": "http"}
SCHEME = {"X-Scheme": "https"}


def proto(value: str) -> dict[str, str]:
    return {"X-Forwarded-Proto": value}


# ---------------------------------------------------------------- does it count as secure?


@pytest.mark.parametrize(
    ("options", "xheaders", "headers", "is_secure"),
    [
        # proxy absent: Tornado decides, which believes the headers only with xheaders
        ({}, False, NOTHING, False),
        ({}, False, HTTPS, False),
        ({}, True, HTTPS, True),
        ({}, True, SCHEME, True),
        ({}, True, HTTP, False),
        ({}, True, proto("http, https"), True),
        # proxy = false: never by a header
        ({"proxy": False}, False, HTTPS, False),
        ({"proxy": False}, True, HTTPS, False),
        # proxy = true: the first item of X-Forwarded-Proto, trimmed, in any letter case
        ({"proxy": True}, False, NOTHING, False),
        ({"proxy": True}, False, HTTPS, True),
        ({"proxy": True}, True, HTTPS, True),
        ({"proxy": True}, False, HTTP, False),
        ({"proxy": True}, False, proto(" HTTPS , http"), True),
        ({"proxy": True}, False, proto("http, https"), False),
        ({"proxy": True}, False, proto("httpsx"), False),
        ({"proxy": True}, False, proto(""), False),
        ({"proxy": True}, False, SCHEME, False),
        # proxySecure: the hop from the proxy counts as secure unless the proxy says http
        ({"proxy": True, "proxy_secure": True}, False, NOTHING, True),
        ({"proxy": True, "proxy_secure": True}, False, HTTPS, True),
        ({"proxy": True, "proxy_secure": True}, False, HTTP, False),
        ({"proxy": True, "proxy_secure": True}, False, proto("HTTP , https"), False),
        ({"proxy": True, "proxy_secure": True}, False, proto("https, http"), True),
    ],
)
async def test_a_secure_cookie_goes_where_the_client_has_tls(
    serve: Any, options: dict[str, Any], xheaders: bool, headers: dict[str, str], is_secure: bool
) -> None:
    """Set-Cookie with Secure, or none at all."""
    site: Site = await serve(visit, cookie=SECURE, xheaders=xheaders, **options)

    response = await site.browser().fetch(headers=headers)

    assert response.status == 200
    assert ["; Secure" in cookie for cookie in response.set_cookies] == ([True] if is_secure else [])


@pytest.mark.parametrize("proxy", [None, True, False])
@pytest.mark.parametrize("headers", [NOTHING, HTTP])
async def test_tls_of_ones_own_is_secure_whatever_the_headers_say(
    serve: Any, proxy: bool | None, headers: dict[str, str]
) -> None:
    """The connection itself is asked first, as Express asks `req.connection.encrypted`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATE, CERTIFICATE.with_suffix(".key"))
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    site: Site = await serve({"/visit": visit, "/show": show}, cookie=SECURE, proxy=proxy, tls=context)
    browser = site.browser(tls=trusting)

    response = await browser.fetch("/visit", headers=headers)

    assert len(response.set_cookies) == 1
    assert (await browser.fetch("/show")).json() != {}


async def test_a_plain_cookie_goes_anywhere(serve: Any) -> None:
    """Without `secure` nobody asks."""
    site: Site = await serve(visit)

    response = await site.browser().fetch()

    assert "Secure" not in response.set_cookies[0]


# ---------------------------------------------------------------- the warning


async def test_a_withheld_cookie_is_said_once(serve: Any, logbook: Logbook) -> None:
    """The commonest complaint of the field: the warning names the header and the option, and does not flood the log."""
    site: Site = await serve({"/visit": visit, "/show": show}, cookie=SECURE)

    responses = [await site.browser().fetch("/visit") for _ in range(3)]

    assert [response.set_cookies for response in responses] == [[], [], []]
    (warning,) = [line for line in logbook.lines("sessions", level=logging.WARNING) if "Secure" in line]
    assert "X-Forwarded-Proto" in warning
    assert "proxy" in warning


async def test_nothing_withheld_is_not_warned_of(serve: Any, logbook: Logbook) -> None:
    """A page that owes no cookie is no reason."""
    site: Site = await serve(show, cookie=SECURE)

    await site.browser().fetch()

    assert logbook.lines("sessions", level=logging.WARNING) == []


async def test_each_application_warns_for_itself(serve: Any, logbook: Logbook) -> None:
    """A second one in the process has its own proxy settings to get wrong."""
    for _ in range(2):
        site: Site = await serve(visit, cookie=SECURE)
        await site.browser().fetch()

    assert len(logbook.lines("sessions", level=logging.WARNING)) == 2


async def test_a_removal_is_withheld_as_well(serve: Any) -> None:
    """A browser takes a Secure cookie over TLS only, also to remove it."""
    site: Site = await serve({"/visit": visit, "/leave": logout}, cookie=SECURE, proxy=True)
    browser = site.browser(proxied=True)
    await browser.fetch("/visit")

    response = await site.browser().fetch("/leave", headers=replay(browser))

    assert (response.status, response.set_cookies) == (200, [])
    assert await site.rows() == {}


# ---------------------------------------------------------------- "auto"


@pytest.mark.parametrize(
    ("headers", "secure", "same_site"), [(HTTPS, True, "None"), (HTTP, False, "Lax"), (NOTHING, False, "Lax")]
)
@pytest.mark.parametrize("callable_", [False, True])
async def test_auto_is_as_the_request_that_makes_the_session(
    serve: Any, headers: dict[str, str], secure: bool, same_site: str, callable_: bool
) -> None:
    """`secure` follows the protocol; `sameSite` is None over TLS, else Lax."""
    options = CookieOptions(secure="auto", same_site="auto")
    site: Site = await serve(visit, cookie=(lambda _: options) if callable_ else options, proxy=True)

    response = await site.browser().fetch(headers=headers)

    (cookie,) = response.set_cookies
    assert ("; Secure" in cookie) is secure
    assert f"; SameSite={same_site}" in cookie


async def test_auto_is_decided_once(serve: Any) -> None:
    """A session that was made over TLS keeps its Secure cookie: it is withheld on a plain request, not weakened."""
    options = CookieOptions(secure="auto", max_age=60_000)
    site: Site = await serve({"/visit": visit, "/count": count}, cookie=options, proxy=True)
    browser = site.browser(proxied=True)
    await browser.fetch("/visit")

    plain = await site.browser().fetch("/count", headers=replay(browser))
    tls = await browser.fetch("/count")

    assert plain.set_cookies == []
    assert "; Secure" in tls.set_cookies[0]
    assert (await site.row(browser.sid) or {})["n"] == 2


async def test_a_cookie_may_depend_on_the_request(serve: Any) -> None:
    """`cookie` as a function: another lifetime, or domain, for another host."""

    def by_host(request: Any) -> CookieOptions:
        return CookieOptions(domain="example.com" if request.host.endswith("example.com") else None)

    site: Site = await serve(visit, cookie=by_host)

    here = await site.browser(host="www.example.com").fetch()
    there = await site.browser().fetch()

    assert "; Domain=example.com" in here.set_cookies[0]
    assert "Domain" not in there.set_cookies[0]


@pytest.mark.parametrize(("answer", "sent"), [(True, 1), (False, 0)])
async def test_is_secure_can_be_overridden(serve: Any, answer: bool, sent: int) -> None:
    """An application that knows better says so in one method."""

    class Knowing(Page):
        def is_secure(self) -> bool:
            return answer

    site: Site = await serve({"/": (Knowing, visit)}, cookie=SECURE)

    response = await site.browser().fetch()

    assert len(response.set_cookies) == sent


# ---------------------------------------------------------------- "auto" and a new id

AUTO = CookieOptions(secure="auto", same_site="auto")


async def renew(handler: Any, verb: str) -> None:
    await getattr(handler.session, verb)()
    handler.session["user"] = MARK


@pytest.mark.parametrize("verb", ["rotate", "regenerate"])
async def test_a_login_over_tls_makes_the_cookie_of_a_plain_basket_secure(serve: Any, verb: str) -> None:
    """The basket began over plain HTTP; the new id is asked for again."""
    site: Site = await serve({"/visit": visit, "/login": lambda handler: renew(handler, verb)}, cookie=AUTO, proxy=True)
    browser = site.browser(proxied=True)
    plain = await browser.fetch("/visit", headers=HTTP)

    login = await browser.fetch("/login", headers={**HTTPS, **replay(browser)})

    assert ["Secure" in cookie for cookie in (*plain.set_cookies, *login.set_cookies)] == [False, True]
    assert "SameSite=None" in login.set_cookies[0] or "SameSite=Lax" in login.set_cookies[0]


async def test_a_rotation_never_lowers_what_was_set(serve: Any) -> None:
    """A handler's `secure` stays, although the request that rotates came over plain HTTP: the cookie is withheld."""

    def lock(handler: Any) -> None:
        visit(handler)
        handler.session.cookie.secure = True
        handler.session.cookie.same_site = "strict"

    site: Site = await serve(
        {"/lock": lock, "/login": lambda handler: renew(handler, "rotate")}, cookie=AUTO, proxy=True
    )
    browser = site.browser(proxied=True)
    await browser.fetch("/lock", headers=HTTPS)
    sent = replay(browser)

    plain = await browser.fetch("/login", headers={**HTTP, **sent})

    assert plain.set_cookies == []
    (row,) = (await site.rows()).items()
    stored = await site.stored_cookie(row[0])
    assert (stored["secure"], stored["sameSite"]) == (True, "strict")
