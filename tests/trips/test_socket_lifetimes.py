"""A WebSocket in use keeps its session: `save()` starts the lifetime again. After the end it raises NoSession."""

from typing import Any

import pytest
from clock import HOUR, MINUTE

from sessions import CookieOptions

from .test_sockets import Outliving, Socket, open_socket, saved, say
from .world import LIFETIME, MARK, Site, logout, visit

ENDED = "NoSession: no session: it was destroyed or has expired since it was loaded"


async def touched(handler: Any) -> str:
    """Save an unchanged session."""
    await handler.session.save()
    return "saved"


@pytest.mark.parametrize("act", [saved, touched])
async def test_a_socket_that_saves_keeps_its_session(serve: Any, act: Any) -> None:
    """Longer than one lifetime, whether or not something was changed."""
    site: Site = await serve({"/socket": (Socket, act)})
    call = await open_socket(site.browser())

    answers = []
    for _ in range(5):
        site.clock.forward(LIFETIME - MINUTE)
        answers.append(await say(call))
    await call.wire.close()

    assert answers == ["saved"] * 5
    (row,) = await site.rows()
    assert (await site.stored(row)).expires_at == site.clock() + LIFETIME


async def test_a_socket_keeps_a_session_of_a_browser_window(serve: Any) -> None:
    """One without maxAge is kept for `ttl` after its last use, and a save is a use."""
    site: Site = await serve({"/socket": (Socket, saved)}, cookie=CookieOptions(), ttl=HOUR)
    call = await open_socket(site.browser())

    site.clock.forward(HOUR - MINUTE)
    await say(call)
    await call.wire.close()

    (row,) = await site.rows()
    assert (await site.stored(row)).expires_at == site.clock() + HOUR


async def test_a_save_that_meets_a_pages_change_starts_the_lifetime_again(serve: Any) -> None:
    """What both have changed is stored, with the expiry of the save."""
    site: Site = await serve({"/socket": (Socket, saved), "/visit": visit})
    browser = site.browser()
    call = await open_socket(browser)
    await browser.fetch("/visit")

    site.clock.forward(LIFETIME - MINUTE)
    answer = await say(call)
    await call.wire.close()

    assert answer == "saved"
    assert await site.row(browser.sid) == {"n": 1, "mark": MARK, "said": 1}
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


@pytest.mark.parametrize("act", [saved, touched])
async def test_a_socket_that_did_not_save_lets_its_session_expire(serve: Any, act: Any) -> None:
    """It never comes back."""
    site: Site = await serve({"/socket": (Outliving, act)})
    call = await open_socket(site.browser())

    site.clock.forward(LIFETIME + MINUTE)
    answer = await say(call)
    await call.wire.close()

    assert answer == ENDED
    assert await site.rows() == {}


async def test_no_save_gets_past_the_absolute_timeout(serve: Any) -> None:
    """The session ends there, however much its socket is used."""
    site: Site = await serve({"/socket": (Outliving, saved)}, absolute_timeout=2 * LIFETIME)
    call = await open_socket(site.browser())

    answers = []
    for _ in range(3):
        site.clock.forward(LIFETIME - MINUTE)
        answers.append(await say(call))
    await call.wire.close()

    assert answers == ["saved", "saved", ENDED]
    assert await site.rows() == {}


async def test_a_save_after_the_sign_out_says_so_each_time(serve: Any) -> None:
    """The first learns it from the store, the second knows it."""
    site: Site = await serve({"/socket": (Outliving, saved), "/logout": logout})
    browser = site.browser()
    call = await open_socket(browser)
    await browser.fetch("/logout")

    answers = [await say(call), await say(call)]
    await call.wire.close()

    assert answers == [ENDED, ENDED]
    assert await site.rows() == {}


async def test_a_save_of_a_page_does_not_start_the_lifetime_again(serve: Any) -> None:
    """Its request is the use, and the end of it decides."""
    expiries: list[int] = []

    async def page(handler: Any) -> None:
        handler.session["said"] = 1
        await handler.session.save()
        expiries.append((await site.stored(handler.session.id)).expires_at)

    site: Site = await serve({"/visit": visit, "/page": page})
    browser = site.browser()
    await browser.fetch("/visit")
    before = (await site.stored(browser.sid)).expires_at
    site.clock.forward(MINUTE)

    await browser.fetch("/page")

    assert expiries == [before]
