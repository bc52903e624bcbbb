"""The promises where a mutant (mutants.py) has shown that nothing else holds them on the wire."""

from collections.abc import Iterator
from typing import Any

import pytest
from clock import SECOND, MovableClock
from tornado.ioloop import IOLoop
from trips.staged import Gate
from trips.world import YEAR, Site, World, logout, overtaken, setting, show, slow, visit

from sessions import MemoryStore


@pytest.fixture
def serve(io_loop: IOLoop, clock: MovableClock) -> Iterator[Any]:
    """What starts a site on a store in memory, as in the trips."""
    memory = MemoryStore(clock=clock)
    world = World(lambda: memory, clock)
    yield world.serve
    io_loop.run_sync(world.close)


async def test_promise_2_a_merged_lifetime_starts_at_the_merge(serve: Any) -> None:
    """The expiry is computed from the merged maxAge: it is neither the late request's nor that of the row it met."""
    gate = Gate()

    def remember(handler: Any) -> None:
        handler.session.cookie.max_age = YEAR
        handler.session["remembered"] = True

    site: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(n=1)), "/fast": remember})
    browser = site.browser()
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    await browser.fetch("/fast")
    site.clock.forward(SECOND)
    gate.open()
    await call.response()

    assert (await site.stored(browser.sid)).expires_at == site.clock() + YEAR
    assert browser.kept().expires == site.clock() + YEAR


async def test_promise_3_a_rolling_stream_sends_the_cookie_only_when_confirmed(serve: Any) -> None:
    """A stream that a logout overtakes has no cookie in its head: the touch comes before the first bytes."""
    gate = Gate()

    async def stream(handler: Any) -> None:
        handler.write(show(handler))
        await handler.flush()

    site: Site = await serve({"/visit": visit, "/slow": slow(gate, stream), "/fast": logout}, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")

    late = await overtaken(browser, gate)

    assert (late.status, late.whole, late.set_cookies) == (200, True, [])
    assert browser.cookie() is None
    assert await site.rows() == {}


async def test_promise_3_a_rolling_touch_that_is_tried_again_meets_the_end(serve: Any) -> None:
    """The row was changed while the page was read, and is gone before the renewal is tried again: no cookie, no row."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, show), "/fast": setting(n=1)}, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")
    assert browser.sid is not None

    call = await browser.start("/slow")
    await gate.reached()
    site.clock.forward(SECOND)
    await browser.fetch("/fast")
    first = site.store.hold("touch")
    gate.open()
    await first.reached()
    again = site.store.hold("touch")
    first.open()
    await again.reached()
    await site.store.inner.destroy(browser.sid)
    again.open()
    late = await call.response()

    assert (late.status, late.set_cookies) == (200, [])
    assert await site.rows() == {}
