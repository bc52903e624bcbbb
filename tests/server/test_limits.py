"""The limits of a connection: how long it may be idle, send a head, send a body."""

import asyncio

import pytest
from tornado.netutil import bind_sockets

import server
from serving.options import ServerOptions
from sessions import MemoryStore, SessionManager, SessionOptions

HEAD = b"GET /get-session HTTP/1.1\r\nHost: h\r\n"
SECRET = "of-the-tests-and-as-long-as-the-server-demands"


@pytest.mark.parametrize(
    ("sent", "limit"),
    [
        (b"", "IDLE_SECONDS"),
        (HEAD, "IDLE_SECONDS"),
        (HEAD + b"\r\n", "IDLE_SECONDS"),
        (HEAD + b"Content-Length: 5\r\n\r\n12", "BODY_SECONDS"),
    ],
    ids=["nothing", "half a head", "an idle connection", "half a body"],
)
async def test_what_takes_too_long_is_closed(monkeypatch: pytest.MonkeyPatch, sent: bytes, limit: str) -> None:
    """So that no client holds a descriptor for ever. The limit is as short here as a test can wait."""
    monkeypatch.setattr(server, limit, 0.2)
    app = server.make_app(SessionManager(MemoryStore(), SessionOptions(secret=SECRET)))
    http = server.make_server(app, ServerOptions())
    sockets = bind_sockets(0, "127.0.0.1")
    http.add_sockets(sockets)
    reader, writer = await asyncio.open_connection(*sockets[0].getsockname())
    writer.write(sent)

    answer = await asyncio.wait_for(reader.read(), 10)

    assert answer.startswith(b"HTTP/1.1 200 ") == sent.endswith(b"\r\n\r\n")
    writer.close()
    await http.drain(1)


def test_the_limits_are_those_of_its_neighbours() -> None:
    """Longer than a proxy keeps an idle connection (nginx: 60 s), and as long as Node waits for a request."""
    assert 60 < server.IDLE_SECONDS <= 120
    assert server.BODY_SECONDS == 300
