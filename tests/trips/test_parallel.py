"""Promise 2: requests of one session that run side by side lose nothing of what each has changed."""

import asyncio
import random
from typing import Any

import pytest

from sessions import CookieOptions
from sessions.store import overwriting

from .conftest import memory_only, sqlite_only
from .staged import Gate
from .world import LIFETIME, MARK, YEAR, Act, Site, World, overtaken, setting, show, slow, visit


def deleting(*keys: str) -> Act:
    """A page that deletes keys."""

    def act(handler: Any) -> None:
        for key in keys:
            del handler.session[key]

    return act


# ---------------------------------------------------------------- keys


async def test_promise_2_different_keys_both_survive(serve: Any) -> None:
    """The slow request loaded the session before the fast one changed it, and saves after."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(slow=1)), "/fast": setting(fast=2)})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"mark": MARK, "slow": 1, "fast": 2}


async def test_promise_2_across_two_processes(serve: Any, world: World) -> None:
    """Two managers on the same data, as two processes have: the store's compare-and-set is what tells them."""
    gate = Gate()
    here: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(slow=1))})
    there: Site = await serve(setting(fast=2), store=await world.store())
    browser, other = here.browser(), there.browser()
    other.jar = browser.jar
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    await other.fetch()
    gate.open()
    await call.response()

    assert await here.row(browser.sid) == {"mark": MARK, "slow": 1, "fast": 2}
    assert here.store.calls[-1] == "update"


async def test_promise_2_commits_of_the_same_moment_all_survive(serve: Any) -> None:
    """Twenty requests that have all loaded the same row commit at once."""
    gate = Gate()

    async def page(handler: Any) -> None:
        len(handler.session)
        await gate.wait()
        handler.session[handler.request.path] = MARK

    site: Site = await serve({"/visit": visit, "/[0-9]+": page})
    browser = site.browser()
    await browser.fetch("/visit")
    calls = [await browser.start(f"/{number}") for number in range(20)]
    await gate.reached(20)

    gate.open()
    responses = await asyncio.gather(*(call.response() for call in calls))

    assert {response.status for response in responses} == {200}
    assert await site.row(browser.sid) == {"mark": MARK} | {f"/{number}": MARK for number in range(20)}


@sqlite_only  # its writes take their time
async def test_commits_of_one_process_do_not_meet_in_the_store(serve: Any) -> None:
    """They queue, and each merges on what the one before it wrote: ten changes are ten writes."""
    gate = Gate()
    pages = {f"/{number}": slow(gate, setting(**{f"key{number}": MARK})) for number in range(10)}
    site: Site = await serve({"/visit": visit, **pages})
    browser = site.browser()
    await browser.fetch("/visit")
    calls = [await browser.start(path) for path in pages]
    await gate.reached(10)
    site.store.forget()

    gate.open()
    await asyncio.gather(*(call.response() for call in calls))

    assert site.store.calls == ["update"] * 10


async def test_promise_2_on_the_same_key_the_later_commit_wins(serve: Any) -> None:
    """Later by its commit, not by its start."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(who="slow")), "/fast": setting(who="fast")})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"mark": MARK, "who": "slow"}


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (deleting("a"), setting(b=2), {"b": 2}),
        (setting(b=2), deleting("a"), {"b": 2}),
        (deleting("a"), setting(a=2), {}),
        (setting(a=2), deleting("a"), {"a": 2}),
        (deleting("a"), deleting("a"), {}),
        (setting(b=1), lambda handler: handler.session.clear(), {"b": 1}),
        (lambda handler: handler.session.clear(), setting(b=1), {"b": 1}),
    ],
    ids=["delete|other", "set|delete-other", "delete|set", "set|delete", "delete|delete", "set|clear", "clear|set"],
)
async def test_promise_2_deletes_are_changes_too(serve: Any, mine: Act, theirs: Act, expected: dict[str, Any]) -> None:
    """A key that was deleted does not come back with somebody else's save; one that was set does not go."""
    gate = Gate()
    site: Site = await serve({"/first": setting(a=1), "/slow": slow(gate, mine), "/fast": theirs})
    browser = site.browser()
    await browser.fetch("/first")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == expected


@memory_only
@pytest.mark.parametrize("seed", range(12))
async def test_promise_2_any_changes_in_any_order_add_up(serve: Any, seed: int) -> None:
    """Requests that have all loaded the same row end as if each had changed what the one before it left."""
    chance = random.Random(seed)
    keys = "abcdefgh"
    plans = [{key: chance.choice([None, f"{plan}{key}"]) for key in chance.sample(keys, 3)} for plan in range(6)]
    gates = [Gate() for _ in plans]

    def carry_out(plan: dict[str, str | None]) -> Act:
        def act(handler: Any) -> None:
            for key, value in plan.items():
                if value is None:
                    handler.session.pop(key, None)
                else:
                    handler.session[key] = value

        return act

    pages = {f"/{number}": slow(gates[number], carry_out(plan)) for number, plan in enumerate(plans)}
    expected: dict[str, str] = dict.fromkeys(keys[:5], "first")
    site: Site = await serve({"/first": setting(**expected), **pages})
    browser = site.browser()
    await browser.fetch("/first")
    calls = [await browser.start(path) for path in pages]
    for gate in gates:
        await gate.reached()

    for number in chance.sample(range(len(plans)), len(plans)):
        gates[number].open()
        await calls[number].response()
        for key, value in plans[number].items():
            if value is not None:
                expected[key] = value
            elif key in keys[:5]:  # nobody can delete what was not there when it was loaded
                expected.pop(key, None)

    assert await site.row(browser.sid) == expected


async def test_promise_2_nested_changes_count_by_their_top_level_key(serve: Any) -> None:
    """The unit is the top-level key: a change deep in one leaves the others alone."""
    gate = Gate()

    def add(handler: Any) -> None:
        handler.session["cart"]["items"].append("book")

    site: Site = await serve(
        {"/first": setting(cart={"items": []}, seen=[]), "/slow": slow(gate, add), "/fast": setting(seen=["x"])}
    )
    browser = site.browser()
    await browser.fetch("/first")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"cart": {"items": ["book"]}, "seen": ["x"]}


async def test_promise_2_a_reader_undoes_nothing(serve: Any) -> None:
    """A slow page that only reads, even with `resave`, leaves what others have written."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, show), "/fast": setting(fast=1)}, resave=True)
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"mark": MARK, "fast": 1}


async def test_after_a_merge_the_session_holds_the_merged_data(serve: Any) -> None:
    """What the handler sees after save() is what is stored, and it is the base of what it changes next."""
    gate = Gate()
    seen: list[Any] = []

    async def act(handler: Any) -> None:
        handler.session["slow"] = 1
        await gate.wait()
        await handler.session.save()
        seen.append(dict(handler.session))
        del handler.session["fast"]

    site: Site = await serve({"/visit": visit, "/slow": act, "/fast": setting(fast=2)})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert seen == [{"mark": MARK, "slow": 1, "fast": 2}]
    assert await site.row(browser.sid) == {"mark": MARK, "slow": 1}


@pytest.mark.parametrize("hold", ["the list", "the cookie"])
async def test_what_a_handler_holds_stays_the_sessions_own_after_a_merge(serve: Any, hold: str) -> None:
    """A list, or the cookie, that was taken from the session before a save() that merged is still part of it."""
    gate = Gate()

    async def act(handler: Any) -> None:
        cart, cookie = handler.session["cart"], handler.session.cookie
        handler.session["slow"] = 1
        await gate.wait()
        await handler.session.save()
        if hold == "the list":
            cart.append("book")
        else:
            cookie.max_age = YEAR

    site: Site = await serve({"/first": setting(cart=[]), "/slow": act, "/fast": setting(fast=2)})
    browser = site.browser()
    await browser.fetch("/first")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"cart": ["book"] if hold == "the list" else [], "slow": 1, "fast": 2}
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == (LIFETIME if hold == "the list" else YEAR)


# ---------------------------------------------------------------- the deadline, and Express's way


@memory_only
async def test_a_conflict_that_never_ends_meets_the_deadline(serve: Any) -> None:
    """Merging goes on until storeTimeout: then it is a 503, not a request that runs for ever."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(slow=1))}, store_timeout=30)
    browser = site.browser()
    await browser.fetch("/visit")
    rows = overwriting(site.store.inner)
    assert rows is not None

    async def spoil() -> None:
        await asyncio.sleep(0)
        text = (await site.stored(browser.sid)).data
        stored = (await site.stored(browser.sid))._replace(data=f'{text[:-1]},"k{len(text)}":1}}')
        await rows.set(browser.sid or "", stored)

    call = await browser.start("/slow")
    await gate.reached()
    site.store.before(spoil, "update")
    gate.open()
    response = await call.response()

    assert response.status == 503
    assert response.set_cookies == []


async def test_overwrite_is_expresss_blind_upsert(serve: Any) -> None:
    """`conflict = "overwrite"`: the last writer's picture of the session wins as a whole."""
    gate = Gate()
    pages = {"/visit": visit, "/slow": slow(gate, setting(slow=1)), "/fast": setting(fast=2)}
    site: Site = await serve(pages, conflict="overwrite")
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"mark": MARK, "slow": 1}
    assert site.store.writes == ["set", "set", "set"]


@pytest.mark.parametrize("conflict", ["merge", "overwrite"])
async def test_two_first_requests_make_two_sessions(serve: Any, conflict: str) -> None:
    """Neither knows of the other; the cookie that arrives last is the browser's."""
    site: Site = await serve(visit, conflict=conflict, cookie=CookieOptions())
    browser = site.browser()
    calls = [await browser.start(), await browser.start()]

    for call in calls:
        await call.response()

    assert len(await site.rows()) == 2
    assert browser.sid in await site.rows()
