"""The end of serving, seen from a client whose request comes at the very last moment."""

# nothing may happen on the loop meanwhile

import asyncio
import socket

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
