"""A new id for the session: regenerate() and rotate(), for every login."""

from typing import Any

import pytest

from sessions import SessionError, StoreUnavailable

from .conftest import Logbook
from .staged import Gate
from .world import LIFETIME, MARK, YEAR, Act, Site, count, overtaken, show, visit


def remember(handler: Any) -> None:
    """A visitor with a lifetime of her own."""
    visit(handler)
    handler.session.cookie.max_age = YEAR


async def regenerate(handler: Any) -> str:
    await handler.session.regenerate()
    return show(handler)


async def rotate(handler: Any) -> str:
    await handler.session.rotate()
    return show(handler)


async def test_regenerate_is_a_new_session(serve: Any) -> None:
    """New id, no data, the cookie of the options; the old id is gone at once. Stored although it is empty."""
    site: Site = await serve({"/visit": remember, "/login": regenerate})
    browser = site.browser()
    await browser.fetch("/visit")
    old = browser.sid

    response = await browser.fetch("/login")

    assert response.json() == {}
    assert browser.sid not in (None, old)
    assert await site.rows() == {browser.sid: {}}
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == LIFETIME


async def test_rotate_is_the_same_session_under_a_new_id(serve: Any) -> None:
    """Data and cookie go along: for a login that keeps the basket."""
    site: Site = await serve({"/visit": remember, "/login": rotate})
    browser = site.browser()
    await browser.fetch("/visit")
    old = browser.sid

    response = await browser.fetch("/login")

    assert response.json() == {"mark": MARK}
    assert browser.sid not in (None, old)
    assert await site.rows() == {browser.sid: {"mark": MARK}}
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == YEAR


async def test_rotate_takes_parallel_changes_along(serve: Any) -> None:
    """What another request has stored since the load is in the new session as well."""
    gate = Gate()

    async def login(handler: Any) -> None:
        handler.session["user"] = MARK
        await gate.wait()
        await handler.session.rotate()

    site: Site = await serve({"/visit": visit, "/login": login, "/count": count})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate, "/count", path="/login")

    assert await site.rows() == {browser.sid: {"mark": MARK, "n": 1, "user": MARK}}


@pytest.mark.parametrize("act", [regenerate, rotate])
async def test_a_visitor_without_a_session_may_get_a_new_id_too(serve: Any, act: Act) -> None:
    """A first visit that is a login."""

    async def login(handler: Any) -> None:
        await act(handler)  # type: ignore[misc] # both are async
        handler.session["user"] = MARK

    site: Site = await serve(login)
    browser = site.browser()

    await browser.fetch()

    assert await site.rows() == {browser.sid: {"user": MARK}}


async def test_two_regenerations_leave_one_session(serve: Any) -> None:
    """Nothing is left behind of those in between."""

    async def twice(handler: Any) -> None:
        await handler.session.regenerate()
        await handler.session.save()
        await handler.session.regenerate()

    site: Site = await serve({"/visit": visit, "/login": twice})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/login")

    assert len(response.set_cookies) == 1
    assert await site.rows() == {browser.sid: {}}


@pytest.mark.parametrize(("act", "verb"), [(regenerate, "update"), (rotate, "rename")])
async def test_a_new_id_that_fails_leaves_the_old_session(serve: Any, act: Act, verb: str) -> None:
    """5xx without a cookie; the visitor goes on with the session that was."""
    site: Site = await serve({"/visit": visit, "/login": act, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(StoreUnavailable("the disk is away"), verb)

    response = await browser.fetch("/login")
    site.store.recover()
    later = await browser.fetch("/show")

    assert response.status >= 500
    assert response.set_cookies == []
    assert later.json() == {"mark": MARK}


async def test_a_rotation_that_failed_once_leaves_one_session(serve: Any) -> None:
    """The store comes back before the request ends: no second session with the same data may be left alive."""

    async def login(handler: Any) -> None:
        try:
            await handler.session.rotate()
        finally:
            site.store.recover()

    site: Site = await serve({"/visit": visit, "/login": login})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(StoreUnavailable("the disk is away"), "rename")

    response = await browser.fetch("/login")

    assert response.status >= 500
    assert await site.rows() == {browser.sid: {"mark": MARK}}


@pytest.mark.parametrize("late", ["save", "regenerate", "rotate", "mutate"])
async def test_what_needs_a_new_cookie_after_the_first_flush_is_an_error(serve: Any, late: str) -> None:
    """HeadersSent, and nothing is left in the store that no browser knows."""
    seen: list[str] = []

    async def act(handler: Any) -> None:
        if late in ("regenerate", "rotate"):
            visit(handler)
        handler.write("one,")
        await handler.flush()
        try:
            if late == "mutate":
                await handler.session.mutate(lambda data: data.update(n=1))
            elif late == "save":
                handler.session["n"] = 1
                await handler.session.save()
            else:
                await getattr(handler.session, late)()
        except SessionError as error:
            seen.append(type(error).__name__)
            raise

    site: Site = await serve(act)
    browser = site.browser()

    response = await browser.fetch()

    assert seen == ["HeadersSent"]
    assert not response.whole
    assert await site.rows() in ({}, {browser.sid: {"mark": MARK}})


async def test_a_session_that_begins_after_the_first_flush_cuts_the_stream(serve: Any, logbook: Logbook) -> None:
    """No cookie could carry its id: the end of the request refuses it, and the log says why."""

    async def act(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        visit(handler)

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert (response.text, response.whole) == ("one,", False)
    assert any("HeadersSent" in line for line in logbook.lines("tornado.application"))
    assert await site.rows() == {}
