"""Streams: the first flush commits, later changes are committed at the end, and half an answer never looks whole."""

from typing import Any

import pytest

from sessions import StoreError, StoreUnavailable

from .conftest import Logbook
from .staged import Gate
from .world import MARK, Site, acted_meanwhile, count, flushing, turns, visit


def stream(*, wait: bool) -> Any:
    """Three flushes, each waited for or none."""

    async def act(handler: Any) -> None:
        visit(handler)
        handler.set_header("X-Stream", "yes")
        for word in ("one,", "two,", "three,"):
            handler.write(word)
            flushed = handler.flush()
            if wait:
                await flushed
        handler.write("four")

    return act


both_ways = pytest.mark.parametrize("wait", [True, False], ids=["awaited", "not-awaited"])


@both_ways
async def test_promise_1_a_stream_waits_for_the_commit(serve: Any, wait: bool) -> None:
    """Not a byte before it; then all in order, with the cookie."""
    site: Site = await serve(stream(wait=wait))
    browser = site.browser()
    gate = site.store.hold()

    call = await browser.start()
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert (response.status, response.text, response.whole) == (200, "one,two,three,four", True)
    assert response.header("X-Stream") == "yes"
    assert await site.row(browser.sid) == {"mark": MARK}


@pytest.mark.parametrize("breaks", [False, True], ids=["committed", "not-committed"])
async def test_a_cookie_of_the_handler_s_own_is_sent_once(serve: Any, *, breaks: bool) -> None:
    """With the held first bytes, or with the error that takes their place; the session's comes after it."""

    async def act(handler: Any) -> None:
        handler.set_cookie("mine", "1")
        visit(handler)
        handler.write("one,")
        await handler.flush()

    site: Site = await serve(act)
    if breaks:
        site.store.fail(StoreError("the disk is away"))

    response = await site.browser().fetch()

    names = [cookie.partition("=")[0] for cookie in response.set_cookies]
    assert names == (["mine"] if breaks else ["mine", "connect.sid"])


async def test_promise_1_the_first_bytes_leave_while_the_handler_goes_on(serve: Any) -> None:
    """A stream stays a stream: what was flushed is at the client before the handler is done."""
    rest = Gate()

    async def act(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        await rest.wait()
        handler.write("two")

    site: Site = await serve(act)
    call = await site.browser().start()

    await rest.reached()
    await call.wire.until(lambda: b"one," in call.wire.received)
    early = call.wire.received
    rest.open()
    response = await call.response()

    assert b"Set-Cookie: connect.sid=" in early
    assert b"two" not in early
    assert response.text == "one,two"


async def test_promise_1_a_stream_is_frozen_at_the_call_of_its_first_flush(serve: Any) -> None:
    """Status, headers and chunk are those of the call, although the bytes leave only after the commit."""

    def act(handler: Any) -> None:
        visit(handler)
        handler.set_status(201)
        handler.set_header("X-When", "then")
        handler.write("one,")
        handler.flush()
        handler.set_status(500)
        handler.set_header("X-When", "later")
        handler.set_cookie("late", "yes")
        handler.write("two")

    site: Site = await serve(act)
    gate = site.store.hold()

    call = await site.browser().start()
    await gate.reached()
    gate.open()
    response = await call.response()

    assert (response.status, response.header("X-When"), response.text) == (201, "then", "one,two")
    assert [cookie.partition("=")[0] for cookie in response.set_cookies] == ["connect.sid"]


@both_ways
async def test_promise_1_a_change_after_the_first_flush_is_committed_at_the_end(serve: Any, wait: bool) -> None:
    """Before the last chunk leaves."""

    async def act(handler: Any) -> None:
        count(handler)
        flushed = handler.flush()
        if wait:
            await flushed
        handler.session["late"] = MARK
        handler.write("last")

    site: Site = await serve(act)
    browser = site.browser()
    await browser.fetch()
    gate = site.store.hold("update")

    call = await browser.start()
    await gate.reached()
    gate.open()
    response = await call.response()

    assert (response.text, response.whole) == ("last", True)
    assert await site.row(browser.sid) == {"n": 2, "late": MARK}


async def test_promise_1_a_change_while_the_first_commit_is_under_way_is_not_lost(serve: Any) -> None:
    """The commit of the first flush has taken its picture; what is changed meanwhile is committed at the end."""
    under_way = Gate()

    def late(handler: Any) -> str:
        handler.session["late"] = 2
        return "two"

    site: Site = await serve(flushing(under_way, late))
    browser = site.browser()

    response = await acted_meanwhile(site, browser, under_way)

    assert (response.text, response.whole) == ("one,two", True)
    assert await site.row(browser.sid) == {"early": 1, "late": 2}


async def test_promise_1_the_last_chunk_waits_for_the_last_commit(serve: Any) -> None:
    """A client that has seen the end knows that everything is stored."""

    async def act(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        handler.write("two")

    site: Site = await serve(act)
    gate = site.store.hold("update")
    call = await site.browser().start()

    await gate.reached()
    await turns()
    early = call.wire.received
    gate.open()
    response = await call.response()

    assert b"one," in early
    assert b"two" not in early
    assert b"0\r\n\r\n" not in early
    assert (response.text, response.whole) == ("one,two", True)


@pytest.mark.parametrize("error", [StoreError("the disk says no"), StoreUnavailable("the disk is away")])
async def test_promise_1_a_failed_last_commit_cuts_the_connection(serve: Any, error: StoreError) -> None:
    """The status is out, so the client is shown that the answer is not whole."""

    async def act(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        handler.write("two")

    site: Site = await serve(act)
    site.store.fail(error, "update")
    browser = site.browser()

    response = await browser.fetch()

    assert (response.status, response.text, response.whole) == (200, "one,", False)
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_an_exception_in_a_stream_cuts_the_connection(serve: Any) -> None:
    """Tornado alone would end it as if nothing had happened; what came after the first flush is not committed."""

    async def act(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        raise LookupError("the application's own")

    site: Site = await serve(act)
    browser = site.browser()

    response = await browser.fetch()

    assert (response.status, response.text, response.whole) == (200, "one,", False)
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_an_exception_while_the_head_is_held_replaces_it(serve: Any) -> None:
    """Nothing has left yet: the error page is the answer, and what was changed before it is committed."""

    def act(handler: Any) -> None:
        visit(handler)
        handler.flush()
        raise LookupError("the application's own")

    site: Site = await serve(act)

    browser = site.browser()
    response = await browser.fetch()

    assert (response.status, response.whole) == (500, True)
    assert await site.rows() == {browser.sid: {"mark": MARK}}


async def test_a_stream_with_a_wrong_length_keeps_nobody_waiting(serve: Any) -> None:
    """Tornado refuses the bytes only when they are released; neither the client nor the request waits for ever."""

    def act(handler: Any) -> None:
        visit(handler)
        handler.set_header("Content-Length", "2")
        handler.write("three")
        handler.flush()

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert not response.whole


@both_ways
async def test_a_stream_with_an_impossible_cookie_keeps_nobody_waiting(serve: Any, wait: bool) -> None:
    """A row of another's making may hold an attribute that no cookie can carry; that is found when the head is made."""

    async def act(handler: Any) -> None:
        handler.session["n"] = 1
        handler.write("one,")
        flushed = handler.flush()
        if wait:
            await flushed

    site: Site = await serve(act)
    browser = site.browser()
    text = '{"cookie":{"originalMaxAge":1000,"expires":"2030-03-17T17:46:41.000Z","path":"/","sameSite":"sometimes"}}'
    await site.plant(browser, text)

    response = await browser.fetch()

    assert response.set_cookies == []
    assert response.status in (0, 500)


async def test_a_flush_after_a_failed_one_raises_its_error(serve: Any, logbook: Logbook) -> None:
    """A handler that streams blindly is stopped at its next flush and answers the failure."""
    failed = Gate()

    async def act(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        handler.flush()
        await failed.wait()
        handler.write("two,")
        await handler.flush()
        handler.write("never")

    site: Site = await serve(act)
    site.store.fail(StoreUnavailable("the disk is away"))
    call = await site.browser().start()

    await failed.reached()
    await turns()
    failed.open()
    response = await call.response()

    assert (response.status, response.header("Retry-After"), response.whole) == (503, "1", True)
    assert "two" not in response.text
    assert [line for line in logbook.lines("tornado.general") if "503" in line] == [
        "503 GET / (127.0.0.1): session store: the disk is away"
    ]


async def test_a_stream_that_never_looks_at_the_session_is_not_held_back(serve: Any) -> None:
    """There is nothing to commit, no store is asked, and the bytes leave at once."""

    async def act(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        handler.write("two")

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert (response.text, response.set_cookies) == ("one,two", [])
    assert site.store.calls == []


async def test_a_compressed_stream_is_held_back_as_well(serve: Any) -> None:
    """Tornado's transforms run at the call of flush(); the head they make is the one that leaves."""
    site: Site = await serve(stream(wait=False), settings={"compress_response": True})
    browser = site.browser()

    response = await browser.fetch(headers={"Accept-Encoding": "gzip"})

    assert response.header("Content-Encoding") == "gzip"
    assert sorted((response.header("Vary") or "").split(", ")) == ["Accept-Encoding", "Cookie"]
    assert await site.row(browser.sid) == {"mark": MARK}
