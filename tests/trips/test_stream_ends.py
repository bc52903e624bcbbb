"""Event streams end with their session, as if the client had left; nothing else is cut."""

import asyncio
import zlib
from typing import Any

import pytest
from client import SECONDS, Call, Wire
from tornado.web import RequestHandler

from sessions import NoSession, SessionMixin
from sessions.watch import watch_of

from .conftest import memory_only
from .talks import NEVER, neighbour, signed_in, site_of
from .world import Site, replay

LAST_CHUNK = b"0\r\n\r\n"
BIG = b"x" * 4_000_000
"""More than the kernel takes from a server while its client does not read."""


class Stream(SessionMixin, RequestHandler):
    """Sends one event, and ends when the test says so."""

    kind = "text/event-stream; charset=utf-8"
    length: int | None = None
    first = b"data: 1\n\n"

    def initialize(self) -> None:
        self.may_end = asyncio.Event()
        self.ends: list[str] = []
        opened.append(self)

    async def get(self) -> None:
        self.set_header("Content-Type", self.kind)
        if self.length is not None:
            self.set_header("Content-Length", self.length)
        self.write(self.first)
        self.flush()
        await self.may_end.wait()
        self.write(b"data: 2\n\n")
        self.finish()

    def on_session_end(self) -> None:
        self.ends.append("session")
        try:
            _ = self.session
        except NoSession:
            self.ends.append("none")

    def on_connection_close(self) -> None:
        self.ends.append("connection")
        self.may_end.set()


opened: list[Stream] = []
"""The handlers of the streams of the present test."""


class Measured(Stream):
    """Says how long it will be."""

    length = 18


class Changing(Stream):
    """Has a change to commit before its first bytes: they are held until then."""

    async def get(self) -> None:
        self.session["n"] = 1
        await super().get()


class Download(Stream):
    """No event stream."""

    kind = "application/octet-stream"


class Cut(Download):
    """A stream of bytes that is to end with its session all the same."""

    end_with_session = True


class Kept(Stream):
    """An event stream that is to outlive its session."""

    end_with_session = False


STREAMS: dict[str, Any] = {
    "/stream": Stream, "/measured": Measured, "/changing": Changing, "/download": Download, "/cut": Cut, "/kept": Kept,
    "/big": type("Big", (Stream,), {"first": BIG}), "/big-download": type("BigDownload", (Download,), {"first": BIG}),
    "/big-measured": type("BigMeasured", (Stream,), {"first": BIG, "length": len(BIG) + 9}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_streams() -> Any:
    opened.clear()
    yield
    opened.clear()


async def listen(site: Site, path: str, **headers: str) -> Wire:
    """Open a stream as a signed-in visitor, and have its first event."""
    browser = await signed_in(site)
    call: Call = await browser.start(path, headers=headers)
    await call.wire.until(lambda: b"\r\n\r\n" in call.wire.received and not call.wire.received.endswith(b"\r\n\r\n"))
    return call.wire


async def cut_off(wire: Wire) -> bytes:
    """What has come of a stream when its connection is closed."""
    await wire.until(lambda: wire.ended)
    await wire.close()
    return wire.received


@pytest.mark.parametrize("path", ["/stream", "/measured", "/changing", "/cut"])
@memory_only
async def test_a_stream_is_cut_without_its_end(serve: Any, path: str) -> None:
    """No last chunk, and not as long as it has said: it must not look whole."""
    site = await site_of(serve, STREAMS, watch_interval=NEVER)
    wire = await listen(site, path)

    await site.manager.revoke_all("ada")
    received = await cut_off(wire)

    assert b"data: 1" in received
    assert b"data: 2" not in received
    assert not received.endswith(LAST_CHUNK)
    assert opened[0].ends == ["session", "none", "connection"]


async def test_a_stream_ends_with_a_sign_out_elsewhere(serve: Any, world: Any) -> None:
    """The other process asks the store."""
    other = await site_of(serve)
    site = await neighbour(serve, world, STREAMS)
    browser = await signed_in(other)
    call = await site.browser().start("/stream", headers=replay(browser))
    await call.wire.until(lambda: b"data: 1" in call.wire.received)

    await browser.fetch("/sign-out")
    received = await cut_off(call.wire)

    assert not received.endswith(LAST_CHUNK)
    assert opened[0].ends == ["session", "none", "connection"]


@memory_only
async def test_a_compressed_stream_is_cut(serve: Any) -> None:
    """What has come of it cannot be read to an end."""
    site = await site_of(serve, STREAMS, watch_interval=NEVER, settings={"compress_response": True})
    wire = await listen(site, "/stream", **{"Accept-Encoding": "gzip"})

    await site.manager.revoke_all("ada")
    received = await cut_off(wire)

    head, _, rest = received.partition(b"\r\n\r\n")
    assert b"Content-Encoding: gzip" in head
    assert not received.endswith(LAST_CHUNK)
    size, _, chunk = rest.partition(b"\r\n")
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert unpack.decompress(chunk[: int(size, 16)]) == b"data: 1\n\n"
    assert not unpack.eof


@pytest.mark.parametrize("path", ["/big", "/big-measured"])
@memory_only
async def test_a_slow_client_of_a_stream_is_cut(serve: Any, path: str) -> None:
    """It has bytes to come, and does not get them."""
    site = await site_of(serve, STREAMS, watch_interval=NEVER)
    browser = await signed_in(site)
    reader, writer = await slow(site, path, replay(browser))

    await site.manager.revoke_all("ada")
    received = await asyncio.wait_for(reader.read(), SECONDS)
    writer.close()

    assert len(received) < len(BIG)
    assert not received.endswith(LAST_CHUNK)


@memory_only
async def test_a_slow_client_of_a_download_gets_it_whole(serve: Any) -> None:
    """Its session has ended, and what it was given leave to load comes."""
    site = await site_of(serve, STREAMS)
    browser = await signed_in(site)
    reader, writer = await slow(site, "/big-download", replay(browser))

    await site.manager.revoke_all("ada")
    opened[0].may_end.set()
    received = b""
    while not received.endswith(LAST_CHUNK):
        received += await asyncio.wait_for(reader.read(65_536), SECONDS)
    writer.close()

    assert BIG in received.replace(b"\r\n", b"")
    assert b"data: 2" in received


@pytest.mark.parametrize("path", ["/download", "/kept"])
@memory_only
async def test_other_streams_are_never_cut(serve: Any, path: str) -> None:
    """Neither a download nor a stream that is to outlive its session."""
    site = await site_of(serve, STREAMS)
    wire = await listen(site, path)

    await site.manager.revoke_all("ada")
    opened[0].may_end.set()
    await wire.until(lambda: wire.received.endswith(LAST_CHUNK))
    await wire.close()

    assert b"data: 2" in wire.received
    assert opened[0].ends == []


@memory_only
async def test_a_stream_that_has_ended_well_leaves_its_connection_alone(serve: Any) -> None:
    """The next request on it is another one's."""
    site = await site_of(serve, STREAMS, watch_interval=NEVER)
    browser = await signed_in(site)
    wire = await site.wire()
    wire.send(f"GET /stream HTTP/1.1\r\nHost: h\r\nCookie: {replay(browser)['Cookie']}\r\n\r\n".encode())
    await wire.until(lambda: b"data: 1" in wire.received)
    opened[0].may_end.set()
    await wire.until(lambda: wire.received.endswith(LAST_CHUNK))
    wire.received = b""

    await site.manager.revoke_all("ada")
    wire.send(b"GET /visit HTTP/1.1\r\nHost: h\r\n\r\n")
    response = await wire.response()
    await wire.close()

    assert (response.status, opened[0].ends) == (200, [])


@memory_only
async def test_a_client_that_leaves_is_watched_no_longer(serve: Any) -> None:
    """Its handler learns of it as ever, and the task ends."""
    site = await site_of(serve, STREAMS)
    wire = await listen(site, "/stream")

    await wire.close()
    await asyncio.wait_for(opened[0].may_end.wait(), SECONDS)

    assert opened[0].ends == ["connection"]
    assert not watch_of(site.manager).is_asking


@memory_only
async def test_a_stream_without_a_session_is_not_watched(serve: Any) -> None:
    """There is nothing that could end."""
    site = await site_of(serve, STREAMS)
    call = await site.browser().start("/stream")
    await call.wire.until(lambda: b"data: 1" in call.wire.received)

    is_asking = watch_of(site.manager).is_asking
    await call.wire.close()
    await asyncio.wait_for(opened[0].may_end.wait(), SECONDS)

    assert not is_asking


@memory_only
async def test_a_connection_that_is_taken_over_is_not_cut(serve: Any) -> None:
    """After `detach()` it is the handler's."""

    class Taking(Stream):
        async def get(self) -> None:
            self.set_header("Content-Type", self.kind)
            self.write(b"data: 1\n\n")
            await self.flush()
            await self.may_end.wait()
            stream = self.detach()
            await self.settings["sessions"].revoke_all("ada")
            await stream.write(b"mine")
            stream.close()

    site = await site_of(serve, {"/taking": Taking}, watch_interval=NEVER)
    wire = await listen(site, "/taking")
    opened[0].may_end.set()

    received = await cut_off(wire)

    assert received.endswith(b"mine")


async def slow(site: Site, path: str, headers: dict[str, str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Ask for a stream, and read no more than its head."""
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=4096)
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: h\r\n{lines}\r\n".encode())
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), SECONDS)
    assert head.startswith(b"HTTP/1.1 200 ")
    return reader, writer
