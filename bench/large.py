"""What a bystander waits for while others have large sessions: the latency of small requests in a burst of them.

The server has one core and the SQLite store as it comes; the load has the other. In each round the bystander, who
has a small session, increments its counter again and again on one connection, from the first byte of the burst to the
answer of its last request. `python -m bench.large --serve PORT` is the server.
"""

import asyncio
import json
import sys
import time
from asyncio.events import Handle
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.web import Application

from bench.own_server import main
from handlers.base import BaseHandler
from sessions import SessionManager, SessionOptions, open_store

ROUNDS = 5
KEYS = 80_000
MEGABYTE = 1_000_000
FORM = b"key=k&value=[" + b"1," * (5 * MEGABYTE) + b"1]"
HOST = "127.0.0.1"


class Steps(BaseHandler):
    """Tells the longest step of the event loop since it was last asked, in seconds of the processor's time."""

    longest = 0.0

    async def prepare(self) -> None:
        """No session."""

    def get(self) -> None:
        self.write({"longest": Steps.longest})
        Steps.longest = 0.0


class Count(BaseHandler):
    def get(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        self.write("ok")


class Fill(BaseHandler):
    def get(self) -> None:
        if self.get_argument("kind") == "keys":
            self.session.update({f"k{number}": number for number in range(KEYS)})
        else:
            self.session["text"] = "x" * MEGABYTE
        self.write("ok")


class Change(BaseHandler):
    def get(self) -> None:
        self.session[self.get_argument("key")] = -1
        self.write("ok")


class Read(BaseHandler):
    def get(self) -> None:
        self.write(str(self.session.get("k1")))


class Form(BaseHandler):
    def post(self) -> None:
        self.session["form"] = json.loads(self.get_body_argument("value"))
        self.write("ok")


async def serve(port: int) -> None:
    run = Handle._run  # noqa: SLF001 # nothing public tells how long a step of the loop took

    def timed(handle: Handle) -> None:
        began = time.thread_time()
        run(handle)
        Steps.longest = max(Steps.longest, time.thread_time() - began)

    Handle._run = timed  # type: ignore[assignment,method-assign] # noqa: SLF001 # the same
    pages = {"/count": Count, "/fill": Fill, "/change": Change, "/read": Read, "/form": Form, "/steps": Steps}
    async with open_store("sqlite:sessions.db") as store:
        options = SessionOptions(secret="x" * 40, max_bytes=2 * MEGABYTE)
        Application(list(pages.items()), sessions=SessionManager(store, options)).listen(port, HOST)
        await asyncio.Event().wait()


class Visitor:
    """One who has a cookie, if any, and a connection for each request unless one is kept."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookie = ""
        self._kept: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, path: str, body: bytes = b"", *, keep: bool = False) -> tuple[int, bytes]:
        """Send a request; its status and body."""
        if self._kept is None:
            self._kept = await asyncio.open_connection(HOST, self.port)
        reader, writer = self._kept
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n"
        head += "Content-Type: application/x-www-form-urlencoded\r\n" if body else ""
        head += f"Cookie: {self.cookie}\r\n" if self.cookie else ""
        writer.write(f"{head}\r\n".encode() + body)
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        for line in lines:
            if line.startswith("Set-Cookie: connect.sid="):
                self.cookie = line.removeprefix("Set-Cookie: ").partition(";")[0]
        answer = await reader.readexactly(int(headers.get("content-length", 0)))
        if not keep:
            writer.close()
            self._kept = None
        return int(lines[0].split(" ")[1]), answer

    def twin(self) -> "Visitor":
        """The same visitor in another window."""
        other = Visitor(self.port)
        other.cookie = self.cookie
        return other


async def filled(port: int, kind: str) -> Visitor:
    """A visitor with a large session."""
    visitor = Visitor(port)
    await visitor.send(f"/fill?kind={kind}")
    return visitor


async def bursts(port: int) -> dict[str, Callable[[], list[Awaitable[tuple[int, bytes]]]]]:
    """What is sent at once in each round, by name."""
    many = await filled(port, "keys")
    texts = [await filled(port, "text") for _ in range(250)]
    return {
        "nothing": lambda: [asyncio.sleep(2, (200, b""))],
        "30 reads of a session of 80,000 keys": lambda: [many.twin().send("/read") for _ in range(30)],
        "30 changes of a session of 80,000 keys": lambda: [
            many.twin().send(f"/change?key=k{number}") for number in range(30)
        ],
        "250 changes of 250 sessions of 1 MB": lambda: [each.twin().send("/change?key=n") for each in texts],
        "a form of 10 MB": lambda: [Visitor(port).send("/form", FORM)],
    }


async def measure(port: int, rounds: int) -> list[dict[str, Any]]:
    bystander = Visitor(port)
    await bystander.send("/count")
    found = []
    for name, burst in (await bursts(port)).items():
        for _ in range(rounds):
            await Visitor(port).send("/steps")
            began = time.perf_counter()
            work = asyncio.gather(*burst())
            waits = []
            while not work.done():
                asked = time.perf_counter()
                await bystander.send("/count", keep=True)
                waits.append(1000 * (time.perf_counter() - asked))
                await asyncio.sleep(0.002)
            statuses = [status for status, _ in await work]
            took = time.perf_counter() - began
            _, steps = await Visitor(port).send("/steps")
            waits.sort()
            found.append({
                "burst": name,
                "requests": len(waits),
                "p50_ms": round(waits[len(waits) // 2], 1),
                "p99_ms": round(waits[int(len(waits) * 0.99)], 1),
                "max_ms": round(waits[-1], 1),
                "step_ms": round(1000 * json.loads(steps)["longest"], 1),
                "seconds": round(took, 2),
                "statuses": {str(status): statuses.count(status) for status in sorted(set(statuses))},
            })  # fmt: skip
            print(json.dumps(found[-1]), file=sys.stderr)
    return found


if __name__ == "__main__":
    main("large", __doc__, serve, measure, {"rounds": ROUNDS}, {"rounds": 1})
