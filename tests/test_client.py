"""The visitor that the trips rest on: its jar keeps, sends and drops cookies as a browser does, and it sees a cut answer."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest
from client import NOTHING, Browser, Wire, parse, sid_of
from clock import HOUR, SECOND, MovableClock

from sessions.testing.jar import Jar

HOST = "shop.example.com"


@pytest.fixture
def jar(clock: MovableClock) -> Jar:
    return Jar(clock)


def sent(jar: Jar, path: str = "/", *, host: str = HOST, secure: bool = True) -> list[str]:
    """What the jar puts into a request."""
    return [f"{cookie.name}={cookie.value}" for cookie in jar.cookies(host, path, secure=secure)]


def receive(jar: Jar, *headers: str, path: str = "/", secure: bool = True) -> None:
    for header in headers:
        jar.receive(header, HOST, path, secure=secure)


def at(clock: MovableClock, milliseconds: int) -> str:
    return formatdate((clock() + milliseconds) // 1000, usegmt=True)


# ---------------------------------------------------------------- the jar


def test_a_cookie_is_sent_back(jar: Jar) -> None:
    """A cookie without attributes goes back to where it came from."""
    receive(jar, "a=1")

    assert sent(jar) == ["a=1"]


def test_the_later_value_replaces_the_earlier_one(jar: Jar) -> None:
    """Name, domain and path make a cookie the same."""
    receive(jar, "a=1; Path=/", "a=2; Path=/")

    assert sent(jar) == ["a=2"]


def test_a_cookie_expires_when_the_clock_says_so(jar: Jar, clock: MovableClock) -> None:
    """Expires is held against the injected clock."""
    receive(jar, f"a=1; Expires={at(clock, HOUR)}")

    clock.forward(HOUR - SECOND)
    assert sent(jar) == ["a=1"]
    clock.forward(SECOND)
    assert sent(jar) == []
    assert jar.all() == []


def test_max_age_counts_before_expires(jar: Jar, clock: MovableClock) -> None:
    """RFC 6265bis, section 5.7: Max-Age has precedence."""
    receive(jar, f"a=1; Expires={at(clock, -HOUR)}; Max-Age=10")

    assert sent(jar) == ["a=1"]
    clock.forward(10 * SECOND)
    assert sent(jar) == []


def test_a_date_in_the_past_deletes(jar: Jar, clock: MovableClock) -> None:
    """That is how a server removes a cookie."""
    receive(jar, "a=1; Path=/", f"a=; Path=/; Expires={at(clock, -HOUR)}")

    assert jar.all() == []


@pytest.mark.parametrize("attributes", ["Path=/other", "Path=/; Domain=example.com", "Path=/; Secure; Partitioned"])
def test_another_scope_deletes_nothing(jar: Jar, clock: MovableClock, attributes: str) -> None:
    """A removal has to name the cookie's own Path, Domain and partition."""
    receive(jar, "a=1; Path=/; Secure", f"a=; {attributes}; Expires={at(clock, -HOUR)}")

    assert sent(jar) == ["a=1"]


@pytest.mark.parametrize(
    ("path", "goes"), [("/app", True), ("/app/", True), ("/app/x", True), ("/apple", False), ("/", False)]
)
def test_a_path_holds_whole_segments(jar: Jar, path: str, goes: bool) -> None:
    """`/app` is not a prefix of `/apple`."""
    receive(jar, "a=1; Path=/app")

    assert (sent(jar, path) == ["a=1"]) is goes


def test_a_cookie_without_path_stays_in_its_folder(jar: Jar) -> None:
    """The default path is the request's without its last segment."""
    receive(jar, "a=1", path="/app/login")

    assert sent(jar, "/app/next") == ["a=1"]
    assert sent(jar, "/elsewhere") == []


def test_longer_paths_come_first(jar: Jar) -> None:
    """RFC 6265bis, section 5.8.3."""
    receive(jar, "a=1; Path=/", "a=2; Path=/app")

    assert sent(jar, "/app/x") == ["a=2", "a=1"]


@pytest.mark.parametrize(
    ("header", "host", "goes"),
    [
        ("a=1", "www.shop.example.com", False),
        ("a=1; Domain=example.com", "other.example.com", True),
        ("a=1; Domain=.example.com", "example.com", True),
        ("a=1; Domain=example.com", "badexample.com", False),
        ("a=1; Domain=other.com", "other.com", False),
    ],
)
def test_a_domain_widens_and_cannot_be_another_ones(jar: Jar, header: str, host: str, goes: bool) -> None:
    """Without Domain a cookie is the host's alone; a foreign Domain is refused."""
    receive(jar, header)

    assert (sent(jar, host=host) == ["a=1"]) is goes


def test_a_secure_cookie_needs_tls_both_ways(jar: Jar) -> None:
    """It is neither taken from nor sent over plain HTTP."""
    receive(jar, "a=1; Secure", secure=False)
    receive(jar, "b=2; Secure", secure=True)

    assert sent(jar, secure=False) == []
    assert sent(jar, secure=True) == ["b=2"]


@pytest.mark.parametrize(
    ("header", "kept"),
    [
        ("__Host-a=1; Path=/; Secure", True),
        ("__Host-a=1; Path=/", False),
        ("__Host-a=1; Path=/app; Secure", False),
        ("__Host-a=1; Path=/; Secure; Domain=example.com", False),
        ("__Secure-a=1; Path=/app; Secure", True),
        ("__Secure-a=1; Path=/app", False),
        ("a=1; Partitioned", False),
        ("a=1; Partitioned; Secure", True),
    ],
)
def test_promises_in_a_name_are_held(jar: Jar, header: str, kept: bool) -> None:
    """Prefixes and Partitioned ask for Secure, `__Host-` for Path=/ and no Domain."""
    receive(jar, header)

    assert bool(jar.all()) is kept


# ---------------------------------------------------------------- answers


@pytest.mark.parametrize(
    ("raw", "body", "rest"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP", b"ok", b"HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n1\r\n!\r\n0\r\n\r\nmore", b"ok!", b"more"),
        (b"HTTP/1.1 204 No Content\r\n\r\nmore", b"", b"more"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", b"", b""),
    ],
)
def test_an_answer_ends_where_it_says(raw: bytes, body: bytes, rest: bytes) -> None:
    """By its length, its last chunk, or its status; what follows belongs to the next answer."""
    response, behind = parse(raw) or (NOTHING, b"")

    assert response.whole
    assert (response.body, behind) == (body, rest)


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n",
    ],
)
def test_a_cut_answer_is_not_whole(raw: bytes) -> None:
    """The client waits for it while the connection is open, and shows what has come when the connection has ended."""
    response, _ = parse(raw, ended=True) or (NOTHING, b"")

    assert parse(raw) is None
    assert (response.status, response.body, response.whole) == (200, b"ok", False)


def test_no_answer_is_status_0() -> None:
    """A connection that ends before the headers do has answered nothing."""
    assert parse(b"HTTP/1.1 200 OK\r\n", ended=True) == (NOTHING, b"")


def test_repeated_headers_stay_apart() -> None:
    """Set-Cookie is never folded."""
    response, _ = parse(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n\r\n") or (NOTHING, b"")

    assert response.set_cookies == ["a=1", "b=2"]


def test_the_id_is_read_from_a_signed_value() -> None:
    """Percent-encoded, with dots in the id."""
    assert sid_of("s%3Aid.with.dots.sig%2Bnature") == "id.with.dots"


# ---------------------------------------------------------------- over a socket


@asynccontextmanager
async def peer(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes], asyncio.Event]]:
    """A server that sends canned bytes to one connection after another, the second half when `gate` is set."""
    requests: list[bytes] = []
    gate = asyncio.Event()
    waiting = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        await gate.wait()
        writer.write(waiting.pop(0))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], requests, gate


async def test_a_browser_carries_its_cookie(clock: MovableClock) -> None:
    """What one answer sets the next request sends."""
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n"
    async with peer(answer, answer) as (port, requests, gate):
        gate.set()
        browser = Browser(port, clock)

        await browser.fetch("/one")
        await browser.fetch("/two", headers={"X-More": "yes"})

    assert b"Cookie" not in requests[0]
    assert requests[1].startswith(b"GET /two HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert b"\r\nCookie: a=1\r\n" in requests[1]
    assert b"\r\nX-More: yes\r\n" in requests[1]


async def test_quiet_is_true_until_a_byte_has_arrived(clock: MovableClock) -> None:
    """A test that waits for nothing has to see the first byte when there is one."""
    async with peer(b"H") as (port, _, gate):
        call = await Browser(port, clock).start()
        before = await call.quiet()
        gate.set()
        after = await call.quiet()
        response = await call.response()

    assert before
    assert not after
    assert response == NOTHING


async def test_a_browser_behind_a_proxy_says_so(clock: MovableClock) -> None:
    """It believes to speak TLS: secure cookies are kept, and the proxy names the protocol."""
    async with peer(b"HTTP/1.1 204 No Content\r\nSet-Cookie: a=1; Secure\r\n\r\n") as (port, requests, gate):
        gate.set()
        browser = Browser(port, clock, proxied=True)
        await browser.fetch()

    assert b"\r\nX-Forwarded-Proto: https\r\n" in requests[0]
    assert [cookie.name for cookie in browser.jar.all()] == ["a"]


async def test_answers_on_one_wire_come_one_after_the_other() -> None:
    """Two answers that arrive together are two."""
    async with peer(b"HTTP/1.1 204 A\r\n\r\nHTTP/1.1 204 B\r\n\r\n") as (port, _, gate):
        gate.set()
        wire = await Wire.connect(port)
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        first, second = await wire.response(), await wire.response()
        await wire.close()

    assert (first.reason, second.reason) == ("A", "B")
