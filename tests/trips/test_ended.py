"""Promise 3: a session that has ended does not come back, and the late answer carries no session cookie."""

import json
import logging
from contextlib import suppress
from typing import Any

import pytest
from client import Browser

from sessions import CookieOptions, NoSession, SessionError

from .conftest import Logbook
from .staged import Gate
from .world import LIFETIME, MARK, Act, Site, count, logout, overtaken, replay, show, slow, unset, visit


async def login(handler: Any) -> str:
    await handler.session.regenerate()
    handler.session["user"] = MARK
    return "welcome"


async def login_with_basket(handler: Any) -> str:
    await handler.session.rotate()
    handler.session["user"] = MARK
    return "welcome"


OPTIONS: dict[str, dict[str, Any]] = {
    "reader": {"touch_after": 0},
    "rolling reader": {"rolling": True},
    "resaving reader": {"resave": True},
    "writer": {},
    "rolling writer": {"rolling": True},
}
"""Kinds of slow requests, and the options that make them dangerous elsewhere."""

each_kind = pytest.mark.parametrize("who", OPTIONS)


async def overtaken_by(serve: Any, fast: Act, who: str, **options: Any) -> tuple[Site, Browser, Any, str | None]:
    """A slow request that an ending overtakes: the site, the browser, the late answer and the id that ended."""
    gate = Gate()
    act = count if "writer" in who else show
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, act), "/fast": fast}, **{**OPTIONS[who], **options})
    browser = site.browser()
    await browser.fetch("/visit")
    old = browser.sid
    late = await overtaken(browser, gate)
    return site, browser, late, old


@each_kind
async def test_promise_3_a_logout_outlasts_a_slow_request(serve: Any, who: str) -> None:
    """The slow one's change is dropped, its answer is normal, and the browser stays without a cookie."""
    site, browser, late, _ = await overtaken_by(serve, logout, who)

    assert late.status == 200
    assert late.text == ("1" if "writer" in who else json.dumps({"mark": MARK}))
    assert late.set_cookies == []
    assert browser.cookie() is None
    assert await site.rows() == {}


@each_kind
async def test_promise_3_an_unset_session_stays_away(serve: Any, who: str) -> None:
    """`unset = "destroy"` ends a session as destroy() does."""
    site, browser, late, _ = await overtaken_by(serve, unset, who, unset="destroy")

    assert (late.status, late.set_cookies) == (200, [])
    assert browser.cookie() is None
    assert await site.rows() == {}


@each_kind
@pytest.mark.parametrize("fast", [login, login_with_basket])
async def test_promise_3_a_login_outlasts_a_slow_request(serve: Any, who: str, fast: Act) -> None:
    """The browser ends with the new id, whatever the slow answer brings; the old id is gone for good."""
    site, browser, late, old = await overtaken_by(serve, fast, who)

    basket = {"mark": MARK} if fast is login_with_basket else {}
    assert (late.status, late.set_cookies) == (200, [])
    assert browser.sid != old
    assert await site.rows() == {browser.sid: basket | {"user": MARK}}


@each_kind
async def test_promise_3_what_expired_meanwhile_stays_expired(serve: Any, who: str) -> None:
    """An expired row that nobody has swept yet counts as gone."""
    gate = Gate()
    act = count if "writer" in who else show
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, act)}, **OPTIONS[who])
    browser = site.browser()
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    site.clock.forward(LIFETIME)
    gate.open()
    late = await call.response()

    assert (late.status, late.set_cookies) == (200, [])
    assert browser.cookie() is None
    assert await site.rows() == {}


@pytest.mark.parametrize("save", ["save", "mutate", "reload"])
async def test_promise_3_verbs_do_not_revive_either(serve: Any, save: str) -> None:
    """save() and mutate() and reload() cannot do their work and say so; only the end of the request drops in silence."""
    gate = Gate()

    async def act(handler: Any) -> str:
        handler.session["late"] = 1
        await gate.wait()
        arguments = [lambda data: data.update(n=1)] if save == "mutate" else []
        try:
            await getattr(handler.session, save)(*arguments)
        except SessionError as error:
            return type(error).__name__
        return "dropped"

    site: Site = await serve({"/visit": visit, "/slow": act, "/fast": logout})
    browser = site.browser()
    await browser.fetch("/visit")

    late = await overtaken(browser, gate)

    assert late.text == "NoSession"
    assert late.set_cookies == []
    assert await site.rows() == {}


@pytest.mark.parametrize("wait", ["awaited", "left alone"])
async def test_a_verb_of_a_session_that_ended_answers_409(serve: Any, logbook: Logbook, wait: str) -> None:
    """It is nobody's fault: one line, no traceback, no cookie. Awaited or not, and also where the id has moved on."""
    for fast in (logout, login):
        gate = Gate()

        async def act(handler: Any, gate: Gate = gate) -> None:
            await gate.wait()
            verb = handler.session.mutate(lambda data: data.update(n=1))
            if wait == "awaited":
                await verb

        site: Site = await serve({"/visit": visit, "/slow": act, "/fast": fast})
        browser = site.browser()
        await browser.fetch("/visit")

        late = await overtaken(browser, gate)

        assert (late.status, late.set_cookies) == (409, [])
    lines = logbook.lines("sessions", level=logging.INFO)
    assert len([line for line in lines if line.startswith("GET /slow: no session: it ")]) == 2
    assert not any("Traceback" in line for line in logbook.lines())


async def test_promise_3_a_session_that_ended_can_be_read_to_the_end(serve: Any) -> None:
    """A late request that has learned of the end by a save() still has its data, and still is no error."""
    gate = Gate()

    async def act(handler: Any) -> str:
        handler.session["late"] = 1
        await gate.wait()
        with suppress(NoSession):
            await handler.session.save()
        return f"{handler.has_session} {json.dumps(dict(handler.session))}"

    site: Site = await serve({"/visit": visit, "/slow": act, "/fast": logout})
    browser = site.browser()
    await browser.fetch("/visit")

    late = await overtaken(browser, gate)

    assert late.text == f"True {json.dumps({'mark': MARK, 'late': 1})}"
    assert late.set_cookies == []


async def test_a_login_after_the_end_of_the_session_is_a_login(serve: Any) -> None:
    """regenerate() starts a new session, also after a save() that found the old one gone."""
    gate = Gate()

    async def act(handler: Any) -> None:
        handler.session["tries"] = 1
        await gate.wait()
        with suppress(NoSession):
            await handler.session.save()
        await handler.session.regenerate()
        handler.session["user"] = MARK

    site: Site = await serve({"/visit": visit, "/slow": act, "/fast": logout})
    browser = site.browser()
    await browser.fetch("/visit")

    await overtaken(browser, gate)

    assert await site.rows() == {browser.sid: {"user": MARK}}


async def test_promise_3_rolling_sends_the_cookie_only_when_confirmed(serve: Any) -> None:
    """A touch that meets a changed row is tried again; the cookie goes out with the new expiry in the store."""
    gate = Gate()
    site: Site = await serve({"/visit": visit, "/slow": slow(gate, show), "/fast": count}, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    await browser.fetch("/fast")
    site.clock.forward(1_000)
    gate.open()
    late = await call.response()

    assert len(late.set_cookies) == 1
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME
    assert await site.row(browser.sid) == {"mark": MARK, "n": 1}


@pytest.mark.parametrize("act", [logout, unset])
async def test_promise_3_only_the_request_that_ends_it_clears_the_cookie(serve: Any, act: Act) -> None:
    """A visitor who comes later with the old cookie is a new visitor: nothing is cleared, nothing is adopted."""
    site: Site = await serve({"/visit": visit, "/end": act, "/show": show}, unset="destroy")
    browser, copy = site.browser(), site.browser()
    await browser.fetch("/visit")
    headers = replay(browser)

    ended = await browser.fetch("/end")
    replayed = await copy.fetch("/show", headers=headers)

    assert len(ended.set_cookies) == 1
    assert (replayed.status, replayed.json(), replayed.set_cookies) == (200, {}, [])


async def test_two_logouts_at_once_are_both_fine(serve: Any) -> None:
    """destroy() is silent where there is nothing left to destroy."""
    gate = Gate()

    site: Site = await serve({"/visit": visit, "/slow": slow(gate, logout), "/fast": logout})
    browser = site.browser()
    await browser.fetch("/visit")

    late = await overtaken(browser, gate)

    assert (late.status, late.text) == (200, "bye")
    assert await site.rows() == {}


async def test_overwrite_revives_as_express_does(serve: Any) -> None:
    """`conflict = "overwrite"` gives Express's behaviour back, its logout race included."""
    site, browser, late, old = await overtaken_by(serve, logout, "writer", conflict="overwrite", cookie=CookieOptions())

    assert late.status == 200
    assert browser.cookie() is None
    assert await site.rows() == {old: {"mark": MARK, "n": 1}}
