"""Promise 1, the other half: a commit that fails is a 5xx without a session cookie, however the answer would have ended."""

from typing import Any

import pytest

from sessions import StoreError, StoreUnavailable

from .conftest import Logbook, memory_only
from .ends import each_end, streamed
from .staged import StagedStore
from .world import MARK, Act, Page, Site, count, show, visit


def refuses(store: StagedStore, *verbs: str) -> None:
    store.fail(StoreError("the disk says no"), *verbs)


def is_away(store: StagedStore, *verbs: str) -> None:
    store.fail(StoreUnavailable("the disk is away"), *verbs)


def is_silent(store: StagedStore, *verbs: str) -> None:
    store.silence(*verbs)


async def rotate(handler: Any) -> None:
    """A new id."""
    await handler.session.rotate()


FAULTS = {refuses: (500, None), is_away: (503, "1"), is_silent: (503, "1")}
"""What a store can do to us, and the status and Retry-After that a visitor is answered."""

VERBS: dict[str, Act] = {"get": show, "touch": show, "update": count, "rename": rotate}
"""What is asked of the store, and a page that asks for it."""

each_fault = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)


@memory_only  # the fault is in a wrapper, so it works with every store; and memory never misses a short deadline
@each_fault
@each_end
async def test_promise_1_a_commit_that_fails_is_a_5xx_without_cookie(
    serve: Any, settings: dict[str, Any], end: Act, fault: Any
) -> None:
    """A new visitor gets an error, and no cookie of a session that is not there."""
    site: Site = await serve(end, settings=settings, store_timeout=20)
    fault(site.store)

    response = await site.browser().fetch()

    assert (response.status, response.header("Retry-After")) == FAULTS[fault]
    assert response.whole
    assert response.set_cookies == []
    assert b"do" not in response.body
    assert await site.rows() == {}


@memory_only
@each_fault
@each_end
async def test_promise_1_a_change_that_fails_is_a_5xx_without_cookie(
    serve: Any, settings: dict[str, Any], end: Act, fault: Any
) -> None:
    """A visitor with a session gets an error; the session and the cookie stay as they were."""
    site: Site = await serve({"/count": count, "/": end}, settings=settings, store_timeout=20)
    browser = site.browser()
    await browser.fetch("/count")
    cookie = browser.cookie()
    fault(site.store)

    response = await browser.fetch()

    assert (response.status, response.header("Retry-After")) == FAULTS[fault]
    assert response.whole
    assert response.set_cookies == []
    assert browser.cookie() == cookie
    assert await site.row(browser.sid) == {"n": 1}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [(refuses, "memory"), (refuses, "sqlite"), (is_away, "memory"), (is_away, "sqlite"), (is_silent, "memory")],
    indirect=["kind"],
    ids=lambda each: getattr(each, "__name__", each),
)
@pytest.mark.parametrize("verb", VERBS)
async def test_promise_1_whichever_verb_fails_it_is_a_5xx(serve: Any, verb: str, fault: Any) -> None:
    """Load, renewal, change and end alike; and once the store is back, so is the visitor's session."""
    pages = {"/visit": visit, "/act": VERBS[verb], "/show": show}
    deadline = 20 if fault is is_silent else 5_000
    site: Site = await serve(pages, unset="destroy", touch_after=0, store_timeout=deadline)
    browser = site.browser()
    await browser.fetch("/visit")
    fault(site.store, verb)

    response = await browser.fetch("/act")
    site.store.recover()
    later = await browser.fetch("/show")

    assert (response.status, response.header("Retry-After")) == FAULTS[fault]
    assert response.set_cookies == []
    assert later.json() == {"mark": MARK}


async def test_promise_1_a_stream_breaks_off_if_its_renewal_fails(serve: Any) -> None:
    """A page that only reads and streams renews its session at the end: if that fails, the answer never looks whole."""

    async def stream(handler: Any) -> None:
        handler.write(show(handler))
        await handler.flush()

    site: Site = await serve({"/visit": visit, "/stream": stream}, touch_after=0)
    browser = site.browser()
    await browser.fetch("/visit")
    refuses(site.store)

    response = await browser.fetch("/stream")

    assert (response.status, response.json(), response.whole) == (200, {"mark": MARK}, False)


async def test_the_handlers_own_headers_do_not_survive_the_failure(serve: Any) -> None:
    """A redirect that was not committed leads nowhere."""

    def login(handler: Any) -> None:
        visit(handler)
        handler.set_header("X-Welcome", "yes")
        handler.redirect("/account")

    site: Site = await serve(login)
    refuses(site.store)

    response = await site.browser().fetch()

    assert response.status == 500
    assert (response.header("Location"), response.header("X-Welcome")) == (None, None)


async def test_a_failed_commit_is_logged_with_its_cause(serve: Any, logbook: Logbook) -> None:
    """Whoever reads the log learns what the store said; a 503 is a line without a traceback, as every HTTPError."""
    site: Site = await serve(visit)

    refuses(site.store)
    await site.browser().fetch("/broken")
    is_away(site.store)
    await site.browser().fetch("/away")

    assert any(
        "/broken" in line and "StoreError: the disk says no" in line for line in logbook.lines("tornado.application")
    )
    assert "503 GET /away (127.0.0.1): session store: the disk is away" in logbook.lines("tornado.general")


class Sorry(Page):
    """An error page of the application's own, which asks for the session politely."""

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(f"sorry, {status_code}, {self.has_session}")


class Rude(Page):
    """One that takes the session for granted."""

    def write_error(self, status_code: int, **_: Any) -> None:
        self.finish(f"sorry, {self.session['mark']}")


@pytest.mark.parametrize(("page", "body"), [(Sorry, "sorry, 503, False"), (Rude, "")])
@pytest.mark.parametrize("end", [visit, streamed])
async def test_an_error_page_of_ones_own_is_used(serve: Any, page: type[Page], body: str, end: Act) -> None:
    """write_error() answers the failed commit; one that itself fails, for want of a session, keeps nobody waiting."""
    site: Site = await serve({"/": (page, end)})
    is_away(site.store)

    response = await site.browser().fetch()

    assert (response.status, response.text) == (503, body)
    assert response.header("Retry-After") == "1"


async def test_without_a_cookie_a_broken_store_is_not_asked(serve: Any) -> None:
    """Visitors without a session are served while the store is broken: health checks, robots, first pages."""
    site: Site = await serve(lambda _: "hello")
    refuses(site.store, "get", "create")

    response = await site.browser().fetch()

    assert (response.status, response.text) == (200, "hello")
