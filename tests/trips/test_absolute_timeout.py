"""`absoluteTimeout`: a session ends so long after its creation, whatever is done with it."""

import json
from typing import Any

import pytest
from client import Browser
from clock import DAY, HOUR, MINUTE, SECOND

from sessions import CookieOptions, StoredSession
from sessions.store import overwriting

from .conftest import memory_only
from .staged import Gate
from .world import LIFETIME, MARK, YEAR, Act, Site, count, overtaken, setting, show, slow, visit

LIMIT = 3 * HOUR
"""The absolute timeout of these sites; their maxAge is an hour."""


async def rotate(handler: Any) -> str:
    await handler.session.rotate()
    return show(handler)


async def regenerate(handler: Any) -> None:
    await handler.session.regenerate()
    visit(handler)


async def mutate(handler: Any) -> None:
    await handler.session.mutate(lambda data: data.update(n=data.get("n", 0) + 1))


async def reload(handler: Any) -> str:
    await handler.session.reload()
    return show(handler)


async def save(handler: Any) -> None:
    handler.session["saved"] = handler.session.get("saved", 0) + 1
    await handler.session.save()


def remember(handler: Any) -> None:
    """Ask for a year."""
    handler.session.cookie.max_age = YEAR
    handler.session["remembered"] = True


PAGES: dict[str, Act] = {
    "/visit": visit, "/show": show, "/count": count, "/rotate": rotate, "/login": regenerate, "/mutate": mutate,
    "/reload": reload, "/save": save, "/remember": remember, "/touch": lambda handler: handler.session.touch(),
    "/plain": lambda _: "no session asked for",
}  # fmt: skip


def hoarder(site: Site) -> Browser:
    """A visitor who keeps every cookie, whatever date it has: only the server can end the session."""
    return Browser(site.port, lambda: 0)


async def meta(site: Site, sid: str | None) -> Any:
    """The member of the row beside the cookie and the data."""
    return json.loads((await site.stored(sid)).data).get("__meta")


def node_row(site: Site, **members: Any) -> str:
    """A session as Node stores it; `members` stand where they are given."""
    cookie = {"originalMaxAge": LIFETIME, "expires": "2030-03-17T18:46:40.000Z", "httpOnly": True, "path": "/"}
    return json.dumps({"cookie": cookie, **members}, separators=(",", ":"))


# ---------------------------------------------------------------- the end


@pytest.mark.parametrize("path", ["/show", "/count", "/touch", "/rotate", "/mutate", "/save", "/reload", "/remember"])
@pytest.mark.parametrize(
    "options",
    [{}, {"rolling": True}, {"resave": True}, {"conflict": "overwrite"}, {"cookie": CookieOptions(), "ttl": LIFETIME}],
    ids=", ".join,
)
async def test_a_session_in_use_ends(serve: Any, path: str, options: dict[str, Any]) -> None:
    """Whatever its visitor does, as often as she likes: the last moment is a millisecond before the limit."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT, **options)
    browser = hoarder(site)
    await browser.fetch("/visit")
    born = site.clock()

    marks = []
    for moment in [*range(0, LIMIT, 30 * MINUTE), LIMIT - 1, LIMIT, LIMIT + 1]:
        site.clock.now = born + moment
        await browser.fetch(path)
        marks.append((await browser.fetch("/show")).json().get("mark"))

    assert marks == [MARK] * 7 + [None, None]
    assert [row for row in (await site.rows()).values() if "mark" in row] == []


@memory_only
@pytest.mark.parametrize("cookie", [CookieOptions(), CookieOptions(max_age=LIFETIME)], ids=["browser", "maxAge"])
async def test_expiry_is_the_earlier_of_the_two(serve: Any, cookie: CookieOptions) -> None:
    """In the store, and in the cookie where it has a date: one that ends with the browser gets none."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT, cookie=cookie, ttl=LIFETIME, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")
    born = site.clock()

    expiries = []
    for minutes in (0, 50, 100, 119, 120, 121, 150):
        site.clock.now = born + minutes * MINUTE
        await browser.fetch("/count")
        stored, kept = await site.stored(browser.sid), browser.kept().expires
        assert kept == (None if cookie == CookieOptions() else stored.expires_at)
        expiries.append((stored.expires_at - born) // MINUTE)

    assert expiries == [60, 110, 160, 179, 180, 180, 180]


async def test_a_long_lifetime_is_cut_and_remembered(serve: Any) -> None:
    """A handler may ask for a year: `original_max_age` says so; `expires` and the browser's cookie end sooner."""
    seen: list[Any] = []

    def look(handler: Any) -> None:
        remember(handler)
        cookie = handler.session.cookie
        seen.extend([cookie.max_age, cookie.expires.timestamp() * 1000, cookie.original_max_age])

    site: Site = await serve({"/look": look}, absolute_timeout=LIMIT)
    browser = site.browser()

    await browser.fetch("/look")

    assert seen == [LIMIT, site.clock() + LIMIT, YEAR]
    assert browser.kept().expires == site.clock() + LIMIT
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIMIT


async def test_an_idle_session_ends_as_it_did(serve: Any) -> None:
    """The idle timeout is the earlier one here."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    await browser.fetch("/visit")

    site.clock.forward(LIFETIME)

    assert (await browser.fetch("/show")).json() == {}


async def test_a_session_that_nothing_was_put_into_ends_too(serve: Any) -> None:
    """With saveUninitialized: the id is another one."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT, save_uninitialized=True, rolling=True)
    browser = site.browser()
    await browser.fetch("/plain")
    first = browser.sid

    sids = []
    for _ in range(4):
        site.clock.forward(LIMIT // 4)
        await browser.fetch("/plain")
        sids.append(browser.sid)

    assert sids[:3] == [first] * 3
    assert sids[3] not in (None, first)


# ---------------------------------------------------------------- what is kept


async def test_the_moment_of_creation_is_in_the_row(serve: Any) -> None:
    """Behind the cookie, where no handler sees it; the cookie and the data are as they would be without."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    await browser.fetch("/visit")

    text = (await site.stored(browser.sid)).data

    assert text.endswith(f'}},"__meta":{{"createdAt":{site.clock()}}},"mark":"{MARK}"}}')
    assert (await browser.fetch("/show")).json() == {"mark": MARK}


@pytest.mark.parametrize("path", ["/count", "/touch", "/rotate", "/mutate", "/save", "/reload", "/remember", "/show"])
async def test_what_a_request_does_keeps_the_moment_of_creation(serve: Any, path: str) -> None:
    """A save, a touch, a new id for the same session."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    await browser.fetch("/visit")
    born = site.clock()

    site.clock.forward(30 * MINUTE)
    await browser.fetch(path)

    assert await meta(site, browser.sid) == {"createdAt": born}


async def test_a_merge_keeps_it(serve: Any) -> None:
    """Two requests that change the session at once: both changes, one moment."""
    gate = Gate()
    site: Site = await serve(
        {**PAGES, "/slow": slow(gate, setting(a=1)), "/fast": setting(b=2)}, absolute_timeout=LIMIT
    )
    browser = site.browser()
    await browser.fetch("/visit")
    born = site.clock()

    site.clock.forward(2 * MINUTE)
    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"__meta": {"createdAt": born}, "mark": MARK, "a": 1, "b": 2}


async def test_regenerate_starts_the_limit_again(serve: Any) -> None:
    """A login is a new session."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT, cookie=CookieOptions(max_age=YEAR))
    browser = site.browser()
    await browser.fetch("/visit")

    site.clock.forward(2 * HOUR)
    await browser.fetch("/login")

    assert await meta(site, browser.sid) == {"createdAt": site.clock()}
    assert browser.kept().expires == site.clock() + LIMIT
    site.clock.forward(LIMIT - 1)
    assert (await browser.fetch("/show")).json() == {"mark": MARK}


async def test_the_end_during_a_request_is_an_end(serve: Any) -> None:
    """Its change is dropped, and its answer carries no cookie."""
    gate = Gate()
    site: Site = await serve(
        {**PAGES, "/slow": slow(gate, count)}, absolute_timeout=LIMIT, cookie=CookieOptions(max_age=YEAR)
    )
    browser = site.browser()
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    site.clock.forward(LIMIT)
    gate.open()
    response = await call.response()

    assert (response.status, response.set_cookies) == (200, [])
    assert await site.rows() == {}


# ---------------------------------------------------------------- what it costs


@pytest.mark.parametrize("options", [{}, {"touch_after": 0}, {"rolling": True}], ids=str)
async def test_near_the_limit_nothing_is_due(serve: Any, options: dict[str, Any]) -> None:
    """The expiry cannot move any more, so no read touches it."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT, **options)
    browser = hoarder(site)
    await browser.fetch("/visit")
    born = site.clock()
    for minutes in (59, 118, 121):
        site.clock.now = born + minutes * MINUTE
        await browser.fetch("/show")
    assert (await site.stored(browser.sid)).expires_at <= born + LIMIT
    site.store.forget()

    for minutes in (122, 140, 160, 177):
        site.clock.now = born + minutes * MINUTE
        assert (await browser.fetch("/show")).json() == {"mark": MARK}

    assert site.store.calls == ["get"] * 4


async def test_a_touch_goes_no_further_than_the_limit(serve: Any) -> None:
    """One that a handler asks for, too."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = hoarder(site)
    await browser.fetch("/visit")
    born = site.clock()

    for minutes in (50, 100, 150):
        site.clock.now = born + minutes * MINUTE
        await browser.fetch("/touch")

    assert (await site.stored(browser.sid)).expires_at == born + LIMIT


async def test_without_the_option_nothing_is_stored(serve: Any) -> None:
    """The row is Express's."""
    site: Site = await serve(PAGES)
    browser = site.browser()

    await browser.fetch("/visit")

    assert await meta(site, browser.sid) is None


# ---------------------------------------------------------------- beside Node


async def test_a_session_of_node_counts_from_the_first_look(serve: Any) -> None:
    """A request that only reads writes that moment down, once, and sends no cookie."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, mark=MARK))
    born = site.clock.now = site.clock() + MINUTE
    site.store.forget()

    first = await browser.fetch("/show")
    second = await browser.fetch("/show")

    assert (first.json(), first.set_cookies, second.set_cookies) == ({"mark": MARK}, [], [])
    assert site.store.calls == ["get", "update", "get"]
    assert await meta(site, sid) == {"createdAt": born}
    assert (await site.stored(sid)).expires_at == born + LIFETIME


async def test_a_session_of_node_ends(serve: Any) -> None:
    """So long after the first look."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = hoarder(site)
    await site.plant(browser, node_row(site, mark=MARK), lifetime=YEAR)
    site.clock.forward(DAY)

    for _ in range(3):
        await browser.fetch("/plain")
        site.clock.forward(50 * MINUTE)
    await browser.fetch("/plain")
    site.clock.forward(LIMIT - 150 * MINUTE - 1)
    last = await browser.fetch("/show")
    site.clock.forward(1)

    assert last.json() == {"mark": MARK}
    assert (await browser.fetch("/show")).json() == {}


async def test_the_first_look_is_written_by_compare_and_set(serve: Any) -> None:
    """What another request has stored meanwhile stays, and its moment counts."""
    gate = Gate()
    site: Site = await serve({**PAGES, "/slow": slow(gate, show), "/fast": setting(n=1)}, absolute_timeout=LIMIT)
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, mark=MARK))
    born = site.clock()

    call = await browser.start("/slow")
    await gate.reached()
    await browser.fetch("/fast")
    site.clock.forward(SECOND)
    gate.open()
    await call.response()

    assert await site.row(sid) == {"__meta": {"createdAt": born}, "mark": MARK, "n": 1}


async def test_a_first_look_at_what_is_gone_brings_nothing_back(serve: Any) -> None:
    """A sign-out at Node came in between."""
    gate = Gate()
    site: Site = await serve({**PAGES, "/slow": slow(gate, show)}, absolute_timeout=LIMIT)
    browser = site.browser()
    await site.plant(browser, node_row(site, mark=MARK))

    call = await browser.start("/slow")
    await gate.reached()
    await site.store.clear()
    gate.open()
    response = await call.response()

    assert (response.status, response.set_cookies) == (200, [])
    assert await site.rows() == {}


@pytest.mark.parametrize("place", ["first", "last", "between"])
@pytest.mark.parametrize("option", [{"absolute_timeout": LIMIT}, {}], ids=["on", "off"])
async def test_its_place_in_the_row_is_no_change(serve: Any, place: str, option: dict[str, Any]) -> None:
    """Node keeps what it does not know, perhaps at another place: to look at it writes nothing, with the option off too."""
    site: Site = await serve(PAGES, touch_after=HOUR - 1, **option)
    browser = site.browser()
    mark = {"createdAt": site.clock() - 1}
    row = json.loads(node_row(site, mark=MARK, n=1))
    order = {
        "first": {"__meta": mark, **row},
        "last": {**row, "__meta": mark},
        "between": {"cookie": row["cookie"], "mark": MARK, "__meta": mark, "n": 1},
    }
    await site.plant(browser, json.dumps(order[place]))
    site.store.forget()

    shown = await browser.fetch("/show")

    assert shown.json() == {"mark": MARK, "n": 1}
    assert site.store.calls == ["get"]


@pytest.mark.parametrize("path", ["/count", "/rotate", "/mutate", "/remember"])
async def test_with_the_option_off_it_stays(serve: Any, path: str) -> None:
    """An application without the option, or a day without it, takes nothing away from one that has it."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    await site.plant(browser, node_row(site, mark=MARK, __meta={"createdAt": 5, "other": [1]}, n=1))

    await browser.fetch(path)

    assert await meta(site, browser.sid) == {"createdAt": 5, "other": [1]}
    assert (await browser.fetch("/show")).json()["mark"] == MARK


async def test_with_the_option_off_a_merge_keeps_it_too(serve: Any) -> None:
    """The time that the newer row has."""
    gate = Gate()
    site: Site = await serve({**PAGES, "/slow": slow(gate, setting(a=1)), "/fast": setting(b=2)})
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, __meta={"createdAt": 5}))

    await overtaken(browser, gate)

    assert await site.row(sid) == {"__meta": {"createdAt": 5}, "a": 1, "b": 2}


async def test_past_its_end_a_session_is_gone_whatever_the_row_says(serve: Any) -> None:
    """A save by Node has moved the row's expiry: it is a fresh session here, and the row is deleted for Node as well."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, mark=MARK, __meta={"createdAt": site.clock() - LIMIT}))
    site.store.forget()

    shown = await browser.fetch("/show")

    assert shown.json() == {}
    assert site.store.calls == ["get", "destroy"]
    assert sid not in await site.rows()


async def test_a_lowered_limit_counts_at_once(serve: Any) -> None:
    """The option was changed between two requests."""
    before: Site = await serve(PAGES, absolute_timeout=DAY, cookie=CookieOptions(max_age=YEAR))
    after: Site = await serve(PAGES, absolute_timeout=HOUR, store=before.store)
    browser = before.browser()
    await browser.fetch("/visit")
    before.clock.forward(HOUR)

    browser.port = after.port
    shown = await browser.fetch("/show")

    assert shown.json() == {}
    assert await after.rows() == {}


async def test_an_expiry_that_node_has_moved_behind_the_end_is_moved_back_once(serve: Any) -> None:
    """So that the row is truthful; then nothing is due."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    born = site.clock() - LIMIT + MINUTE
    sid = await site.plant(browser, node_row(site, mark=MARK, __meta={"createdAt": born}))
    site.store.forget()

    await browser.fetch("/show")
    await browser.fetch("/show")

    assert site.store.calls == ["get", "touch", "get"]
    assert (await site.stored(sid)).expires_at == born + LIMIT


async def test_reload_finds_no_session_past_its_end(serve: Any) -> None:
    """Node has moved the row's expiry while a long request was under way."""
    gate = Gate()
    seen: list[str] = []

    async def page(handler: Any) -> None:
        len(handler.session)
        await gate.wait()
        try:
            await handler.session.reload()
        except Exception as error:  # noqa: BLE001 # its kind is what is tested
            seen.append(str(error))

    site: Site = await serve({**PAGES, "/slow": page}, absolute_timeout=LIMIT)
    browser = site.browser()
    await browser.fetch("/visit")
    stored = await site.stored(browser.sid)

    call = await browser.start("/slow")
    await gate.reached()
    rows = overwriting(site.store.inner)
    assert rows is not None
    await rows.set(browser.sid or "", StoredSession(stored.data, site.clock() + YEAR))
    site.clock.forward(LIMIT)
    gate.open()
    await call.response()

    assert seen == ["failed to load session"]


FOREIGN: list[Any] = [None, 5, "soon", [], {}, {"v": 1}]
"""What other applications may keep under `__meta`: without a member of ours it is theirs."""

BROKEN = [{"createdAt": None}, {"createdAt": "2030"}, {"createdAt": True}, {"createdAt": [1]}]


@pytest.mark.parametrize("broken", [*BROKEN, {"createdAt": 2 * 1_900_000_000_000}], ids=str)
async def test_a_broken_moment_counts_from_now_and_is_replaced(serve: Any, broken: Any) -> None:
    """In the future is broken as well: a clock was wrong. Nothing is gained by it but one more timeout."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, mark=MARK, __meta=broken))
    site.store.forget()

    shown = await browser.fetch("/show")

    assert (shown.json(), shown.set_cookies) == ({"mark": MARK}, [])
    assert site.store.calls == ["get", "update"]
    assert await meta(site, sid) == {"createdAt": site.clock()}


async def test_members_that_we_do_not_know_stay(serve: Any) -> None:
    """A later version of this library may have put them there."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    created = site.clock()
    sid = await site.plant(browser, node_row(site, __meta={"createdAt": created, "other": [1]}))
    site.clock.forward(MINUTE)

    await browser.fetch("/count")

    assert await meta(site, sid) == {"createdAt": created, "other": [1]}


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
async def test_another_application_s_meta_is_data(serve: Any, foreign: Any) -> None:
    """A handler sees it, and a save keeps it."""
    site: Site = await serve(PAGES)
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, mark=MARK, __meta=foreign))

    shown = await browser.fetch("/show")
    await browser.fetch("/count")

    assert shown.json() == {"mark": MARK, "__meta": foreign}
    assert await site.row(sid) == {"mark": MARK, "__meta": foreign, "n": 1}


@pytest.mark.parametrize("foreign", FOREIGN, ids=str)
async def test_nothing_is_recorded_in_another_application_s_meta(serve: Any, logbook: Any, foreign: Any) -> None:
    """If the end of a session cannot be written down, the answer is a 500 that names the member; the row stays as it is."""
    site: Site = await serve(PAGES, absolute_timeout=LIMIT)
    browser = site.browser()
    sid = await site.plant(browser, node_row(site, mark=MARK, __meta=foreign))

    response = await browser.fetch("/show")

    assert response.status == 500
    assert any("its member __meta belongs to another application" in line for line in logbook.lines())
    assert await site.row(sid) == {"mark": MARK, "__meta": foreign}


async def test_a_socket_may_be_taken_of_a_session_that_is_only_to_be_marked(serve: Any) -> None:
    """`detach()` minds changes of the handler's; the first look at Node's session is none."""

    def detach(handler: Any) -> None:
        assert handler.session["mark"] == MARK
        handler.detach().close()

    site: Site = await serve({**PAGES, "/detach": detach}, absolute_timeout=LIMIT)
    browser = site.browser()
    await site.plant(browser, node_row(site, mark=MARK))

    response = await browser.fetch("/detach")

    assert not response.whole
