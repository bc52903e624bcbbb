"""The limits: how large a session may be (`maxBytes`), and how many a store in memory takes (`maxSessions`)."""

import json
from typing import Any

import pytest
from clock import MINUTE, SECOND

from sessions import CookieOptions, DataError, MemoryStore, OptionsError

from .conftest import Logbook, memory_only
from .staged import Gate, StagedStore
from .world import LIFETIME, MARK, Act, Site, World, count, overtaken, setting, show, slow, visit

LIMIT = 1_000


def stuff(size: int, *, key: str = "bulk", letter: str = "x") -> Act:
    """A page that puts so many letters into the session."""
    return setting(**{key: letter * size})


async def rotate(handler: Any) -> None:
    await handler.session.rotate()


PAGES: dict[str, Act] = {
    "/visit": visit, "/show": show, "/count": count, "/small": stuff(500), "/large": stuff(1_000), "/rotate": rotate,
    "/drop": lambda handler: handler.session.pop("bulk"), "/plain": lambda _: "no session asked for",
}  # fmt: skip


# ---------------------------------------------------------------- maxBytes


@pytest.mark.parametrize("conflict", ["merge", "overwrite"])
async def test_a_session_that_grows_too_large_is_a_500(serve: Any, logbook: Logbook, conflict: str) -> None:
    """Before anything is sent or stored; the log names size and limit, and shows no data."""
    site: Site = await serve(PAGES, max_bytes=LIMIT, conflict=conflict)
    browser, stranger = site.browser(), site.browser()
    await browser.fetch("/small")
    before = await site.rows()
    site.store.forget()

    answers = [await browser.fetch("/large"), await stranger.fetch("/large")]

    assert [(each.status, each.set_cookies) for each in answers] == [(500, [])] * 2
    assert await site.rows() == before
    assert site.store.writes == []
    (line, _) = logbook.lines("tornado.application")
    assert "DataError: session: it would take 1" in line
    assert f"bytes in the store, and maxBytes is {LIMIT}" in line
    assert "xxx" not in line


@memory_only
@pytest.mark.parametrize("letter", ["x", "é", "日", "🍪"])
async def test_the_limit_is_of_bytes_as_they_are_stored(serve: Any, letter: str) -> None:
    """To the byte, the cookie and all included: what fits exactly is stored, one byte more is not."""
    site: Site = await serve({"/large": stuff(90, letter=letter)}, max_bytes=0)
    browser = site.browser()
    await browser.fetch("/large")
    size = len((await site.stored(browser.sid)).data.encode())
    fits: Site = await serve({"/large": stuff(90, letter=letter)}, max_bytes=size)
    fails: Site = await serve({"/large": stuff(90, letter=letter)}, max_bytes=size - 1)

    statuses = [(await each.browser().fetch("/large")).status for each in (fits, fails)]

    assert statuses == [200, 500]


async def test_a_merge_that_grows_too_large_is_a_500(serve: Any) -> None:
    """Each of two changes would fit alone: the later one is refused, and the earlier one stays."""
    gate = Gate()
    pages = {**PAGES, "/slow": slow(gate, stuff(500, key="a")), "/fast": stuff(500, key="b")}
    site: Site = await serve(pages, max_bytes=LIMIT)
    browser = site.browser()
    await browser.fetch("/visit")

    late = await overtaken(browser, gate)

    assert (late.status, late.set_cookies) == (500, [])
    assert await site.row(browser.sid) == {"mark": MARK, "b": "x" * 500}


async def test_a_row_that_is_too_large_can_be_read(serve: Any) -> None:
    """A Node server has made it, or the limit is new: it is read, renewed, marked, given a new id, and made smaller."""
    site: Site = await serve(PAGES, max_bytes=LIMIT, absolute_timeout=LIFETIME)
    browser = site.browser()
    await site.plant(browser, json.dumps({"cookie": {"originalMaxAge": LIFETIME}, "bulk": "x" * 2_000}))

    shown = await browser.fetch("/show")
    site.clock.forward(10 * MINUTE)
    statuses = [(await browser.fetch(path)).status for path in ("/show", "/rotate", "/count", "/drop", "/count")]

    assert len(shown.json()["bulk"]) == 2_000
    assert statuses == [200, 200, 500, 200, 200]
    assert (await browser.fetch("/show")).json() == {"n": 1}


async def test_a_handler_can_catch_it(serve: Any) -> None:
    """As any DataError: from `save()` and from `mutate()`, and the data of the latter is as it was."""
    seen: list[str] = []

    async def act(handler: Any) -> str:
        for call in (lambda data: data.update(bulk="x" * 1_000), lambda data: data.update(n=1)):
            try:
                await handler.session.mutate(call)
            except DataError as error:
                seen.append(str(error))
        return show(handler)

    site: Site = await serve(act, max_bytes=LIMIT)
    browser = site.browser()

    first, second = await browser.fetch(), await browser.fetch()

    assert [first.json(), second.json()] == [{"n": 1}, {"n": 1}]
    assert len(seen) == 2
    assert all(each.endswith("and maxBytes is 1000") for each in seen)


async def test_without_a_limit_any_size_is_stored(serve: Any) -> None:
    """0, as Express has it."""
    site: Site = await serve({"/large": stuff(2_000_000)}, max_bytes=0)
    browser = site.browser()

    assert (await browser.fetch("/large")).status == 200


async def test_by_default_a_session_may_take_a_mebibyte(serve: Any) -> None:
    """A row is read at every request of its visitor."""
    site: Site = await serve({"/fits": stuff(1_040_000), "/fails": stuff(1_048_576)})
    browser = site.browser()

    assert [(await browser.fetch(path)).status for path in ("/fits", "/fails")] == [200, 500]


# ---------------------------------------------------------------- maxSessions


async def crowded(world: World, *, kind: type[MemoryStore] = MemoryStore, **options: Any) -> tuple[Site, MemoryStore]:
    """A site on a store in memory that takes three sessions."""
    memory = kind(max_sessions=3, clock=world.clock)
    store = await StagedStore(memory).__aenter__()
    world.stores.append(store)
    return await world.serve(PAGES, store=store, **options), memory


@memory_only
@pytest.mark.parametrize("options", [{}, {"conflict": "overwrite"}], ids=str)
async def test_a_flood_signs_nobody_out(world: World, options: dict[str, Any]) -> None:
    """A full store answers strangers 503 and Retry-After; who is there stays, is served, and can change things."""
    site, memory = await crowded(world, save_uninitialized=True, cookie=CookieOptions(), **options)
    browser = site.browser()
    await browser.fetch("/visit")
    site.clock.forward(MINUTE)

    strangers = [await site.browser().fetch("/plain") for _ in range(5)]
    await browser.fetch("/count")

    assert [each.status for each in strangers] == [200, 200, 503, 503, 503]
    assert strangers[-1].header("Retry-After") == "1"
    assert [each.set_cookies for each in strangers[2:]] == [[]] * 3
    assert (await browser.fetch("/show")).json() == {"mark": MARK, "n": 1}
    assert await memory.length() == 3


@memory_only
async def test_an_ended_session_makes_room(world: World) -> None:
    """An expired one does without a sweeper, and one that is deleted at once."""
    site, memory = await crowded(world)
    browsers = [site.browser() for _ in range(3)]
    for browser in browsers:
        await browser.fetch("/visit")
        site.clock.forward(MINUTE)

    full = (await site.browser().fetch("/visit")).status
    site.clock.forward(LIFETIME - 3 * MINUTE)
    expired = [(await site.browser().fetch("/visit")).status for _ in range(2)]
    await memory.destroy(browsers[-1].sid or "")
    deleted = [(await site.browser().fetch("/visit")).status for _ in range(2)]

    assert full == 503
    assert expired == [200, 503]
    assert deleted == [200, 503]


@memory_only
async def test_a_full_store_is_not_searched_at_every_request(world: World) -> None:
    """A flood would have it do nothing else: it looks for expired sessions once a second, as Retry-After says."""
    looks: list[int] = []

    class Watched(MemoryStore):
        def _expired(self) -> list[str]:
            looks.append(world.clock())
            return super()._expired()

    site, _ = await crowded(world, kind=Watched)
    for _ in range(3):
        await site.browser().fetch("/visit")
    start = world.clock()

    statuses = []
    for _ in range(20):
        statuses.append((await site.browser().fetch("/visit")).status)
        world.clock.forward(SECOND // 4)

    assert statuses == [503] * 20
    assert looks == [start + seconds * SECOND for seconds in range(5)]


@pytest.mark.parametrize("wrong", [0, -1, True, 1.5, "5", None])
def test_a_wrong_number_is_refused(wrong: Any) -> None:
    """When the store is made."""
    with pytest.raises(OptionsError, match="maxSessions: expected a whole number above 0"):
        MemoryStore(max_sessions=wrong)
