"""`renewAfter` and `reuse`: a copy of the cookie is noticed; what ends, and what gets a new id."""

from typing import Any

import pytest
from clock import DAY, MINUTE

from sessions import CookieOptions, StoreUnavailable
from sessions.observe import Event, SessionEvent

from .conftest import Logbook
from .renewed import AFTER, OVER, copied, is_shown, meta, renewing, tag, use_new_value
from .staged import Gate
from .world import LIFETIME, MARK, setting, show, slow

# ---------------------------------------------------------------- a copy of the cookie


async def test_a_value_that_is_over_has_no_session(serve: Any, logbook: Logbook) -> None:
    """One of ours that a newer one has replaced: an event, a new visitor, and the owner goes on."""
    site, browser = await renewing(serve)
    thief = copied(site, browser)
    await use_new_value(site, browser)
    site.clock.forward(OVER)

    response = await thief.fetch("/show")

    assert response.json() == {}
    assert is_shown(await browser.fetch("/show"))
    events = [line for line in logbook.lines("sessions") if "session_reused" in line]
    assert len(events) == 1
    assert not any("use_after_expire" in line for line in logbook.lines("sessions"))


@pytest.mark.parametrize(("reuse", "is_in"), [("log", True), ("end", False)])
async def test_reuse_says_whether_the_session_ends(serve: Any, reuse: str, is_in: bool) -> None:
    """This one only, and however late; the user has another one."""
    site, browser = await renewing(serve, {"/login": setting(user="ada")}, reuse=reuse, user_key="user")
    await browser.fetch("/login")
    phone = site.browser()
    await phone.fetch("/login")
    await phone.fetch("/visit")
    copy = copied(site, browser)
    await use_new_value(site, browser)
    site.clock.forward(10 * DAY)

    await copy.fetch("/show")

    assert is_shown(await browser.fetch("/show")) == is_in
    assert is_shown(await phone.fetch("/show"))


async def test_a_thief_who_renews_first_is_seen_when_the_owner_comes(serve: Any, logbook: Logbook) -> None:
    """The owner is out then, and the log says why."""
    site, browser = await renewing(serve)
    thief = copied(site, browser)
    await use_new_value(site, thief)
    site.clock.forward(DAY)

    response = await browser.fetch("/show")

    assert response.json() == {}
    assert any("session_reused" in line for line in logbook.lines("sessions"))


async def test_an_observer_is_given_the_user_of_a_copied_cookie(serve: Any) -> None:
    """An anonymous visitor has none."""
    heard: list[Event] = []
    site, browser = await renewing(serve, {"/login": setting(user="ada")}, user_key="user", observer=heard.append)
    anonymous = site.browser()
    await anonymous.fetch("/visit")
    await browser.fetch("/login")
    copies = [copied(site, browser), copied(site, anonymous)]
    site.clock.forward(AFTER)
    for each in (browser, anonymous, browser, anonymous):
        await each.fetch("/show")
    site.clock.forward(OVER)

    for each in copies:
        await each.fetch("/show")

    reused = [event.user for event in heard if isinstance(event, SessionEvent) and event.name == "session_reused"]
    assert reused == ["ada", None]


async def test_a_tag_that_nobody_has_signed_is_no_cookie(serve: Any, logbook: Logbook) -> None:
    """Tags are not to be guessed: it is tampering, not reuse."""
    site, browser = await renewing(serve, reuse="end")
    cookie = browser.kept().value
    forged = cookie.replace(".", "~AAAAAAAA.", 1)

    response = await site.browser().fetch("/show", headers={"Cookie": f"connect.sid={forged}"})

    assert response.json() == {}
    assert is_shown(await browser.fetch("/show"))
    assert not any("session_reused" in line for line in logbook.lines("sessions"))


async def test_a_good_cookie_beside_one_that_is_over_counts(serve: Any) -> None:
    """A browser may hold two for two paths; to have the present one is enough."""
    site, browser = await renewing(serve, reuse="end")
    old = browser.kept().value
    await use_new_value(site, browser)
    site.clock.forward(DAY)
    present = browser.kept().value

    response = await site.browser().fetch("/show", headers={"Cookie": f"connect.sid={old}; connect.sid={present}"})

    assert is_shown(response)


async def test_four_that_are_over_do_not_hide_a_good_one(serve: Any) -> None:
    """Four sessions are looked for in a request, whatever the values of each."""
    site, browser = await renewing(serve, reuse="end")
    values = [browser.kept().value]
    for _ in range(4):
        await use_new_value(site, browser)
        site.clock.forward(OVER)
        values.append(browser.kept().value)

    response = await site.browser().fetch(
        "/show", headers={"Cookie": "; ".join(f"connect.sid={value}" for value in values)}
    )

    assert len(set(values)) == 5
    assert is_shown(response)


async def test_an_owner_who_comes_after_the_end_is_no_reuse(serve: Any, logbook: Logbook) -> None:
    """After thrice the idle time the row is gone, and nobody is suspected."""
    site, browser = await renewing(serve, cookie=CookieOptions(max_age=LIFETIME), reuse="end")
    old = copied(site, browser)
    await use_new_value(site, browser)
    cookie = f"connect.sid={old.kept().value}"
    site.clock.forward(3 * LIFETIME)

    response = await old.fetch("/show", headers={"Cookie": cookie})

    assert response.json() == {}
    assert not any("session_reused" in line for line in logbook.lines("sessions"))


# ---------------------------------------------------------------- ends and new ids


@pytest.mark.parametrize("is_used", [False, True])
async def test_a_sign_out_with_the_value_before_ends_the_session(serve: Any, is_used: bool) -> None:
    """While that is good, in use or not."""
    site, browser = await renewing(serve)
    old = copied(site, browser)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    if is_used:
        await browser.fetch("/show")

    await old.fetch("/logout")

    assert await site.rows() == {}
    assert old.cookie() is None


async def test_a_sign_out_with_a_value_that_is_over_ends_nothing(serve: Any) -> None:
    """It has no session."""
    site, browser = await renewing(serve)
    old = copied(site, browser)
    await use_new_value(site, browser)
    site.clock.forward(OVER)

    await old.fetch("/logout")

    assert is_shown(await browser.fetch("/show"))


@pytest.mark.parametrize("verb", ["rotate", "regenerate", "sign_in", "confirm"])
@pytest.mark.parametrize("is_copy", [True, False])
async def test_a_tombstone_knows_which_values_are_good(serve: Any, logbook: Logbook, verb: str, is_copy: bool) -> None:
    """A sign-out under the old id ends the session that went on, but not by a value that is over."""

    async def move(handler: Any) -> None:
        if verb in ("rotate", "regenerate"):
            await getattr(handler.session, verb)()
        else:
            await (handler.sign_in("ada") if verb == "sign_in" else handler.confirm())
        handler.session["mark"] = MARK

    async def login(handler: Any) -> None:
        handler.session["user"] = "ada"

    site, browser = await renewing(serve, {"/move": move, "/login": login}, user_key="user")
    await browser.fetch("/login")
    copy = copied(site, browser)
    await use_new_value(site, browser)
    site.clock.forward(OVER)
    late = copy if is_copy else copied(site, browser)
    await browser.fetch("/move")

    await late.fetch("/logout")

    assert is_shown(await browser.fetch("/show")) == is_copy
    assert sum("session_reused" in line for line in logbook.lines("sessions")) == is_copy


@pytest.mark.parametrize("verb", ["rotate", "regenerate"])
async def test_a_new_id_has_no_tag(serve: Any, verb: str) -> None:
    """Its value is new already, and counts from now on."""

    async def renew(handler: Any) -> None:
        await getattr(handler.session, verb)()
        handler.session["mark"] = MARK

    site, browser = await renewing(serve, {"/new": renew})
    await use_new_value(site, browser)
    site.clock.forward(MINUTE)

    await browser.fetch("/new")

    assert tag(browser) == ""
    assert await meta(site, browser) == {"renewedAt": 0}
    assert is_shown(await browser.fetch("/show"))


async def test_a_renewal_behind_a_new_id_is_none(serve: Any) -> None:
    """A request that rotates when a new value is due."""

    async def rotate(handler: Any) -> None:
        await handler.session.rotate()

    site, browser = await renewing(serve, {"/new": rotate})
    site.clock.forward(AFTER)

    await browser.fetch("/new")

    assert tag(browser) == ""
    assert is_shown(await browser.fetch("/show"))


async def test_a_write_that_fails_renews_nothing(serve: Any) -> None:
    """The old value stays good, and the next request renews."""
    site, browser = await renewing(serve)
    site.clock.forward(AFTER)
    site.store.fail_once(StoreUnavailable("away"), "update")

    failed = await browser.fetch("/show")
    after = tag(browser)
    await browser.fetch("/show")

    assert (failed.status, after) == (503, "")
    assert tag(browser)


async def test_a_session_that_ends_meanwhile_gets_no_value(serve: Any) -> None:
    """A slow request that is due when the visitor signs out."""
    gate = Gate()
    site, browser = await renewing(serve, {"/slow": slow(gate, show)})
    site.clock.forward(AFTER)
    call = await copied(site, browser).start("/slow")
    await gate.reached()
    await browser.fetch("/logout")

    gate.open()
    response = await call.response()

    assert response.set_cookies == []
    assert await site.rows() == {}
