"""`header`: a client without cookies sends its id in a header of its own, and gets it there."""

from typing import Any

import pytest
import tornado
from client import Response
from clock import MINUTE
from tornado.web import RequestHandler

from sessions import CookieOptions, SessionMixin
from sessions.formats.signing import Signer
from sessions.observe import Event, SessionEvent
from sessions.renewal import split
from sessions.testing.jar import Jar

from .conftest import Logbook, memory_only
from .talks import NEVER, Chat, connect, saved
from .world import MARK, SECRET, Site, count, logout, show, visit

pytestmark = memory_only

HEADER = "X-Session"
TOKEN = "0123456789abcdef" * 2


class Form(SessionMixin, RequestHandler):
    """Takes forms."""

    async def post(self) -> None:
        """Note it."""
        self.session["sent"] = 1


async def rotate(handler: Any) -> None:
    await handler.session.rotate()


PAGES: dict[str, Any] = {
    "/visit": visit, "/show": show, "/count": count, "/logout": logout, "/rotate": rotate, "/form": Form,
    "/plain": lambda _: "plain",
}  # fmt: skip


class Client:
    """A client that keeps its id itself."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.value = "new"

    async def fetch(self, path: str, *, cookies: Jar | None = None, **request: Any) -> Response:
        """Send a request with the id, and keep the one that comes back."""
        browser = self.site.browser()
        if cookies is not None:
            browser.jar = cookies
        headers = {HEADER: self.value, **request.pop("headers", {})}
        response = await browser.fetch(path, headers=headers, **request)
        if response.all(HEADER):
            (self.value,) = response.all(HEADER)
        return response

    @property
    def sid(self) -> str:
        """The id."""
        return split(Signer([SECRET.encode()]).unsign(self.value) or "")[0]


async def visited(serve: Any, **options: Any) -> tuple[Site, Client]:
    """A site with the header, and a client that has a session."""
    site: Site = await serve(PAGES, header=HEADER, **options)
    client = Client(site)
    await client.fetch("/visit")
    return site, client


async def test_a_client_asks_for_an_id_and_comes_back_with_it(serve: Any) -> None:
    """By the word `new`; no cookie leaves."""
    site: Site = await serve(PAGES, header=HEADER)
    client = Client(site)

    first = await client.fetch("/visit")
    second = await client.fetch("/show")

    assert (first.set_cookies, second.set_cookies) == ([], [])
    assert second.json() == {"mark": MARK}
    assert second.all(HEADER) == []
    assert list(await site.rows()) == [client.sid]


async def test_nothing_is_stored_for_new_alone(serve: Any) -> None:
    """It says where the id is to leave; a session is made when something is put into it."""
    site: Site = await serve(PAGES, header=HEADER)

    response = await Client(site).fetch("/show")

    assert response.all(HEADER) == []
    assert await site.rows() == {}


async def test_what_a_cookie_has_a_header_may_have(serve: Any) -> None:
    """The same signed value, as it is in the cookie too."""
    site, client = await visited(serve)
    browser = site.browser()
    await browser.fetch("/visit")

    client.value = browser.kept().value

    assert (await client.fetch("/show")).json() == {"mark": MARK}


@pytest.mark.parametrize("sid", ["säd 5%3A", "a,b;c", "x" * 100])
async def test_an_id_of_any_characters_comes_back(serve: Any, sid: str) -> None:
    """`genid` may make it."""
    _, client = await visited(serve, genid=lambda _: sid)

    assert client.sid == sid or client.value.isascii()
    assert (await client.fetch("/show")).json() == {"mark": MARK}


async def test_a_cookie_works_beside_the_option(serve: Any) -> None:
    """A request without the header has its session by the cookie, and no header leaves."""
    site: Site = await serve(PAGES, header=HEADER)
    browser = site.browser()

    response = await browser.fetch("/visit")

    assert response.all(HEADER) == []
    assert (await browser.fetch("/show")).json() == {"mark": MARK}


async def test_without_the_option_the_header_is_not_read(serve: Any) -> None:
    """The id is in the cookie alone."""
    site, client = await visited(serve)
    value = client.value
    other: Site = await serve(PAGES, store=site.store)

    response = await other.browser().fetch("/visit", headers={HEADER: value})

    assert response.all(HEADER) == []
    assert len(response.set_cookies) == 1
    assert response.header("Vary") == "Cookie"


# ---------------------------------------------------------------- both, several, bad ones


async def test_of_header_and_cookie_the_header_counts(serve: Any) -> None:
    """They contradict each other: the cookie's session is not read, not changed and not ended."""
    site, client = await visited(serve)
    browser = site.browser()
    await browser.fetch("/visit")
    mine, theirs = client.sid, browser.sid

    counted = await client.fetch("/count", cookies=browser.jar)
    ended = await client.fetch("/logout", cookies=browser.jar)

    assert (counted.text, counted.set_cookies, ended.set_cookies) == ("1", [], [])
    assert mine != theirs
    assert await site.rows() == {theirs: {"mark": MARK}}


@pytest.mark.parametrize(
    "value", ["", "junk", "s:id.signature", "NEW", "null", "new, new", "s%3Aid", "x" * 5000, "s:ä.ö"]
)
async def test_a_bad_value_is_no_session_and_no_cookie_counts(serve: Any, value: str) -> None:
    """The visitor is new, and an id leaves where the bad one came."""
    site: Site = await serve(PAGES, header=HEADER)
    browser = site.browser()
    await browser.fetch("/visit")

    shown = await browser.fetch("/show", headers={HEADER: value})
    visited = await browser.fetch("/visit", headers={HEADER: value})

    assert shown.json() == {}
    assert (len(visited.all(HEADER)), visited.set_cookies) == (1, [])
    assert len(await site.rows()) == 2


async def test_more_than_one_header_is_no_session(serve: Any) -> None:
    """Even if both are good, and the same."""
    site, client = await visited(serve)
    lines = f"{HEADER}: {client.value}\r\n" * 2

    response = await site.raw(f"GET /show HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{lines}\r\n".encode())

    assert response.json() == {}


async def test_an_id_that_a_client_made_up_is_not_taken(serve: Any) -> None:
    """Fixation: neither a bare id, nor one that was signed and is no session any more, is ever adopted."""
    site, client = await visited(serve)
    used = client.value
    await client.fetch("/logout")
    bare, signed = Client(site), Client(site)
    bare.value, signed.value = client.sid or "an-id", used

    for each in (bare, signed):
        await each.fetch("/visit")

    assert bare.value != signed.value != used
    assert {bare.sid, signed.sid} == set(await site.rows())


async def test_a_bad_value_is_tampering(serve: Any, logbook: Logbook) -> None:
    """`new` is none."""
    site: Site = await serve(PAGES, header=HEADER)

    for value in ("new", "s:junk.signature"):
        await site.browser().fetch("/show", headers={HEADER: value})

    assert len([line for line in logbook.lines("sessions") if "session_tampered" in line]) == 1


async def test_a_value_is_noted_once_where_a_token_is_asked_for(serve: Any) -> None:
    """A form with a right token: its header, or its cookie, is looked at for the token, and for the session."""
    heard: list[Event] = []
    site: Site = await serve(PAGES, header=HEADER, settings={"xsrf_cookies": True}, observer=heard.append)
    form: dict[str, Any] = {"method": "POST", "body": f"_xsrf={TOKEN}".encode()}
    statuses = []

    for bad in ({HEADER: "s:junk.signature"}, {"Cookie": "connect.sid=s:junk.signature"}):
        cookies = "; ".join(filter(None, (f"_xsrf={TOKEN}", bad.get("Cookie"))))
        headers = {**bad, "Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
        statuses.append((await site.browser().fetch("/form", headers=headers, **form)).status)

    assert statuses == [200, 200]
    assert sum(isinstance(event, SessionEvent) and event.name == "session_tampered" for event in heard) == 2


# ---------------------------------------------------------------- what leaves


async def test_a_new_id_leaves_in_the_header(serve: Any) -> None:
    """After `rotate()`."""
    _, client = await visited(serve)
    before = client.sid

    response = await client.fetch("/rotate")

    assert response.set_cookies == []
    assert client.sid not in ("", before)
    assert (await client.fetch("/show")).json() == {"mark": MARK}


@pytest.mark.parametrize(("clears", "said"), [(True, [""]), (False, [])])
async def test_an_end_leaves_as_an_empty_header(serve: Any, clears: bool, said: list[str]) -> None:
    """Where a browser's cookie would be removed."""
    site, client = await visited(serve, clear_cookie=clears)

    response = await client.fetch("/logout")

    assert response.all(HEADER) == said
    assert response.set_cookies == []
    assert await site.rows() == {}


async def test_with_rolling_each_answer_has_it(serve: Any) -> None:
    """The client may keep the last one it got."""
    _, client = await visited(serve, rolling=True)
    value = client.value

    response = await client.fetch("/show")

    assert response.all(HEADER) == [value]


async def test_a_renewed_value_leaves_in_the_header(serve: Any) -> None:
    """As it would in the cookie."""
    site, client = await visited(serve, renew_after=10 * MINUTE)
    before = client.value
    site.clock.forward(10 * MINUTE)

    response = await client.fetch("/show")

    assert response.set_cookies == []
    assert client.value != before
    assert (await client.fetch("/show")).json() == {"mark": MARK}


async def test_a_secure_id_does_not_leave_over_plain_http(serve: Any) -> None:
    """As its cookie would not."""
    site: Site = await serve(PAGES, header=HEADER, cookie=CookieOptions(secure=True))

    response = await Client(site).fetch("/visit")

    assert response.all(HEADER) == []


async def test_a_header_of_the_handler_gives_way(serve: Any) -> None:
    """There is one, and it is the session's."""

    def both(handler: Any) -> None:
        handler.set_header(HEADER, "mine")
        visit(handler)

    site: Site = await serve(both, header=HEADER)
    client = Client(site)

    response = await client.fetch("/")

    assert len(response.all(HEADER)) == 1
    assert client.sid


# ---------------------------------------------------------------- caches


async def test_an_answer_with_the_id_is_not_to_be_stored(serve: Any) -> None:
    """And it varies by both."""
    site: Site = await serve(PAGES, header=HEADER)

    response = await Client(site).fetch("/visit")

    assert response.header("Cache-Control") == "no-store"
    assert response.header("Vary") == f"Cookie, {HEADER}"


@pytest.mark.parametrize("given", ["private, max-age=600", "public, max-age=600", "no-cache"])
async def test_not_even_a_private_cache_keeps_an_id(serve: Any, given: str) -> None:
    """To a script its answer is a new one: the id of a session that has ended, or of somebody before."""

    def cached(handler: Any) -> None:
        handler.set_header("Cache-Control", given)
        visit(handler)

    site: Site = await serve(cached, header=HEADER)

    response = await Client(site).fetch("/")

    assert response.all("Cache-Control") == ["no-store"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "Cookie, X-Session"),
        ("x-session", "x-session, Cookie"),
        ("Accept, cookie", "Accept, cookie, X-Session"),
        ("*", "*"),
    ],
)
async def test_what_reads_a_session_varies_by_both(serve: Any, given: str, said: str) -> None:
    """A request without the header as well: with it the answer would be another one."""

    def look(handler: Any) -> str:
        if given:
            handler.set_header("Vary", given)
        return show(handler)

    site: Site = await serve(look, header=HEADER)

    response = await site.browser().fetch()

    assert response.header("Vary") == said
    assert (await site.browser().fetch("/plain")).header("Cache-Control") is None


async def test_what_reads_no_session_varies_by_neither(serve: Any) -> None:
    """It may be shared."""
    site: Site = await serve(PAGES, header=HEADER)

    response = await Client(site).fetch("/plain")

    assert response.header("Vary") is None


async def test_without_cache_headers_there_are_none(serve: Any) -> None:
    """`cacheHeaders = false`."""
    site: Site = await serve(PAGES, header=HEADER, cache_headers=False)

    response = await Client(site).fetch("/visit")

    assert (response.header("Vary"), response.header("Cache-Control")) == (None, None)


# ---------------------------------------------------------------- forms

FORMS: dict[str, Any] = {"settings": {"xsrf_cookies": True}}


async def test_a_verified_signature_needs_no_token(serve: Any) -> None:
    """No other site can set the header without the answer to a preflight."""
    site, client = await visited(serve, **FORMS)

    response = await client.fetch("/form", method="POST", body=b"a=b")

    assert response.status == 200
    assert await site.row(client.sid) == {"mark": MARK, "sent": 1}


async def test_new_and_a_bad_value_need_a_token(serve: Any) -> None:
    """Tornado asks for it before the session is loaded, and both may come from anywhere."""
    site, client = await visited(serve, **FORMS)
    good = client.value

    refused = []
    for value in ("new", "", "junk", good[:-1], f"{good}, {good}"):
        client.value = value
        refused.append((await client.fetch("/form", method="POST", body=b"a=b")).status)

    assert refused == [403] * 5
    assert len(await site.rows()) == 1


async def test_a_cookie_needs_a_token_with_the_option(serve: Any) -> None:
    """The header alone is what no other site can send."""
    site: Site = await serve(PAGES, header=HEADER, **FORMS)
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/form", method="POST", body=b"a=b")

    assert response.status == 403


async def test_without_the_option_a_header_needs_a_token(serve: Any) -> None:
    """It is a header like any other."""
    site, client = await visited(serve)
    other: Site = await serve(PAGES, store=site.store, **FORMS)

    response = await other.browser().fetch("/form", method="POST", body=b"a=b", headers={HEADER: client.value})

    assert response.status == 403


@pytest.mark.skipif(tornado.version_info < (6, 6), reason="Tornado has this protection from 6.6 on")
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://elsewhere.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({}, 200),
    ],
)
async def test_cross_origin_protection_stays_on(serve: Any, headers: dict[str, str], status: int) -> None:
    """Tornado's own check is another one."""
    _, client = await visited(serve, settings={"xsrf_cookies": True, "cross_origin_protection": True})

    response = await client.fetch("/form", method="POST", body=b"a=b", headers=headers)

    assert response.status == status


# ---------------------------------------------------------------- elsewhere


async def test_the_id_is_never_read_from_the_query(serve: Any) -> None:
    """It would be in logs, as it is here, and in the Referer."""
    site, client = await visited(serve, genid=lambda _: "short")

    response = await site.browser().fetch(f"/show?{HEADER}={client.value}&connect.sid={client.value}")

    assert response.json() == {}


async def test_outside_the_path_there_is_no_session(serve: Any) -> None:
    """As with the cookie."""
    site: Site = await serve(
        {"/app/visit": visit, "/has": lambda handler: str(handler.has_session)},
        header=HEADER,
        cookie=CookieOptions(path="/app"),
    )
    client = Client(site)
    await client.fetch("/app/visit")

    response = await client.fetch("/has")

    assert response.text == "False"


async def test_a_socket_may_bring_it(serve: Any) -> None:
    """A client that is no browser can set the header at the handshake."""
    chat = type("Saving", (Chat,), {"initialize": lambda self: Chat.initialize(self, saved)})
    site: Site = await serve({**PAGES, "/chat": chat}, header=HEADER, watch_interval=NEVER)
    client = Client(site)
    await client.fetch("/visit")

    open_socket = await connect(site, {HEADER: client.value})
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "saved"
    assert (await site.row(client.sid) or {})["said"] == 1


async def test_a_login_gives_a_new_id_there(serve: Any) -> None:
    """`sign_in`, and `sign_out` after it."""

    async def login(handler: Any) -> None:
        await handler.sign_in("ada")

    async def leave(handler: Any) -> None:
        await handler.sign_out()

    site: Site = await serve({**PAGES, "/login": login, "/leave": leave}, header=HEADER, user_key="user")
    client = Client(site)
    await client.fetch("/visit")
    before = client.sid

    signed_in = await client.fetch("/login")
    after = client.sid
    left = await client.fetch("/leave")

    assert before != after
    assert (signed_in.set_cookies, left.set_cookies, left.all(HEADER)) == ([], [], [""])
    assert await site.rows() == {}
