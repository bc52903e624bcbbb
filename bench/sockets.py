"""What 5,000 open WebSockets cost a server, and what the watch over their sessions adds to it.

The server has one core and the SQLite store as it comes; the clients have the other. Each socket has a session of its
own and says nothing. A bystander reads its session again and again on one connection. `python -m bench.sockets --serve
PORT` is the server.
"""

import asyncio
import json
import sys
import time
from typing import Any

from tornado.web import Application
from tornado.websocket import WebSocketHandler

from bench.large import Visitor
from bench.own_server import main
from handlers.base import BaseHandler
from sessions import SessionManager, SessionMixin, SessionOptions, open_store

ROUNDS = 3
SOCKETS = 5_000
SECONDS = 10
SETTLED = 6.0
"""Seconds before a measurement: longer than `watchInterval`, in which each session was asked for since its opening."""

AT_ONCE = 50
HOST = "127.0.0.1"
HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nCookie: {cookie}\r\n\r\n"
)
KINDS = {"no socket": "", "sockets that outlive their sessions": "/outliving", "sockets that end with them": "/ending"}


class Cpu(BaseHandler):
    """Answers the CPU time of the server so far, in seconds."""

    async def prepare(self) -> None:
        """No session."""

    def get(self) -> None:
        self.write({"seconds": time.process_time()})


class Begin(BaseHandler):
    def get(self) -> None:
        self.session["user"] = "somebody"
        self.write("ok")


class Read(BaseHandler):
    def get(self) -> None:
        self.write(str(self.session.get("user")))


class Ending(SessionMixin, WebSocketHandler):
    """A socket as it comes."""

    def on_message(self, message: str | bytes) -> None:
        """None comes."""


class Outliving(Ending):
    end_with_session = False


async def serve(port: int) -> None:
    pages = {"/cpu": Cpu, "/begin": Begin, "/read": Read, "/ending": Ending, "/outliving": Outliving}
    async with open_store("sqlite:sessions.db") as store:
        manager = SessionManager(store, SessionOptions(secret="x" * 40))
        Application(list(pages.items()), sessions=manager, log_function=lambda _: None).listen(port, HOST, backlog=4096)
        await asyncio.Event().wait()


async def limited(number: int, work: Any) -> list[Any]:
    """Do something so often, at most 50 at a time."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(index: int) -> Any:
        async with gate:
            return await work(index)

    return list(await asyncio.gather(*map(one, range(number))))


async def cookie(port: int) -> str:
    visitor = Visitor(port)
    await visitor.send("/begin")
    return visitor.cookie


async def connect(port: int, path: str, cookie: str) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(HANDSHAKE.format(path=path, host=HOST, cookie=cookie).encode())
    answer = await reader.readuntil(b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    return writer


async def cpu(port: int) -> float:
    _, answer = await Visitor(port).send("/cpu")
    return float(json.loads(answer)["seconds"])


async def window(port: int, bystander: Visitor, seconds: int) -> dict[str, float]:
    """The bystander's latencies, and the share of a core that the server has used."""
    waits: list[float] = []
    used, began = await cpu(port), time.perf_counter()
    while time.perf_counter() < began + seconds:
        asked = time.perf_counter()
        await bystander.send("/read", keep=True)
        waits.append(1000 * (time.perf_counter() - asked))
        await asyncio.sleep(0.005)
    took = time.perf_counter() - began
    share = (await cpu(port) - used) / took
    waits.sort()
    return {
        "requests": len(waits),
        "p50_ms": round(waits[len(waits) // 2], 2),
        "p99_ms": round(waits[int(len(waits) * 0.99)], 2),
        "max_ms": round(waits[-1], 1),
        "core": round(share, 4),
    }


async def measure(port: int, rounds: int, sockets: int, seconds: int) -> list[dict[str, Any]]:
    cookies = await limited(sockets, lambda _: cookie(port))
    bystander = Visitor(port)
    await bystander.send("/begin")
    found: list[dict[str, Any]] = []
    for _ in range(rounds):
        for kind, path in KINDS.items():
            used, began = await cpu(port), time.perf_counter()
            writers = await limited(sockets if path else 0, lambda n, path=path: connect(port, path, cookies[n]))
            opened = {"open_s": round(time.perf_counter() - began, 1), "open_cpu_s": round(await cpu(port) - used, 2)}
            await asyncio.sleep(SETTLED)
            found.append({"sockets": kind, **await window(port, bystander, seconds), **opened})
            print(json.dumps(found[-1]), file=sys.stderr)
            for writer in writers:
                writer.transport.abort()
            await asyncio.sleep(1)
    return found


if __name__ == "__main__":
    full = {"rounds": ROUNDS, "sockets": SOCKETS, "seconds": SECONDS}
    main("sockets", __doc__, serve, measure, full, {"rounds": 1, "sockets": 500, "seconds": 3})
