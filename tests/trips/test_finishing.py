"""While the commit of an answer is under way: what the handler, the client and the connection may do meanwhile."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from .conftest import Logbook, memory_only
from .world import MARK, Act, Site, turns, visit


async def answer_behind_gate(site: Site, **request: Any) -> Any:
    """Make a request and hold its write until the handler has had all the time it wants."""
    gate = site.store.hold()
    call = await site.browser().start(**request)
    await gate.reached()
    await turns()
    gate.open()
    return await call.response()


# ---------------------------------------------------------------- the handler


async def test_what_a_handler_does_after_finish_changes_nothing(serve: Any) -> None:
    """As in Tornado without sessions: status and headers are those of the moment of finish()."""

    def carries_on(handler: Any) -> None:
        visit(handler)
        handler.redirect("/account")
        handler.set_status(500)
        handler.set_header("Location", "/wrong")
        handler.set_header("X-Late", "yes")
        handler.set_cookie("late", "yes")

    site: Site = await serve(carries_on)

    response = await answer_behind_gate(site)

    assert (response.status, response.header("Location"), response.header("X-Late")) == (302, "/account", None)
    assert len(response.set_cookies) == 1


@pytest.mark.parametrize("late", ["write", "finish", "render", "redirect"])
async def test_a_second_answer_is_refused(serve: Any, logbook: Logbook, late: str) -> None:
    """A forgotten `return` after finish() is the same RuntimeError as in Tornado, and the first answer is sent."""

    def forgets_to_return(handler: Any) -> None:
        visit(handler)
        handler.finish("first")
        getattr(handler, late)("second")

    site: Site = await serve(forgets_to_return)

    response = await answer_behind_gate(site)

    assert (response.status, response.text) == (200, "first")
    assert any("RuntimeError" in line for line in logbook.lines("tornado.application"))


async def test_an_error_after_finish_does_not_replace_the_answer(serve: Any) -> None:
    """send_error() after finish() comes too late, as in Tornado."""

    def forgets_to_return(handler: Any) -> None:
        visit(handler)
        handler.redirect("/account")
        handler.send_error(403)

    site: Site = await serve(forgets_to_return)

    response = await answer_behind_gate(site)

    assert (response.status, response.header("Location")) == (302, "/account")


@pytest.mark.parametrize("verb", ["regenerate", "rotate"])
async def test_a_new_id_after_finish_is_refused(serve: Any, logbook: Logbook, verb: str) -> None:
    """The answer cannot tell the browser of it: HeadersSent, and the visitor keeps the session that the answer has."""

    async def forgets_the_order(handler: Any) -> None:
        handler.session["mark"] = handler.session.get("mark", 0) + 1
        handler.redirect("/account")
        if handler.session["mark"] > 1:
            await getattr(handler.session, verb)()

    site: Site = await serve(forgets_the_order)
    browser = site.browser()
    await browser.fetch()

    response = await browser.fetch()

    assert response.status == 302
    assert await site.rows() == {browser.sid: {"mark": 2}}
    assert any("HeadersSent" in line for line in logbook.lines("tornado.application"))


async def test_an_error_after_an_answer_without_a_change_does_not_cut_it(serve: Any) -> None:
    """Without a commit the answer is out at once, and may still be on its way when the error comes too late."""
    size = 20_000_000

    def forgets_to_return(handler: Any) -> None:
        handler.finish("x" * size)
        handler.send_error(403)

    site: Site = await serve(forgets_to_return)

    response = await site.browser().fetch()

    assert (response.status, len(response.body), response.whole) == (200, size, True)


async def test_an_exception_after_finish_does_not_replace_the_answer(serve: Any, logbook: Logbook) -> None:
    """It is logged; the answer is on its way already."""

    def stumbles(handler: Any) -> None:
        visit(handler)
        handler.finish("first")
        raise LookupError("the application's own")

    site: Site = await serve(stumbles)

    response = await answer_behind_gate(site)

    assert (response.status, response.text) == (200, "first")
    assert any("LookupError" in line for line in logbook.lines("tornado.application"))


async def test_a_handler_that_stops_waiting_does_not_stop_the_commit(serve: Any) -> None:
    """The commit is shielded: a timeout around `await self.finish()` ends the waiting, not the answer."""

    async def impatient(handler: Any) -> None:
        visit(handler)
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await handler.finish("done")

    site: Site = await serve(impatient)

    response = await answer_behind_gate(site)

    assert (response.status, response.text) == (200, "done")
    assert list((await site.rows()).values()) == [{"mark": MARK}]


async def test_a_handler_that_stops_waiting_for_a_flush_does_not_stop_the_commit(serve: Any) -> None:
    """Nor does one around the first flush of a stream."""

    async def impatient(handler: Any) -> None:
        visit(handler)
        handler.write("one,")
        with suppress(TimeoutError):
            async with asyncio.timeout(0):
                await handler.flush()
        handler.write("two")

    site: Site = await serve(impatient)

    response = await answer_behind_gate(site)

    assert (response.status, response.text, response.whole) == (200, "one,two", True)
    assert list((await site.rows()).values()) == [{"mark": MARK}]


@memory_only
@pytest.mark.parametrize("chunk", [5, object(), ["no", "lists"]])
async def test_a_chunk_that_cannot_be_written_is_a_500(serve: Any, chunk: object) -> None:
    """finish() of what is no body is the handler's error, and nothing is left unawaited."""

    def junk(handler: Any) -> None:
        visit(handler)
        handler.finish(chunk)

    site: Site = await serve(junk)

    response = await site.browser().fetch()

    assert (response.status, response.whole) == (500, True)


@pytest.mark.parametrize("body", ["write", "finish"])
async def test_a_204_with_a_body_is_a_500(serve: Any, body: str) -> None:
    """Tornado refuses it while it finishes, after the commit, when nobody is left to catch it but us."""

    def contradictory(handler: Any) -> None:
        visit(handler)
        handler.set_status(204)
        getattr(handler, body)("a body")

    site: Site = await serve(contradictory)

    response = await site.browser().fetch()

    assert (response.status, response.whole) == (500, True)
    assert response.set_cookies == []


async def test_a_broken_log_exception_keeps_nobody_waiting(serve: Any) -> None:
    """An application's own log_exception() that fails, on top of a commit that failed, still leads to an answer."""

    def broken(handler: Any) -> None:
        visit(handler)
        handler.log_exception = fail

    def fail(*_: Any) -> None:
        raise LookupError("the application's own")

    site: Site = await serve(broken)
    site.store.fail(OSError("a driver's error that nobody has translated"))

    response = await site.browser().fetch()

    assert response.status == 500


# ---------------------------------------------------------------- the request


@pytest.mark.parametrize(
    ("kind_of_body", "body"),
    [
        ("multipart/form-data; boundary=x", b"no boundary anywhere"),
        ("multipart/form-data", b"--x"),
        ("application/x-www-form-urlencoded", b"%%%\xff\x00=&&&=="),
        ("application/json", b'{"half": '),
    ],
)
async def test_a_body_of_junk_costs_no_session(serve: Any, kind_of_body: str, body: bytes) -> None:
    """Whatever Tornado makes of the body, the visitor's session is neither lost nor made."""
    site: Site = await serve({"/visit": visit, "/": lambda _: "fine"}, touch_after=1)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    response = await browser.fetch(method="POST", body=body, headers={"Content-Type": kind_of_body})

    assert response.status in (200, 400)
    assert response.set_cookies == []
    assert site.store.writes == []
    assert await site.row(browser.sid) == {"mark": MARK}


# ---------------------------------------------------------------- the connection


async def test_pipelined_requests_are_answered_in_their_order(serve: Any) -> None:
    """A commit that is held back delays only the later requests of the same connection."""
    site: Site = await serve({"/slow": visit, "/fast": lambda _: "fast"})
    gate = site.store.hold()
    wire = await site.wire()

    wire.send(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\nGET /fast HTTP/1.1\r\nHost: h\r\n\r\n")
    await gate.reached()
    before = await wire.quiet()
    other = await site.browser().fetch("/fast")
    gate.open()
    texts = [(await wire.response()).text, (await wire.response()).text]
    await wire.close()

    assert before
    assert other.text == "fast"
    assert texts == ["visited", "fast"]


async def later(handler: Any) -> None:
    """A stream."""
    visit(handler)
    handler.write("one,")
    await handler.flush()
    handler.session["second"] = MARK
    handler.write("two")
    await handler.flush()


@pytest.mark.parametrize("act", [visit, later])
async def test_a_client_that_leaves_does_not_take_its_change_along(serve: Any, logbook: Logbook, act: Act) -> None:
    """The commit that is under way when the client goes is done, and nothing is reported as an error."""
    site: Site = await serve(act)
    gate = site.store.hold()
    call = await site.browser().start()
    await gate.reached()

    await call.wire.close()
    await turns()
    gate.open()
    await site.store.idle()
    rows = await site.rows()

    assert [row["mark"] for row in rows.values()] == [MARK]
    assert [line for line in logbook.lines("tornado.application") if "StreamClosedError" not in line] == []
