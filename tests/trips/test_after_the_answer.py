"""What happens when the answer was handed over: errors of `on_finish` and the log cut nothing, late changes say so."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from clock import MINUTE

from sessions import HeadersSent, NoSession, StoreUnavailable

from .conftest import Logbook
from .test_sockets import Socket, open_socket, say
from .world import LIFETIME, MARK, Act, Page, Site, count, show, visit

LARGE = 8_000_000

# ---------------------------------------------------------------- errors


class Failing(Page):
    """Fails when its answer is finished."""

    def on_finish(self) -> None:
        self.settings["finished"].append(self.request.path)
        raise ValueError("the metrics server is away")


def fails_to_log(handler: Any) -> None:
    raise ValueError("the log is away")


def large(handler: Any) -> None:
    visit(handler)
    handler.write(b"z" * LARGE)


async def large_stream(handler: Any) -> None:
    visit(handler)
    for _ in range(8):
        handler.write(b"z" * (LARGE // 8))
        await handler.flush()


def large_blind_stream(handler: Any) -> None:
    visit(handler)
    handler.write(b"z" * (LARGE // 2))
    handler.flush()
    handler.write(b"z" * (LARGE // 2))


def without_session(handler: Any) -> None:
    handler.write(b"z" * LARGE)


async def finish_awaited(handler: Any) -> None:
    visit(handler)
    await handler.finish(b"z" * LARGE)


def error_page(handler: Any) -> None:
    visit(handler)
    handler.set_status(404)
    handler.finish(b"z" * LARGE)


each_answer = pytest.mark.parametrize(
    "act",
    [large, large_stream, large_blind_stream, without_session, finish_awaited, error_page],
    ids=lambda act: act.__name__,
)


@each_answer
@pytest.mark.parametrize("log_fails", [False, True], ids=["on_finish", "both"])
async def test_an_error_of_on_finish_leaves_the_answer_whole(
    serve: Any, logbook: Logbook, act: Act, log_fails: bool
) -> None:
    """It runs once, and is logged; so is the error of an application's log function before it."""
    finished: list[str] = []
    settings = {"finished": finished, **({"log_function": fails_to_log} if log_fails else {})}
    site: Site = await serve({"/": (Failing, act)}, settings=settings)

    response = await site.browser().fetch()

    assert (len(response.body), response.whole) == (LARGE, True)
    assert finished == ["/"]
    lines = "\n".join(logbook.lines("tornado.application"))
    assert lines.count("ValueError: the metrics server is away") == 1
    assert lines.count("ValueError: the log is away") == log_fails


@each_answer
async def test_an_error_of_the_log_function_leaves_the_answer_whole(serve: Any, logbook: Logbook, act: Act) -> None:
    """It is logged in its turn."""
    site: Site = await serve(act, settings={"log_function": fails_to_log})

    response = await site.browser().fetch()

    assert (len(response.body), response.whole) == (LARGE, True)
    assert "\n".join(logbook.lines("tornado.application")).count("ValueError: the log is away") == 1


async def test_an_error_of_on_finish_does_not_reach_the_handler(serve: Any) -> None:
    """`await finish()` has what became of the answer, and that was sent."""
    finished: list[str] = []

    async def act(handler: Any) -> None:
        visit(handler)
        await handler.finish("whole")
        finished.append("awaited")

    site: Site = await serve({"/": (Failing, act)}, settings={"finished": finished})
    await site.browser().fetch()

    assert finished == ["/", "awaited"]


async def test_on_finish_runs_once_where_the_commit_failed(serve: Any) -> None:
    """For the error page, which is the answer."""
    finished: list[str] = []
    site: Site = await serve({"/": (Failing, visit)}, settings={"finished": finished})
    site.store.fail(StoreUnavailable("the disk is away"))

    response = await site.browser().fetch()

    assert (response.status, response.whole) == (503, True)
    assert finished == ["/"]


# ---------------------------------------------------------------- late changes

CHANGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "set": (lambda session: session.__setitem__("late", 1), "session['late'] was changed"),
    "update": (lambda session: session.update(late=1), "session['late'] was changed"),
    "setdefault": (lambda session: session.setdefault("late", 1), "session['late'] was changed"),
    "delete": (lambda session: session.__delitem__("mark"), "session['mark'] was changed"),
    "pop": (lambda session: session.pop("mark"), "session['mark'] was changed"),
    "popitem": (lambda session: session.popitem(), "session['mark'] was changed"),
    "clear": (lambda session: session.clear(), "session['…'] was changed"),
    "max_age": (lambda session: setattr(session.cookie, "max_age", MINUTE), "cookie.maxAge was assigned"),
    "path": (lambda session: setattr(session.cookie, "path", "/app"), "cookie.path was assigned"),
}

each_change = pytest.mark.parametrize("change", CHANGES)


def tries(handler: Any, change: str, raised: list[str]) -> None:
    """Make a change; what it raises."""
    try:
        CHANGES[change][0](handler.session)
    except HeadersSent as error:
        raised.append(str(error))


def finishes(handler: Any, change: str, raised: list[str]) -> None:
    handler.finish("ok")
    tries(handler, change, raised)


async def finishes_and_waits(handler: Any, change: str, raised: list[str]) -> None:
    handler.session["n"] = 1
    await handler.finish("ok")
    tries(handler, change, raised)


def redirects(handler: Any, change: str, raised: list[str]) -> None:
    handler.redirect("/elsewhere")
    tries(handler, change, raised)


async def ends_a_stream(handler: Any, change: str, raised: list[str]) -> None:
    handler.write("one")
    await handler.flush()
    handler.finish()
    tries(handler, change, raised)


@each_change
@pytest.mark.parametrize("ends", [finishes, finishes_and_waits, redirects, ends_a_stream])
async def test_a_change_after_the_end_says_that_it_comes_too_late(serve: Any, ends: Any, change: str) -> None:
    """HeadersSent names what was changed, and where work after the answer belongs; the session is as it was."""
    raised: list[str] = []
    site: Site = await serve({"/visit": visit, "/": lambda handler: ends(handler, change, raised)})
    browser = site.browser()
    await browser.fetch("/visit")

    await browser.fetch("/")

    assert [each.partition(" after the answer")[0] for each in raised] == [CHANGES[change][1]]
    assert (await site.row(browser.sid) or {})["mark"] == MARK
    assert "late" not in (await site.row(browser.sid) or {})
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == LIFETIME


@each_change
@pytest.mark.parametrize("act", [show, count], ids=["unchanged", "changed"])
async def test_a_change_in_on_finish_says_that_it_comes_too_late(serve: Any, change: str, act: Act) -> None:
    """Whether or not the answer had something to commit."""
    raised: list[str] = []

    class Finishing(Page):
        def on_finish(self) -> None:
            tries(self, change, raised)

    site: Site = await serve({"/visit": visit, "/": (Finishing, act)})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/")

    assert response.whole
    assert [each.partition(" after the answer")[0] for each in raised] == [CHANGES[change][1]]


async def test_a_late_change_of_a_new_session_says_so_too(serve: Any) -> None:
    """One that nobody has looked at before."""
    raised: list[str] = []
    site: Site = await serve(lambda handler: finishes(handler, "set", raised))

    await site.browser().fetch()

    assert [each.partition(" was changed")[0] for each in raised] == ["session['late']"]
    assert "manager.open()" in raised[0]
    assert await site.rows() == {}


async def test_a_stream_may_change_its_session_until_its_end(serve: Any) -> None:
    """Its head has left, and what needs no cookie is committed with the end."""

    async def act(handler: Any) -> None:
        handler.write("one")
        await handler.flush()
        handler.session["late"] = 1
        handler.session.cookie.max_age = MINUTE

    site: Site = await serve({"/visit": visit, "/": act})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/")

    assert response.whole
    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == MINUTE


@each_change
async def test_a_socket_may_change_its_session(serve: Any, change: str) -> None:
    """Its handshake was its answer, and `save()` stores."""
    raised: list[str] = []

    async def act(handler: Any) -> str:
        with suppress(NoSession):
            tries(handler, change, raised)
        await handler.session.save()
        return "saved"

    site: Site = await serve({"/visit": visit, "/socket": (Socket, act)})
    browser = site.browser()
    await browser.fetch("/visit")
    call = await open_socket(browser)

    answer = await say(call)
    await call.wire.close()

    assert (answer, raised) == ("saved", [])


async def test_save_after_finish_stores_what_was_changed_inside_a_value(serve: Any) -> None:
    """A nested change that was made before, or behind, cannot be refused: save() writes it."""

    async def act(handler: Any) -> None:
        handler.session["list"] = [1]
        await handler.finish("ok")
        handler.session["list"].append(2)
        await handler.session.save()

    site: Site = await serve(act)
    browser = site.browser()

    await browser.fetch()
    await site.store.idle()

    assert await site.row(browser.sid) == {"list": [1, 2]}


async def test_destroy_after_finish_ends_the_session(serve: Any) -> None:
    """In the store; the browser keeps a cookie that leads nowhere."""

    async def act(handler: Any) -> None:
        await handler.finish("ok")
        await handler.session.destroy()

    site: Site = await serve({"/visit": visit, "/": act})
    browser = site.browser()
    await browser.fetch("/visit")

    await browser.fetch("/")
    await site.store.idle()

    assert await site.rows() == {}
    assert browser.cookie() is not None
