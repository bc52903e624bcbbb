"""Verbs without their `await`: they are performed, the answer waits, and a failure that nobody has seen is the answer's."""

from typing import Any

import pytest
from tornado.web import HTTPError

from sessions import SessionMixin, StoreError, StoreUnavailable

from .test_sockets import Socket, open_socket, shake_hands
from .world import MARK, Act, Site, visit

AWAY = StoreUnavailable("the disk is away")

# ---------------------------------------------------------------- they act


def leaves(handler: Any) -> str:
    handler.session.destroy()
    return "bye"


def logs_in(handler: Any) -> str:
    handler.session.regenerate()
    handler.session["user"] = "eve"
    return "in"


def moves(handler: Any) -> str:
    handler.session["user"] = "eve"
    handler.session.rotate()
    return "in"


async def test_destroy_in_a_plain_method_ends_the_session(serve: Any) -> None:
    """In the store and in the browser, as in Express."""
    site: Site = await serve({"/visit": visit, "/leave": leaves})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/leave")

    assert response.text == "bye"
    assert browser.cookie() is None
    assert await site.rows() == {}


@pytest.mark.parametrize(("act", "data"), [(logs_in, {"user": "eve"}), (moves, {"mark": MARK, "user": "eve"})])
async def test_a_login_in_a_plain_method_has_a_new_id(serve: Any, act: Act, data: dict[str, Any]) -> None:
    """The old one leads nowhere, and never had the login."""
    site: Site = await serve({"/visit": visit, "/login": act})
    browser = site.browser()
    await browser.fetch("/visit")
    before = browser.sid

    await browser.fetch("/login")

    assert browser.sid != before
    assert await site.rows() == {browser.sid: data}


def increments(data: dict[str, Any]) -> None:
    data["n"] = data.get("n", 0) + 1


async def test_mutate_and_save_in_a_plain_method_are_stored(serve: Any) -> None:
    """Each in its turn."""

    def act(handler: Any) -> None:
        handler.session.mutate(increments)
        handler.session.mutate(increments)
        handler.session["late"] = 1
        handler.session.save()

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")

    await browser.fetch("/act")

    assert await site.row(browser.sid) == {"mark": MARK, "n": 2, "late": 1}


async def coroutine(data: dict[str, Any]) -> None:
    data["n"] = 1


def hidden(data: dict[str, Any]) -> Any:
    return coroutine(data)


@pytest.mark.parametrize("change", [coroutine, hidden])
async def test_mutate_takes_no_coroutine_function(serve: Any, change: Any) -> None:
    """It would change nothing: TypeError, at the call where the function says what it is, else when it is run."""
    seen: list[str] = []

    async def act(handler: Any) -> None:
        try:
            await handler.session.mutate(change)
        except TypeError as error:
            seen.append(str(error).partition(",")[0].partition(":")[0])

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")

    await browser.fetch("/act")

    assert seen == ["mutate() takes a plain function"]
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_the_first_flush_waits_for_verbs(serve: Any) -> None:
    """The new id is in the head of the stream."""

    async def act(handler: Any) -> None:
        handler.session.regenerate()
        handler.write("one,")
        handler.flush()
        handler.write("two")

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    before = browser.sid

    response = await browser.fetch("/act")

    assert (response.text, response.whole) == ("one,two", True)
    assert browser.sid != before
    assert await site.row(before) is None


class Entering(Socket):
    """A handshake that gives the session a new id."""

    async def prepare(self) -> None:
        await SessionMixin.prepare(self)
        self.session.regenerate()
        self.session["user"] = "eve"


async def test_the_handshake_waits_for_verbs(serve: Any) -> None:
    """Its 101 carries the new id."""
    site: Site = await serve({"/visit": visit, "/socket": Entering})
    browser = site.browser()
    await browser.fetch("/visit")
    before = browser.sid

    call = await open_socket(browser)
    await call.wire.close()

    assert browser.sid != before
    assert await site.rows() == {browser.sid: {"user": "eve"}}


async def test_a_handshake_is_refused_if_its_verb_fails(serve: Any) -> None:
    """503, and the old session is as it was."""
    site: Site = await serve({"/visit": visit, "/socket": Entering})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(AWAY)

    response = await (await shake_hands(browser)).response()

    assert (response.status, response.set_cookies) == (503, [])
    assert await site.rows() == {browser.sid: {"mark": MARK}}


# ---------------------------------------------------------------- they fail

FORGOTTEN: dict[str, Act] = {
    "save": lambda handler: handler.session.save(),
    "destroy": lambda handler: handler.session.destroy(),
    "regenerate": lambda handler: handler.session.regenerate(),
    "rotate": lambda handler: handler.session.rotate(),
    "mutate": lambda handler: handler.session.mutate(increments),
}


def goes_on(_handler: Any) -> None:
    """Answer with a page."""


def answers_404(_handler: Any) -> None:
    raise HTTPError(404)


def fails(_handler: Any) -> None:
    raise LookupError("the application's own")


def redirects(handler: Any) -> None:
    handler.redirect("/elsewhere")


@pytest.mark.parametrize("verb", FORGOTTEN)
@pytest.mark.parametrize("then", [goes_on, answers_404, fails, redirects])
@pytest.mark.parametrize(("error", "status"), [(AWAY, 503), (StoreError("the disk says no"), 500)])
async def test_a_failure_that_nobody_has_seen_is_the_answer(
    serve: Any, verb: str, then: Act, error: StoreError, status: int
) -> None:
    """Whatever the handler would have answered; nothing is stored, and no cookie is sent or removed."""

    def act(handler: Any) -> None:
        handler.session["changed"] = 1
        FORGOTTEN[verb](handler)
        then(handler)

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(error)

    response = await browser.fetch("/act")

    assert (response.status, response.set_cookies) == (status, [])
    assert response.header("Retry-After") == ("1" if error is AWAY else None)
    assert await site.rows() == {browser.sid: {"mark": MARK}}


async def test_a_save_behind_a_regenerate_that_failed_writes_nothing(serve: Any) -> None:
    """The login is not stored under the old id, although the store works again by then."""

    def act(handler: Any) -> None:
        handler.session.regenerate()
        handler.session["user"] = "eve"
        handler.session.save()

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()
    site.store.fail_once(AWAY, "update")

    response = await browser.fetch("/act")

    assert site.store.writes == ["update"]
    assert (response.status, response.set_cookies) == (503, [])
    assert await site.rows() == {browser.sid: {"mark": MARK}}


@pytest.mark.parametrize(
    "second", ["save", "destroy", "regenerate", "mutate"]
)  # rotate() takes over what save() writes
async def test_a_verb_after_one_that_failed_fails_with_it(serve: Any, second: str) -> None:
    """Who waits for it gets the failure of the first."""
    seen: list[BaseException] = []

    async def act(handler: Any) -> None:
        handler.session["changed"] = 1
        handler.session.save()
        try:
            await FORGOTTEN[second](handler)  # type: ignore[misc] # a verb, which is awaitable
        except StoreError as error:
            seen.append(error)
        handler.set_status(502)

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail_once(AWAY, "update")

    response = await browser.fetch("/act")

    assert seen == [AWAY]
    assert response.status == 502
    assert browser.sid in await site.rows()


async def test_a_failure_that_was_seen_is_logged_once(serve: Any) -> None:
    """A verb behind it that nobody awaits has failed with the same."""

    async def act(handler: Any) -> str:
        handler.session["changed"] = 1
        first = handler.session.save()
        handler.session.save()
        try:
            await first
        except StoreError:
            return "sorry"
        return "saved"

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail_once(AWAY, "update")

    response = await browser.fetch("/act")

    assert (response.status, response.text) == (200, "sorry")
