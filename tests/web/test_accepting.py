"""An accept() that fails: what passes is waited for, and said once. tests/server has a server without descriptors."""

import asyncio
import errno
import socket

import pytest
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions.web import accepting
from sessions.web.draining import DrainingServer

REQUEST = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


class Hello(RequestHandler):
    """An answer."""

    def get(self) -> None:
        self.write("hello")


class Listening(socket.socket):
    """A socket with an accept() that fails as a test says, each error once."""

    errors: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        """Fail, or take a connection."""
        if self.errors:
            raise OSError(self.errors.pop(0), "as the test says")
        return super().accept()


WAITS = "new connections have to wait until others are closed: as the test says"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (errno.EMFILE, [WAITS]),
        (errno.ENFILE, [WAITS]),
        (errno.ENOBUFS, [WAITS]),
        (errno.ENOMEM, [WAITS]),
        (errno.ECONNABORTED, []),
    ],
    ids=["process", "system", "buffers", "memory", "client"],
)
async def test_what_passes_is_waited_for_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: int, said: list[str]
) -> None:
    """The system's table of files may be full, or the kernel's memory; a client may have left its queue."""
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.01)
    (bound,) = bind_sockets(0, "127.0.0.1")
    listening = Listening(fileno=bound.detach())
    listening.setblocking(False)
    listening.errors = [error, error]
    server = DrainingServer(Application([("/", Hello)]))
    server.add_sockets([listening])

    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(REQUEST)
    answer = await asyncio.wait_for(reader.read(15), 5)

    assert answer == b"HTTP/1.1 200 OK"
    assert listening.errors == []
    assert [each.getMessage() for each in caplog.records if each.name == "sessions"] == said
    writer.close()
    await server.drain(1)


async def test_a_server_that_stops_in_its_pause_takes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next try does not come any more."""
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.05)
    (bound,) = bind_sockets(0, "127.0.0.1")
    listening = Listening(fileno=bound.detach())
    listening.setblocking(False)
    listening.errors = [errno.EMFILE]
    taken: list[object] = []
    acceptor = accepting.PausingAcceptor(listening, lambda *each: taken.append(each))
    client = socket.create_connection(listening.getsockname())
    while listening.errors:  # noqa: ASYNC110 # a socket sets no event
        await asyncio.sleep(0)

    acceptor.stop()
    await asyncio.sleep(0.1)

    assert taken == []
    client.close()
    listening.close()
