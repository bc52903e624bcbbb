"""The phases of an answer, seen from the connection: the request's body, `detach()`, and a client that leaves."""

import asyncio
from typing import Any

import pytest
from client import SECONDS
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler, stream_request_body

from sessions import SessionMixin

from .conftest import memory_only
from .phases import BEGUN, COMMITS, FINISHED, each_phase, enter
from .staged import Gate
from .world import MARK, Act, Page, Site, turns, visit

# ---------------------------------------------------------------- the body of the request


@stream_request_body
class Upload(Page):
    """Enters a phase in `prepare`, and notes what Tornado calls afterwards."""

    async def prepare(self) -> None:
        await SessionMixin.prepare(self)
        await self.act(self)  # type: ignore[misc] # each act of these tests is async

    def data_received(self, chunk: bytes) -> None:
        events(self).append("data")

    async def put(self) -> None:
        events(self).append("put")

    def on_finish(self) -> None:
        events(self).append("finish")


def events(handler: RequestHandler) -> list[str]:
    """Where a handler notes what was called."""
    noted: list[str] = handler.settings["events"]
    return noted


PUT = b"PUT / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"


@each_phase
@pytest.mark.parametrize("encoding", ["length", "chunked"])
async def test_a_body_is_delivered_until_the_answer_is_finished(serve: Any, phase: str, encoding: str) -> None:
    """Then neither 100 Continue, nor a piece, nor the verb comes."""
    gate = Gate()
    noted: list[str] = []
    site: Site = await serve({"/": (Upload, lambda handler: enter(handler, phase, gate))}, settings={"events": noted})
    if phase in COMMITS:
        gate = site.store.hold("create")
    wire = await site.wire()
    if encoding == "length":
        wire.send(PUT + b"Content-Length: 4\r\nExpect: 100-continue\r\n\r\n")
    else:
        wire.send(PUT + b"Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n")
    is_finished = phase in FINISHED
    if phase == "waiting":
        while site.store.calls != ["create"]:  # noqa: ASYNC110 # the page itself waits at the gate's one event
            await asyncio.sleep(0)
        await turns()
    elif is_finished:
        await wire.until(lambda: b"whole" in wire.received)
        await turns()
    else:
        await wire.until(lambda: b"HTTP/1.1 100" in wire.received)
    continued = b"HTTP/1.1 100" in wire.received
    wire.send(b"body" if encoding == "length" else b"4\r\nbody\r\n0\r\n\r\n")
    await turns()
    gate.open()
    await wire.until(lambda: wire.ended)
    received = wire.received
    await wire.close()

    assert continued is not is_finished
    assert noted == (["finish"] if is_finished else ["data", "put", "finish"])
    assert BEGUN[phase].encode() in received


# ---------------------------------------------------------------- detach


async def detached(serve: Any, act: Act, *, holds: bool = False) -> tuple[str, str]:
    """Call `detach` in a page; what it raised, and the reason of the answer's status line."""
    raised: list[BaseException] = []
    gate = Gate()

    async def page(handler: Any) -> None:
        await act(handler)  # type: ignore[misc] # each act of these tests is async
        if holds:
            await gate.reached()
        try:
            stream = handler.detach()
        except Exception as error:
            raised.append(error)
            raise
        finally:
            gate.open()
        await stream.write(b"HTTP/1.1 200 Mine\r\nContent-Length: 0\r\n\r\n")
        stream.close()

    site: Site = await serve(page)
    if holds:
        gate = site.store.hold("create")
    response = await site.browser().fetch()
    return "".join(type(error).__name__ for error in raised), response.reason


async def opens(handler: Any) -> None:
    """Leave the answer open, and the session as it is."""


async def saves(handler: Any) -> None:
    visit(handler)
    await handler.session.save()


async def changes(handler: Any) -> None:
    visit(handler)


async def holds(handler: Any) -> None:
    visit(handler)
    handler.flush()


async def waits(handler: Any) -> None:
    visit(handler)
    handler.finish("whole")


@pytest.mark.parametrize(
    ("act", "is_held", "seen"),
    [
        (opens, False, ("", "Mine")),
        (saves, False, ("", "Mine")),
        (changes, False, ("SessionError", "Internal Server Error")),
        (holds, True, ("SessionError", "Internal Server Error")),
        (waits, True, ("RuntimeError", "OK")),
    ],
    ids=["open", "saved", "changed", "held", "waiting"],
)
async def test_detach_is_refused_while_something_is_to_be_committed(
    serve: Any, act: Act, is_held: bool, seen: tuple[str, str]
) -> None:
    """The bytes, and the change, would be lost with the socket."""
    assert await detached(serve, act, holds=is_held) == seen


async def test_detach_of_a_stream_hands_the_socket_over(serve: Any) -> None:
    """As Tornado: what is written to it comes behind what has left."""

    async def page(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        stream = handler.detach()
        await stream.write(b"3\r\ntwo\r\n0\r\n\r\n")
        stream.close()

    site: Site = await serve(page)
    response = await site.browser().fetch()

    assert (response.text, response.whole) == ("one,two", True)


# ---------------------------------------------------------------- the client leaves


class Left(Page):
    """Notes when Tornado says that the client has gone."""

    def on_connection_close(self) -> None:
        events(self).append("close")
        super().on_connection_close()

    def on_finish(self) -> None:
        self.settings["finished"].set()


@pytest.mark.parametrize("phase", ["open", "held", "streaming", "waiting"])
async def test_a_client_that_leaves_in_a_phase(serve: Any, phase: str) -> None:
    """on_connection_close is called once, and what the client has asked for is committed."""
    noted: list[str] = []
    finished = asyncio.Event()
    gate, gone = Gate(), Gate()

    async def page(handler: Any) -> None:
        await enter(handler, phase, gate)
        await gone.wait()

    site: Site = await serve({"/": (Left, page)}, settings={"events": noted, "finished": finished})
    if phase in COMMITS:
        gate = site.store.hold("create")
    call = await site.browser().start()
    await gone.reached()
    await call.wire.close()
    while not noted:  # noqa: ASYNC110 # a connection that closes sets no event
        await asyncio.sleep(0)
    gone.open()
    gate.open()
    await asyncio.wait_for(finished.wait(), SECONDS)

    assert noted == ["close"]
    assert [row["mark"] for row in (await site.rows()).values()] == [MARK]


async def test_the_future_of_an_answer_that_waits_fails_when_the_client_leaves(serve: Any) -> None:
    """With StreamClosedError, as in Tornado, once the commit is done."""
    failed: list[str] = []
    gate, gone = Gate(), Gate()

    async def page(handler: Any) -> None:
        visit(handler)
        finished = handler.finish("whole")
        await gone.wait()
        try:
            await finished
        except StreamClosedError as error:
            failed.append(type(error).__name__)

    site: Site = await serve(page)
    gate = site.store.hold("create")
    call = await site.browser().start()
    await gone.reached()
    await call.wire.close()
    await turns()
    gate.open()
    await site.store.idle()
    gone.open()
    await turns()

    assert failed == ["StreamClosedError"]
    assert [row["mark"] for row in (await site.rows()).values()] == [MARK]


# ---------------------------------------------------------------- Tornado


PRIVATE = (
    "_break_cycles", "_finished", "_get_raw_xsrf_token", "_headers", "_headers_written", "_new_cookie",
    "_reason", "_status_code", "_write_buffer",
)  # fmt: skip
"""What the seam takes of a RequestHandler."""


@memory_only
async def test_this_tornado_has_what_the_seam_holds_on_to(serve: Any) -> None:
    """A connection asks `_write_finished` before 100 Continue and each piece of a body; nothing public does the same."""
    seen: list[object] = []

    async def page(handler: Any) -> None:
        handler.set_cookie("mine", "1")
        seen.extend(name for name in PRIVATE if not hasattr(handler, name))
        connection = handler.request.connection
        seen.extend([type(connection), connection._write_finished])
        await handler.finish("whole")
        seen.append(connection._write_finished)

    site: Site = await serve(page)
    await site.browser().fetch()

    assert seen == [HTTP1Connection, False, True]
