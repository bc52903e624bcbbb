"""Promise 2 for the cookie: it is merged by attribute, so a counter does not undo a parallel "remember me"."""

from typing import Any

from .staged import Gate
from .world import MARK, YEAR, Site, overtaken, setting, slow, visit


def remember_me(handler: Any) -> None:
    """The box at a login."""
    handler.session.cookie.max_age = YEAR
    handler.session["remembered"] = True


async def test_promise_2_a_counter_does_not_undo_a_remember_me(serve: Any) -> None:
    """The cookie is merged by attribute, and the expiry is computed from the merged lifetime."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(n=1)), "/fast": remember_me})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"mark": MARK, "n": 1, "remembered": True}
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == YEAR
    assert (await site.stored(browser.sid)).expires_at == site.clock() + YEAR
    assert browser.kept().expires == site.clock() + YEAR


async def test_promise_2_a_remember_me_does_not_undo_a_counter(serve: Any) -> None:
    """The other way round."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, remember_me), "/fast": setting(n=1)})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.row(browser.sid) == {"mark": MARK, "n": 1, "remembered": True}
    assert (await site.stored(browser.sid)).expires_at == site.clock() + YEAR


async def test_promise_2_two_attributes_both_survive(serve: Any) -> None:
    """One request assigns sameSite, the other the lifetime."""
    gate = Gate()

    def strict(handler: Any) -> None:
        handler.session.cookie.same_site = "strict"

    site: Site = await serve({"/visit": visit, "/slow": slow(gate, strict), "/fast": remember_me})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    cookie = await site.stored_cookie(browser.sid)
    assert (cookie["sameSite"], cookie["originalMaxAge"]) == ("strict", YEAR)
