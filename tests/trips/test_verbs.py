"""What a handler awaits: save(), reload(), destroy(). They act at once and raise what the store raises."""

import asyncio
import json
from contextlib import suppress
from typing import Any

import pytest
from clock import MINUTE

from sessions import NoSession, SessionError, StoreError, StoreUnavailable

from .staged import Gate
from .world import LIFETIME, MARK, YEAR, Site, count, logout, overtaken, show, turns, visit

# ---------------------------------------------------------------- save


async def test_save_stores_at_once(serve: Any) -> None:
    """Before the handler goes on, and the end of the request has nothing left to write."""
    seen: list[Any] = []

    async def act(handler: Any) -> None:
        visit(handler)
        await handler.session.save()
        seen.append(await site.row(handler.session.id))

    site: Site = await serve(act)
    browser = site.browser()

    await browser.fetch()

    assert seen == [{"mark": MARK}]
    assert site.store.writes == ["create"]
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_a_change_after_save_is_committed_at_the_end(serve: Any) -> None:
    """save() is no promise to be done."""

    async def act(handler: Any) -> None:
        handler.session["n"] = 1
        await handler.session.save()
        handler.session["n"] = 2

    site: Site = await serve(act)
    browser = site.browser()

    await browser.fetch()

    assert await site.row(browser.sid) == {"n": 2}


async def test_an_empty_session_that_was_saved_is_sent(serve: Any) -> None:
    """Express leaves it in the store as an orphan; here its visitor gets the cookie."""
    site: Site = await serve(lambda handler: handler.session.save())
    browser = site.browser()

    await browser.fetch()

    assert await site.rows() == {browser.sid: {}}


async def test_what_changes_while_save_is_under_way_is_not_lost(serve: Any) -> None:
    """A task of the handler's own writes on while the store does: that goes out with the end of the request."""
    changed = Gate()

    async def act(handler: Any) -> None:
        handler.session["early"] = 1
        saving = asyncio.ensure_future(handler.session.save())
        await changed.wait()
        handler.session["late"] = 2
        handler.session.cookie.max_age = YEAR
        await saving

    site: Site = await serve(act)
    browser = site.browser()
    gate = site.store.hold()
    call = await browser.start()

    await gate.reached()
    changed.open()
    await turns()
    gate.open()
    await call.response()

    assert await site.row(browser.sid) == {"early": 1, "late": 2}
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == YEAR


@pytest.mark.parametrize("error", [StoreError("the disk says no"), StoreUnavailable("the disk is away")])
async def test_save_raises_what_the_store_raises(serve: Any, error: StoreError) -> None:
    """The handler may answer for itself; the pending change is tried again at the end, and the end decides."""
    seen: list[BaseException] = []

    async def act(handler: Any) -> str:
        visit(handler)
        try:
            await handler.session.save()
        except StoreError as raised:
            seen.append(raised)
            site.store.recover()
        return "tried"

    site: Site = await serve(act)
    site.store.fail(error)
    browser = site.browser()

    response = await browser.fetch()

    assert seen == [error]
    assert (response.status, response.text) == (200, "tried")
    assert await site.row(browser.sid) == {"mark": MARK}


# ---------------------------------------------------------------- reload


async def test_reload_brings_the_stored_session_back(serve: Any) -> None:
    """What was changed here is dropped, what others have stored is there, the cookie's settings too."""
    gate = Gate()

    async def act(handler: Any) -> str:
        handler.session["mine"] = 1
        handler.session.cookie.max_age = YEAR
        await gate.wait()
        await handler.session.reload()
        return f"{show(handler)} {handler.session.cookie.original_max_age}"

    site: Site = await serve({"/visit": visit, "/slow": act, "/count": count})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await overtaken(browser, gate, "/count")

    assert response.text == f"{json.dumps({'mark': MARK, 'n': 1})} {LIFETIME}"
    assert await site.row(browser.sid) == {"mark": MARK, "n": 1}


@pytest.mark.parametrize("verb", ["rotate", "save"])
async def test_what_a_reload_has_dropped_is_not_assigned_any_more(serve: Any, verb: str) -> None:
    """A session that ends after it begins again without it: the value that was reloaded is not this request's."""
    gate = Gate()

    async def act(handler: Any) -> str:
        handler.session["mark"] = "mine"
        await handler.session.reload()
        handler.session["own"] = 1
        await gate.wait()
        if verb == "save":
            handler.session.cookie.max_age = YEAR
            with suppress(NoSession):
                await handler.session.save()
        await handler.session.rotate()
        return show(handler)

    site: Site = await serve({"/visit": visit, "/slow": act, "/logout": logout})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await overtaken(browser, gate, "/logout")

    assert response.text == json.dumps({"own": 1})


async def test_reload_of_what_is_not_stored_is_an_error(serve: Any) -> None:
    """Express's words; the session in hand stays as it was."""
    seen: list[str] = []

    async def act(handler: Any) -> str:
        visit(handler)
        try:
            await handler.session.reload()
        except SessionError as error:
            seen.append(f"{type(error).__name__}: {error}")
        return show(handler)

    site: Site = await serve(act)

    response = await site.browser().fetch()

    assert seen == ["SessionError: failed to load session"]
    assert response.json() == {"mark": MARK}


# ---------------------------------------------------------------- destroy


async def test_destroy_ends_the_session_at_once(serve: Any) -> None:
    """In the store, for the handler, and in the browser; nothing is written afterwards."""
    site: Site = await serve({"/visit": visit, "/logout": logout})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    response = await browser.fetch("/logout")

    assert response.text == "bye"
    assert site.store.calls == ["get", "update", "destroy"]
    assert await site.rows() == {}
    assert browser.cookie() is None


@pytest.mark.parametrize("error", [StoreError("the disk says no"), StoreUnavailable("the disk is away")])
@pytest.mark.parametrize("caught", [False, True])
async def test_a_destroy_that_fails_removes_no_cookie(serve: Any, error: StoreError, caught: bool) -> None:
    """The session may live on, so the browser keeps what it needs to try again."""

    async def act(handler: Any) -> None:
        try:
            await handler.session.destroy()
        except StoreError:
            if not caught:
                raise
            handler.set_status(502)

    site: Site = await serve({"/visit": visit, "/logout": act, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(error, "update")

    response = await browser.fetch("/logout")
    site.store.recover()
    later = await browser.fetch("/show")

    assert response.status == (502 if caught else 503 if isinstance(error, StoreUnavailable) else 500)
    assert response.set_cookies == []
    assert later.json() == {"mark": MARK}


async def test_touch_starts_the_lifetime_again(serve: Any) -> None:
    """In the session at once, in the store at the end of the request."""

    def act(handler: Any) -> str:
        before = handler.session.cookie.max_age
        handler.session.touch()
        return f"{before} {handler.session.cookie.max_age}"

    site: Site = await serve({"/visit": visit, "/touch": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.clock.forward(MINUTE)

    response = await browser.fetch("/touch")

    assert response.text == f"{LIFETIME - MINUTE} {LIFETIME}"
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


async def test_two_first_saves_side_by_side_make_one_session(serve: Any) -> None:
    """The id that the second finds taken is its own: the visitor's data lies under no id that nobody knows."""

    async def act(handler: Any) -> None:
        visit(handler)
        await asyncio.gather(handler.session.save(), handler.session.save())

    site: Site = await serve(act)
    browser = site.browser()

    await browser.fetch()

    assert await site.rows() == {browser.sid: {"mark": MARK}}
