"""Sockets that outlive their request: WebSockets (their session is committed before the 101) and detach()."""

from collections.abc import Awaitable
from inspect import isawaitable
from typing import Any

import pytest
from client import Browser, Call
from tornado.websocket import WebSocketHandler

from sessions import SessionError, SessionMixin, StoreError, StoreUnavailable

from .world import MARK, Act, Site, count, logout, show, turns, visit

UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


class Socket(SessionMixin, WebSocketHandler):
    """Counts handshakes in the session; does and answers what `act` says for each message."""

    def initialize(self, act: Act = show) -> None:
        self.act = act

    async def prepare(self) -> None:
        await super().prepare()
        count(self)

    async def on_message(self, message: str | bytes) -> None:
        try:
            result: Any = self.act(self)
            answer = await result if isinstance(result, Awaitable) else result
        except SessionError as error:
            answer = f"{type(error).__name__}: {error}"
        await self.write_message(str(answer))


class Outliving(Socket):
    """Goes on when its session has ended."""

    end_with_session = False


async def shake_hands(browser: Browser, **headers: str) -> Call:
    """Ask for a WebSocket."""
    return await browser.start("/socket", headers={**UPGRADE, **headers})


async def say(call: Call) -> str:
    """Send one message over an open socket; the answer."""
    call.wire.received = b""
    call.wire.send(b"\x81\x82\0\0\0\0hi")  # a text frame, masked with zeros
    await call.wire.until(lambda: len(call.wire.received) > 1)
    length = call.wire.received[1]
    start = 2
    if length == 126:
        length, start = int.from_bytes(call.wire.received[2:4], "big"), 4
    await call.wire.until(lambda: len(call.wire.received) >= start + length)
    return call.wire.received[start:].decode()


async def open_socket(browser: Browser) -> Call:
    """A socket after its handshake; the jar has the handshake's cookie."""
    call = await shake_hands(browser)
    response = await call.wire.response()
    assert response.status == 101
    for header in response.set_cookies:
        browser.jar.receive(header, browser.host, "/", secure=False)
    return call


# ---------------------------------------------------------------- the handshake


async def test_promise_1_a_handshake_is_committed_before_its_101(serve: Any) -> None:
    """The 101 carries the cookie of a session that is in the store."""
    site: Site = await serve({"/socket": Socket})
    browser = site.browser()
    gate = site.store.hold()

    call = await shake_hands(browser)
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert response.status == 101
    assert await site.row(browser.sid) == {"n": 1}


class Choosing(Socket):
    """Changes its session between the handshake's commit and its 101."""

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        self.session["protocol"] = subprotocols
        return None


class Sharing(Socket):
    """Has an `on_finish` that its pages have, too."""

    def on_finish(self) -> None:
        self.session["last"] = self.get_status()


@pytest.mark.parametrize("base", [Choosing, Sharing], ids=["select_subprotocol", "on_finish"])
@pytest.mark.parametrize("options", [{}, {"resave": True}, {"save_uninitialized": True}], ids=["", "resave", "uninit"])
async def test_a_change_behind_the_handshakes_commit_waits_for_save(
    serve: Any, base: type[Socket], options: dict[str, Any]
) -> None:
    """The socket works; the change is stored by the first save()."""

    async def save(handler: Any) -> str:
        await handler.session.save()
        return "saved"

    site: Site = await serve(
        {"/socket": type("Saving", (base,), {"initialize": lambda self: setattr(self, "act", save)})}, **options
    )
    browser = site.browser()
    call = await open_socket(browser)
    before = await site.row(browser.sid)

    answer = await say(call)
    await call.wire.close()

    assert (before, answer) == ({"n": 1}, "saved")
    assert len(await site.row(browser.sid) or {}) == 2


async def test_promise_1_a_renewal_is_committed_before_the_101(serve: Any) -> None:
    """A socket renews a session that is unchanged."""

    class Quiet(Socket):
        async def prepare(self) -> None:
            await SessionMixin.prepare(self)

    site: Site = await serve({"/visit": visit, "/socket": Quiet}, touch_after=0)
    browser = site.browser()
    await browser.fetch("/visit")
    gate = site.store.hold("touch")

    call = await shake_hands(browser)
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert response.status == 101


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [(StoreUnavailable("the disk is away"), 503, "1"), (StoreError("the disk says no"), 500, None)],
)
async def test_promise_1_a_handshake_that_cannot_be_committed_is_refused(
    serve: Any, error: StoreError, status: int, retry_after: str | None
) -> None:
    """5xx, no 101 and no cookie."""
    site: Site = await serve({"/socket": Socket})
    site.store.fail(error)

    response = await (await shake_hands(site.browser())).response()

    assert (response.status, response.header("Retry-After")) == (status, retry_after)
    assert response.set_cookies == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
    ],
)
async def test_a_refused_origin_commits_nothing(serve: Any, headers: dict[str, str], status: int) -> None:
    """A page of another origin neither makes nor changes a session."""
    site: Site = await serve({"/socket": Socket, "/count": count})
    browser = site.browser()
    await browser.fetch("/count")
    site.store.forget()

    known = await (await shake_hands(browser, **headers)).response()
    fresh = await (await shake_hands(site.browser(), **headers)).response()

    assert (known.status, known.set_cookies) == (status, [])
    assert (fresh.status, fresh.set_cookies) == (status, [])
    assert site.store.writes == []
    assert await site.rows() == {browser.sid: {"n": 1}}


async def test_a_handshake_of_a_known_visitor_loads_the_session(serve: Any) -> None:
    """The socket's handler sees what the pages have stored."""
    site: Site = await serve({"/visit": visit, "/socket": Socket})
    browser = site.browser()
    await browser.fetch("/visit")

    call = await open_socket(browser)
    answer = await say(call)
    await call.wire.close()

    assert answer == f'{{"mark": "{MARK}", "n": 1}}'


# ---------------------------------------------------------------- after the handshake


async def saved(handler: Any) -> str:
    handler.session["said"] = handler.session.get("said", 0) + 1
    await handler.session.save()
    return "saved"


async def test_a_message_can_save(serve: Any) -> None:
    """Store-only: no response is left that could carry a cookie."""
    site: Site = await serve({"/socket": (Socket, saved)})
    browser = site.browser()

    call = await open_socket(browser)
    answers = [await say(call), await say(call)]
    await call.wire.close()

    assert answers == ["saved", "saved"]
    assert await site.row(browser.sid) == {"n": 1, "said": 2}


async def test_promise_2_a_socket_and_a_page_merge(serve: Any) -> None:
    """A socket's session is old by the time it saves; pages that came in between lose nothing."""
    site: Site = await serve({"/socket": (Socket, saved), "/visit": visit})
    browser = site.browser()
    call = await open_socket(browser)

    await browser.fetch("/visit")
    await say(call)
    await call.wire.close()

    assert await site.row(browser.sid) == {"n": 1, "mark": MARK, "said": 1}


async def test_promise_3_a_socket_does_not_revive_a_session(serve: Any) -> None:
    """After a logout elsewhere its save says that there is no session."""
    site: Site = await serve({"/socket": (Outliving, saved), "/logout": logout})
    browser = site.browser()
    call = await open_socket(browser)

    await browser.fetch("/logout")
    answer = await say(call)
    await call.wire.close()

    assert answer.startswith("NoSession: ")
    assert await site.rows() == {}


@pytest.mark.parametrize("verb", ["regenerate", "rotate"])
async def test_a_new_id_after_the_handshake_is_an_error(serve: Any, verb: str) -> None:
    """HeadersSent says that no cookie could be sent any more; the session stays as it is."""
    site: Site = await serve({"/socket": (Socket, lambda handler: getattr(handler.session, verb)())})
    browser = site.browser()
    call = await open_socket(browser)

    answer = await say(call)
    await call.wire.close()

    assert answer.startswith("HeadersSent: the headers have left")
    assert await site.row(browser.sid) == {"n": 1}


async def test_a_new_session_after_the_handshake_is_an_error(serve: Any) -> None:
    """If its handshake made no session, a socket cannot make one later."""

    class Quiet(Socket):
        async def prepare(self) -> None:
            await SessionMixin.prepare(self)

    site: Site = await serve({"/socket": (Quiet, saved)})
    call = await open_socket(site.browser())

    answer = await say(call)
    await call.wire.close()

    assert answer.startswith("HeadersSent: ")
    assert await site.rows() == {}


async def test_a_message_can_end_the_session(serve: Any) -> None:
    """destroy() acts on the store at once, and self.session is gone for later messages."""
    site: Site = await serve({"/socket": (Outliving, logout)})
    call = await open_socket(site.browser())

    first, second = await say(call), await say(call)
    await call.wire.close()

    assert first == "bye"
    assert second == "NoSession: no session: it was destroyed in this request"
    assert await site.rows() == {}


# ---------------------------------------------------------------- detaching


def taken_over(before: Act) -> Act:
    """A page that takes its socket over and speaks for itself."""

    async def act(handler: Any) -> None:
        result = before(handler)
        if isawaitable(result):
            await result
        stream = handler.detach()
        await stream.write(b"HTTP/1.1 200 Mine\r\nContent-Length: 0\r\n\r\n")
        stream.close()

    return act


async def visit_and_save(handler: Any) -> None:
    visit(handler)
    await handler.session.save()


async def test_detach_with_an_uncommitted_change_is_an_error(serve: Any) -> None:
    """Nobody would ever commit it; the error names the remedy."""
    seen: list[str] = []

    async def act(handler: Any) -> None:
        visit(handler)
        try:
            handler.detach()
        except SessionError as error:
            seen.append(str(error))
            raise

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert response.status == 500
    assert seen == ["detach() with a changed session: await self.session.save() first"]


@pytest.mark.parametrize(("before", "rows"), [(show, 0), (lambda _: None, 0), (visit_and_save, 1)])
async def test_detach_without_one_hands_the_socket_over(serve: Any, before: Act, rows: int) -> None:
    """Untouched, read, or saved: there is nothing left to commit."""
    site: Site = await serve(taken_over(before))

    response = await site.browser().fetch()
    await turns()

    assert (response.status, response.reason) == (200, "Mine")
    assert len(await site.rows()) == rows
