"""`manager.open`: work on a session outside a request, for instance after the answer."""

import asyncio
from typing import Any

import pytest
from clock import MINUTE

from sessions import CookieOptions, HeadersSent, NoSession, StoreUnavailable

from .world import LIFETIME, MARK, Site, count, setting, show, visit


async def test_open_commits_at_the_end(serve: Any) -> None:
    """What was changed, merged with what others have stored meanwhile."""
    site: Site = await serve({"/visit": visit, "/set": setting(theirs=1)})
    browser = site.browser()
    await browser.fetch("/visit")

    async with site.manager.open(browser.sid or "") as session:
        session["mine"] = 1
        await browser.fetch("/set")

    assert await site.row(browser.sid) == {"mark": MARK, "theirs": 1, "mine": 1}


async def test_open_for_a_look_writes_nothing(serve: Any) -> None:
    """And the lifetime does not start again."""
    site: Site = await serve({"/visit": visit})
    browser = site.browser()
    await browser.fetch("/visit")
    before = (await site.stored(browser.sid)).expires_at
    site.clock.forward(MINUTE)
    site.store.forget()

    async with site.manager.open(browser.sid or "") as session:
        seen = dict(session)

    assert seen == {"mark": MARK}
    assert site.store.writes == []
    assert (await site.stored(browser.sid)).expires_at == before


async def test_a_change_by_open_does_not_start_the_lifetime_again(serve: Any) -> None:
    """Work of the server is no use by the visitor."""
    site: Site = await serve({"/visit": visit})
    browser = site.browser()
    await browser.fetch("/visit")
    before = (await site.stored(browser.sid)).expires_at
    site.clock.forward(MINUTE)

    async with site.manager.open(browser.sid or "") as session:
        session["mine"] = 1

    assert (await site.stored(browser.sid)).expires_at == before


async def test_an_exception_in_open_commits_nothing(serve: Any) -> None:
    """It goes through."""
    site: Site = await serve({"/visit": visit})
    browser = site.browser()
    await browser.fetch("/visit")

    async def work() -> None:
        async with site.manager.open(browser.sid or "") as session:
            session["mine"] = 1
            raise LookupError("the application's own")

    with pytest.raises(LookupError):
        await work()

    assert await site.row(browser.sid) == {"mark": MARK}


@pytest.mark.parametrize("sid", ["", "unknown", "expired"])
async def test_open_of_what_is_gone_raises_no_session(serve: Any, sid: str) -> None:
    """It makes none."""
    site: Site = await serve({"/visit": visit})
    browser = site.browser()
    await browser.fetch("/visit")
    if sid == "expired":
        sid = browser.sid or ""
        site.clock.forward(LIFETIME + MINUTE)
    rows = await site.rows()

    with pytest.raises(NoSession):
        async with site.manager.open(sid):
            pass

    assert await site.rows() == rows


async def test_open_of_an_id_that_was_replaced_raises_no_session(serve: Any) -> None:
    """A tombstone is no session, and its successor is not followed."""
    site: Site = await serve({"/visit": visit, "/login": lambda handler: handler.session.rotate()})
    browser = site.browser()
    await browser.fetch("/visit")
    before = browser.sid or ""
    await browser.fetch("/login")

    with pytest.raises(NoSession):
        async with site.manager.open(before):
            pass


async def test_a_session_that_ends_meanwhile_raises_no_session_at_the_end(serve: Any) -> None:
    """It never comes back."""
    site: Site = await serve({"/visit": visit, "/logout": lambda handler: handler.session.destroy()})
    browser = site.browser()
    await browser.fetch("/visit")

    async def work() -> None:
        async with site.manager.open(browser.sid or "") as session:
            session["mine"] = 1
            await browser.fetch("/logout")

    with pytest.raises(NoSession):
        await work()

    assert await site.rows() == {}


@pytest.mark.parametrize("verb", ["regenerate", "rotate"])
async def test_open_makes_no_new_id(serve: Any, verb: str) -> None:
    """No browser would learn of it."""
    site: Site = await serve({"/visit": visit})
    browser = site.browser()
    await browser.fetch("/visit")

    with pytest.raises(HeadersSent):
        async with site.manager.open(browser.sid or "") as session:
            await getattr(session, verb)()

    assert await site.rows() == {browser.sid: {"mark": MARK}}


async def test_open_may_end_a_session(serve: Any) -> None:
    """An administrator's sign-out."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")

    async with site.manager.open(browser.sid or "") as session:
        await session.destroy()

    assert await site.rows() == {}
    assert (await browser.fetch("/show")).json() == {}


async def test_open_waits_for_verbs_that_nobody_awaits(serve: Any) -> None:
    """And has their failure."""
    site: Site = await serve({"/visit": visit})
    browser = site.browser()
    await browser.fetch("/visit")

    async with site.manager.open(browser.sid or "") as session:
        session.mutate(lambda data: data.update(mine=1))
    site.store.fail(StoreUnavailable("the disk is away"))
    with pytest.raises(StoreUnavailable):
        async with site.manager.open(browser.sid or "") as session:
            session.mutate(lambda data: data.update(mine=2))

    assert await site.row(browser.sid) == {"mark": MARK, "mine": 1}


async def test_open_is_for_work_after_the_answer(serve: Any) -> None:
    """What HeadersSent points to works from a task that the handler leaves behind."""
    done = asyncio.Event()

    async def work(manager: Any, sid: str) -> None:
        async with manager.open(sid) as session:
            session["worked"] = 1
        done.set()

    async def act(handler: Any) -> None:
        count(handler)
        await handler.finish("ok")
        handler.settings["tasks"].append(asyncio.create_task(work(handler.settings["sessions"], handler.session.id)))

    site: Site = await serve(act, settings={"tasks": []}, cookie=CookieOptions(max_age=LIFETIME))
    browser = site.browser()

    await browser.fetch()
    await asyncio.wait_for(done.wait(), 10)

    assert await site.row(browser.sid) == {"n": 1, "worked": 1}
