"""The mixin beside Tornado's own machinery: files, uploads, XSRF, compression, kept connections."""

from pathlib import Path
from typing import Any

import pytest
from tornado.web import RequestHandler, StaticFileHandler, stream_request_body

from sessions import SessionMixin

from .conftest import memory_only
from .world import LIFETIME, MARK, Page, Site, count, show, turns, visit


class Files(SessionMixin, StaticFileHandler):
    """Files for visitors: what Tornado streams by itself."""

    @classmethod
    def get_content(cls, abspath: str, start: int | None = None, end: int | None = None) -> Any:
        """In several pieces, whatever the size."""
        content = Path(abspath).read_bytes()[start:end]
        return (content[at : at + 1000] for at in range(0, len(content), 1000))


@pytest.fixture
def files(tmp_path: Path) -> Any:
    """A route to a folder with a file of some pieces."""
    (tmp_path / "big.txt").write_text("x" * 4_500)
    return type("These", (Files,), {"initialize": lambda self: Files.initialize(self, str(tmp_path))})


@memory_only
@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"touch_after": 0}, {"resave": True}], ids=str)
@pytest.mark.parametrize(
    ("method", "headers", "status", "length"),
    [
        ("GET", {}, 200, 4_500),
        ("HEAD", {}, 200, 0),
        ("GET", {"Range": "bytes=10-1999"}, 206, 1_990),
        ("GET", {"If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}, 304, 0),
    ],
)
async def test_files_come_whole(
    serve: Any, files: Any, options: dict[str, Any], method: str, headers: dict[str, str], status: int, length: int
) -> None:
    """Tornado's static files, renewed or saved or neither: every byte, and the session stays."""
    site: Site = await serve({"/visit": visit, "/files/(.*)": files}, **options)
    browser = site.browser()
    await browser.fetch("/visit")
    site.clock.forward(LIFETIME // 2)

    response = await browser.fetch("/files/big.txt", method=method, headers=headers)
    await turns()  # a body of known length is whole before its request has ended, and with that the session is renewed
    await site.store.idle()

    assert (response.status, len(response.body), response.whole) == (status, length, True)
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


@stream_request_body
class Upload(SessionMixin, RequestHandler):
    """Takes a body piece by piece; sends those without a session away before it has come."""

    def initialize(self, pieces: list[bytes]) -> None:
        self.pieces = pieces

    async def prepare(self) -> None:
        await super().prepare()
        if "mark" not in self.session:
            self.session["wanted"] = "upload"
            self.redirect("/login")

    def data_received(self, chunk: bytes) -> None:
        self.pieces.append(chunk)

    def post(self) -> None:
        self.session["size"] = sum(map(len, self.pieces))
        self.write("thanks")


async def test_an_upload_is_refused_before_it_has_come(serve: Any) -> None:
    """The redirect in prepare() is committed and sent; the body is not handed to the handler any more."""
    pieces: list[bytes] = []
    site: Site = await serve(
        {"/upload": type("U", (Upload,), {"initialize": lambda self: setattr(self, "pieces", pieces)})}
    )
    browser = site.browser()

    response = await browser.fetch("/upload", method="POST", body=b"x" * 3_000_000)

    assert (response.status, response.header("Location")) == (302, "/login")
    assert pieces == []
    assert await site.row(browser.sid) == {"wanted": "upload"}


async def test_an_upload_of_a_visitor_arrives(serve: Any) -> None:
    """Loaded before the first piece, committed after the last."""
    pieces: list[bytes] = []
    upload = type("U", (Upload,), {"initialize": lambda self: setattr(self, "pieces", pieces)})
    site: Site = await serve({"/visit": visit, "/upload": upload})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/upload", method="POST", body=b"x" * 3_000_000)

    assert response.text == "thanks"
    assert await site.row(browser.sid) == {"mark": MARK, "size": 3_000_000}


async def test_a_request_that_xsrf_refuses_costs_no_session(serve: Any) -> None:
    """Tornado checks before prepare(): 403, no store call, and the error page can ask whether there is a session."""

    class Polite(Page):
        def write_error(self, status_code: int, **_: Any) -> None:
            self.finish(f"{status_code} {self.has_session}")

    site: Site = await serve({"/visit": visit, "/": (Polite, count)}, settings={"xsrf_cookies": True})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    response = await browser.fetch(method="POST", body=b"a=1")

    assert (response.status, response.text) == (403, "403 False")
    assert site.store.calls == []
    assert response.set_cookies == []


@pytest.mark.parametrize("method", ["PATCH", "OPTIONS", "BREW"])
async def test_a_verb_that_no_handler_has_changes_nothing(serve: Any, method: str) -> None:
    """405, as without sessions."""
    site: Site = await serve({"/visit": visit, "/": show})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch(method=method)

    assert (response.status, response.set_cookies) == (405, [])
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_requests_on_a_kept_connection_do_not_share_a_session(serve: Any) -> None:
    """A proxy sends many visitors over one connection: each has what the own cookie says, and nothing is left over."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    wire = await site.wire()

    async def ask(cookie: str) -> Any:
        wire.send(f"GET /show HTTP/1.1\r\nHost: h\r\n{cookie}\r\n".encode())
        return (await wire.response()).json()

    cookie = f"Cookie: connect.sid={browser.kept().value}\r\n"
    answers = [await ask(cookie), await ask(""), await ask(cookie), await ask("Cookie: connect.sid=junk\r\n")]
    await wire.close()

    assert answers == [{"mark": MARK}, {}, {"mark": MARK}, {}]


async def test_a_client_of_http_1_0_is_served(serve: Any) -> None:
    """No chunks, the end of the connection is the end of a stream; the commit comes first all the same."""

    async def stream(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        handler.write("two")

    site: Site = await serve(stream)

    response = await site.raw(b"GET / HTTP/1.0\r\n\r\n")

    assert (response.status, response.text) == (200, "one,two")
    assert len(response.set_cookies) == 1
