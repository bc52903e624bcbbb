"""`conflict = "reject"`: of two requests that change one key the second is refused; different keys merge as ever."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from clock import DAY

from sessions import NoSession, SessionConflict, SessionMixin
from sessions.web.held_response import CommitFailed

from .conftest import Logbook
from .staged import Gate
from .test_sockets import Socket, say, shake_hands
from .world import MARK, YEAR, Act, Site, World, overtaken, setting, show, slow, visit

LINE = "another request has changed session['who'] meanwhile: nothing of this one is stored"


def deleting(key: str) -> Act:
    """A page that deletes a key."""

    def act(handler: Any) -> None:
        del handler.session[key]

    return act


def remembering(lifetime: int) -> Act:
    """A page that assigns the lifetime."""

    def act(handler: Any) -> None:
        handler.session.cookie.max_age = lifetime

    return act


def strict(handler: Any) -> None:
    handler.session.cookie.same_site = "strict"


async def met(serve: Any, mine: Act, theirs: Act, first: Act = visit, **pages: Any) -> tuple[Site, Any, Any]:
    """The site, the browser and the answer of a request that another one has overtaken."""
    gate = Gate()
    table = {"/visit": first, "/show": show, "/slow": slow(gate, mine), "/fast": theirs}
    site: Site = await serve({**table, **pages}, conflict="reject")
    browser = site.browser()
    await browser.fetch("/visit")
    return site, browser, await overtaken(browser, gate)


# ---------------------------------------------------------------- what is a conflict


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (setting(a=2), setting(b=3), {"a": 2, "b": 3}),
        (deleting("a"), setting(b=3), {"b": 3}),
        (setting(a=2), setting(a=2), {"a": 2}),
        (deleting("a"), deleting("a"), {}),
        (setting(a=1), setting(a=2), {"a": 2}),
        (show, setting(a=2), {"a": 2}),
    ],
    ids=["other-keys", "delete|other", "same-value", "delete|delete", "no-change", "only-read"],
)
async def test_what_does_not_clash_is_merged(serve: Any, mine: Act, theirs: Act, expected: dict[str, Any]) -> None:
    """Different keys, and equal new values."""
    site, browser, response = await met(serve, mine, theirs, setting(a=1))

    assert response.status == 200
    assert await site.row(browser.sid) == expected


@pytest.mark.parametrize(
    ("mine", "theirs", "expected"),
    [
        (setting(a=2, c=4), setting(a=3), {"a": 3}),
        (deleting("a"), setting(a=3), {"a": 3}),
        (setting(a=2), deleting("a"), {}),
        (setting(b=2), setting(b=3), {"a": 1, "b": 3}),
        (setting(a=1.0), setting(a=True), {"a": True}),
        (lambda handler: handler.session.clear(), setting(a=3), {"a": 3}),
    ],
    ids=["set|set", "delete|set", "set|delete", "new|new", "by-type", "clear|set"],
)
async def test_the_same_key_changed_by_both_is_a_409(
    serve: Any, mine: Act, theirs: Act, expected: dict[str, Any]
) -> None:
    """Nothing of the second is stored, its other keys included, and it sends no cookie."""
    site, browser, response = await met(serve, mine, theirs, setting(a=1))

    assert (response.status, response.set_cookies) == (409, [])
    assert await site.row(browser.sid) == expected


async def test_a_change_inside_a_value_is_one_of_its_key(serve: Any) -> None:
    """Top-level keys are what is compared, as in a merge."""

    def adding(item: str) -> Act:
        return lambda handler: handler.session["list"].append(item)

    site, browser, response = await met(serve, adding("mine"), adding("theirs"), setting(list=[]))

    assert response.status == 409
    assert await site.row(browser.sid) == {"list": ["theirs"]}


@pytest.mark.parametrize(
    ("mine", "theirs", "status"),
    [
        (remembering(DAY), remembering(YEAR), 409),
        (remembering(YEAR), remembering(YEAR), 200),
        (strict, remembering(YEAR), 200),
        (setting(a=1), remembering(YEAR), 200),
        (remembering(YEAR), setting(a=1), 200),
    ],
    ids=["one-attribute", "equal", "two-attributes", "cookie-only-theirs", "cookie-only-mine"],
)
async def test_the_attributes_of_the_cookie_likewise(serve: Any, mine: Act, theirs: Act, status: int) -> None:
    """Each is a key of its own."""
    site, browser, response = await met(serve, mine, theirs)

    assert response.status == status
    assert (await site.stored_cookie(browser.sid))["originalMaxAge"] == YEAR
    assert (await site.stored_cookie(browser.sid)).get("sameSite") == ("strict" if mine is strict else "lax")


async def test_a_renewal_by_another_request_is_no_conflict(serve: Any) -> None:
    """It moves the expiry, which nobody has assigned."""
    _, _, response = await met(serve, remembering(YEAR), lambda handler: handler.session.touch())

    assert response.status == 200


@pytest.mark.parametrize("kind", ["memory", "sqlite", "redis", "postgres", "jsonb"], indirect=True)
async def test_two_processes_tell_each_other(serve: Any, world: World) -> None:
    """By the store's compare-and-set alone."""
    gate = Gate()
    here: Site = await serve({"/visit": visit, "/slow": slow(gate, setting(who="here"))}, conflict="reject")
    there: Site = await serve(setting(who="there"), store=await world.store(), conflict="reject")
    browser, other = here.browser(), there.browser()
    other.jar = browser.jar
    await browser.fetch("/visit")

    call = await browser.start("/slow")
    await gate.reached()
    await other.fetch()
    gate.open()
    response = await call.response()

    assert response.status == 409
    assert await here.row(browser.sid) == {"mark": MARK, "who": "there"}


async def test_of_many_at_once_one_is_stored(serve: Any) -> None:
    """Each of the others is refused."""
    gate = Gate()

    async def page(handler: Any) -> None:
        len(handler.session)
        await gate.wait()
        handler.session["who"] = handler.request.path

    site: Site = await serve({"/visit": visit, "/[0-9]+": page}, conflict="reject")
    browser = site.browser()
    await browser.fetch("/visit")
    calls = [await browser.start(f"/{number}") for number in range(20)]
    await gate.reached(20)

    gate.open()
    responses = await asyncio.gather(*(call.response() for call in calls))

    statuses = [response.status for response in responses]
    assert sorted(statuses) == [200] + [409] * 19
    assert await site.row(browser.sid) == {"mark": MARK, "who": f"/{statuses.index(200)}"}


async def test_a_reject_is_one_line_of_the_log(serve: Any, logbook: Logbook) -> None:
    """Without a traceback: it is nobody's fault."""
    await met(serve, setting(who="slow"), setting(who="fast"))

    lines = [line for line in logbook.lines() if "meanwhile" in line]

    assert lines == [f"GET /slow: {LINE}"]


# ---------------------------------------------------------------- caught


def catching(verb: Callable[[Any], Any], behind: Callable[[Any], Any] = lambda handler: None) -> Act:
    """A page that sets keys, asks for a verb, and answers what it has caught."""

    async def act(handler: Any) -> None:
        handler.session.update(who="slow", more=1)
        try:
            await verb(handler)
        except SessionConflict as error:
            handler.write(",".join(error.keys))
            result = behind(handler)
            if result is not None:
                await result

    return act


async def rotate(handler: Any) -> None:
    await handler.session.rotate()


async def save(handler: Any) -> None:
    await handler.session.save()


async def mutate(handler: Any) -> None:
    await handler.session.mutate(lambda data: data.update(count=1))


@pytest.mark.parametrize("verb", [save, mutate, rotate])
async def test_a_handler_catches_it_at_a_verb(serve: Any, verb: Callable[[Any], Any]) -> None:
    """The answer is the handler's own, and still nothing of the request is stored."""
    site, browser, response = await met(serve, catching(verb), setting(who="fast"))

    assert (response.status, response.text, response.set_cookies) == (200, "who", [])
    assert await site.rows() == {browser.sid: {"mark": MARK, "who": "fast"}}


@pytest.mark.parametrize("verb", [save, mutate, rotate])
async def test_one_that_leaves_the_handler_is_a_409(serve: Any, verb: Callable[[Any], Any]) -> None:
    async def act(handler: Any) -> None:
        handler.session["who"] = "slow"
        await verb(handler)

    site, browser, response = await met(serve, act, setting(who="fast"))

    assert (response.status, response.set_cookies) == (409, [])
    assert await site.rows() == {browser.sid: {"mark": MARK, "who": "fast"}}


async def test_a_save_that_nobody_awaits_has_its_409(serve: Any) -> None:
    def act(handler: Any) -> None:
        handler.session["who"] = "slow"
        handler.session.save()

    site, browser, response = await met(serve, act, setting(who="fast"))

    assert response.status == 409
    assert await site.row(browser.sid) == {"mark": MARK, "who": "fast"}


async def test_after_reload_the_handler_begins_again(serve: Any) -> None:
    """It sees what the other has stored, and stores what it makes of it."""

    async def again(handler: Any) -> None:
        await handler.session.reload()
        handler.session["who"] += " and slow"

    site, browser, response = await met(serve, catching(save, again), setting(who="fast"))

    assert response.status == 200
    assert await site.row(browser.sid) == {"mark": MARK, "who": "fast and slow"}


async def test_without_reload_a_second_save_meets_it_again(serve: Any) -> None:
    """The handler has looked at nothing newer."""
    site, browser, response = await met(serve, catching(save, save), setting(who="fast"))

    assert response.status == 409
    assert await site.row(browser.sid) == {"mark": MARK, "who": "fast"}


@pytest.mark.parametrize("verb", ["regenerate", "destroy"])
async def test_what_ends_the_session_ends_it_all_the_same(serve: Any, verb: str) -> None:
    """A login or a sign-out behind a conflict: it changes no key of the old session."""

    async def behind(handler: Any) -> None:
        await getattr(handler.session, verb)()
        if verb == "regenerate":
            handler.session["user"] = "ada"

    site, browser, response = await met(serve, catching(save, behind), setting(who="fast"))

    assert (response.status, len(response.set_cookies)) == (200, 1)
    assert await site.rows() == ({browser.sid: {"user": "ada"}} if verb == "regenerate" else {})


async def test_mutate_alone_never_clashes(serve: Any) -> None:
    """Its function sees the newest value: a counter counts."""

    async def count(handler: Any) -> None:
        await handler.session.mutate(lambda data: data.update(n=data.get("n", 0) + 1))

    site, browser, response = await met(serve, count, count)

    assert response.status == 200
    assert await site.row(browser.sid) == {"mark": MARK, "n": 2}


async def test_it_is_a_session_error_with_the_keys(serve: Any) -> None:
    """Both kinds, in the order in which they were set; `cookie` for an attribute of it."""

    async def mine(handler: Any) -> None:
        handler.session.update(b=1, a=1)
        del handler.session["mark"]
        handler.session.cookie.max_age = DAY
        try:
            await handler.session.save()
        except SessionConflict as error:
            handler.write(f"{error.keys} {error}")

    def theirs(handler: Any) -> None:
        setting(a=2, b=2, mark=2)(handler)
        handler.session.cookie.max_age = YEAR

    _, _, response = await met(serve, mine, theirs)

    assert response.text == (
        "('b', 'a', 'mark', 'cookie') another request has changed session['b'], session['a'], session['mark'],"
        " session.cookie meanwhile: nothing of this one is stored"
    )


# ---------------------------------------------------------------- streams, sockets, outside a request


async def test_a_finish_tells_who_awaits_it(serve: Any) -> None:
    """By `CommitFailed`, with the conflict as its cause."""
    seen: list[BaseException | None] = []

    async def act(handler: Any) -> None:
        handler.session["who"] = "slow"
        try:
            await handler.finish("done")
        except CommitFailed as error:
            seen.append(error.__cause__)

    _, _, response = await met(serve, act, setting(who="fast"))

    assert response.status == 409
    assert [type(each) for each in seen] == [SessionConflict]


async def test_a_stream_learns_it_at_its_first_flush(serve: Any) -> None:
    """Nothing has left yet, so the answer is the 409."""

    async def act(handler: Any) -> None:
        handler.session["who"] = "slow"
        handler.write("one,")
        await handler.flush()

    _, _, response = await met(serve, act, setting(who="fast"))

    assert (response.status, response.whole) == (409, True)
    assert "one," not in response.text


async def test_a_stream_that_learns_it_at_its_end_is_cut(serve: Any) -> None:
    """As with every commit that fails there."""
    gate = Gate()

    async def act(handler: Any) -> None:
        len(handler.session)
        handler.write("one,")
        await handler.flush()
        await gate.wait()
        handler.session["who"] = "slow"

    site: Site = await serve({"/visit": visit, "/slow": act, "/fast": setting(who="fast")}, conflict="reject")
    browser = site.browser()
    await browser.fetch("/visit")

    response = await overtaken(browser, gate)

    assert (response.status, response.text, response.whole) == (200, "one,", False)
    assert await site.row(browser.sid) == {"mark": MARK, "who": "fast"}


async def test_a_handshake_that_clashes_is_refused(serve: Any) -> None:
    """With a 409 in place of its 101."""
    gate = Gate()

    class Late(Socket):
        async def prepare(self) -> None:
            await SessionMixin.prepare(self)
            await slow(gate, setting(who="slow"))(self)  # type: ignore[misc] # it is async

    site: Site = await serve({"/visit": visit, "/socket": Late, "/fast": setting(who="fast")}, conflict="reject")
    browser = site.browser()
    await browser.fetch("/visit")

    call = await shake_hands(browser)
    await gate.reached()
    await browser.fetch("/fast")
    gate.open()
    response = await call.response()

    assert response.status == 409


async def test_a_socket_learns_it_at_save(serve: Any) -> None:
    """And goes on after a reload."""

    async def act(handler: Any) -> str:
        handler.session["who"] = "socket"
        try:
            await handler.session.save()
        except SessionConflict as error:
            await handler.session.reload()
            return f"{error.keys[0]} {handler.session['who']}"
        return "saved"

    site: Site = await serve({"/socket": (Socket, act), "/fast": setting(who="fast")}, conflict="reject")
    browser = site.browser()
    call = await shake_hands(browser)
    response = await call.wire.response()
    browser.jar.receive(response.set_cookies[0], browser.host, "/", secure=False)

    await browser.fetch("/fast")
    answers = [await say(call), await say(call)]
    await call.wire.close()

    assert answers == ["who fast", "saved"]
    assert await site.row(browser.sid) == {"n": 1, "who": "socket"}


async def test_work_outside_a_request_learns_it_at_its_end(serve: Any) -> None:
    """`manager.open()` raises where it stores."""
    site: Site = await serve({"/": setting(who="fast")}, conflict="reject")
    browser = site.browser()
    await browser.fetch()
    sid = browser.sid or ""

    async def work() -> None:
        async with site.manager.open(sid) as session:
            session["who"] = "slow"
            async with site.manager.open(sid) as other:
                other["who"] = "other"

    with pytest.raises(SessionConflict) as caught:
        await work()

    assert caught.value.keys == ("who",)
    assert await site.row(sid) == {"who": "other"}


async def test_a_sign_out_meanwhile_is_no_conflict(serve: Any) -> None:
    """Ended is ended, as with a merge."""

    async def act(handler: Any) -> str:
        handler.session["who"] = "slow"
        try:
            await handler.session.save()
        except NoSession:
            return "over"
        return "saved"

    async def leave(handler: Any) -> None:
        await handler.session.destroy()

    site, _, response = await met(serve, act, leave)

    assert response.text == "over"
    assert await site.rows() == {}
