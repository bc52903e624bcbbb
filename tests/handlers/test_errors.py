"""The error pages and the headers of every answer: they say what concerns the visitor, and nothing of the inside."""

import pytest
from client import Response
from clock import HOUR, START
from stage import SECRET, Document, Serve, Visitor

from sessions import MemoryStore, SessionManager, StoredSession

JSON = {"Content-Type": "application/json"}
FAR = START + HOUR

REQUESTS: dict[str, tuple[int, str, str, bytes]] = {
    "bad JSON": (400, "GET", "/get-session", b"{"),
    "no token": (403, "POST", "/destroy", b""),
    "no page": (404, "GET", "/nowhere", b""),
    "no such form": (404, "POST", "/nowhere", b""),
    "method": (405, "DELETE", "/get-session", b""),
    "unknown method": (405, "BREW", "/", b""),
    "form by GET": (405, "GET", "/set", b""),
    "too large": (413, "GET", "/", b" " * 200_000),
    "corrupt row": (500, "GET", "/", b""),
    "corrupt row, plain": (500, "GET", "/get-session", b""),
}


async def failing(serve: Serve, kind: str) -> tuple[int, Response, Visitor]:
    """The status that is due, and what is answered to a visitor who has a session."""
    site = await serve()
    status, method, path, body = REQUESTS[kind]
    visitor = site.visitor()
    await visitor.fetch("/set-session")
    if status == 500:
        await site.store.set(visitor.sid or "", StoredSession("a row that nobody can read", FAR))
    return status, await visitor.fetch(path, method=method, body=body, headers=JSON if body else {}), visitor


@pytest.mark.parametrize("kind", REQUESTS)
async def test_an_error_says_what_it_is(serve: Serve, kind: str) -> None:
    """By its status and its phrase, as the type that it is sent as."""
    status, response, _ = await failing(serve, kind)

    assert (response.status, response.whole) == (status, True)
    assert str(status) in response.text
    assert response.reason in response.text
    if (response.header("Content-Type") or "").startswith("text/html"):
        assert Document(response.text).tags["h1"] == 1
    else:
        assert "<" not in response.text


@pytest.mark.parametrize("kind", REQUESTS)
async def test_an_error_says_nothing_of_the_inside(serve: Serve, kind: str) -> None:
    """No traceback, no file, no name of ours, none of the data, and no cookie."""
    _, response, _ = await failing(serve, kind)

    for hidden in (
        "Traceback",
        'File "',
        ".py",
        "Error:",
        "CorruptSession",
        "sessions.",
        "nobody can read",
        "exampleuser",
    ):
        assert hidden not in response.text
    assert response.set_cookies == []


@pytest.mark.parametrize("kind", REQUESTS)
async def test_an_error_shows_no_secret(serve: Serve, kind: str) -> None:
    """Neither the id, nor the cookie, nor the data of the row, nor the server's secret; in no header either."""
    status, response, visitor = await failing(serve, kind)

    assert response.status == status
    sid, value = visitor.sid or "", visitor.kept().value
    shown = response.text + repr(response.headers)
    for hidden in (sid, value, value.partition(".")[2], SECRET, "exampleuser", "nobody can read"):
        assert hidden
        assert hidden not in shown


async def test_a_store_that_is_away(serve: Serve) -> None:
    """Is a 503 that asks to come back, and does not say what is wrong with the store."""
    site = await serve()
    visitor = site.visitor()
    await visitor.fetch("/set-session")

    class Away(MemoryStore):
        ready = False

    site.app.settings["sessions"] = SessionManager(Away(), site.app.settings["sessions"].options)
    response = await visitor.fetch("/get-session")

    assert (response.status, response.header("Retry-After")) == (503, "1")
    assert "503 Service Unavailable" in response.text
    assert "store" not in response.text


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/get-session"), ("POST", "/set"), ("GET", "/nowhere"), ("HEAD", "/")]
)
async def test_every_answer_has_the_security_headers(serve: Serve, method: str, path: str) -> None:
    """Nothing is loaded or framed, forms go home, types are not guessed, other sites learn no path."""
    site = await serve()

    response = await site.visitor().fetch(path, method=method)

    policy = response.header("Content-Security-Policy") or ""
    for part in ("default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"):
        assert part in policy
    assert "script" not in policy
    assert response.header("X-Content-Type-Options") == "nosniff"
    assert response.header("Referrer-Policy") in {"same-origin", "no-referrer"}


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/"), ("GET", "/set-session"), ("POST", "/set"), ("GET", "/nowhere"), ("BREW", "/")]
)
async def test_no_answer_names_the_server_or_its_version(serve: Serve, method: str, path: str) -> None:
    """Neither the pages, nor the errors, nor Tornado's own refusals."""
    site = await serve()

    response = await site.visitor().fetch(path, method=method)

    assert response.header("Server") is None
    assert "Tornado" not in response.text + repr(response.headers)
