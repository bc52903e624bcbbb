"""A WebSocket in use keeps its session alive, if its handler says so; and one that is closed leaves nothing behind."""

import asyncio
import gc
import os
import weakref
from pathlib import Path
from typing import Any

from clock import MINUTE

from sessions import StoreUnavailable
from sessions.watch import watch_of

from .talks import (
    ENDED,
    NEVER,
    SOON,
    Alive,
    asked,
    opened,
    signed_in,
    site_of,
    talk,
    until,
)
from .world import LIFETIME

CONNECTS = int(os.environ.get("CONNECTS", "200"))
"""Sockets that come and go; the long form of that test is `CONNECTS=10000`."""


async def test_messages_keep_a_session_alive(serve: Any) -> None:
    """Longer than one lifetime, with `keep_alive`."""
    site, browser, open_socket = await opened(serve, "/alive")
    sid = browser.sid

    answers = []
    for _ in range(3):
        site.clock.forward(LIFETIME - MINUTE)
        answers.append(await open_socket.say())
        await site.store.idle()
    await open_socket.close()

    assert answers == ["heard"] * 3
    assert (await site.stored(sid)).expires_at == site.clock() + LIFETIME


async def test_messages_move_the_expiry_once_per_touch_after(serve: Any) -> None:
    """Ten messages in a minute are one touch, and so is a minute in which a page has done it."""
    site, _, open_socket = await opened(serve, "/alive", touch_after=MINUTE, watch_interval=NEVER)
    site.store.forget()

    await open_socket.say()
    early = list(site.store.writes)
    site.clock.forward(MINUTE)
    for _ in range(10):
        await open_socket.say()
    await site.store.idle()
    await open_socket.close()

    assert (early, site.store.writes) == ([], ["touch"])


async def test_a_touch_is_made_on_the_row_of_now(serve: Any) -> None:
    """Pages have changed it; what they stored stays, and the expiry moves."""
    site, browser, open_socket = await opened(serve, "/alive", watch_interval=NEVER)
    sid = browser.sid
    await browser.fetch("/visit")

    site.clock.forward(LIFETIME - MINUTE)
    await open_socket.say()
    await site.store.idle()
    await open_socket.close()

    assert set(await site.row(sid) or {}) == {"user", "mark", "__meta"}
    assert (await site.stored(sid)).expires_at == site.clock() + LIFETIME


async def test_messages_alone_do_not_keep_a_session(serve: Any) -> None:
    """Without `keep_alive` a socket lets its session expire."""
    site, _, open_socket = await opened(serve)

    site.clock.forward(LIFETIME - MINUTE)
    await open_socket.say()
    site.clock.forward(2 * MINUTE)

    assert await open_socket.end() == ENDED


async def test_a_message_that_finds_its_session_gone_ends_the_socket(serve: Any) -> None:
    """Before the watch has asked."""
    site, browser, open_socket = await opened(serve, "/alive", watch_interval=NEVER)
    await site.store.inner.destroy(browser.sid or "")

    site.clock.forward(LIFETIME // 2)
    await open_socket.client.write_message("hello")

    while await open_socket.hear() is not None:
        pass

    assert (open_socket.client.close_code, open_socket.client.close_reason) == ENDED


async def test_a_touch_that_fails_disturbs_nobody(serve: Any, logbook: Any) -> None:
    """It is said once, and the next message tries again."""
    site, browser, open_socket = await opened(serve, "/alive", watch_interval=NEVER)
    sid = browser.sid
    site.clock.forward(LIFETIME - MINUTE)

    site.store.fail(StoreUnavailable("away"), "touch")
    answers = [await open_socket.say(), await open_socket.say()]
    site.store.recover()
    answers.append(await open_socket.say())
    await site.store.idle()
    await open_socket.close()

    assert answers == ["heard"] * 3
    assert sum("keep_alive: away" in line for line in logbook.lines("sessions")) == 1
    assert (await site.stored(sid)).expires_at == site.clock() + LIFETIME


# ---------------------------------------------------------------- what is left


async def test_connects_and_closes_leave_nothing_behind(serve: Any) -> None:
    """No task, no id, no handler."""
    handlers: weakref.WeakSet[Any] = weakref.WeakSet()

    class Counted(Alive):
        def open(self) -> None:
            handlers.add(self)

    site = await site_of(serve, {"/counted": Counted})
    browser = await signed_in(site)
    descriptors = _descriptors()

    for _ in range(CONNECTS // 10):
        talks = [await talk(site, browser, "/counted") for _ in range(10)]
        for each in talks:
            await each.close()
    await until(lambda: not watch_of(site.manager).is_asking)
    del talks, each
    gc.collect()

    assert (len(watch_of(site.manager)), len(handlers)) == (0, 0)
    assert _descriptors() <= descriptors
    assert not [task for task in asyncio.all_tasks() if "watch" in repr(task.get_coro())]


async def test_without_a_socket_the_store_is_not_asked(serve: Any) -> None:
    """The task ends with the last one."""
    site, _, open_socket = await opened(serve)
    await asked(site)

    await open_socket.close()
    await until(lambda: not watch_of(site.manager).is_asking)
    site.store.forget()
    await asyncio.sleep(3 * SOON / 1000)  # an interval is real time

    assert site.store.calls == []


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
