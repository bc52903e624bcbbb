"""Promise 5: reading hardly costs a write; a renewal carries no data and makes no row."""

from typing import Any

import pytest
from clock import DAY, MINUTE, SECOND

from sessions import CookieOptions

from .staged import Gate
from .world import LIFETIME, MARK, Act, Site, count, show, slow, visit

PAGES: dict[str, Act] = {"/visit": visit, "/show": show, "/count": count, "/plain": lambda _: "no session asked for"}


async def renewals(site: Site, *minutes: int, path: str = "/show") -> list[list[str]]:
    """Read a page at these minutes after the first visit; what each reading wrote."""
    browser = site.browser()
    await browser.fetch("/visit")
    start, written = site.clock(), []
    for minute in minutes:
        site.clock.now = start + minute * MINUTE
        site.store.forget()
        response = await browser.fetch(path)
        assert response.status == 200
        written.append(site.store.writes)
    return written


@pytest.mark.parametrize("path", ["/show", "/plain"])
async def test_promise_5_a_read_within_touch_after_writes_nothing(serve: Any, path: str) -> None:
    """Absent, touchAfter is a twentieth of maxAge: 3 minutes of an hour. Then one write renews it all."""
    site: Site = await serve(PAGES)

    assert await renewals(site, 0, 1, 2, 3, 4, 5, 6, path=path) == [[], [], [], ["touch"], [], [], ["touch"]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"touch_after": 10 * MINUTE}, [[], [], ["touch"], []]),
        ({"touch_after": 0}, [["touch"], ["touch"], ["touch"], ["touch"]]),
        ({"touch_after": 59 * MINUTE}, [[], [], [], []]),
        ({"rolling": True}, [["touch"], ["touch"], ["touch"], ["touch"]]),
        ({"rolling": True, "touch_after": 10 * MINUTE}, [[], [], ["touch"], []]),
        ({"resave": True}, [["update"], ["update"], ["update"], ["update"]]),
    ],
    ids=str,
)
async def test_promise_5_touch_after_sets_the_pace(serve: Any, options: dict[str, Any], expected: list[Any]) -> None:
    """0, as `rolling` has it by default, renews on every request."""
    site: Site = await serve(PAGES, **options)

    assert await renewals(site, 0, 9, 10, 19) == expected


async def test_promise_5_without_max_age_the_ttl_is_the_measure(serve: Any) -> None:
    """A browser-session cookie: a day is kept in the store, a twentieth of it is 72 minutes."""
    site: Site = await serve(PAGES, cookie=CookieOptions())

    assert await renewals(site, 71, 72, 73) == [[], ["touch"], []]


async def test_promise_5_an_idle_session_ends_early_by_at_most_touch_after(serve: Any) -> None:
    """The bound that is stated: read one moment too early to be renewed, it has only the rest of its lifetime."""
    site: Site = await serve(PAGES, touch_after=10 * MINUTE)
    browser = site.browser()
    await browser.fetch("/visit")

    site.clock.forward(10 * MINUTE - 1)
    await browser.fetch("/show")
    site.clock.forward(LIFETIME - 10 * MINUTE)
    before = await site.rows()
    site.clock.forward(1)
    after = await site.rows()

    assert len(before) == 1
    assert after == {}


async def test_promise_5_a_session_in_use_lives_on(serve: Any) -> None:
    """A visitor who comes every few minutes is not thrown out after an hour."""
    site: Site = await serve(PAGES, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")

    for _ in range(10):
        site.clock.forward(LIFETIME - SECOND)
        response = await browser.fetch("/show")

    assert response.json() == {"mark": MARK}
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


async def test_promise_5_a_renewal_moves_the_expiry_and_not_the_text(serve: Any) -> None:
    """The stored text stays what it was, its `expires` too: the row's own expiry is what counts."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await browser.fetch("/visit")
    before = await site.stored(browser.sid)

    site.clock.forward(10 * MINUTE)
    await browser.fetch("/show")

    assert await site.stored(browser.sid) == before._replace(expires_at=before.expires_at + 10 * MINUTE)


async def test_promise_5_a_renewal_carries_no_data(serve: Any) -> None:
    """A slow reader's renewal leaves what a writer has stored meanwhile, expiry included: nothing is due any more."""
    gate = Gate()

    site: Site = await serve({**PAGES, "/slow": slow(gate, show)}, touch_after=0)
    browser = site.browser()
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    site.clock.forward(MINUTE)
    await browser.fetch("/count")
    after_writer = await site.stored(browser.sid)
    site.clock.forward(MINUTE)
    gate.open()
    await call.response()

    assert site.store.writes[-1] == "touch"
    assert await site.stored(browser.sid) == after_writer


async def test_promise_5_a_renewal_never_inserts(serve: Any) -> None:
    """The row went while the page was read: the renewal makes none."""
    gate = Gate()

    site: Site = await serve({**PAGES, "/slow": slow(gate, show)}, touch_after=0)
    browser = site.browser()
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    await site.store.clear()
    gate.open()
    response = await call.response()

    assert response.json() == {"mark": MARK}
    assert site.store.writes[-1] == "touch"
    assert await site.rows() == {}


async def test_promise_5_a_change_undone_is_no_change(serve: Any) -> None:
    """Setting what is there already, or putting back what was there, writes nothing."""

    def undo(handler: Any) -> None:
        handler.session["mark"] = MARK
        handler.session["n"] = 1
        del handler.session["n"]

    site: Site = await serve({**PAGES, "/undo": undo})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    response = await browser.fetch("/undo")

    assert response.set_cookies == []
    assert site.store.calls == ["get"]


async def test_session_touch_is_not_throttled(serve: Any) -> None:
    """A handler that asks for a renewal gets one."""
    site: Site = await serve({**PAGES, "/touch": lambda handler: handler.session.touch()})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    site.clock.forward(SECOND)
    await browser.fetch("/touch")

    assert site.store.writes == ["touch"]
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


async def test_a_longer_ttl_keeps_a_browser_session_longer(serve: Any) -> None:
    """`ttl` counts from the last use."""
    site: Site = await serve(PAGES, cookie=CookieOptions(), ttl=7 * DAY)
    browser = site.browser()

    await browser.fetch("/visit")

    assert (await site.stored(browser.sid)).expires_at == site.clock() + 7 * DAY
    assert browser.kept().expires is None
