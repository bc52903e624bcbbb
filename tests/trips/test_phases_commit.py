"""The phases of an answer: the Futures of `flush()`, a commit that fails, and what becomes of a late change."""

import asyncio
from typing import Any

import pytest
from tornado.web import HTTPError

from sessions import HeadersSent, StoreError, StoreUnavailable

from .phases import BEGUN, COMMITS, FINISHED, each_phase, enter
from .staged import Gate
from .world import MARK, Site, visit

# ---------------------------------------------------------------- flush, and the Futures


async def test_flush_in_open_waits_for_its_commit(serve: Any) -> None:
    """Its Future resolves when the bytes have left."""
    done: list[bool] = []
    gate = Gate()

    async def page(handler: Any) -> None:
        visit(handler)
        flushed = handler.flush()
        await gate.reached()
        done.append(flushed.done())
        gate.open()
        await flushed
        done.append(flushed.done())

    site: Site = await serve(page)
    gate = site.store.hold("create")
    await site.browser().fetch()

    assert done == [False, True]


async def test_flush_while_the_head_is_held_returns_the_same_future(serve: Any) -> None:
    """What it appends leaves with the head."""
    same: list[bool] = []
    gate = Gate()

    async def page(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        first = handler.flush()
        await gate.reached()
        handler.write("two")
        same.append(handler.flush() is first)
        gate.open()

    site: Site = await serve(page)
    gate = site.store.hold("create")
    response = await site.browser().fetch()

    assert same == [True]
    assert response.text == "one,two"


@pytest.mark.parametrize("phase", ["waiting", "done"])
async def test_flush_after_finish_returns_its_future(serve: Any, phase: str) -> None:
    """It is harmless: the answer is whole, and the Future is the one of finish()."""
    same: list[bool] = []
    gate = Gate()

    async def page(handler: Any) -> None:
        visit(handler)
        finished = handler.finish("whole")
        if phase == "done":
            await finished
        same.append(handler.flush() is finished)
        gate.open()

    site: Site = await serve(page)
    if phase == "waiting":
        gate = site.store.hold("create")
    response = await site.browser().fetch()

    assert same == [True]
    assert (response.text, response.whole) == ("whole", True)


@pytest.mark.parametrize("late", range(8))
async def test_finish_comes_in_any_turn_of_the_loop_after_a_flush(serve: Any, late: int) -> None:
    """While the commit is under way, when it is done and the head still held, when the head has left."""

    async def page(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        handler.flush()
        for _ in range(late):
            await asyncio.sleep(0)
        handler.write("two")
        handler.finish()

    site: Site = await serve(page)
    browser = site.browser()
    response = await browser.fetch()

    assert (response.status, response.text, response.whole) == (200, "one,two", True)
    assert await site.row(browser.sid) == {"mark": MARK}


@pytest.mark.parametrize("late", range(8))
async def test_an_exception_comes_in_any_turn_of_the_loop_after_a_flush(serve: Any, late: int) -> None:
    """It is an error page until the head leaves, and a cut afterwards; never a part that looks whole."""

    async def page(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        handler.flush()
        for _ in range(late):
            await asyncio.sleep(0)
        raise LookupError("the application's own")

    site: Site = await serve(page)
    response = await site.browser().fetch()

    assert (response.status, response.text.partition("<")[0], response.whole) in ((500, "", True), (200, "one,", False))


# ---------------------------------------------------------------- the commit fails

each_error = pytest.mark.parametrize(
    ("error", "status"), [(StoreError("the disk says no"), 500), (StoreUnavailable("the disk is away"), 503)]
)


@each_error
async def test_a_commit_that_fails_while_the_head_is_held_fails_the_flush(
    serve: Any, error: StoreError, status: int
) -> None:
    """It is as if nothing had been flushed, and the answer is a 5xx also where the handler catches the failure."""
    failed: list[str] = []

    async def page(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        try:
            await handler.flush()
        except (StoreError, HTTPError) as raised:
            failed.append(type(raised).__name__)
        handler.write("two")

    site: Site = await serve(page)
    site.store.fail(error)
    response = await site.browser().fetch()

    assert len(failed) == 1
    assert (response.status, response.whole, response.set_cookies) == (status, True, [])
    assert "one" not in response.text
    assert await site.rows() == {}


@each_error
async def test_a_commit_that_fails_while_the_answer_waits_is_the_answer(
    serve: Any, error: StoreError, status: int
) -> None:
    """5xx without a cookie, whatever the answer would have been."""

    def page(handler: Any) -> None:
        visit(handler)
        handler.set_status(201)
        handler.set_header("X-Early", "yes")
        handler.finish("whole")

    site: Site = await serve(page)
    site.store.fail(error)
    response = await site.browser().fetch()

    assert (response.status, response.header("X-Early"), response.set_cookies) == (status, None, [])
    assert await site.rows() == {}


async def test_a_commit_that_fails_while_streaming_cuts_before_the_last_chunk(serve: Any) -> None:
    """What had left cannot be taken back; the end is missing."""

    async def page(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        handler.finish("two")

    site: Site = await serve(page)
    site.store.fail(StoreError("the disk says no"), "update")
    response = await site.browser().fetch()

    assert (response.status, response.text, response.whole) == (200, "one,", False)


# ---------------------------------------------------------------- the session


@each_phase
async def test_a_change_is_stored_until_the_answer_is_finished(serve: Any, phase: str) -> None:
    """Then it is HeadersSent, which names the key."""
    raised: list[str] = []
    gate = Gate()

    async def page(handler: Any) -> None:
        await enter(handler, phase, gate)
        try:
            handler.session["late"] = 1
        except HeadersSent as error:
            raised.append(str(error))
        gate.open()

    site: Site = await serve(page)
    if phase in COMMITS:
        gate = site.store.hold("create")
    browser = site.browser()
    response = await browser.fetch()

    is_finished = phase in FINISHED
    assert (response.text, response.whole) == (BEGUN[phase], True)
    assert await site.row(browser.sid) == ({"mark": MARK} if is_finished else {"mark": MARK, "late": 1})
    assert [each.partition(" was changed")[0] for each in raised] == (["session['late']"] if is_finished else [])
