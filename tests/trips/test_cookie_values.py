"""`renewAfter`: the cookie of a session gets a new value from time to time, rule by rule, and the row stays."""

import json
from typing import Any

import pytest
from client import Browser
from clock import DAY, MINUTE, SECOND

from sessions import CookieOptions, OptionsError, SessionOptions, StoreUnavailable
from sessions.observe import Event
from sessions.renewal import split
from sessions.testing.jar import Jar

from .conftest import Logbook, memory_only
from .staged import Gate
from .talks import ENDED, NEVER, Chat, saved, talk
from .world import LIFETIME, MARK, Site, World, count, logout, setting, show, slow, visit

GRACE, AFTER = 30 * SECOND, 10 * MINUTE
LONG = CookieOptions(max_age=30 * DAY)

PAGES = {"/visit": visit, "/show": show, "/count": count, "/logout": logout}


async def renewing(serve: Any, pages: Any = None, **options: Any) -> tuple[Site, Browser]:
    """A site with `renewAfter`, and a visitor with a session."""
    given = {"renew_after": AFTER, "grace": GRACE, "cookie": LONG, **options}
    site: Site = await serve({**PAGES, **(pages or {})}, **given)
    browser = site.browser()
    await browser.fetch("/visit")
    return site, browser


def tag(browser: Browser) -> str:
    """The tag of a browser's cookie; "" for none."""
    return split(browser.sid or "")[1]


def sid(browser: Browser) -> str:
    """The id in a browser's cookie."""
    return split(browser.sid or "")[0]


def copied(site: Site, browser: Browser) -> Browser:
    """A browser with a copy of the cookies as they are now: a thief's, or a restored profile."""
    other = site.browser()
    other.jar = Jar(site.clock, dict(browser.jar._cookies))
    return other


async def meta(site: Site, browser: Browser) -> dict[str, Any]:
    """What the row says of the cookie's values, with moments as seconds before now."""
    found = json.loads((await site.stored(sid(browser))).data).get("__meta", {})
    return {
        name: (site.clock() - each) // 1000 if name in ("tagUsed", "renewedAt") else each
        for name, each in found.items()
        if name in ("tag", "tagBefore", "tagUsed", "renewedAt")
    }


def is_shown(response: Any) -> bool:
    """Whether a page has shown the data of the session."""
    return bool(response.status == 200 and response.json().get("mark") == MARK)


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
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
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


# ---------------------------------------------------------------- a copy of the cookie


async def test_a_value_that_is_over_has_no_session(serve: Any, logbook: Logbook) -> None:
    """One of ours that a newer one has replaced: an event, a new visitor, and the owner goes on."""
    site, browser = await renewing(serve)
    thief = copied(site, browser)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(GRACE)

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
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(10 * DAY)

    await copy.fetch("/show")

    assert is_shown(await browser.fetch("/show")) == is_in
    assert is_shown(await phone.fetch("/show"))


async def test_a_thief_who_renews_first_is_seen_when_the_owner_comes(serve: Any, logbook: Logbook) -> None:
    """The owner is out then, and the log says why."""
    site, browser = await renewing(serve)
    thief = copied(site, browser)
    site.clock.forward(AFTER)
    await thief.fetch("/show")
    await thief.fetch("/show")
    site.clock.forward(DAY)

    response = await browser.fetch("/show")

    assert response.json() == {}
    assert any("session_reused" in line for line in logbook.lines("sessions"))


async def test_an_observer_is_given_the_user_of_a_copied_cookie(serve: Any) -> None:
    """An anonymous visitor's is in the log alone."""
    heard: list[Event] = []
    site, browser = await renewing(serve, {"/login": setting(user="ada")}, user_key="user", observer=heard.append)
    anonymous = site.browser()
    await anonymous.fetch("/visit")
    await browser.fetch("/login")
    copies = [copied(site, browser), copied(site, anonymous)]
    site.clock.forward(AFTER)
    for each in (browser, anonymous, browser, anonymous):
        await each.fetch("/show")
    site.clock.forward(GRACE)

    for each in copies:
        await each.fetch("/show")

    assert [(event.name, event.user) for event in heard] == [("session_reused", "ada")]


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
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(DAY)
    present = browser.kept().value

    response = await site.browser().fetch("/show", headers={"Cookie": f"connect.sid={old}; connect.sid={present}"})

    assert is_shown(response)


async def test_an_owner_who_comes_after_the_end_is_no_reuse(serve: Any, logbook: Logbook) -> None:
    """After thrice the idle time the row is gone, and nobody is suspected."""
    site, browser = await renewing(serve, cookie=CookieOptions(max_age=LIFETIME), reuse="end")
    old = copied(site, browser)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
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
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(GRACE)

    await old.fetch("/logout")

    assert is_shown(await browser.fetch("/show"))


@pytest.mark.parametrize("verb", ["rotate", "regenerate"])
async def test_a_new_id_has_no_tag(serve: Any, verb: str) -> None:
    """Its value is new already, and counts from now on."""

    async def renew(handler: Any) -> None:
        await getattr(handler.session, verb)()
        handler.session["mark"] = MARK

    site, browser = await renewing(serve, {"/new": renew})
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
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


# ---------------------------------------------------------------- streams, sockets, verbs


async def test_a_stream_renews_with_its_first_bytes(serve: Any) -> None:
    """Before they leave; its end, after the head, renews nothing."""

    async def stream(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        handler.write("two")

    site, browser = await renewing(serve, {"/stream": stream})
    site.clock.forward(AFTER)

    response = await browser.fetch("/stream")

    assert (response.text, response.whole) == ("one,two", True)
    assert tag(browser) == (await meta(site, browser))["tag"]
    assert (await site.row(sid(browser)) or {})["late"] == 1


async def test_after_the_head_nothing_is_renewed(serve: Any) -> None:
    """A value that becomes due while a stream runs waits for the next request."""
    gate = Gate()

    async def stream(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        await gate.wait()
        handler.session["late"] = 1

    site, browser = await renewing(serve, {"/stream": stream})
    call = await browser.start("/stream")
    await gate.reached()
    site.clock.forward(AFTER)
    gate.open()
    await call.response()

    assert "tag" not in await meta(site, browser)
    await browser.fetch("/show")
    assert tag(browser)


async def test_a_save_within_the_request_renews_nothing(serve: Any) -> None:
    """The end of the request does, when the cookie leaves."""
    seen = []

    async def save(handler: Any) -> None:
        handler.session["n"] = 1
        await handler.session.save()
        seen.append(await meta(site, browser))

    site, browser = await renewing(serve, {"/save": save})
    site.clock.forward(AFTER)

    await browser.fetch("/save")

    assert seen == [{"renewedAt": AFTER // SECOND}]
    assert tag(browser)


@memory_only
async def test_a_socket_renews_nothing_and_goes_on(serve: Any) -> None:
    """Neither its handshake nor its messages: no cookie can leave there, and a renewal elsewhere keeps the socket."""
    chat = type("Saving", (Chat,), {"initialize": lambda self: Chat.initialize(self, saved)})
    site, browser = await renewing(serve, {"/chat": chat}, watch_interval=NEVER)
    site.clock.forward(AFTER)

    open_socket = await talk(site, browser)
    untouched = await meta(site, browser)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(GRACE)
    answer = await open_socket.say()
    await open_socket.close()

    assert "Set-Cookie" not in (open_socket.client.headers or {})
    assert (untouched, answer) == ({"renewedAt": AFTER // SECOND}, "saved")
    assert (await meta(site, browser))["tag"] == tag(browser)
    assert (await site.row(sid(browser)) or {})["said"] == 2


@memory_only
async def test_with_end_the_sockets_of_the_session_end(serve: Any) -> None:
    """With it, at once."""
    site, browser = await renewing(serve, {"/chat": Chat}, watch_interval=NEVER, reuse="end")
    copy = copied(site, browser)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
    open_socket = await talk(site, browser)
    site.clock.forward(GRACE)

    await copy.fetch("/show")

    assert await open_socket.end() == ENDED


async def test_an_answer_that_is_not_saved_renews_nothing(serve: Any) -> None:
    """`saveOnError = false`, and a 500."""

    def fail(handler: Any) -> None:
        handler.set_status(500)

    site, browser = await renewing(serve, {"/fail": fail}, save_on_error=False)
    site.clock.forward(AFTER)

    response = await browser.fetch("/fail")

    assert response.set_cookies == []
    assert await meta(site, browser) == {"renewedAt": AFTER // SECOND}


async def test_reload_and_mutate_keep_what_another_request_has_renewed(serve: Any) -> None:
    """What they read says which value is the present one."""
    gate = Gate()

    async def both(handler: Any) -> None:
        len(handler.session)
        await gate.wait()
        await handler.session.reload()
        await handler.session.mutate(lambda values: values.update(m=1))

    site, browser = await renewing(serve, {"/both": both})
    slow_one = copied(site, browser)
    site.clock.forward(AFTER)
    call = await slow_one.start("/both")
    await gate.reached()
    await browser.fetch("/count")

    gate.open()
    response = await call.response()

    assert response.status == 200
    assert slow_one.sid == browser.sid
    assert (await meta(site, browser))["tag"] == tag(browser)


# ---------------------------------------------------------------- off, and the options


async def test_switched_off_the_tag_is_judged_and_the_next_cookie_has_none(serve: Any, world: World) -> None:
    """No visitor is signed out by it, and no copy becomes good again."""
    site, browser = await renewing(serve)
    copy = copied(site, browser)
    site.clock.forward(AFTER)
    await browser.fetch("/show")
    await browser.fetch("/show")
    site.clock.forward(GRACE)
    off: Site = await serve(PAGES, store=await world.store(), grace=GRACE, cookie=LONG)
    browser.port = copy.port = off.port

    refused = await copy.fetch("/show")
    kept = await browser.fetch("/show")
    after = tag(browser)
    await browser.fetch("/show")

    assert refused.json() == {}
    assert (is_shown(kept), after) == (True, "")
    assert "tag" not in await meta(off, browser)
    assert is_shown(await browser.fetch("/show"))


async def test_off_it_writes_and_sends_nothing(serve: Any) -> None:
    """A session has no `__meta` for it."""
    site: Site = await serve(PAGES, cookie=LONG)
    browser = site.browser()
    await browser.fetch("/visit")
    site.clock.forward(DAY // 2)
    site.store.forget()

    response = await browser.fetch("/show")

    assert site.store.calls == ["get"]
    assert response.set_cookies == []
    assert "__meta" not in (await site.stored(browser.sid)).data


async def test_an_id_that_looks_like_a_tagged_one_is_id_and_tag(serve: Any) -> None:
    """With `renewAfter` such an id of `genid` is refused."""
    site: Site = await serve(PAGES, genid=lambda _: "mine~AAAAAAAA", renew_after=AFTER)

    response = await site.browser().fetch("/visit")

    assert response.status == 500
    assert await site.rows() == {}


def test_the_longest_name_leaves_room_for_a_tag() -> None:
    """A cookie that a browser drops is a visitor who is new at each request."""
    name = "n" * (4096 - 134 - 32)

    assert SessionOptions(secret="s" * 32, name=name).name == name
    with pytest.raises(OptionsError, match="name: expected at most"):
        SessionOptions(secret="s" * 32, name=name, renew_after=AFTER)
