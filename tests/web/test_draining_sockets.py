"""The end of serving, for WebSockets: each is closed while the store is open, and what its handler saves then is stored."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClientConnection, WebSocketHandler, websocket_connect

from sessions import MemoryStore, Session, SessionManager, SessionMixin, SessionOptions, StoredSession, StoreWrapper
from sessions.web.draining import DrainingServer

SECONDS = 60


class ClosingStore(StoreWrapper):
    """A store that takes a moment, and says when it is used after it was closed."""

    is_closed = False
    used_after: bool = False

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Any:
        await asyncio.sleep(0.02)
        self.used_after |= self.is_closed
        return await super().update(sid, record, expected)


class Chat(SessionMixin, WebSocketHandler):
    """A socket that does what a test says when a message comes, and when it is closed."""

    def initialize(
        self, on_message: Callable[[Any], Any] | None = None, on_close: Callable[[Any], Any] | None = None
    ) -> None:
        self.acts = on_message, on_close

    async def prepare(self) -> None:
        await super().prepare()
        self.session["n"] = 1

    async def on_message(self, message: str | bytes) -> None:
        if self.acts[0] is not None:
            await self.acts[0](self)

    def on_close(self) -> None:
        if self.acts[1] is not None:
            self.acts[1](self)


@dataclass
class Stage:
    """A server with sockets, its store, and what a test has to know of both."""

    server: DrainingServer
    store: ClosingStore
    manager: SessionManager
    port: int
    clients: list[WebSocketClientConnection] = field(default_factory=list)

    async def connect(self) -> WebSocketClientConnection:
        """A client's socket, closed with the test."""
        self.clients.append(await websocket_connect(f"ws://127.0.0.1:{self.port}/chat"))
        return self.clients[-1]

    async def stop(self, seconds: float = SECONDS) -> None:
        """End as server.py does."""
        await self.server.drain(seconds)
        await self.manager.close()
        self.store.is_closed = True

    async def rows(self) -> list[str]:
        """The stored texts."""
        return [record.data async for _, record in self.store.all()]


@asynccontextmanager
async def stage(*routes: Any) -> AsyncIterator[Stage]:
    """Serve until the test is over."""
    store = ClosingStore(MemoryStore())
    manager = SessionManager(store, SessionOptions(secret="of-the-tests-of-the-drain-of-sockets"))
    server = DrainingServer(Application(list(routes), sessions=manager))
    listening = bind_sockets(0, "127.0.0.1")
    server.add_sockets(listening)
    site = Stage(server, store, manager, listening[0].getsockname()[1])
    yield site
    for client in site.clients:
        client.close()
    if not store.is_closed:
        await server.drain(0)
        await manager.close()


def change_and_save(handler: Any) -> None:
    """Save without waiting."""
    handler.session["bye"] = 1
    handler.session.save()


async def test_sockets_are_closed_with_1001() -> None:
    """The client sees that the server goes away, and may connect to another; the drain waits for all of them."""
    async with stage(("/chat", Chat)) as site:
        clients = [await site.connect() for _ in range(3)]

        stopping = asyncio.create_task(site.stop())
        last = [await asyncio.wait_for(client.read_message(), SECONDS) for client in clients]
        await stopping

    assert last == [None, None, None]
    assert [client.close_code for client in clients] == [1001, 1001, 1001]


async def test_what_on_close_saves_is_stored_before_the_store_closes() -> None:
    """Also where it cannot be awaited."""
    async with stage(("/chat", Chat, {"on_close": change_and_save})) as site:
        client = await site.connect()

        stopping = asyncio.create_task(site.stop())
        await asyncio.wait_for(client.read_message(), SECONDS)
        await stopping

        rows = await site.rows()
    assert ["bye" in row for row in rows] == [True]
    assert not site.store.used_after


async def test_a_message_that_is_being_handled_is_handled_to_its_end() -> None:
    """The close frame goes out at once, and the drain waits for what the handler saves."""
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def act(handler: Any) -> None:
        begun.set()
        await may_end.wait()
        handler.session["bye"] = 1
        await handler.session.save()

    async with stage(("/chat", Chat, {"on_message": act})) as site:
        client = await site.connect()
        await client.write_message("hello")
        await begun.wait()

        stopping = asyncio.create_task(site.stop())
        await asyncio.wait_for(client.read_message(), SECONDS)
        may_end.set()
        await stopping

        rows = await site.rows()
    assert ["bye" in row for row in rows] == [True]
    assert not site.store.used_after


HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_a_client_that_does_not_answer_is_cut_at_the_deadline() -> None:
    """Its handler learns of it in time: what on_close saves is stored."""
    async with stage(("/chat", Chat, {"on_close": change_and_save})) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")

        await asyncio.wait_for(site.stop(0.3), SECONDS)

        frames = await reader.read()
        rows = await site.rows()
        writer.close()
    assert frames == b"\x88\x02\x03\xe9"  # close, 1001
    assert ["bye" in row for row in rows] == [True]
    assert not site.store.used_after


async def test_a_handshake_during_the_drain_leads_to_a_socket_that_is_closed() -> None:
    """On a connection that was open before: it gets its 101, and its close frame behind it."""
    asked, may_go_on = asyncio.Event(), asyncio.Event()

    class Slow(Chat):
        async def prepare(self) -> None:
            await super().prepare()
            asked.set()
            await may_go_on.wait()

    async with stage(("/chat", Slow)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(HANDSHAKE)
        await asked.wait()
        stopping = asyncio.create_task(site.stop(1))
        await asyncio.sleep(0)
        may_go_on.set()

        head = await reader.readuntil(b"\r\n\r\n")
        await stopping
        frames = await reader.read()
        writer.close()
    assert head.startswith(b"HTTP/1.1 101 ")
    assert frames == b"\x88\x02\x03\xe9"


async def test_another_applications_sockets_stay_open() -> None:
    """Two servers in one process stop one by one."""
    async with stage(("/chat", Chat)) as mine, stage(("/chat", Chat)) as others:
        client = await others.connect()

        await mine.stop()

        await client.write_message("hello")
        is_open = client.protocol is not None and not client.protocol.is_closing()
        client.close()
        await client.read_message()
    assert is_open


async def test_an_event_stream_is_cut_at_the_deadline() -> None:
    """`on_connection_close` is how it learns; its later flush raises, and the drain does not wait for it."""
    closed, raised = asyncio.Event(), asyncio.Event()

    class Stream(SessionMixin, RequestHandler):
        async def get(self) -> None:
            self.write("data: 1\n\n")
            await self.flush()
            await closed.wait()
            self.write("data: 2\n\n")
            with pytest.raises(StreamClosedError):
                await self.flush()
            raised.set()

        def on_connection_close(self) -> None:
            closed.set()

    async with stage(("/stream", Stream)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /stream HTTP/1.1\r\nHost: h\r\n\r\n")
        await reader.readuntil(b"data: 1")

        await asyncio.wait_for(site.stop(0.1), SECONDS)

        received = await reader.read()
        writer.close()
        await asyncio.wait_for(raised.wait(), SECONDS)
    assert b"data: 2" not in received


async def test_a_drain_that_is_cut_ends_at_once() -> None:
    """Who cannot wait says so a second time."""
    asked = asyncio.Event()

    class Endless(RequestHandler):
        async def get(self) -> None:
            asked.set()
            await asyncio.Event().wait()

    async with stage(("/", Endless)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        await asked.wait()
        stopping = asyncio.create_task(site.stop(3600))
        await asyncio.sleep(0)

        site.server.cut()
        await asyncio.wait_for(stopping, SECONDS)

        answer = await reader.read()
        writer.close()
    assert answer == b""


async def test_a_verb_that_nobody_awaits_ends_before_the_store_closes() -> None:
    """Called after finish(), as work that the client does not wait for: closing the manager waits for it."""
    sessions: list[Session] = []

    class Late(SessionMixin, RequestHandler):
        async def get(self) -> None:
            self.session["n"] = 1
            await self.finish("done")
            sessions.append(self.session)
            self.session.save()

    async with stage(("/", Late)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        await reader.read()
        writer.close()

        await asyncio.wait_for(site.stop(), SECONDS)

    assert len(sessions) == 1
    assert not site.store.used_after


@pytest.mark.parametrize("headers", [b"", b"Sec-WebSocket-Key: k\r\n"], ids=["bare", "without-version"])
async def test_a_handshake_that_is_refused_leaves_no_socket(headers: bytes) -> None:
    """The drain does not wait for what never opened."""
    async with stage(("/chat", Chat)) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(
            b"GET /chat HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" + headers + b"\r\n"
        )
        answer = await reader.read(12)

        await asyncio.wait_for(site.stop(3600), SECONDS)

        writer.close()
    assert answer[:10] == b"HTTP/1.1 4"
