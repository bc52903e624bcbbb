"""What may be put into a session, what is refused before anything is sent, and rows that are no sessions."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import pytest
from clock import HOUR

from .conftest import Logbook, memory_only
from .world import MARK, Site, count, show, visit

# ---------------------------------------------------------------- values


def looped() -> list[Any]:
    """A list that holds itself."""
    value: list[Any] = []
    value.append(value)
    return value


def deep() -> list[Any]:
    """A list that is nested beyond reason."""
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]
    return value


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a set": (lambda: {MARK}, "session['bad']"),
    "a date": (lambda: datetime.now(UTC), "session['bad']"),
    "bytes": (MARK.encode, "session['bad']"),
    "an object": (object, "session['bad']"),
    "NaN": (lambda: float("nan"), "session['bad']"),
    "infinity": (lambda: float("inf"), "session['bad']"),
    "an integer beyond Node": (lambda: 2**64 + 1, "session['bad']"),
    "a number as a key": (lambda: {"deep": {1: 2}}, "session['bad']['deep']"),
    "deep inside": (lambda: {"items": [1, {"price": {2}}]}, "session['bad']['items'][1]['price']"),
    "a loop": (looped, "session['bad']"),
    "too deep": (deep, "session['bad']"),
}


@memory_only  # refused before any store is asked
@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("is_stream", [False, True])
async def test_what_json_cannot_hold_is_a_500_that_names_the_place(
    serve: Any, logbook: Logbook, what: str, is_stream: bool
) -> None:
    """Before anything is sent, and the stored session stays as it was."""
    make, place = REFUSED[what]

    def act(handler: Any) -> None:
        handler.session["bad"] = make()
        handler.write("never seen")
        if is_stream:
            handler.flush()

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/act")

    assert (response.status, response.whole, response.set_cookies) == (500, True, [])
    assert "never seen" not in response.text
    assert any(f"DataError: {place}: " in line for line in logbook.lines("tornado.application"))
    assert await site.row(browser.sid) == {"mark": MARK}


@memory_only
@pytest.mark.parametrize("key", [1, None, ("a", "b"), "cookie", "__meta", "id", "req", "save", "toString", "__proto__"])
async def test_a_key_that_node_would_drop_is_refused_at_once(serve: Any, key: object) -> None:
    """At the assignment, where the mistake is; the rest of the request goes on."""

    def act(handler: Any) -> str:
        try:
            handler.session[key] = 1
        except ValueError as error:
            return f"{type(error).__name__} {repr(key) in str(error)}"
        return "no error"

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert response.text == "DataError True"


ROUND = {
    "text": 'größe, 日本, \U0001f36a, \u2028, \x00\x1f\x7f, "quotes", \\',
    "empty": "",
    "numbers": [0, -1, 1.5, 1e300, 2**53],
    "words": [True, False, None],
    "nested": {"a": [{"b": {}}], "": "an empty key", "cookie": "a nested cookie is a value"},
    "surrogate": "\ud800",
}


@pytest.mark.parametrize("key", ROUND)
async def test_what_json_can_hold_comes_back(serve: Any, key: str) -> None:
    """Whatever it is, through the store and into the next request."""
    seen: list[Any] = []
    pages = {
        "/set": lambda handler: handler.session.update({key: ROUND[key]}),
        "/get": lambda h: seen.append(h.session[key]),
    }
    site: Site = await serve(pages)
    browser = site.browser()

    await browser.fetch("/set")
    await browser.fetch("/get")

    assert seen == [ROUND[key]]


async def test_a_session_of_a_megabyte_is_kept(serve: Any) -> None:
    """The store sets no limit that a handler would meet."""
    site: Site = await serve(
        {"/set": lambda h: h.session.update(big="x" * 1_000_000), "/get": lambda h: str(len(h.session["big"]))}
    )
    browser = site.browser()

    await browser.fetch("/set")
    response = await browser.fetch("/get")

    assert response.text == "1000000"


# ---------------------------------------------------------------- rows of others

COOKIE = '{"originalMaxAge":3600000,"expires":"2030-03-17T18:46:40.000Z","httpOnly":true,"path":"/"}'

CORRUPT = {
    "not JSON": "{" + MARK,
    "empty": "",
    "a word": "null",
    "a list": f'["{MARK}"]',
    "no cookie": f'{{"mark":"{MARK}"}}',
    "a cookie that is none": f'{{"cookie":"{MARK}"}}',
    "cut": f'{{"cookie":{COOKIE},"mark":"{MARK}',
    "data that is no JSON": f'{{"cookie":{COOKIE},"mark":{MARK}}}',
    "a pickle": "\x80\x04\x95" + MARK,
}


@pytest.mark.parametrize("how", CORRUPT)
async def test_a_corrupt_row_is_a_500_and_stays(serve: Any, logbook: Logbook, how: str) -> None:
    """Never an empty session: somebody's data is in it. The log has a short hash of the id, and nothing else of it."""
    site: Site = await serve(show, unset="destroy")  # under which Express deletes it
    browser = site.browser()
    sid = await site.plant(browser, CORRUPT[how])
    before = await site.stored(sid)

    response = await browser.fetch()

    assert (response.status, response.set_cookies) == (500, [])
    assert MARK not in response.text
    assert await site.stored(sid) == before
    assert site.store.writes == []
    (line,) = [line for line in logbook.lines("tornado.application") if "CorruptSession" in line]
    assert f"CorruptSession: session {sha256(sid.encode()).hexdigest()[:8]}: " in line


async def test_a_row_of_nodes_spelling_is_no_change(serve: Any) -> None:
    """Blanks, escapes and the order of keys are the other writer's business."""
    site: Site = await serve(show)
    browser = site.browser()
    text = f'{{"cookie":{COOKIE},"b": 1.0, "a":"\\u00e9\\/" ,"c":[ ]}}'
    sid = await site.plant(browser, text)

    response = await browser.fetch()

    assert response.json() == {"b": 1.0, "a": "é/", "c": []}
    assert site.store.writes == []
    assert (await site.stored(sid)).data == text


async def test_a_row_that_is_nested_deeper_than_ours_is_read(serve: Any) -> None:
    """Node has no limit; a session that is not changed is none of the check's business."""
    depths: list[int] = []

    def measure(handler: Any) -> None:
        value, depth = handler.session["a"], 0
        while value:
            (value,), depth = value, depth + 1
        depths.append(depth)

    site: Site = await serve(measure)
    browser = site.browser()
    await site.plant(browser, f'{{"cookie":{COOKIE},"a":{"[" * 700 + "]" * 700}}}')

    response = await browser.fetch()

    assert (response.status, depths) == (200, [699])


async def test_a_row_without_lifetime_becomes_a_browser_session(serve: Any) -> None:
    """As in Express: a stored cookie without originalMaxAge loses its expiry at the first touch, and `ttl` counts."""
    site: Site = await serve({"/count": count, "/show": show}, ttl=2 * HOUR)
    browser = site.browser()
    sid = await site.plant(browser, '{"cookie":{"path":"/"}}')

    await browser.fetch("/count")

    assert await site.row(sid) == {"n": 1}
    assert (await site.stored(sid)).expires_at == site.clock() + 2 * HOUR


@memory_only
async def test_keys_that_node_would_drop_are_dropped_at_the_load(serve: Any) -> None:
    """A foreign row may hold what a handler must not set; it is not shown, and a read does not remove it."""
    site: Site = await serve(show)
    browser = site.browser()
    sid = await site.plant(browser, f'{{"cookie":{COOKIE},"save":1,"toString":2,"good":3}}')

    response = await browser.fetch()

    assert response.json() == {"good": 3}
    assert json.loads((await site.stored(sid)).data)["toString"] == 2
