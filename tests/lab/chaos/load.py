"""Owns the load: visitors on kept connections who tell a server what to do to their session, and time its answers.

The language is that of interop/express_app.js: a list of operations, answered by a list of results. Leaner than the
browser in tests/client.py, which shows more of the wire than thousands of requests a second leave time for.
"""

import asyncio
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

HOST = "127.0.0.1"
SECONDS = 30.0
"""Until an answer must be there, where an experiment does not say otherwise; only a hang meets it."""

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nset-cookie: *(connect\.sid=[^;\r]*)([^\r]*)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)


class Refused(Exception):
    """The server takes no new connection."""


class Broken(Exception):
    """A connection ended without a whole answer to what was asked on it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    head: bytes
    body: bytes
    seconds: float

    @property
    def results(self) -> list[Any]:
        """What each operation gave."""
        results: list[Any] = json.loads(self.body)["results"]
        return results

    @property
    def sets_cookie(self) -> bool:
        """Whether it brings a session cookie."""
        return _COOKIE.search(self.head) is not None

    @property
    def says_when_to_retry(self) -> bool:
        """Whether it has Retry-After."""
        return b"\r\nretry-after:" in self.head.lower()


class Visitor:
    """Somebody with a session cookie, who asks for one thing at a time."""

    def __init__(self, port: int, cookie: bytes = b"", *, seconds: float = SECONDS) -> None:
        self.port, self.cookie = port, cookie
        self._seconds = seconds
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.leave()

    @property
    def is_connected(self) -> bool:
        """Whether the next request goes over the connection of the last."""
        return self._writer is not None

    def leave(self) -> None:
        """Close the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.transport.abort()
        self._reader = self._writer = None

    async def ask(self, *operations: list[Any]) -> Answer:
        """Have operations done, whatever is answered. Raises Refused, Broken, TimeoutError."""
        return await self._request(b"POST", b"/ops", json.dumps(operations).encode())

    async def do(self, *operations: list[Any]) -> list[Any]:
        """Have operations done; their results. Raises AssertionError for any other answer than 200."""
        answer = await self.ask(*operations)
        assert answer.status == 200, f"{answer.status}: {answer.body[:200]!r}"
        return answer.results

    async def get(self, path: str) -> Answer:
        """Ask for a page."""
        return await self._request(b"GET", path.encode(), b"")

    async def _request(self, method: bytes, path: bytes, body: bytes) -> Answer:
        began = time.perf_counter()
        async with asyncio.timeout(self._seconds):
            try:
                answer = await self._exchange(method, path, body, began)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.leave()
                raise Broken(f"no whole answer: {error!r}") from error
            except BaseException:
                self.leave()
                raise
        if _CLOSES.search(answer.head):
            self.leave()
        found = _COOKIE.search(answer.head)
        if found:
            self.cookie = b"" if b"1970" in found[2] else found[1]
        return answer

    async def _exchange(self, method: bytes, path: bytes, body: bytes, began: float) -> Answer:
        if self._reader is None or self._writer is None:
            try:
                self._reader, self._writer = await asyncio.open_connection(HOST, self.port)
            except ConnectionRefusedError as error:
                raise Refused from error
        cookie = b"Cookie: %s\r\n" % self.cookie if self.cookie else b""
        kind = b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(body) if body else b""
        self._writer.write(b"%s %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n%s" % (method, path, cookie, kind, body))
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        content = await self._reader.readexactly(int(length[1]) if length else 0)
        return Answer(int(head[9:12]), head, content, time.perf_counter() - began)


async def state(port: int) -> dict[str, Any]:
    """What a process of the experiments' application says of itself and of its store."""
    async with Visitor(port) as somebody:
        found: dict[str, Any] = json.loads((await somebody.get("/state")).body)
        return found


async def all_or_none(tasks: "list[asyncio.Task[None]]") -> None:
    """Await tasks; where one fails the others are cancelled."""
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)
