"""A password that is asked for again: `@fresh`, and `confirm()` behind it."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from clock import MINUTE
from tornado.web import RequestHandler

from sessions import NoSession, SessionMixin, StoreUnavailable, fresh

from .members import ended, meta, rows, signing_in, visited, who
from .staged import Gate
from .world import MARK, logout, replay, setting, slow

AWAY = StoreUnavailable("the disk is away")
FETCH = {"Sec-Fetch-Mode": "cors"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate"}
LOGIN = {"login_url": "/login"}


class Danger(SessionMixin, RequestHandler):
    """For who has given the password in the last ten minutes."""

    @fresh(minutes=10)
    async def get(self) -> None:
        self.write("done")

    @fresh()
    def post(self) -> None:
        self.write("done")

    head = get


async def confirm(handler: Any) -> str:
    """The password was given again."""
    await handler.confirm()
    return who(handler)


PAGES: dict[str, Any] = {"/danger": Danger, "/confirm": confirm}


class TestFresh:
    """`@fresh`, and `confirm()` behind it."""

    async def test_a_fresh_login_may(self, serve: Any) -> None:
        """Up to the last of the minutes."""
        site, browser = await visited(serve, PAGES, "/ada")
        site.clock.forward(10 * MINUTE)

        assert (await browser.fetch("/danger", method="POST")).text == "done"

    @pytest.mark.parametrize(
        ("method", "headers", "status"),
        [("GET", {}, 302), ("GET", NAVIGATION, 302), ("HEAD", {}, 302), ("GET", FETCH, 401), ("POST", NAVIGATION, 401)],
    )
    async def test_an_older_one_is_asked_to_confirm(
        self, serve: Any, method: str, headers: dict[str, str], status: int
    ) -> None:
        """A page that is only read goes there; all else is refused."""
        site, browser = await visited(serve, PAGES, "/ada", settings=LOGIN)
        site.clock.forward(10 * MINUTE + 1)

        response = await browser.fetch("/danger", method=method, headers=headers)

        assert response.status == status

    @pytest.mark.parametrize(
        ("settings", "path", "query"),
        [
            (LOGIN, "/login", {"next": ["/danger?a=1"], "fresh": ["1"]}),
            ({"login_url": "/login?x=y"}, "/login", {"x": ["y"], "next": ["/danger?a=1"], "fresh": ["1"]}),
            ({**LOGIN, "confirm_url": "/again"}, "/again", {"next": ["/danger?a=1"]}),
            ({"login_url": "https://id.example/in"}, "/in", {"next": ["http://127.0.0.1/danger?a=1"], "fresh": ["1"]}),
        ],
    )
    async def test_it_goes_where_the_settings_say(
        self, serve: Any, settings: dict[str, str], path: str, query: dict[str, list[str]]
    ) -> None:
        """To `confirm_url`, else to `login_url` with `fresh=1`; with where it came from."""
        site, browser = await visited(serve, PAGES, "/ada", settings=settings)
        site.clock.forward(11 * MINUTE)

        response = await browser.fetch("/danger?a=1")

        location = urlsplit(response.header("Location") or "")
        assert (location.path, parse_qs(location.query)) == (path, query)

    async def test_nobody_goes_to_the_login(self, serve: Any) -> None:
        """As with `@authenticated`."""
        _, browser = await visited(serve, PAGES, settings=LOGIN)

        response = await browser.fetch("/danger")

        assert (response.status, response.header("Location")) == (302, "/login?next=%2Fdanger")

    async def test_a_login_without_a_moment_is_not_fresh(self, serve: Any) -> None:
        """Express keeps none."""
        _, browser = await visited(serve, {**PAGES, "/begin": setting(user="ada")}, "/begin", settings=LOGIN)

        assert (await browser.fetch("/danger")).status == 302

    async def test_a_moment_in_the_future_is_no_licence(self, serve: Any) -> None:
        """A clock was wrong."""
        site, browser = await visited(serve, PAGES, "/ada", settings=LOGIN)
        site.clock.forward(-11 * MINUTE)

        assert (await browser.fetch("/danger")).status == 302

    async def test_confirm_makes_it_fresh_under_a_new_id(self, serve: Any) -> None:
        """The same rights and data; the old id has them no more, and leads a socket on."""
        site, browser = await visited(serve, PAGES, "/visit", "/ada")
        old, sid = replay(browser), browser.sid
        site.clock.forward(11 * MINUTE)

        response = await browser.fetch("/confirm")

        assert (response.json(), browser.sid == sid) == ("ada", False)
        assert (await browser.fetch("/danger")).text == "done"
        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}
        assert (await site.browser().fetch("/who", headers=old)).json() is None
        assert '"moved":true' in (await site.stored(sid)).data

    async def test_confirm_of_a_session_that_was_ended_signs_nobody_in(self, serve: Any) -> None:
        """409: the sign-out counts."""
        gate = Gate()
        site, browser = await visited(serve, {"/slow": slow(gate, confirm), "/fast": logout}, "/visit", "/ada")

        call = await browser.start("/slow")
        await gate.reached()
        await browser.fetch("/fast")
        gate.open()
        response = await call.response()

        assert (response.status, response.set_cookies) == (409, [])
        assert await site.rows() == {}

    async def test_confirm_of_a_row_that_became_another_users_signs_nobody_in(self, serve: Any) -> None:
        """The password was hers."""
        gate = Gate()
        pages = {"/slow": slow(gate, confirm), "/fast": setting(user="bob")}
        site, browser = await visited(serve, pages, "/visit", "/ada")
        sid = browser.sid

        response = await overtaken_with(browser, gate)

        assert (response.status, response.set_cookies) == (409, [])
        assert await rows(site) == {sid: {"mark": MARK, "user": "bob"}}

    async def test_nobody_has_nothing_to_confirm(self, serve: Any) -> None:
        """The error says so."""
        errors: list[str] = []

        async def act(handler: Any) -> None:
            try:
                handler.confirm()
            except NoSession as error:
                errors.append(str(error))

        _, browser = await visited(serve, {"/act": act}, "/visit")

        await browser.fetch("/act")

        assert errors == ["confirm: nobody is signed in"]

    async def test_a_store_that_fails_leaves_the_session(self, serve: Any) -> None:
        """503, and the session is as it was."""
        site, browser = await visited(serve, PAGES, "/ada")
        before = await site.rows()
        site.store.fail(AWAY, "rename")

        response = await browser.fetch("/confirm")
        site.store.recover()
        await ended(site)

        assert (response.status, response.set_cookies) == (503, [])
        assert await site.rows() == before

    async def test_confirm_keeps_what_is_remembered(self, serve: Any) -> None:
        """The end that the sign-in has set."""
        pages = {**PAGES, "/stay": signing_in(remember=timedelta(days=30))}
        site, browser = await visited(serve, pages, "/stay")
        ends = (await meta(site, browser.sid))["endsAt"]
        site.clock.forward(MINUTE)

        await browser.fetch("/confirm")

        kept = await meta(site, browser.sid)
        assert (kept["endsAt"], kept["signedInAt"]) == (ends, site.clock())


async def overtaken_with(browser: Any, gate: Gate) -> Any:
    """The answer of /slow, whatever it is, which waits until /fast is done."""
    call = await browser.start("/slow")
    await gate.reached()
    await browser.fetch("/fast")
    gate.open()
    return await call.response()
