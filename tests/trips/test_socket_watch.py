"""WebSockets end soon if their session ends elsewhere, since the store is asked for it; and what keeps them."""

from typing import Any

import pytest
from clock import MINUTE, SECOND

from sessions import StoreUnavailable
from sessions.watch import watch_of

from .conftest import memory_only
from .talks import (
    CHANGED,
    ENDED,
    NEVER,
    VERBS,
    Chat,
    asked,
    connect,
    neighbour,
    opened,
    signed_in,
    site_of,
    talk,
    until,
)
from .world import LIFETIME, replay


@pytest.mark.parametrize(("path", "end"), VERBS)
async def test_a_verb_ends_the_sockets_of_other_processes(serve: Any, world: Any, path: str, end: Any) -> None:
    """Which learn it from the store."""
    site = await site_of(serve)
    other = await neighbour(serve, world)
    browser = await signed_in(site)
    open_socket = await talk(other, browser)

    await browser.fetch(path)

    assert await open_socket.end() == end


async def test_a_row_that_is_deleted_by_hand_ends_its_sockets(serve: Any) -> None:
    """Nobody has called a verb."""
    site, browser, open_socket = await opened(serve)

    await site.store.inner.destroy(browser.sid or "")

    assert await open_socket.end() == ENDED


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "postgres"], indirect=True)
async def test_a_session_that_expires_ends_its_sockets(serve: Any) -> None:
    """By the clock of the store."""
    site = await site_of(serve, user_key=None)
    browser = site.browser()
    await browser.fetch("/visit")
    open_socket = await talk(site, browser)

    site.clock.forward(LIFETIME + SECOND)

    assert await open_socket.end() == ENDED


@memory_only
async def test_the_absolute_end_of_a_session_ends_its_sockets(serve: Any) -> None:
    """However much it is used."""
    site, browser, open_socket = await opened(serve, absolute_timeout=LIFETIME - MINUTE)
    row = await site.stored(browser.sid)
    await site.store.inner.touch(browser.sid or "", site.clock() + 10 * LIFETIME, row)  # as a Node server does

    site.clock.forward(LIFETIME - MINUTE)

    assert await open_socket.end() == ENDED


@pytest.mark.parametrize("grace", [0, None])
@memory_only
async def test_a_tombstone_elsewhere_says_that_the_session_goes_on(serve: Any, world: Any, grace: int | None) -> None:
    """Without one (`grace = 0`) the session is only gone."""
    site = await site_of(serve, grace=grace)
    other = await neighbour(serve, world, grace=grace)
    browser = await signed_in(site)
    open_socket = await talk(other, browser)

    await browser.fetch("/rotate")

    assert await open_socket.end() == (CHANGED if grace is None else ENDED)


@memory_only
async def test_a_session_that_ended_during_the_handshake_ends_the_socket(serve: Any, world: Any) -> None:
    """The store is asked at once, since the session was loaded some time ago."""
    site = await site_of(serve)
    browser = await signed_in(site)

    class Slow(Chat):
        async def prepare(self) -> None:
            await super().prepare()
            await site.store.inner.destroy(browser.sid or "")

    other = await site_of(serve, {"/slow": Slow}, store=await world.store(), watch_interval=NEVER)
    open_socket = await connect(other, replay(browser), "/slow")

    assert await open_socket.end() == ENDED


# ---------------------------------------------------------------- what keeps a socket


async def test_a_confirmation_keeps_sockets_everywhere(serve: Any, world: Any) -> None:
    """They go on with the session under its new id, and what they save is stored there."""
    site = await site_of(serve)
    other = await neighbour(serve, world)
    browser = await signed_in(site)
    talks = [await talk(site, browser, "/saving"), await talk(other, browser, "/saving")]
    before = browser.sid

    await browser.fetch("/confirm")
    await until(lambda: all(before not in watch_of(each.manager).keys for each in (site, other)))
    answers = [await each.say() for each in talks]

    assert before != browser.sid
    assert answers == ["saved", "saved"]
    assert (await site.row(browser.sid) or {})["said"] == 3
    await browser.fetch("/logout")
    assert [await each.end() for each in talks] == [ENDED, ENDED]


@memory_only
async def test_a_confirmation_without_a_tombstone_keeps_the_sockets_of_its_process(serve: Any) -> None:
    """With `grace = 0`, where others see a missing row."""
    _, browser, open_socket = await opened(serve, grace=0)

    await browser.fetch("/confirm")
    answer = await open_socket.say()
    await browser.fetch("/logout")

    assert answer == "heard"
    assert await open_socket.end() == ENDED


async def test_a_renewal_and_a_change_keep_sockets(serve: Any) -> None:
    """Longer than one lifetime."""
    site, browser, open_socket = await opened(serve, touch_after=0)

    for _ in range(3):
        site.clock.forward(LIFETIME - MINUTE)
        await browser.fetch("/visit")
        await asked(site)
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "heard"


@memory_only
async def test_a_store_that_is_away_ends_nothing(serve: Any) -> None:
    """What has ended meanwhile ends when it is back."""
    site, browser, open_socket = await opened(serve)
    await asked(site)

    site.store.fail(StoreUnavailable("away"), "get")
    await site.store.inner.destroy(browser.sid or "")
    await asked(site, 3)
    answer = await open_socket.say()
    site.store.recover()

    assert answer == "heard"
    assert await open_socket.end() == ENDED


@memory_only
async def test_a_known_end_of_life_needs_no_store(serve: Any) -> None:
    """It is away, and the expiry that was seen last has passed."""
    site, _, open_socket = await opened(serve)
    await asked(site)

    site.store.fail(StoreUnavailable("away"), "get")
    site.clock.forward(LIFETIME + SECOND)

    assert await open_socket.end() == ENDED


@memory_only
async def test_a_row_that_cannot_be_read_ends_nothing(serve: Any) -> None:
    """Each request says what is wrong with it."""
    site, browser, open_socket = await opened(serve)
    row = await site.stored(browser.sid)

    await site.store.inner.update(browser.sid or "", row._replace(data="no JSON", version=None), row)
    await asked(site, 2)
    answer = await open_socket.say()
    await open_socket.close()

    assert answer == "heard"
