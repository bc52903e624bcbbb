"""`rotate()` is one step of the store: whatever fails, a visitor has one session, and the old id never has the login."""

import asyncio
from typing import Any

import pytest
from clock import MovableClock

from sessions import StoreError, StoreUnavailable, rotation

from .staged import Gate
from .world import MARK, Site, logout, overtaken, setting, show, slow, turns, visit

AWAY = StoreUnavailable("the disk is away")


async def rotate(handler: Any) -> str:
    """Only a new id."""
    await handler.session.rotate()
    return "renewed"


async def login(handler: Any) -> str:
    """A login that keeps the basket."""
    handler.session["user"] = "ada"
    await handler.session.rotate()
    return "welcome"


PAGES: dict[str, Any] = {"/visit": visit, "/rotate": rotate, "/login": login, "/logout": logout, "/show": show}


async def visited(serve: Any, pages: dict[str, Any] | None = None, **options: Any) -> tuple[Site, Any]:
    """A site, and a browser that has a session there."""
    site: Site = await serve({**PAGES, **(pages or {})}, **options)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()
    return site, browser


async def test_a_request_that_only_rotates_makes_one_write(serve: Any) -> None:
    """The row moves, and nothing more is to be written at the end."""
    site, browser = await visited(serve)

    await browser.fetch("/rotate")

    assert site.store.writes == ["rename"]
    assert await site.rows() == {browser.sid: {"mark": MARK}}


async def test_a_login_moves_with_what_was_put_into_it(serve: Any) -> None:
    """Pending changes are written under the new id, in the same step."""
    site, browser = await visited(serve)

    await browser.fetch("/login")

    assert site.store.writes == ["rename"]
    assert await site.rows() == {browser.sid: {"mark": MARK, "user": "ada"}}


async def test_the_old_id_never_has_the_login(serve: Any) -> None:
    """Neither while the row moves nor afterwards."""
    site, browser = await visited(serve)
    old = {"Cookie": f"connect.sid={browser.kept().value}"}
    gate = site.store.hold("rename")

    signing_in = await browser.start("/login")
    await gate.reached()
    during = await site.browser().fetch("/show", headers=old)
    gate.open()
    await signing_in.response()
    after = await site.browser().fetch("/show", headers=old)

    assert (during.json(), after.json()) == ({"mark": MARK}, {})


class TestFailures:
    """A fault before the step, after it, or in the question what became of it."""

    @pytest.mark.parametrize("error", [AWAY, StoreError("it was refused")])
    async def test_a_rename_that_is_refused_leaves_the_old_session(self, serve: Any, error: Exception) -> None:
        """5xx without a cookie; nothing of the login is stored, by the error page neither."""
        site, browser = await visited(serve)
        old = browser.sid
        site.store.fail(error, "rename")

        response = await browser.fetch("/login")
        site.store.recover()

        assert (response.status >= 500, response.set_cookies) == (True, [])
        assert await site.rows() == {old: {"mark": MARK}}
        assert (await browser.fetch("/show")).json() == {"mark": MARK}

    async def test_a_rename_with_a_lost_reply_is_looked_for(self, serve: Any) -> None:
        """The row is found under the new id: the visitor is signed in."""
        site, browser = await visited(serve)
        site.store.lose(AWAY, "rename")

        response = await browser.fetch("/login")

        assert response.status == 200
        assert await site.rows() == {browser.sid: {"mark": MARK, "user": "ada"}}

    async def test_a_rename_that_nobody_can_tell_of_is_undone(
        self, serve: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The reply is lost, and so is the answer to the question: when the store is back the old session is."""
        monkeypatch.setattr(rotation, "PAUSE", 0.01)

        async def act(handler: Any) -> None:
            site.store.lose(AWAY, "rename", "get")
            await login(handler)

        site, browser = await visited(serve, {"/act": act})
        old = browser.sid

        response = await browser.fetch("/act")
        site.store.recover()
        await until_rows(site, {old: {"mark": MARK}})

        assert (response.status, response.set_cookies) == (503, [])
        assert (await browser.fetch("/show")).json() == {"mark": MARK}

    @pytest.mark.parametrize("after", [0, 29_999, 30_000], ids=["at once", "within the grace", "after the grace"])
    async def test_a_rename_that_comes_after_the_deadline_is_undone(
        self, serve: Any, monkeypatch: pytest.MonkeyPatch, clock: MovableClock, after: int
    ) -> None:
        """503 without a cookie at the deadline; the row moves later, however late, and is moved back."""
        monkeypatch.setattr(rotation, "PAUSE", 0.01)
        site, browser = await visited(serve)
        old = browser.sid
        gate = site.store.delay("rename")

        call = await browser.start("/login")
        await gate.reached()
        site.cut_off()
        response = await call.response()
        clock.advance(after)
        gate.open()
        await until_rows(site, {old: {"mark": MARK}}, moved_from=old)

        assert (response.status, response.set_cookies) == (503, [])
        assert (await browser.fetch("/show")).json() == {"mark": MARK}

    async def test_a_commit_that_fails_after_it_still_sends_the_new_id(self, serve: Any) -> None:
        """The one exception to promise 1: the old id is gone."""

        async def act(handler: Any) -> None:
            await handler.session.rotate()
            handler.session["more"] = 1
            site.store.fail(AWAY, "update")

        site, browser = await visited(serve, {"/act": act})

        response = await browser.fetch("/act")
        site.store.recover()

        assert (response.status, len(response.set_cookies)) == (503, 1)
        assert (await browser.fetch("/show")).json() == {"mark": MARK}
        assert list(await site.rows()) == [browser.sid]

    async def test_after_a_failure_the_session_can_be_read_and_is_not_written(self, serve: Any) -> None:
        """A handler that catches the error answers by what it has; its changes are dropped."""

        async def act(handler: Any) -> str:
            handler.session["user"] = "ada"
            try:
                await handler.session.rotate()
            except StoreError:
                site.store.recover()
            handler.session["more"] = 1
            return str(handler.session["mark"])

        site, browser = await visited(serve, {"/act": act})
        site.store.fail(AWAY, "rename")

        response = await browser.fetch("/act")

        assert (response.text, response.set_cookies) == (MARK, [])
        assert await site.rows() == {browser.sid: {"mark": MARK}}

    @pytest.mark.parametrize("verb", ["regenerate", "destroy"])
    async def test_a_verb_that_fails_after_it_leaves_the_browser_the_new_id(self, serve: Any, verb: str) -> None:
        """The handler has caught it, and the answer is a 200: the old id leads nowhere."""

        async def act(handler: Any) -> str:
            await handler.session.rotate()
            site.store.fail(AWAY, "update", "destroy")
            with pytest.raises(StoreUnavailable):
                await getattr(handler.session, verb)()
            return "caught"

        site, browser = await visited(serve, {"/act": act})
        old = browser.sid

        response = await browser.fetch("/act")
        site.store.recover()

        assert (response.status, len(response.set_cookies)) == (200, 1)
        assert browser.sid != old
        assert (await browser.fetch("/show")).json() == {"mark": MARK}

    async def test_a_later_new_id_begins_a_session_again(self, serve: Any) -> None:
        """`regenerate()` after the failure succeeds, and so does the request."""

        async def act(handler: Any) -> None:
            try:
                await handler.session.rotate()
            except StoreError:
                site.store.recover()
            await handler.session.regenerate()
            handler.session["user"] = "ada"

        site, browser = await visited(serve, {"/act": act})
        site.store.fail(AWAY, "rename")

        await browser.fetch("/act")

        assert await site.rows() == {browser.sid: {"user": "ada"}}


class TestParallel:
    """Another request of the same session is under way."""

    async def test_of_two_rotations_one_takes_the_row(self, serve: Any) -> None:
        """The other goes on as a new session without the data: there is no copy."""
        site, browser = await visited(serve)
        gate = site.store.hold("rename", "rename")

        calls = [await browser.start("/rotate") for _ in range(2)]
        await gate.reached()
        gate.open()
        for call in calls:
            await call.response()

        rows = list((await site.rows()).values())
        assert rows.count({"mark": MARK}) == 1
        assert rows.count({}) == len(rows) - 1

    async def test_a_sign_out_meanwhile_stays_one(self, serve: Any) -> None:
        """Nobody is signed in by a session that was ended."""
        gate = Gate()
        site, browser = await visited(serve, {"/slow": slow(gate, rotate)})

        late = await overtaken(browser, gate, "/logout", path="/slow")

        assert late.status == 200
        assert all("mark" not in row for row in (await site.rows()).values())

    async def test_a_save_meanwhile_is_not_lost(self, serve: Any) -> None:
        """It is merged into what moves."""
        gate = Gate()
        site, browser = await visited(serve, {"/slow": slow(gate, login), "/fast": setting(basket="milk")})

        await overtaken(browser, gate, "/fast", path="/slow")

        assert await site.rows() == {browser.sid: {"mark": MARK, "basket": "milk", "user": "ada"}}


class TestGone:
    """The row is gone when it is to be moved: a double click, a sign-out, an expiry."""

    async def gone(self, serve: Any, act: Any) -> tuple[Site, Any, Any]:
        """What a request answers if its session is signed out while it runs."""
        gate = Gate()
        site, browser = await visited(serve, {"/slow": slow(gate, act), "/begin": setting(user="eve", list=[1], n={})})
        await browser.fetch("/begin")
        response = await overtaken(browser, gate, "/logout", path="/slow")
        return site, browser, response

    async def test_a_login_goes_on_with_what_it_assigned(self, serve: Any) -> None:
        """Its cookie goes out, and nothing of the session that ended is in the new one."""
        site, browser, response = await self.gone(serve, login)

        assert len(response.set_cookies) == 1
        assert await site.rows() == {browser.sid: {"user": "ada"}}

    async def test_what_was_changed_in_place_or_put_back_is_not_assigned(self, serve: Any) -> None:
        """By a nested change a signed-out user's data would be carried along."""

        async def act(handler: Any) -> None:
            session = handler.session
            session["list"].append(2)
            session["n"] = session["n"]
            session["kept"], session["popped"] = 1, 2
            session.pop("popped")
            session.setdefault("user", "nobody")
            session.cookie.path = "/"
            await session.rotate()

        site, browser, _ = await self.gone(serve, act)

        assert await site.rows() == {browser.sid: {"kept": 1}}

    async def test_a_login_as_the_same_user_is_one(self, serve: Any) -> None:
        """The value is the same, but it was assigned."""

        async def act(handler: Any) -> None:
            handler.session["user"] = "eve"
            await handler.session.rotate()

        site, browser, _ = await self.gone(serve, act)

        assert await site.rows() == {browser.sid: {"user": "eve"}}


async def until_rows(site: Site, expected: dict[Any, Any], *, moved_from: Any = None) -> None:
    """Wait until the store holds these rows; with `moved_from` the row has to have been away from there first."""
    async with asyncio.timeout(5):
        while moved_from is not None and "rename" not in site.store.calls:
            await turns()
        while await site.rows() != expected or site.manager.background.tasks:  # noqa: ASYNC110 # the store sets no event
            await asyncio.sleep(0.01)
