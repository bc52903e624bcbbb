"""`renewAfter`: the cookie of a session gets a new value from time to time, and no lost or slow answer matters."""

from typing import Any

import pytest
from clock import DAY, SECOND

from .renewed import AFTER, GRACE, LONG, PAGES, copied, is_shown, meta, renewing, sid, tag, use_new_value
from .staged import Gate
from .world import Site, World, setting, show, slow

# ---------------------------------------------------------------- a new value


async def test_the_value_changes_and_the_row_stays(serve: Any) -> None:
    """Once it is due: the id is the same, and so is all that belongs to it."""
    site, browser = await renewing(serve)
    before, first = await site.rows(), browser.sid
    site.clock.forward(AFTER)

    response = await browser.fetch("/show")

    assert is_shown(response)
    assert first == sid(browser)
    assert tag(browser)
    assert (await site.rows()).keys() == before.keys() == {first}
    assert await meta(site, browser) == {"tag": tag(browser), "renewedAt": 0}


async def test_before_it_is_due_nothing_is_sent_or_written(serve: Any) -> None:
    """A session that only reads costs what it did."""
    site, browser = await renewing(serve)
    site.clock.forward(AFTER - 1)
    site.store.forget()

    response = await browser.fetch("/show")

    assert response.set_cookies == []
    assert site.store.calls == ["get"]


async def test_a_change_and_the_new_value_are_one_write(serve: Any) -> None:
    """In one compare-and-set."""
    site, browser = await renewing(serve)
    site.clock.forward(AFTER)
    site.store.forget()

    await browser.fetch("/count")

    assert site.store.calls == ["get", "update"]
    assert tag(browser)
    assert (await site.row(sid(browser)) or {})["n"] == 1


async def test_the_first_use_is_noted_and_no_other(serve: Any) -> None:
    """One more write for each new value, none for each request."""
    site, browser = await renewing(serve)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    site.store.forget()

    await browser.fetch("/show")
    site.clock.forward(SECOND)
    await browser.fetch("/show")

    assert site.store.calls == ["get", "update", "get"]
    assert await meta(site, browser) == {"tag": tag(browser), "tagUsed": 1, "renewedAt": 1}


async def test_values_follow_each_other(serve: Any) -> None:
    """Each names the one before it."""
    site, browser = await renewing(serve)
    tags = []
    for _ in range(3):
        site.clock.forward(AFTER)
        await browser.fetch("/show")
        tags.append(tag(browser))
        await browser.fetch("/show")

    assert len({*tags}) == 3
    assert await meta(site, browser) == {"tag": tags[2], "tagBefore": tags[1], "tagUsed": 0, "renewedAt": 0}


async def test_used_and_due_in_one_request_is_only_used(serve: Any) -> None:
    """A visitor who comes back: the value before is good for `grace`, so the next one waits for that."""
    site, browser = await renewing(serve)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    first = tag(browser)
    site.clock.forward(DAY)

    await browser.fetch("/show")
    used = tag(browser)
    site.clock.forward(GRACE - 1)
    await browser.fetch("/show")
    waited = tag(browser)
    site.clock.forward(1)
    await browser.fetch("/show")

    assert used == waited == first
    assert tag(browser) not in ("", first)


async def test_a_session_that_says_no_moment_is_due(serve: Any, world: World) -> None:
    """One that was made before the option was set, or by Node."""
    plain: Site = await serve(PAGES, cookie=LONG)
    browser = plain.browser()
    await browser.fetch("/visit")
    site: Site = await serve(PAGES, store=await world.store(), renew_after=AFTER, cookie=LONG)
    browser.port = site.port

    response = await browser.fetch("/show")

    assert is_shown(response)
    assert tag(browser)


async def test_a_moment_in_the_future_is_due_once(serve: Any) -> None:
    """Of a clock that was wrong: the next moment is a right one."""
    site, browser = await renewing(serve)
    site.clock.forward(-DAY)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(GRACE)
    first = tag(browser)

    response = await browser.fetch("/show")

    assert first
    assert response.set_cookies == []
    assert (await meta(site, browser))["renewedAt"] == GRACE // SECOND


async def test_a_meta_of_somebody_else_is_refused(serve: Any) -> None:
    """Nothing can be recorded there."""
    site, browser = await renewing(serve)
    await site.plant(browser, '{"cookie":{"originalMaxAge":null},"__meta":{"theirs":1}}')

    response = await browser.fetch("/show")

    assert response.status == 500


# ---------------------------------------------------------------- lost answers, slow tabs


async def test_a_lost_answer_strands_nobody(serve: Any) -> None:
    """The old value works a day later, and gets the very value that was lost."""
    site, browser = await renewing(serve)
    old = copied(site, browser)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    site.clock.forward(DAY)

    response = await old.fetch("/show")

    assert is_shown(response)
    assert browser.sid == old.sid != sid(browser)


async def test_a_value_in_use_makes_the_one_before_quiet(serve: Any) -> None:
    """For `grace` it is good, and gets no cookie: not even with `rolling`, or a change of the cookie."""

    def assign(handler: Any) -> str:
        handler.session.cookie.max_age = 20 * DAY
        return show(handler)

    site, browser = await renewing(serve, {"/assign": assign}, rolling=True)
    old = copied(site, browser)
    await use_new_value(site, browser)
    site.clock.forward(GRACE - 1)

    answers = [await old.fetch(path) for path in ("/show", "/assign", "/count")]

    assert [answer.set_cookies for answer in answers] == [[], [], []]
    assert is_shown(answers[0])
    assert (await site.row(sid(browser)) or {})["n"] == 1


async def test_of_two_tabs_the_slow_one_loses_nothing(serve: Any) -> None:
    """It began with the value before, and ends when the next one is in use: its change is stored, no cookie is sent."""
    gate = Gate()
    site, browser = await renewing(serve, {"/slow": slow(gate, setting(slow=1))})
    site.clock.forward(AFTER)
    call = await browser.start("/slow")
    await gate.reached()
    await browser.fetch("/show")
    await browser.fetch("/count")

    gate.open()
    response = await call.response()

    assert (response.status, response.set_cookies) == (200, [])
    row = await site.row(sid(browser)) or {}
    assert (row["slow"], row["n"]) == (1, 1)
    assert is_shown(await browser.fetch("/show"))


async def test_a_slow_tab_gets_the_value_that_is_not_in_use_yet(serve: Any) -> None:
    """The other tab's answer may be lost."""
    gate = Gate()
    site, browser = await renewing(serve, {"/slow": slow(gate, setting(slow=1))})
    other = copied(site, browser)
    site.clock.forward(AFTER)
    call = await other.start("/slow")
    await gate.reached()
    await browser.fetch("/count")

    gate.open()
    await call.response()

    assert other.sid == browser.sid
    assert tag(browser)


@pytest.mark.parametrize("wait", [GRACE, AFTER + GRACE, DAY])
async def test_no_slow_answer_brings_an_older_value_back(serve: Any, wait: int) -> None:
    """With `rolling` each answer has a cookie: one that comes late has the present value, or none."""
    gate = Gate()
    site, browser = await renewing(serve, {"/slow": slow(gate, show)}, rolling=True)
    call = await copied(site, browser).start("/slow")
    await gate.reached()
    for _ in range(3):
        site.clock.forward(wait)
        await browser.fetch("/show")
        await browser.fetch("/show")

    gate.open()
    response = await call.response()

    assert response.status == 200
    assert all(each.split(";")[0].endswith(browser.kept().value) for each in response.set_cookies)


async def test_a_commit_under_way_sends_no_older_value(serve: Any, world: World) -> None:
    """With `rolling`, while another process renews: the cookie leaves by a compare-and-set, which notices that."""
    site, browser = await renewing(serve, rolling=True)
    there: Site = await serve(
        PAGES, store=await world.store(), renew_after=AFTER, grace=GRACE, cookie=LONG, rolling=True
    )
    other = copied(site, browser)
    other.port = there.port
    site.clock.forward(AFTER - GRACE - 1)
    gate = site.store.hold("update")
    call = await browser.start("/show")
    await gate.reached()
    site.clock.forward(1)
    await other.fetch("/show")

    gate.open()
    response = await call.response()

    assert is_shown(response)
    assert browser.sid == other.sid
    assert tag(other)


async def test_a_value_that_is_sent_shortly_before_its_end_is_renewed(serve: Any) -> None:
    """With `rolling`: no answer with the old value is still under way when the new one leaves."""
    site, browser = await renewing(serve, rolling=True)
    site.clock.forward(AFTER - GRACE - 1)
    await browser.fetch("/show")
    before = tag(browser)
    site.clock.forward(1)

    await browser.fetch("/show")

    assert before == ""
    assert tag(browser)
