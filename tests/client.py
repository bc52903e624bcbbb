"""Owns the visitor: HTTP/1.1 from the client's side, and a cookie jar that honours what a browser honours (RFC 6265bis).

What was on the wire stays visible: repeated headers, and whether an answer was whole or broke off. The jar's clock is
injected, so a cookie expires when a test says so. This file must not know the library.
"""

import asyncio
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import unquote, urlsplit

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
    """The body of a chunked message, whether its last chunk is there, and what stands behind it."""
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
        """The next answer; what stands behind it stays for the one after."""
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


# ---------------------------------------------------------------- a jar


@dataclass(frozen=True)
class Cookie:
    """A cookie as a browser keeps it."""

    name: str
    value: str
    domain: str
    path: str
    host_only: bool
    expires: int | None
    """Milliseconds since the epoch; None: until the browser is closed."""
    attributes: Mapping[str, str | bool]
    """As they stood in Set-Cookie, names in lower case; True for one without a value."""

    @property
    def secure(self) -> bool:
        """Whether it is sent over TLS only."""
        return bool(self.attributes.get("secure"))

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What makes it another cookie: a Partitioned one lies in a jar of its own."""
        return self.name, self.domain, self.path, bool(self.attributes.get("partitioned"))


@dataclass
class Jar:
    """Cookies by the rules of RFC 6265bis, sections 5.7 and 5.8, as far as one site needs them. SameSite is kept only."""

    clock: Callable[[], int]
    _cookies: dict[tuple[str, str, str, bool], Cookie] = field(default_factory=dict)

    def receive(self, header: str, host: str, path: str, *, secure: bool) -> None:
        """Take a Set-Cookie header in, or refuse it, or delete by it."""
        pair, *parts = header.split(";")
        name, _, value = pair.partition("=")
        attributes: dict[str, str | bool] = {}
        for part in parts:
            key, equals, word = part.strip().partition("=")
            attributes[key.lower()] = word if equals else True
        domain = str(attributes.get("domain") or "").lstrip(".").lower()
        where = str(attributes.get("path") or "")
        cookie = Cookie(
            name.strip(),
            value.strip(),
            domain or host,
            where if where.startswith("/") else path.rpartition("/")[0] or "/",
            not domain,
            self._expiry(attributes),
            attributes,
        )
        if not _is_acceptable(cookie, host, secure=secure):
            return
        self._cookies.pop(cookie.key, None)
        if cookie.expires is None or cookie.expires > self.clock():
            self._cookies[cookie.key] = cookie

    def _expiry(self, attributes: Mapping[str, str | bool]) -> int | None:
        if "max-age" in attributes:
            return self.clock() + int(attributes["max-age"]) * 1000
        if "expires" in attributes:
            return int(parsedate_to_datetime(str(attributes["expires"])).timestamp()) * 1000
        return None

    def cookies(self, host: str, path: str, *, secure: bool) -> list[Cookie]:
        """Those that a request carries: not expired, in scope, longer paths first."""
        now = self.clock()
        found = [
            cookie
            for cookie in self._cookies.values()
            if (cookie.expires is None or cookie.expires > now)
            and (host == cookie.domain if cookie.host_only else _is_within(host, cookie.domain))
            and _is_below(path, cookie.path)
            and (secure or not cookie.secure)
        ]
        return sorted(found, key=lambda cookie: -len(cookie.path))

    def all(self) -> list[Cookie]:
        """Those that have not expired."""
        return [cookie for cookie in self._cookies.values() if cookie.expires is None or cookie.expires > self.clock()]


def _is_acceptable(cookie: Cookie, host: str, *, secure: bool) -> bool:
    name = cookie.name.lower()
    if not cookie.host_only and not _is_within(host, cookie.domain):
        return False
    if cookie.secure and not secure:
        return False
    if name.startswith(("__secure-", "__host-")) and not cookie.secure:
        return False
    if name.startswith("__host-") and not (cookie.host_only and cookie.attributes.get("path") == "/"):
        return False
    return cookie.secure or not cookie.attributes.get("partitioned")


def _is_within(host: str, domain: str) -> bool:
    return host == domain or (host.endswith(f".{domain}") and not host.replace(".", "").isdigit())


def _is_below(path: str, scope: str) -> bool:
    return path == scope or path.startswith(scope if scope.endswith("/") else f"{scope}/")


# ---------------------------------------------------------------- a browser


class Call:
    """A request under way."""

    def __init__(self, browser: "Browser", wire: Wire, method: str, path: str) -> None:
        self._browser, self.wire = browser, wire
        self._method, self._path = method, path

    async def quiet(self) -> bool:
        """Whether not a byte has come back yet, and the connection stands."""
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
