"""`sign_in()` among other verbs, twice, unawaited, and with a store that fails."""

from typing import Any

import pytest

from sessions import StoreError, StoreUnavailable, rotation

from .members import ended, meta, rows, visited, who
from .world import MARK

AWAY = StoreUnavailable("the disk is away")


class TestTwice:
    """Two sign-ins in one request: the last counts, with one cookie."""

    @pytest.mark.parametrize("waits", [True, False])
    @pytest.mark.parametrize(("second", "left"), [("ada", {"mark": MARK, "user": "ada"}), ("bob", {"user": "bob"})])
    async def test_the_last_counts(self, serve: Any, second: str, left: dict[str, str], waits: bool) -> None:
        """Awaited or not."""

        async def act(handler: Any) -> None:
            for user in ("ada", second):
                verb = handler.sign_in(user)
                if waits:
                    await verb

        site, browser = await visited(serve, {"/act": act}, "/visit")

        response = await browser.fetch("/act")

        assert len(response.set_cookies) == 1
        assert await rows(site) == {browser.sid: left}

    async def test_after_a_sign_out_it_begins_without_the_data(self, serve: Any) -> None:
        """What was ended is not taken along."""

        async def act(handler: Any) -> str:
            await handler.sign_out()
            await handler.sign_in("ada")
            return who(handler)

        site, browser = await visited(serve, {"/act": act}, "/visit", "/ada")

        response = await browser.fetch("/act")

        assert response.json() == "ada"
        assert await rows(site) == {browser.sid: {"user": "ada"}}


class TestUnawaited:
    """A forgotten `await` comes to what an awaited one comes to."""

    @pytest.mark.parametrize("first", [(), ("/visit",), ("/visit", "/bob")])
    async def test_it_is_stored_with_what_came_after(self, serve: Any, first: tuple[str, ...]) -> None:
        """The answer waits for it."""

        def act(handler: Any) -> None:
            handler.sign_in("ada")
            handler.session["more"] = 1

        site, browser = await visited(serve, {"/act": act}, *first)

        response = await browser.fetch("/act")

        kept = {"mark": MARK} if first == ("/visit",) else {}
        assert (response.status, len(response.set_cookies)) == (200, 1)
        assert await rows(site) == {browser.sid: {**kept, "user": "ada", "more": 1}}

    @pytest.mark.parametrize("verb", ["rotate", "save"])
    async def test_a_verb_before_it_leaves_the_login(self, serve: Any, verb: str) -> None:
        """One cookie, one row, with the moment of the sign-in."""

        def act(handler: Any) -> None:
            getattr(handler.session, verb)()
            handler.sign_in("ada")

        site, browser = await visited(serve, {"/act": act}, "/visit")

        response = await browser.fetch("/act")

        assert len(response.set_cookies) == 1
        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}
        assert (await meta(site, browser.sid))["signedInAt"] == site.clock()

    @pytest.mark.parametrize("verb", ["rotate", "save"])
    async def test_a_verb_behind_it_leaves_the_login(self, serve: Any, verb: str) -> None:
        """The same the other way round."""

        def act(handler: Any) -> None:
            handler.sign_in("ada")
            getattr(handler.session, verb)()

        site, browser = await visited(serve, {"/act": act}, "/visit")

        response = await browser.fetch("/act")

        assert len(response.set_cookies) == 1
        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}

    @pytest.mark.parametrize("verb", ["destroy", "regenerate"])
    async def test_an_end_behind_it_ends_the_login(self, serve: Any, verb: str) -> None:
        """As if both had been awaited."""

        def act(handler: Any) -> None:
            handler.sign_in("ada")
            getattr(handler.session, verb)()

        site, browser = await visited(serve, {"/act": act}, "/visit")

        await browser.fetch("/act")

        assert all("user" not in row and "mark" not in row for row in (await rows(site)).values())

    async def test_its_failure_is_the_answers(self, serve: Any) -> None:
        """503 without a cookie, and nothing of the login is stored."""

        def act(handler: Any) -> None:
            handler.sign_in("ada")

        site, browser = await visited(serve, {"/act": act}, "/visit")
        old = browser.sid
        site.store.fail(AWAY, "rename")

        response = await browser.fetch("/act")
        site.store.recover()

        assert (response.status, response.set_cookies) == (503, [])
        assert await rows(site) == {old: {"mark": MARK}}


class TestFailures:
    """A store that fails leaves the visitor who she was."""

    @pytest.mark.parametrize("first", [(), ("/visit",), ("/visit", "/bob")])
    @pytest.mark.parametrize("error", [AWAY, StoreError("it was refused")])
    async def test_nothing_of_the_login_is_stored(self, serve: Any, first: tuple[str, ...], error: Exception) -> None:
        """Nor sent; the session is as it was."""
        site, browser = await visited(serve, None, *first)
        before = await site.rows()
        site.store.fail(error)

        response = await browser.fetch("/ada")
        site.store.recover()

        assert (response.status >= 500, response.set_cookies) == (True, [])
        assert await site.rows() == before

    @pytest.mark.parametrize("first", [("/visit",), ("/visit", "/bob")])
    async def test_a_handler_that_catches_it_sees_the_session_as_before(
        self, serve: Any, first: tuple[str, ...]
    ) -> None:
        """Its data, and its user; what it sets then is not stored."""
        seen: list[Any] = []

        async def act(handler: Any) -> None:
            seen.append(handler.current_user)
            try:
                await handler.sign_in("ada")
            except StoreUnavailable:
                site.store.recover()
            seen.append((handler.current_user, handler.session.get("user"), handler.signed_in_at))
            handler.session["more"] = 1

        site, browser = await visited(serve, {"/act": act}, *first)
        before = await site.rows()
        site.store.fail(AWAY)

        response = await browser.fetch("/act")

        assert seen[1][:2] == (seen[0], seen[0])
        assert response.set_cookies == []
        assert await site.rows() == before

    async def test_a_second_try_may_succeed(self, serve: Any) -> None:
        """The login counts, and the basket is kept."""

        async def act(handler: Any) -> None:
            try:
                await handler.sign_in("ada")
            except StoreUnavailable:
                site.store.recover()
            await handler.sign_in("ada")

        site, browser = await visited(serve, {"/act": act}, "/visit")
        site.store.fail(AWAY)

        response = await browser.fetch("/act")

        assert (response.status, len(response.set_cookies)) == (200, 1)
        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}

    async def test_a_new_row_is_removed_if_the_reply_is_lost(self, serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody knows its id; as soon as the store answers it is gone."""
        monkeypatch.setattr(rotation, "PAUSE", 0.01)
        site, browser = await visited(serve)
        site.store.lose(AWAY, "create")

        response = await browser.fetch("/ada")
        site.store.recover()
        await ended(site)

        assert (response.status, response.set_cookies) == (503, [])
        assert await site.rows() == {}

    async def test_where_the_row_before_cannot_be_ended_the_new_one_goes(
        self, serve: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Bob stays signed in, and nobody is Ada."""
        monkeypatch.setattr(rotation, "PAUSE", 0.01)
        site, browser = await visited(serve, None, "/visit", "/bob")
        before = await site.rows()
        site.store.fail(AWAY, "update")

        response = await browser.fetch("/ada")
        site.store.recover()
        await ended(site)

        assert (response.status, response.set_cookies) == (503, [])
        assert await site.rows() == before
