"""Promise 1: the session is committed before the first byte of the answer leaves, however the answer ends."""

from typing import Any

import pytest
from tornado.web import RequestHandler

from sessions import SessionMixin

from .ends import ENDS, each_end, written
from .world import MARK, Act, Site, setting, show, unset, visit


@each_end
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_promise_1_no_byte_leaves_before_the_commit(
    serve: Any, settings: dict[str, Any], end: Act, method: str
) -> None:
    """While the store has not taken the change the client has nothing; then it has the answer and the cookie."""
    site: Site = await serve(end, settings=settings)
    browser = site.browser()
    gate = site.store.hold()

    call = await browser.start(method=method)
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert (response.status, response.whole) == (ENDS[end], True)
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_promise_1_an_etag_match_is_committed(serve: Any) -> None:
    """A 304 that Tornado finds only while it finishes waits for the commit, too."""
    site: Site = await serve(written)
    browser = site.browser()
    etag = (await browser.fetch()).header("Etag") or ""
    await site.store.clear()
    gate = site.store.hold()

    call = await browser.start(headers={"If-None-Match": etag})
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert (response.status, response.body) == (304, b"")
    assert await site.row(browser.sid) == {"mark": MARK}


@pytest.mark.parametrize(("verb", "act"), [("update", setting(n=1)), ("touch", show), ("update", unset)])
async def test_promise_1_every_kind_of_write_is_waited_for(serve: Any, verb: str, act: Act) -> None:
    """Not only a new session: a change, a renewal and an end are in the store before the client gets the first byte."""
    site: Site = await serve({"/": visit, "/act": act}, unset="destroy", touch_after=0)
    browser = site.browser()
    await browser.fetch()
    gate = site.store.hold(verb)

    call = await browser.start("/act")
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert response.status == 200


class Guard(SessionMixin, RequestHandler):
    """Sends everybody to the login, in prepare()."""

    async def prepare(self) -> None:
        await super().prepare()
        self.session["wanted"] = self.request.path
        self.redirect("/login")

    def get(self) -> None:
        """Never to be seen."""
        self.application.settings["seen"].append(self.request.path)
        self.write("for members only")


async def test_promise_1_a_redirect_in_prepare_stops_the_verb(serve: Any) -> None:
    """The request looks finished while its commit is under way: the verb does not run and its body does not leak."""
    seen: list[str] = []
    site: Site = await serve({"/.*": Guard}, settings={"seen": seen})
    browser = site.browser()
    gate = site.store.hold()

    call = await browser.start("/members")
    await gate.reached()
    before = await call.quiet()
    gate.open()
    response = await call.response()

    assert before
    assert (response.status, response.header("Location"), response.body) == (302, "/login", b"")
    assert seen == []
    assert await site.row(browser.sid) == {"wanted": "/members"}


async def test_nothing_to_write_costs_no_store_call(serve: Any) -> None:
    """A visitor without a cookie whom nobody gives a session costs the store nothing at all."""
    site: Site = await serve(lambda _: "hello")

    response = await site.browser().fetch()

    assert (response.status, response.text, response.set_cookies) == (200, "hello", [])
    assert site.store.calls == []
