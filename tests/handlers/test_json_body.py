"""The JSON body of a request: read as `express.json()` reads it, refused with a message that helps."""

import json
import sys
from typing import Any

import pytest
from client import Response
from stage import Document, Serve

from handlers.base import BaseHandler

JSON = {"Content-Type": "application/json"}
LIMIT = 100 * 1024

PLACES = [
    ("GET", "/set-session"),
    ("GET", "/"),
    ("POST", "/set-session"),
    ("GET", "/nowhere"),
    ("POST", "/nowhere"),
    ("PUT", "/nowhere"),
]
each_place = pytest.mark.parametrize(("method", "path"), PLACES, ids=lambda each: each)


class Echo(BaseHandler):
    """Answers with what it was given, and with how much the session was used for it."""

    def check_xsrf_cookie(self) -> None:
        """There is no form here."""

    async def post(self) -> None:
        """Answer."""
        self.write({"json": self.json})

    get = put = post


async def send(serve: Serve, body: bytes, *, method: str = "POST", path: str = "/echo", **headers: str) -> Response:
    """A request with that body, to a site where /echo answers with what was decoded."""
    site = await serve()
    site.app.add_handlers(".*", [("/echo", Echo)])
    sent = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    return await site.visitor().fetch(path, method=method, body=body, headers=sent)


def words_of(response: Response) -> str:
    """The text of the answer for a person: a page's text, or a plain text without markup."""
    if (response.header("Content-Type") or "").startswith("text/html"):
        return Document(response.text).text
    assert "<" not in response.text, "markup that is sent as another type"
    return response.text


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize(
    "value", [{"a": [1, 2.5, None, True, {"b": "ü😀"}]}, [], {}, [[["deep"]]], {"": 0}], ids=json.dumps
)
async def test_an_object_or_an_array_is_read(serve: Serve, method: str, value: Any) -> None:
    """With whatever method it comes."""
    response = await send(serve, json.dumps(value, ensure_ascii=False).encode(), method=method)

    assert response.json() == {"json": value}


@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/json; charset=utf-8", "Application/JSON", "application/json ;charset=UTF-8"],
)
async def test_the_type_may_be_spelled_as_http_allows(serve: Serve, kind: str) -> None:
    """In any letter case, with parameters."""
    response = await send(serve, b'{"a": 1}', Content_Type=kind)

    assert response.json() == {"json": {"a": 1}}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-ndjson", "application/vnd.api+json", "text/json", "application/jsonp", ""]
)
async def test_other_types_are_left_alone(serve: Serve, kind: str) -> None:
    """Whatever is in the body: only application/json is JSON."""
    response = await send(serve, b'{"a": ', Content_Type=kind)

    assert (response.status, response.json()) == (200, {"json": None})


async def test_an_empty_body_is_none(serve: Serve) -> None:
    """Although its type says JSON."""
    response = await send(serve, b"")

    assert (response.status, response.json()) == (200, {"json": None})


@pytest.mark.parametrize("body", [b"3", b'"text"', b"null", b"true", b" 1.5 "])
async def test_a_body_that_is_no_object_and_no_array(serve: Serve, body: bytes) -> None:
    """Is refused, as Express's strict mode does."""
    response = await send(serve, body)

    assert response.status == 400
    assert "the body is not a JSON object or array" in words_of(response)


@each_place
async def test_a_malformed_body(serve: Serve, method: str, path: str) -> None:
    """Is a 400 that says where the mistake is, whatever the method and whether or not there is such a page."""
    response = await send(serve, b'{"a": 1,\n "b" 2}', method=method, path=path)

    assert response.status == 400
    assert "the body is not JSON: " in words_of(response)
    assert "at line 2, column 6" in words_of(response)


@pytest.mark.parametrize(
    "body", [b"{", b"[1,]", b"{'a': 1}", b"[1] [2]", b"  ", b"[NaN]", b"[-Infinity]", b"[01]", b'["\n"]', b"\0", b'["\xff"]', b"[" * 50_000 + b"]" * 50_000]
)  # fmt: skip
async def test_what_json_does_not_allow(serve: Serve, body: bytes) -> None:
    """Is a 400 with a message: what Python's reader would let pass too, bytes that are not UTF-8, and absurd depth."""
    response = await send(serve, body)

    assert response.status == 400
    assert "the body " in words_of(response)


@pytest.mark.parametrize(
    ("opens", "closes"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")], ids=["arrays", "objects", "both"]
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le"])
async def test_500_levels_are_read(serve: Serve, opens: str, closes: str, encoding: str) -> None:
    """And one more is a 400 on every Python, whatever depth its own json can do."""
    levels = 500 // len(closes)
    deepest = f"{opens * levels}0{closes * levels}"

    taken = await send(serve, deepest.encode(encoding))
    refused = await send(serve, f"[{deepest}]".encode(encoding))

    assert (taken.status, refused.status) == (200, 400)
    assert "the body is nested too deeply" in words_of(refused)


@pytest.mark.parametrize("depth", [501, 5_000, 50_000])
async def test_the_limit_is_not_the_interpreters(serve: Serve, depth: int) -> None:
    """Nothing descends into what is refused."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(200_000)
    try:
        response = await send(serve, b"[" * depth + b"]" * depth)
    finally:
        sys.setrecursionlimit(before)

    assert response.status == 400
    assert "the body is nested too deeply" in words_of(response)


@pytest.mark.parametrize(
    "value",
    [[{}] * 1_000, {"a": "[" * 1_000}, {'"[\\"' * 300: ["{" * 600, [1]]}, [["\\"], ["[" * 501, '\\"']]],
    ids=["side by side", "in a string", "with quotes", "with backslashes"],
)  # fmt: skip
async def test_many_brackets_are_not_deep(serve: Serve, value: Any) -> None:
    """Those beside each other, and those in a text."""
    response = await send(serve, json.dumps(value).encode())

    assert response.json() == {"json": value}


async def test_a_number_too_long_to_read(serve: Serve) -> None:
    """Is not blamed on the depth or the encoding."""
    response = await send(serve, b"[" + b"1" * 5_000 + b"]")

    assert response.status == 400
    assert "UTF-8" not in words_of(response)
    assert "nested" not in words_of(response)


@pytest.mark.parametrize("body", [b'{"%s": %d}', b'{"<script>alert(1)</script>": }', b"{{ 1 }}"])
async def test_the_message_repeats_nothing_of_the_body(serve: Serve, body: bytes) -> None:
    """Neither as markup nor as a format of the log or the template."""
    response = await send(serve, body)

    assert response.status == 400
    assert "<script" not in response.text
    assert "%s" not in response.text
    assert "alert" not in response.text


async def test_a_refused_body_makes_no_session(serve: Serve) -> None:
    """It is refused before there is one."""
    site = await serve("[session]\nsaveUninitialized = true\n")

    response = await site.visitor().fetch("/set-session", body=b"{", headers=JSON)

    assert response.status == 400
    assert response.set_cookies == []
    assert await site.store.length() == 0


def filled(size: int) -> bytes:
    """A JSON array of that many bytes."""
    return b"[" + b" " * (size - 2) + b"]"


async def test_the_largest_body(serve: Serve) -> None:
    """100 kB are read."""
    response = await send(serve, filled(LIMIT))

    assert response.json() == {"json": []}


@each_place
async def test_a_body_that_is_too_large(serve: Serve, method: str, path: str) -> None:
    """One byte more is a 413 that says how much is allowed."""
    response = await send(serve, filled(LIMIT + 1), method=method, path=path)

    assert response.status == 413
    assert f"more than {LIMIT} bytes" in words_of(response)


async def test_a_body_in_chunks(serve: Serve) -> None:
    """Its length, which nobody has announced, counts as it comes."""
    site = await serve()
    chunk = b"8000\r\n" + b" " * 0x8000 + b"\r\n"
    headers = JSON | {"Transfer-Encoding": "chunked"}
    visitor = site.visitor()

    small = await visitor.start("/get-session", headers=headers)
    small.wire.send(b"2\r\n[]\r\n" + chunk + b"0\r\n\r\n")
    large = await visitor.start("/get-session", headers=headers)
    large.wire.send(b"2\r\n[]\r\n" + chunk * 4 + b"0\r\n\r\n")

    assert (await small.response()).status == 200
    assert (await large.response()).status == 413


async def test_a_body_beyond_all_limits(serve: Serve) -> None:
    """Is refused by the server itself, and is not even read to its end."""
    site = await serve()
    announced = JSON | {"Content-Length": str(1 << 30)}

    call = await site.visitor().start("/get-session", headers=announced)
    response = await call.response()

    assert response.status == 400


async def test_other_bodies_may_be_larger(serve: Serve) -> None:
    """The limit is JSON's: a form may have more."""
    response = await send(serve, b"a" * (LIMIT + 1), Content_Type="text/plain")

    assert response.json() == {"json": None}
