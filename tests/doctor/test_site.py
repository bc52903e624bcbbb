"""A site's answer: each fault comes over a real connection, and our own application has none."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from interop.processes import missing
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from sessions import CookieOptions, MemoryStore, OptionsError, SessionManager, SessionMixin, SessionOptions
from sessions.doctor import Subject, diagnosed
from sessions.doctor.visit import site_of
from sessions.findings import Finding

from .asking import STRONG, by_name

HOST = "127.0.0.1"
Listen = Callable[..., int]

OURS = "connect.sid=s%3Aan-id.a-signature; Path=/; HttpOnly; SameSite=Lax"
PRIVATE = ("Cache-Control", "private")


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Serve an application. Returns the port."""
    servers: list[HTTPServer] = []

    def listen(application: Application, **options: Any) -> int:
        sock, port = bind_unused_port(address=HOST)
        server = HTTPServer(application, **options)
        server.add_socket(sock)
        servers.append(server)
        return int(port)

    yield listen
    for server in servers:
        server.stop()


class Page(SessionMixin, RequestHandler):
    """Answers, and begins a session where that is asked for."""

    def get(self) -> None:
        if self.request.path != "/quiet":
            self.session["visits"] = self.session.get("visits", 0) + 1
        self.write("welcome")


class Raw(RequestHandler):
    """Answers with what headers a test gives."""

    def initialize(self, headers: list[tuple[str, str]], status: int = 200) -> None:
        self.given, self.status = headers, status

    def get(self) -> None:
        self.set_status(self.status)
        for name, value in self.given:
            self.add_header(name, value.replace("an-id", token_hex(8)) if name == "New-Id" else value)
        self.write("welcome")


def application(**options: Any) -> Application:
    """An application of ours."""
    manager = SessionManager(MemoryStore(), SessionOptions(secret=STRONG, **options))
    return Application([("/.*", Page)], sessions=manager)


def raw(*headers: tuple[str, str], status: int = 200) -> Application:
    """One that answers with some headers."""
    return Application([("/.*", Raw, {"headers": list(headers), "status": status})])


async def visited(url: str, tmp_path: Path, **options: Any) -> dict[str, Finding]:
    """What is found of a site; of a deployment with these options, if there are any."""
    subject = Subject.of_url(f"sqlite:{tmp_path / 'none.db'}")
    if options:
        given = SessionOptions(secret=STRONG, store=subject.options.store, **options)
        subject = Subject(options=given, knows_options=True, knows_user_key=True)
    diagnosis = await diagnosed(subject, site_of(url))
    return by_name(each for each in diagnosis.findings if each.name != "sqlite.new")


async def test_our_own_application_has_no_findings(listen: Listen, tmp_path: Path) -> None:
    """With its options known, and without."""
    port = listen(application())

    assert await visited(f"http://{HOST}:{port}/", tmp_path) == {}
    assert await visited(f"http://{HOST}:{port}/", tmp_path, save_uninitialized=True) == {}


async def test_a_page_that_begins_no_session(listen: Listen, tmp_path: Path) -> None:
    """Nothing can be said."""
    found = await visited(f"http://{HOST}:{listen(application())}/quiet", tmp_path, ttl=60_000_000)

    assert {name: each.severity for name, each in found.items()} == {"cookie.unseen": "note"}


SECURE = CookieOptions(secure=True)


@pytest.mark.parametrize(
    "options",
    [
        {"cookie": SECURE, "name": "__Host-sid"},
        {"cookie": SECURE, "name": "__Host-sid", "save_uninitialized": True, "proxy": True},
        {"cookie": CookieOptions(path="/app"), "save_uninitialized": True},
    ],
)
async def test_a_cookie_that_is_withheld(listen: Listen, tmp_path: Path, options: dict[str, Any]) -> None:
    """Of a cookie for TLS on plain HTTP, and outside the cookie's path."""
    found = await visited(f"http://{HOST}:{listen(application(**options))}/", tmp_path, **options)

    assert {name for name in found if name.startswith("cookie.")} == {"cookie.withheld"}
    assert found["cookie.withheld"].severity == "fault"


ANSWERS: list[tuple[list[tuple[str, str]], set[str]]] = [
    ([("Set-Cookie", OURS), PRIVATE], set()),
    ([("Set-Cookie", OURS), ("Cache-Control", "no-cache")], set()),
    ([("Set-Cookie", OURS)], {"cookie.cache-control"}),
    ([("Set-Cookie", OURS), ("Cache-Control", "public, max-age=600")], {"cookie.cacheable"}),
    ([("Set-Cookie", OURS), ("Cache-Control", "s-maxage=60")], {"cookie.cacheable"}),
    ([("Set-Cookie", OURS), ("Expires", "Fri, 01 Jan 2100 00:00:00 GMT")], {"cookie.cacheable"}),
    ([("Set-Cookie", OURS), PRIVATE, ("Age", "12")], {"cookie.cached"}),
    ([("Set-Cookie", OURS), PRIVATE, ("X-Cache", "HIT from edge")], {"cookie.cached"}),
    ([("Set-Cookie", OURS), ("Set-Cookie", OURS), PRIVATE], {"cookie.duplicated"}),
    ([("Set-Cookie", OURS), ("Set-Cookie", OURS.replace("an-id", "another")), PRIVATE], {"cookie.duplicated"}),
    ([("Set-Cookie", f"{OURS}; Domain=example.com"), PRIVATE], {"cookie.domain"}),
    ([("Set-Cookie", f"{OURS}; Domain=0.0.1"), PRIVATE], {"cookie.domain"}),
    ([("Set-Cookie", OURS.replace("HttpOnly; ", "")), PRIVATE], {"cookie.http-only"}),
    ([("Set-Cookie", OURS.replace("; SameSite=Lax", "")), PRIVATE], {"cookie.same-site"}),
    ([("Set-Cookie", OURS.replace("Lax", "None")), PRIVATE], {"cookie.same-site-none"}),
    ([("Set-Cookie", OURS.replace("Path=/", "Path=/app")), PRIVATE], {"cookie.path"}),
    ([("Set-Cookie", OURS.replace("connect.sid", "__Host-sid")), PRIVATE], {"cookie.prefix"}),
    ([("Set-Cookie", OURS.replace("connect.sid", "__Secure-sid")), PRIVATE], {"cookie.prefix"}),
    ([("Set-Cookie", f"{OURS}; Secure"), PRIVATE], {"cookie.secure-on-http", "options.prefix"}),
    ([("Set-Cookie", OURS.replace("an-id", "x" * 4_096)), PRIVATE], {"cookie.too-large"}),
    ([("Set-Cookie", "theme=dark; Path=/"), PRIVATE], {"cookie.unseen"}),
    ([("Set-Cookie", "connect.sid=; Path=/"), PRIVATE], {"cookie.unseen"}),
]


@pytest.mark.parametrize(("headers", "names"), ANSWERS)
async def test_an_answer_of_a_site(
    listen: Listen, tmp_path: Path, headers: list[tuple[str, str]], names: set[str]
) -> None:
    """No cookie's value is shown."""
    found = await visited(f"http://{HOST}:{listen(raw(*headers))}/", tmp_path)

    assert set(found) == names
    assert "an-id" not in repr(found)


async def test_a_cookie_that_is_not_accepted(listen: Listen, tmp_path: Path) -> None:
    """Each request begins a new session: another server has another secret, or another memory."""

    class Forgetful(RequestHandler):
        def get(self) -> None:
            self.set_header("Set-Cookie", OURS.replace("an-id", token_hex(8)))
            self.set_header(*PRIVATE)

    found = await visited(f"http://{HOST}:{listen(Application([('/', Forgetful)]))}/", tmp_path)

    assert set(found) == {"cookie.not-accepted"}


@pytest.mark.parametrize("name", [("Set-Cookie", OURS.replace("an-id", "an-id~abcdefgh"))])
async def test_a_new_tag_of_the_same_id_is_no_new_session(
    listen: Listen, tmp_path: Path, name: tuple[str, str]
) -> None:
    """As `renewAfter` sends it."""
    answers = iter([name, ("Set-Cookie", OURS)])

    class Renewing(RequestHandler):
        def get(self) -> None:
            self.set_header(*next(answers))
            self.set_header(*PRIVATE)

    assert await visited(f"http://{HOST}:{listen(Application([('/', Renewing)]))}/", tmp_path) == {}


@pytest.mark.parametrize(("status", "names"), [(503, {"site.error", "cookie.unseen"}), (302, {"site.redirect"})])
async def test_a_site_that_fails_or_leads_elsewhere(
    listen: Listen, tmp_path: Path, status: int, names: set[str]
) -> None:
    """No redirect is followed."""
    assert set(await visited(f"http://{HOST}:{listen(raw(status=status))}/", tmp_path)) == names


async def test_a_site_that_is_away(tmp_path: Path) -> None:
    """Nobody listens."""
    assert set(await visited(f"http://{HOST}:1/", tmp_path)) == {"site.away"}


async def test_a_site_that_never_comes_to_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends a head byte by byte; the patience is short here."""
    monkeypatch.setattr("sessions.doctor.visit.SECONDS", 0.5)
    ended = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not writer.is_closing() and not reader.at_eof():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.05)
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    async with await asyncio.start_server(drip, HOST, 0) as server:
        found = await visited(f"http://{HOST}:{server.sockets[0].getsockname()[1]}/", tmp_path)
        await ended.wait()

    assert set(found) == {"site.away"}


@pytest.mark.parametrize(
    "url",
    [
        "example.com",
        "ftp://example.com/",
        "http://",
        "http://ada:pass-word@example.com/",
        "http://[/",
        "http://a:x/",
        "http://a..b/",
    ],
)
def test_what_is_no_address_of_a_site(url: str) -> None:
    """It is not shown, as it may hold a password."""
    with pytest.raises(OptionsError, match=r"^URL: expected") as error:
        site_of(url)

    assert "pass-word" not in str(error.value)


async def test_an_address_may_hold_any_letter(listen: Listen, tmp_path: Path) -> None:
    """It is asked for as a browser asks."""
    url = f"http://{HOST}:{listen(application())}/caf\u00e9 au lait"

    assert await visited(url, tmp_path) == {}


@asynccontextmanager
async def tls_in_front_of(port: int, tls: dict[str, str]) -> AsyncIterator[int]:
    """End TLS in front of a server, and pass on what comes. Yields the port."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(**tls)

    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, to_upstream = await asyncio.open_connection(HOST, port)
        to_upstream.write(await reader.readuntil(b"\r\n\r\n"))
        head = await upstream.readuntil(b"\r\n\r\n")
        writer.write(head + await upstream.readexactly(int(head.lower().split(b"content-length: ")[1].split()[0])))
        for each in (to_upstream, writer):
            each.close()
            with suppress(ConnectionError, ssl.SSLError):
                await each.wait_closed()
        ended.set()

    async with await asyncio.start_server(serve, HOST, 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]
        await ended.wait()


@pytest.mark.skipif(missing("openssl") is not None, reason=str(missing("openssl")))
class TestTLS:
    """Over TLS, with an authority of the test's own."""

    @pytest.fixture
    def tls(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
        """A certificate of 127.0.0.1 that Python trusts from now on."""
        files = {"certfile": str(tmp_path / "cert.pem"), "keyfile": str(tmp_path / "key.pem")}
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=sessions", "-addext",
             "subjectAltName=IP:127.0.0.1", "-out", files["certfile"], "-keyout", files["keyfile"]],
            check=True, capture_output=True,
        )  # fmt: skip
        monkeypatch.setenv("SSL_CERT_FILE", files["certfile"])
        return files

    @pytest.mark.parametrize(
        ("cookie", "names"),
        [
            (OURS.replace("connect.sid", "__Host-sid") + "; Secure", set()),
            (f"{OURS}; Secure", {"options.prefix"}),
            (OURS, {"cookie.secure"}),
        ],
    )
    async def test_a_cookie_over_tls(
        self, listen: Listen, tmp_path: Path, tls: dict[str, str], cookie: str, names: set[str]
    ) -> None:
        """Secure, and with the prefix that no sibling domain can set."""
        port = listen(raw(("Set-Cookie", cookie), PRIVATE), ssl_options=tls)

        assert set(await visited(f"https://{HOST}:{port}/", tmp_path)) == names

    async def test_a_proxy_that_does_not_say_that_tls_was_used(
        self, listen: Listen, tmp_path: Path, tls: dict[str, str]
    ) -> None:
        """The server withholds the cookie."""
        options = {"cookie": SECURE, "name": "__Host-sid", "save_uninitialized": True, "proxy": True}
        async with tls_in_front_of(listen(application(**options)), tls) as port:
            found = await visited(f"https://{HOST}:{port}/", tmp_path, **options)

        assert "cookie.withheld" in found
        assert "does not know that TLS was used" in found["cookie.withheld"].problem

    async def test_a_certificate_that_nobody_trusts(
        self, listen: Listen, tmp_path: Path, tls: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Browsers warn of it."""
        monkeypatch.delenv("SSL_CERT_FILE")

        found = await visited(f"https://{HOST}:{listen(raw(), ssl_options=tls)}/", tmp_path)

        assert set(found) == {"site.away"}
        assert "certificate" in found["site.away"].problem.lower()
