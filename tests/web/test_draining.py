"""The end of serving: who is answered, and what is said of those who are not."""

import asyncio
import errno
import socket

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions.web.draining import DrainingServer


class Hello(RequestHandler):
    """An answer."""

    def get(self) -> None:
        self.write("hello")


async def test_a_connection_that_only_the_kernel_has_taken_is_answered() -> None:
    """Its client has sent a request on it, and would see it cut if the socket were just closed."""
    server = DrainingServer(Application([("/", Hello)]))
    listening = bind_sockets(0, "127.0.0.1")
    server.add_sockets(listening)
    with socket.create_connection(listening[0].getsockname(), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        await server.drain(10)

        answer = await asyncio.to_thread(client.makefile("rb").read)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"hello")


class Listening(socket.socket):
    """A socket with a client that leaves the queue before it is accepted."""

    has_left = False

    def accept(self) -> tuple[socket.socket, object]:
        """Fail once, then take a connection."""
        if not self.has_left:
            self.has_left = True
            raise ConnectionAbortedError(errno.ECONNABORTED, "it has left")
        return super().accept()


async def test_a_client_that_leaves_the_queue_takes_no_other_with_it() -> None:
    """Who waits behind it in the kernel is answered."""
    (bound,) = bind_sockets(0, "127.0.0.1")
    listening = Listening(fileno=bound.detach())
    listening.setblocking(False)
    server = DrainingServer(Application([("/", Hello)]))
    server.add_sockets([listening])
    with socket.create_connection(listening.getsockname(), timeout=10) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

        await server.drain(10)

        answer = await asyncio.to_thread(client.makefile("rb").read)
    assert answer.endswith(b"hello")


class Endless(RequestHandler):
    """No answer."""

    def initialize(self, asked: asyncio.Event) -> None:
        self.asked = asked

    async def get(self) -> None:
        self.asked.set()
        await asyncio.Event().wait()


async def test_a_request_without_an_answer_is_cut_off_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """After the seconds of the drain; the library's log tells how many there were."""
    asked = asyncio.Event()
    server = DrainingServer(Application([("/", Endless, {"asked": asked})]))
    listening = bind_sockets(0, "127.0.0.1")
    server.add_sockets(listening)
    reader, writer = await asyncio.open_connection(*listening[0].getsockname())
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await asked.wait()

    await server.drain(0.05)

    assert await reader.read() == b""
    assert [(each.name, each.getMessage()) for each in caplog.records] == [
        ("sessions", "1 requests were not answered within the 0.05 s of drain")
    ]
    writer.close()
