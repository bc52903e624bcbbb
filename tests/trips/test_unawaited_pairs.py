"""Verbs without their `await` have the results of awaited ones: every pair of verbs, one after the other.

`reload()` is left out: it acts when it is done, so what is changed behind its call is dropped if nobody waits for it.
"""

import asyncio
import itertools
from typing import Any

import pytest

from sessions import NoSession

from .world import Site, visit


def increment(data: dict[str, Any]) -> None:
    data["mutated"] = data.get("mutated", 0) + 1


VERBS = ("save", "destroy", "regenerate", "rotate", "mutate")

each_pair = pytest.mark.parametrize(("first", "second"), list(itertools.product(VERBS, VERBS)))


def call(handler: Any, verb: str) -> Any:
    """Call a verb; NoSession is what it says after a destroy()."""
    return handler.session.mutate(increment) if verb == "mutate" else getattr(handler.session, verb)()


async def both(handler: Any, first: str, second: str, how: str) -> str:
    """Two verbs, with changes before, between and behind them."""
    called = []
    for number, verb in enumerate((first, second, "")):
        try:
            handler.session[f"change-{number}"] = number
            if verb:
                called.append(call(handler, verb))
        except NoSession:
            return "NoSession"
        if verb and how == "awaited":
            await called[-1]
    if how == "gathered":
        await asyncio.gather(*called)
    return "done"


async def outcome(serve: Any, first: str, second: str, how: str, known: bool) -> tuple[object, ...]:
    """What a visitor gets from two verbs, and what is in the store then."""

    async def page(handler: Any) -> str:
        return await both(handler, first, second, how)

    site: Site = await serve({"/visit": visit, "/": page})
    browser = site.browser()
    others = set(await site.rows())
    if known:
        await browser.fetch("/visit")
    before = browser.sid
    response = await browser.fetch()
    rows = {sid: row for sid, row in (await site.rows()).items() if sid not in others}
    mine = rows.pop(browser.sid or "", None)
    text = response.text if response.status == 200 else ""
    return response.status, text, len(response.set_cookies), browser.sid == before, mine, list(rows.values())


@each_pair
@pytest.mark.parametrize("how", ["forgotten", "gathered"])
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_two_verbs_come_to_the_same_as_awaited(
    serve: Any, first: str, second: str, how: str, known: bool
) -> None:
    """The same answer, the same cookie, the same rows."""
    awaited = await outcome(serve, first, second, "awaited", known)

    assert await outcome(serve, first, second, how, known) == awaited
