"""`maxPerUser`, and `__meta` where the store finds a user by it: on every store with the power itself."""

from typing import Any

import pytest

from .members import data_of, visited
from .world import Site, setting

BY_META = ("redis_itself", "mongodb")


class TestLimit:
    """`maxPerUser`, applied by `sign_in()` alone."""

    async def signed_in(self, serve: Any, number: int, **options: Any) -> tuple[Site, list[Any]]:
        """A site, and browsers that have signed in as Ada one after the other."""
        site, _ = await visited(serve, max_per_user=2, **options)
        browsers = [site.browser() for _ in range(number)]
        for browser in browsers:
            await browser.fetch("/visit")
            site.clock.forward(1)
            assert (await browser.fetch("/ada")).status == 200
        return site, browsers

    async def test_the_oldest_sign_in_ends(self, serve: Any) -> None:
        """A third browser: the first one is signed out."""
        _, browsers = await self.signed_in(serve, 3)

        assert [(await each.fetch("/who")).json() for each in browsers] == [None, "ada", "ada"]

    async def test_the_users_own_session_does_not_count(self, serve: Any) -> None:
        """To sign in again ends nobody."""
        _, browsers = await self.signed_in(serve, 2)

        await browsers[1].fetch("/ada")

        assert [(await each.fetch("/who")).json() for each in browsers] == ["ada", "ada"]

    @pytest.mark.parametrize(
        "kind", ["memory", "sqlite", "redis_itself", "postgres"], indirect=True
    )  # what counts in one step
    @pytest.mark.parametrize("first", ["/visit", "/bob"])
    async def test_one_more_can_be_refused(self, serve: Any, first: str) -> None:
        """409, and the session is as it was, another user's too."""
        site, browsers = await self.signed_in(serve, 2, at_limit="refuse")
        late = site.browser()
        await late.fetch(first)
        before = await site.rows()

        response = await late.fetch("/ada")

        assert (response.status, response.set_cookies) == (409, [])
        assert await site.rows() == before
        assert [(await each.fetch("/who")).json() for each in browsers] == ["ada", "ada"]


class TestNamedInMeta:
    """Redis and MongoDB find a user by `__meta`, so every row of ours names him there; others find him in the data."""

    async def named(self, site: Site, browser: Any) -> list[Any]:
        """The user in the data of the browser's row, and in its `__meta`."""
        row = await site.row(browser.sid)
        return [data_of(row or {}).get("user"), (row or {}).get("__meta", {}).get("user")]

    async def test_whoever_sets_the_key_is_named(self, serve: Any, kind: str) -> None:
        """A sign-in, an assignment, one below a key of Express, and a change of it."""
        site, browser = await visited(serve, {"/set": setting(user="eve"), "/none": setting(user=[])}, "/visit")

        seen = []
        for path in ("/ada", "/set", "/none"):
            await browser.fetch(path)
            seen.append(await self.named(site, browser))

        in_data: list[Any] = ["ada", "eve", []]
        named = ["ada", "eve", None] if kind in BY_META else [None] * 3
        assert seen == [list(pair) for pair in zip(in_data, named, strict=True)]

    async def test_a_row_of_node_is_named_when_it_is_loaded(self, serve: Any, kind: str) -> None:
        """Its first request here writes it, though it changes nothing."""
        site, browser = await visited(serve)
        sid = await site.plant(browser, '{"cookie":{"originalMaxAge":null,"expires":null,"path":"/"},"user":"ada"}')

        await browser.fetch("/who")
        site.store.forget()
        await browser.fetch("/who")

        is_named = kind in BY_META
        assert "__meta" in ((await site.row(sid)) or {}) if is_named else "__meta" not in ((await site.row(sid)) or {})
        assert site.store.writes == []

    async def test_it_goes_with_a_new_id(self, serve: Any, kind: str) -> None:
        """And not with `regenerate()`."""

        async def begin(handler: Any) -> None:
            await handler.session.regenerate()
            handler.session["n"] = 1

        site, browser = await visited(serve, {"/begin": begin}, "/ada")

        await browser.fetch("/begin")

        assert await self.named(site, browser) == [None, None]
