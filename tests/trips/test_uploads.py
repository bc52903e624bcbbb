"""Uploads that are refused before their body has come: nothing more of it is taken, and the refusal arrives.

As in Tornado without sessions, although the refusal has to wait for its commit.
"""

from typing import Any

import pytest
from client import Response, Wire, parse
from tornado.web import Finish, HTTPError, stream_request_body

from sessions import SessionMixin, StoreUnavailable

from .world import Act, Page, Site, replay, turns, visit


@stream_request_body
class Upload(Page):
    """Notes what is delivered of a body; `act` is its `prepare`."""

    async def prepare(self) -> None:
        await SessionMixin.prepare(self)
        result = self.act(self)
        if result is not None:
            await result  # type: ignore[misc] # an act that returns something is async

    def data_received(self, chunk: bytes) -> None:
        self.settings["delivered"].append(chunk)

    async def put(self) -> None:
        self.settings["delivered"].append("put")


class Limited(Upload):
    """Refuses a body in its midst."""

    def data_received(self, chunk: bytes) -> None:
        super().data_received(chunk)
        self.set_status(413)
        self.finish("too large")


def denies(handler: Any) -> None:
    handler.session["denied"] = 1
    raise HTTPError(401)


def redirects(handler: Any) -> None:
    handler.session["denied"] = 1
    handler.redirect("/login")


def finishes(handler: Any) -> None:
    handler.session["denied"] = 1
    handler.set_status(409)
    raise Finish("not now")


async def signs_out(handler: Any) -> None:
    await handler.session.destroy()
    handler.send_error(403)


def renews(handler: Any) -> None:
    """The session is unchanged, and its expiry is due."""
    raise HTTPError(402)


HEADS = {
    "length": b"Content-Length: 9\r\n\r\n",
    "length-expect": b"Content-Length: 9\r\nExpect: 100-continue\r\n\r\n",
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n",
    "chunked-expect": b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
}


def pieces(framing: str) -> list[bytes]:
    """A body of nine bytes, in three pieces as they are sent."""
    words = [b"one", b"two", b"six"]
    return words if framing.startswith("length") else [*(b"3\r\n" + word + b"\r\n" for word in words), b"0\r\n\r\n"]


async def put(site: Site, framing: str, cookie: str, *, at_once: bool = False) -> tuple[Wire, Response]:
    """Send an upload piece by piece; what came back, once the server has closed the connection or answered."""
    wire = await site.wire()
    head = b"PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nCookie: " + cookie.encode() + b"\r\n" + HEADS[framing]
    body = pieces(framing)
    if at_once:
        head, body = head + b"".join(body), []
    wire.send(head)
    await turns()
    for piece in body:
        if wire.ended:
            break
        wire.send(piece)
        await turns()
    await wire.until(lambda: parse(wire.received, ended=wire.ended) is not None)
    answer = parse(wire.received, ended=wire.ended)
    assert answer is not None
    return wire, answer[0]


@pytest.mark.parametrize("framing", HEADS)
@pytest.mark.parametrize(
    ("act", "status"), [(denies, 401), (redirects, 302), (finishes, 409), (signs_out, 403), (renews, 402)]
)
@pytest.mark.parametrize("at_once", [False, True], ids=["in-pieces", "at-once"])
async def test_a_body_that_prepare_has_refused_is_not_taken(
    serve: Any, framing: str, act: Act, status: int, at_once: bool
) -> None:
    """No 100 Continue, no piece, no verb; the refusal is whole, and what it has changed is committed."""
    delivered: list[object] = []
    site: Site = await serve({"/visit": visit, "/": (Upload, act)}, settings={"delivered": delivered}, touch_after=0)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    wire, response = await put(site, framing, replay(browser)["Cookie"], at_once=at_once)
    received = wire.received
    await wire.close()

    assert delivered == []
    assert b"HTTP/1.1 100" not in received
    assert (response.status, response.whole) == (status, True)
    assert site.store.writes != []


@pytest.mark.parametrize("framing", HEADS)
async def test_a_body_that_is_refused_in_its_midst_is_taken_no_further(serve: Any, framing: str) -> None:
    """The piece that is refused is the last that is delivered, however long the commit takes."""
    delivered: list[object] = []
    site: Site = await serve({"/visit": visit, "/": (Limited, visit_again)}, settings={"delivered": delivered})
    browser = site.browser()
    await browser.fetch("/visit")
    gate = site.store.hold("update")
    wire = await site.wire()
    wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nCookie: " + replay(browser)["Cookie"].encode() + b"\r\n" + HEADS[framing])
    first, *rest = pieces(framing)
    wire.send(first)
    await gate.reached()
    wire.send(b"".join(rest))
    await turns()
    gate.open()
    answer = await wire.response()
    await wire.close()

    assert delivered == [b"one"]
    assert (answer.status, answer.text) == (413, "too large")


def visit_again(handler: Any) -> None:
    handler.session["again"] = 1


@pytest.mark.parametrize("framing", HEADS)
async def test_a_body_for_a_store_that_is_away_is_not_taken(serve: Any, framing: str) -> None:
    """The 503 comes at once, as there is no session to commit."""
    delivered: list[object] = []
    site: Site = await serve({"/visit": visit, "/": (Upload, visit_again)}, settings={"delivered": delivered})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(StoreUnavailable("the disk is away"), "get")

    wire, response = await put(site, framing, replay(browser)["Cookie"])
    received = wire.received
    await wire.close()

    assert delivered == []
    assert b"HTTP/1.1 100" not in received
    assert (response.status, response.header("Retry-After"), response.whole) == (503, "1", True)


@pytest.mark.parametrize("framing", HEADS)
async def test_a_refusal_takes_nothing_if_its_commit_fails(serve: Any, framing: str) -> None:
    """The page of the failure is the answer."""
    delivered: list[object] = []
    site: Site = await serve({"/visit": visit, "/": (Upload, denies)}, settings={"delivered": delivered})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(StoreUnavailable("the disk is away"))

    wire, response = await put(site, framing, replay(browser)["Cookie"])
    await wire.close()

    assert delivered == []
    assert (response.status, response.whole) == (503, True)


@pytest.mark.parametrize("framing", HEADS)
async def test_a_body_that_is_welcome_arrives(serve: Any, framing: str) -> None:
    """With its 100 Continue where that was asked for; the session is committed at the end."""
    delivered: list[object] = []
    site: Site = await serve({"/visit": visit, "/": (Upload, visit_again)}, settings={"delivered": delivered})
    browser = site.browser()
    await browser.fetch("/visit")

    wire, response = await put(site, framing, replay(browser)["Cookie"])
    received = wire.received
    await wire.close()

    assert delivered[-1] == "put"
    assert b"".join(each for each in delivered if isinstance(each, bytes)) == b"onetwosix"
    assert (b"HTTP/1.1 100" in received) is ("expect" in framing)
    assert response.status == 200


async def test_a_request_behind_a_refused_upload_waits_its_turn(serve: Any) -> None:
    """Bytes after the body on the same connection are never taken for a request of their own."""
    delivered: list[object] = []
    site: Site = await serve({"/": (Upload, denies), "/fast": lambda _: "fast"}, settings={"delivered": delivered})
    gate = site.store.hold("create")
    wire = await site.wire()
    wire.send(b"PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\n")
    await gate.reached()
    wire.send(b"onetwosixGET /fast HTTP/1.1\r\nHost: h\r\n\r\n")
    await turns()
    gate.open()
    await wire.until(lambda: wire.ended or b"fast" in wire.received)
    received = wire.received
    await wire.close()

    assert delivered == []
    assert received.startswith(b"HTTP/1.1 401 ")
    assert received.count(b"HTTP/1.1 ") == 2
    assert received.endswith(b"\r\n\r\nfast")
