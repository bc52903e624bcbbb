"""Owns the visitor: HTTP/1.1 from the client's side, with the cookies of a jar (jar.py).

What was on the wire stays visible: repeated headers, and whether an answer was whole or broke off. This file must not
know the library.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from sessions.testing.jar import Cookie, Jar

SECONDS = 60.0
"""Until an answer must be there; far above what a healthy server needs, so that only a hang meets it."""

PIECE = 1_000_000
"""Bytes that are taken from a connection at once: each piece of a large answer is joined to all that came before."""

TURNS = 25
"""Turns of the event loop after which a byte that was written on this machine has arrived."""


# ---------------------------------------------------------------- an answer


@dataclass(frozen=True)
class Response:
    """What came back. `status` is 0 where nothing did, `whole` says whether the end that was announced was reached."""

    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    whole: bool

    def header(self, name: str) -> str | None:
        """The header, its repetitions joined; None where there is none."""
        return ", ".join(self.all(name)) or None

    def all(self, name: str) -> list[str]:
        """The header's values in their order."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def set_cookies(self) -> list[str]:
        """The Set-Cookie headers."""
        return self.all("Set-Cookie")

    @property
    def text(self) -> str:
        """The body."""
        return self.body.decode()

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


NOTHING = Response(0, "", [], b"", whole=False)
"""The connection ended without an answer."""


def parse(raw: bytes, *, method: str = "GET", ended: bool = False) -> tuple[Response, bytes] | None:
    """The first final answer in what has arrived, and the bytes behind it; None while there is more to come.

    `ended`: nothing will. An answer that was cut comes back with `whole` false.
    """
    head, blank, rest = raw.partition(b"\r\n\r\n")
    if not blank:
        return (NOTHING, b"") if ended else None
    start, *lines = head.decode("latin1").split("\r\n")
    _, status, reason = start.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    response = Response(int(status), reason, headers, b"", whole=True)
    length = response.header("Content-Length")
    if response.status == 100:
        return parse(rest, method=method, ended=ended)
    if method == "HEAD" or response.status in (101, 204, 304):
        return response, rest
    if (response.header("Transfer-Encoding") or "").lower() == "chunked":
        body, whole, rest = _chunks(rest)
    elif length is not None:
        whole = len(rest) >= int(length)
        body, rest = rest[: int(length)], rest[int(length) :]
    else:
        body, whole, rest = rest, ended, b""
    if not whole and not ended:
        return None
    return Response(response.status, reason, headers, body, whole), rest


def _chunks(raw: bytes) -> tuple[bytes, bool, bytes]:
    """The body of a chunked message, True if its last chunk is there, and the bytes that follow it."""
    body = b""
    while True:
        size, line_end, rest = raw.partition(b"\r\n")
        if not line_end or len(rest) < int(size, 16) + 2:
            return body + (rest[: int(size, 16)] if line_end else b""), False, b""
        length = int(size, 16)
        body, raw = body + rest[:length], rest[length + 2 :]
        if length == 0:
            return body, True, raw


# ---------------------------------------------------------------- a connection


class Wire:
    """One connection, byte by byte. What has arrived is read as it comes, so a test can ask whether anything has."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.received = b""
        self.ended = False
        self._news = asyncio.Event()
        self._pump = asyncio.create_task(self._read(reader))

    @classmethod
    async def connect(cls, port: int, *, tls: ssl.SSLContext | None = None) -> Self:
        """Connect to a server on this machine."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls, limit=PIECE))

    @classmethod
    async def connect_unix(cls, path: str) -> Self:
        """Connect to a server that listens at a Unix socket."""
        return cls(*await asyncio.open_unix_connection(path, limit=PIECE))

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while data := await reader.read(PIECE):
                self.received += data
                self._news.set()
        except OSError:
            pass  # the server cut the connection hard
        self.ended = True
        self._news.set()

    def send(self, data: bytes) -> None:
        """Hand bytes over."""
        self._writer.write(data)

    async def quiet(self) -> bool:
        """Whether nothing has arrived although it had the time to."""
        for _ in range(TURNS):
            await asyncio.sleep(0)
        return not self.received and not self.ended

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until what has arrived satisfies a condition."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._news.clear()
                await self._news.wait()

    async def response(self, method: str = "GET") -> Response:
        """Read the next answer; the bytes that follow it are kept for the answer after it."""
        found: list[tuple[Response, bytes]] = []

        def is_there() -> bool:
            answer = parse(self.received, method=method, ended=self.ended)
            found[:] = [answer] if answer else []
            return bool(found)

        await self.until(is_there)
        response, self.received = found[0]
        return response

    async def close(self) -> None:
        """Leave, at once: the server sees the connection go."""
        self._writer.transport.abort()
        await self._pump


# ---------------------------------------------------------------- a browser


class Call:
    """A request under way."""

    def __init__(self, browser: "Browser", wire: Wire, method: str, path: str) -> None:
        self._browser, self.wire = browser, wire
        self._method, self._path = method, path

    async def quiet(self) -> bool:
        """True if no byte has come back yet and the connection is open."""
        return await self.wire.quiet()

    async def response(self) -> Response:
        """The answer; the jar has taken its cookies in when it is here."""
        try:
            response = await self.wire.response(self._method)
        finally:
            await self.wire.close()
        for header in response.set_cookies:
            self._browser.jar.receive(header, self._browser.host, self._path, secure=self._browser.secure)
        return response


class Browser:
    """One visitor: a jar, and requests that may run side by side, each on a connection of its own.

    `host` is the name that it believes to visit. With `proxied` it talks https to a proxy that ends TLS and says so;
    with `tls` it talks TLS itself.
    """

    def __init__(
        self,
        port: int,
        clock: Callable[[], int],
        *,
        host: str = "127.0.0.1",
        proxied: bool = False,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port, self.host = port, host
        self.jar = Jar(clock)
        self.secure = proxied or tls is not None
        self._proxied, self._tls = proxied, tls

    async def start(
        self, path: str = "/", *, method: str = "GET", body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Call:
        """Send a request and go on with something else."""
        sent = {"Host": self.host, "Connection": "close"}
        if body:
            sent["Content-Length"] = str(len(body))
        if self._proxied:
            sent["X-Forwarded-Proto"] = "https"
        cookies = self.jar.cookies(self.host, urlsplit(path).path, secure=self.secure)
        if cookies:
            sent["Cookie"] = "; ".join(f"{cookie.name}={cookie.value}" for cookie in cookies)
        sent |= headers or {}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
        wire = await Wire.connect(self.port, tls=self._tls)
        wire.send("\r\n".join(lines).encode("latin1") + b"\r\n\r\n" + body)
        return Call(self, wire, method, path)

    async def fetch(self, path: str = "/", **request: Any) -> Response:
        """Send a request and wait for its answer."""
        return await (await self.start(path, **request)).response()

    def cookie(self, name: str = "connect.sid") -> Cookie | None:
        """The cookie of that name; None where it has none, or it has expired."""
        found = [cookie for cookie in self.jar.all() if cookie.name == name]
        assert len(found) < 2, "two cookies of one name"
        return found[0] if found else None

    def kept(self, name: str = "connect.sid") -> Cookie:
        """The cookie of that name, which has to be there."""
        cookie = self.cookie(name)
        assert cookie is not None, f"no cookie {name}"
        return cookie

    @property
    def sid(self) -> str | None:
        """The session id in its cookie."""
        cookie = self.cookie()
        return sid_of(cookie.value) if cookie else None


def sid_of(value: str) -> str:
    """The session id in a signed cookie value, `s:<id>.<signature>` percent-encoded."""
    return unquote(value).removeprefix("s:").rpartition(".")[0]
