"""mutate(): read, change and write as one step, now."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from sessions import StoreUnavailable

from .staged import Gate
from .world import MARK, Act, Site, World, overtaken, show, slow, visit


def add(data: dict[str, Any]) -> int:
    """One more."""
    data["n"] = data.get("n", 0) + 1
    return int(data["n"])


async def increment(handler: Any) -> str:
    return str(await handler.session.mutate(add))


PATIENT = {"store_timeout": 30_000}
"""For two hundred requests in one queue, on a machine that does much else."""

PAGES: dict[str, Act] = {"/visit": visit, "/increment": increment, "/show": show}


async def test_promise_2_200_parallel_increments_give_200(serve: Any) -> None:
    """None is lost, and each caller has a number of its own."""
    site: Site = await serve(PAGES, **PATIENT)
    browser = site.browser()
    await browser.fetch("/visit")

    responses = await asyncio.gather(*(browser.fetch("/increment") for _ in range(200)))

    assert sorted(int(response.text) for response in responses) == list(range(1, 201))
    assert await site.row(browser.sid) == {"mark": MARK, "n": 200}


async def test_promise_2_200_increments_by_two_processes_give_200(serve: Any, world: World) -> None:
    """Two managers on the same data: what one's queue cannot see, the store's compare-and-set does."""
    sites: list[Site] = [await serve(PAGES, **PATIENT), await serve(PAGES, store=await world.store(), **PATIENT)]
    browsers = [site.browser() for site in sites]
    browsers[1].jar = browsers[0].jar
    await browsers[0].fetch("/visit")

    responses = await asyncio.gather(*(browsers[number % 2].fetch("/increment") for number in range(200)))

    assert sorted(int(response.text) for response in responses) == list(range(1, 201))
    assert await sites[0].row(browsers[0].sid) == {"mark": MARK, "n": 200}


async def test_mutate_commits_at_once(serve: Any) -> None:
    """With what the request has changed so far; the end has nothing left to write."""
    seen: list[Any] = []

    async def act(handler: Any) -> None:
        handler.session["mine"] = 1
        await handler.session.mutate(add)
        seen.append(await site.row(handler.session.id))

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    await browser.fetch("/act")

    assert seen == [{"mark": MARK, "mine": 1, "n": 1}]
    assert site.store.writes == ["update"]


async def test_mutate_sees_what_others_have_stored(serve: Any) -> None:
    """It runs again on the newer data where somebody came in between; what it did before counts for nothing."""
    gate = Gate()
    runs: list[dict[str, Any]] = []

    def change(data: dict[str, Any]) -> None:
        runs.append(dict(data))
        data["runs"] = len(runs)

    late = slow(gate, lambda handler: handler.session.mutate(change))
    site: Site = await serve({"/visit": visit, "/slow": late, "/increment": increment})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate, "/increment")

    assert runs[-1] == {"mark": MARK, "n": 1}
    assert await site.row(browser.sid) == {"mark": MARK, "n": 1, "runs": len(runs)}


async def test_mutate_of_a_fresh_session_makes_it(serve: Any) -> None:
    """The visitor gets the cookie with this very answer."""
    site: Site = await serve(PAGES)
    browser = site.browser()

    response = await browser.fetch("/increment")

    assert response.text == "1"
    assert await site.rows() == {browser.sid: {"n": 1}}


async def test_mutate_is_atomic_under_overwrite_as_well(serve: Any) -> None:
    """`conflict` is about the end of a request; mutate() always compares and sets."""
    site: Site = await serve(PAGES, conflict="overwrite")
    browser = site.browser()
    await browser.fetch("/visit")

    await asyncio.gather(*(browser.fetch("/increment") for _ in range(20)))

    assert await site.row(browser.sid) == {"mark": MARK, "n": 20}


async def test_a_function_that_raises_changes_nothing(serve: Any) -> None:
    """Its error comes to the handler; half of its work is not stored, not even by the end of the request."""

    def half(data: dict[str, Any]) -> None:
        data["half"] = True
        raise LookupError("the application's own")

    async def act(handler: Any) -> str:
        try:
            await handler.session.mutate(half)
        except LookupError:
            return show(handler)
        return "no error"

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/act")

    assert response.json() == {"mark": MARK}
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_what_a_handler_holds_is_still_seen_after_a_mutation_that_was_undone(serve: Any) -> None:
    """A list from before mutate() is the session's own also after it failed, or ran again: to append to it counts."""

    def fails(data: dict[str, Any]) -> None:
        data["n"] = {1}
        raise LookupError("the application's own")

    async def act(handler: Any) -> None:
        basket = handler.session["basket"]
        with suppress(LookupError):
            await handler.session.mutate(fails)
        basket.append("an apple")

    site: Site = await serve({"/fill": lambda handler: handler.session.update(basket=[]), "/act": act})
    browser = site.browser()
    await browser.fetch("/fill")

    await browser.fetch("/act")

    assert await site.row(browser.sid) == {"basket": ["an apple"]}


async def test_a_mutation_that_was_not_stored_is_not_stored_later(serve: Any) -> None:
    """The handler got the failure: the end of the request must not store the change all the same."""

    async def act(handler: Any) -> str:
        try:
            await handler.session.mutate(add)
        except StoreUnavailable:
            site.store.recover()
            return "failed"
        return "no error"

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(StoreUnavailable("the disk is away"), "update")

    response = await browser.fetch("/act")

    assert response.text == "failed"
    assert await site.row(browser.sid) == {"mark": MARK}


@pytest.mark.parametrize("value", [{1}, object(), float("nan")])
async def test_a_mutation_that_json_cannot_hold_is_refused(serve: Any, value: object) -> None:
    """DataError, and the session is as before."""

    async def act(handler: Any) -> str:
        try:
            await handler.session.mutate(lambda data: data.update(bad=value))
        except ValueError as error:
            return f"{type(error).__name__} {'bad' in str(error)} {dict(handler.session) == {'mark': MARK}}"
        return "no error"

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/act")

    assert response.text == "DataError True True"
    assert await site.row(browser.sid) == {"mark": MARK}
