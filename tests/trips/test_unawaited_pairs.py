"""Verbs whose `await` was forgotten come to what awaited ones come to: every two of them, one behind the other."""

import itertools
from typing import Any

import pytest

from sessions import NoSession

from .world import Site, visit


def increment(data: dict[str, Any]) -> None:
    data["mutated"] = data.get("mutated", 0) + 1


VERBS = ("save", "destroy", "regenerate", "rotate", "reload", "mutate")

each_pair = pytest.mark.parametrize(("first", "second"), list(itertools.product(VERBS, VERBS)))


def call(handler: Any, verb: str) -> Any:
    """Call a verb; NoSession is what it says after a destroy()."""
    return handler.session.mutate(increment) if verb == "mutate" else getattr(handler.session, verb)()


async def both(handler: Any, first: str, second: str, *, waits: bool) -> str:
    """Two verbs with changes before, between and behind them, but none behind a reload, which drops it when it is done."""
    verbs = (first, second, "")
    for number, verb in enumerate(verbs):
        try:
            if "reload" not in verbs[:number]:
                handler.session[f"change-{number}"] = number
            called = call(handler, verb) if verb else None
            if waits and called is not None:
                await called
        except NoSession:
            return "NoSession"
    return "done"


async def outcome(serve: Any, first: str, second: str, *, waits: bool, known: bool) -> tuple[object, ...]:
    """What a visitor gets from two verbs, and what is in the store then."""

    async def page(handler: Any) -> str:
        return await both(handler, first, second, waits=waits)

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
@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
async def test_two_verbs_come_to_the_same_without_await(serve: Any, first: str, second: str, known: bool) -> None:
    """The same answer, the same cookie, the same rows."""
    awaited = await outcome(serve, first, second, waits=True, known=known)
    forgotten = await outcome(serve, first, second, waits=False, known=known)

    print("AWAITED ", awaited, "\nFORGOTTEN", forgotten)
    assert forgotten == awaited
