"""Large sessions: one visitor's many keys, or many characters, keep no other waiting, and nothing of them is lost."""

import asyncio
import json
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from clock import HOUR

from sessions.formats import json_text
from sessions.turns import LARGE

from .conftest import memory_only
from .world import Site, count, show

COOKIE = '{"cookie":{"originalMaxAge":3600000,"expires":"2099-01-01T00:00:00.000Z","httpOnly":true,"path":"/"},'
KINDS = {
    "numbers": json.dumps({f"k{number}": number for number in range(24_000)}),
    "objects": json.dumps({f"k{number}": {"n": number, "of": ["a", "b"]} for number in range(9_000)}),
    "one list": json.dumps({"list": [1] * 200_000}),
}
each_kind = pytest.mark.parametrize("data", KINDS.values(), ids=KINDS)

ONE_CHANGE = 8
"""Large texts that one change on top of another one decodes and encodes at most: ten at once come to 10 to 55."""


def change(handler: Any) -> None:
    """Set a key that the request names."""
    handler.session[handler.get_argument("key")] = -1


async def change_later(handler: Any) -> None:
    """The same, after a wait that all have in common."""
    await asyncio.sleep(0.05)
    change(handler)


async def change_now(handler: Any) -> None:
    """The same as one step."""
    await handler.session.mutate(lambda data: data.update({handler.get_argument("key"): -1}))


def delete(handler: Any) -> None:
    """Delete a key that the request names."""
    del handler.session[handler.get_argument("key")]


PAGES = {
    "/show": show,
    "/change": change,
    "/later": change_later,
    "/now": change_now,
    "/delete": delete,
    "/count": count,
}


async def large(serve: Any, data: str) -> tuple[Site, Any]:
    """A site, and a visitor with a large session."""
    site: Site = await serve(PAGES, max_bytes=0, store_timeout=30_000)
    browser = site.browser()
    await site.plant(browser, COOKIE + data[1:], lifetime=HOUR)
    return site, browser


async def most_in_a_step(work: Awaitable[Any], patch: pytest.MonkeyPatch) -> tuple[Any, int]:
    """What comes of the work, and how many large texts one step of the loop decodes or encodes at most meanwhile."""
    in_this_step = 0

    def counted(text: Any) -> Any:
        nonlocal in_this_step
        in_this_step += len(text) >= LARGE
        return text

    counting = SimpleNamespace(
        loads=lambda text: orjson.loads(counted(text)),
        dumps=lambda value, **options: counted(orjson.dumps(value, **options)),
        JSONDecodeError=orjson.JSONDecodeError,
    )
    patch.setattr(json_text, "orjson", counting)
    task, most = asyncio.ensure_future(work), 0
    while not task.done():
        await asyncio.sleep(0)
        most, in_this_step = max(most, in_this_step), 0
    return task.result(), most


@memory_only
@each_kind
@pytest.mark.parametrize("path", ["/change", "/later", "/now"])
async def test_parallel_changes_come_one_at_a_time(
    serve: Any, data: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No step of the loop does more than one change needs, and none is lost."""
    site, browser = await large(serve, data)
    asked = [browser.fetch(f"{path}?key=new{number}") for number in range(10)]

    answers, most = await most_in_a_step(asyncio.gather(*asked), monkeypatch)

    assert [each.status for each in answers] == [200] * 10
    assert 1 < most <= ONE_CHANGE
    assert await site.row(browser.sid) == json.loads(data) | {f"new{number}": -1 for number in range(10)}


@memory_only
@each_kind
async def test_a_bystander_waits_for_one_of_them(serve: Any, data: str) -> None:
    """Not for all that are under way."""
    site, browser = await large(serve, data)
    stranger = site.browser()
    await stranger.fetch("/count")
    changes = asyncio.gather(*(browser.fetch(f"/change?key=new{number}") for number in range(10)))

    served = 0
    while not changes.done():
        await stranger.fetch("/count")
        served += 1
    await changes

    assert served >= 10


@each_kind
async def test_changes_and_deletions_of_many_keys_are_merged(serve: Any, data: str) -> None:
    """In every store: what each request has meant is there."""
    site, browser = await large(serve, data)
    first = next(iter(json.loads(data)))
    paths = [f"/delete?key={first}", "/change?key=k7", "/change?key=new", "/change?key=k6999"]

    answers = await asyncio.gather(*map(browser.fetch, paths))

    expected = json.loads(data) | {"k7": -1, "new": -1, "k6999": -1}
    del expected[first]
    assert [each.status for each in answers] == [200] * 4
    assert await site.row(browser.sid) == expected


@memory_only
async def test_a_value_that_is_too_large_is_refused_by_its_size_first(serve: Any, logbook: Any) -> None:
    """It is not looked through: what else is wrong with it does not count any more."""

    def act(handler: Any) -> None:
        handler.session["list"] = [1] * 500_000 + [float("nan")]

    site: Site = await serve({"/act": act}, max_bytes=100_000)

    response = await site.browser().fetch("/act")

    assert response.status == 500
    assert any("maxBytes is 100000" in line for line in logbook.lines("tornado.application"))


@memory_only
async def test_a_corrupt_row_that_is_large_is_a_500(serve: Any) -> None:
    """Also where no handler looks: it is decoded in its turn."""
    site: Site = await serve({"/plain": lambda _: "no session asked for"})
    browser = site.browser()
    await site.plant(browser, COOKIE + '"a":"' + "x" * 300_000, lifetime=HOUR)

    response = await browser.fetch("/plain")

    assert response.status == 500
