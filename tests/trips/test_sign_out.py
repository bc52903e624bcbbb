"""`sign_out()`: the end of this session, or of all of a user."""

from typing import Any

from sessions import StoreUnavailable

from .conftest import memory_only
from .members import rows, visited

AWAY = StoreUnavailable("the disk is away")


class TestSignOut:
    """`sign_out()`, here and everywhere."""

    async def test_it_ends_this_session(self, serve: Any) -> None:
        """In the store and in the browser; nobody is there from then on."""
        site, browser = await visited(serve, None, "/visit", "/ada")

        response = await browser.fetch("/out")

        assert (response.json(), browser.cookie()) == (None, None)
        assert await site.rows() == {}

    async def test_a_visitor_without_a_session_is_no_error(self, serve: Any) -> None:
        """Nor is a second one; nothing is stored or sent."""

        async def twice(handler: Any) -> None:
            handler.sign_out()
            await handler.sign_out()

        site, browser = await visited(serve, {"/twice": twice})

        response = await browser.fetch("/twice")

        assert (response.status, response.set_cookies, site.store.calls) == (200, [], [])

    async def test_everywhere_ends_every_session_of_the_user(self, serve: Any) -> None:
        """On her other browsers; nobody else's."""

        async def everywhere(handler: Any) -> None:
            await handler.sign_out(everywhere=True)

        site, browser = await visited(serve, {"/everywhere": everywhere}, "/ada")
        others = [site.browser() for _ in range(3)]
        for other, path in zip(others, ("/ada", "/bob", "/visit"), strict=True):
            await other.fetch(path)

        response = await browser.fetch("/everywhere")

        assert (response.status, browser.cookie()) == (200, None)
        assert sorted(row.get("user", "-") for row in (await rows(site)).values()) == ["-", "bob"]

    @memory_only
    async def test_data_that_cannot_be_read_keeps_nobody_signed_in(self, serve: Any) -> None:
        """Node nests more deeply than Python decodes; the user's other sessions end as well."""

        async def everywhere(handler: Any) -> None:
            await handler.sign_out(everywhere=True)

        site, browser = await visited(serve, {"/everywhere": everywhere}, "/ada")
        await site.browser().fetch("/ada")
        stored = await site.stored(browser.sid)
        text = f'{stored.data[:-1]},"deep":{"[" * 2_000}{"]" * 2_000}}}'
        await site.store.inner.update(browser.sid or "", stored._replace(data=text), stored)

        response = await browser.fetch("/everywhere")

        assert (response.status, browser.cookie()) == (200, None)
        assert await site.rows() == {}

    async def test_a_failure_is_the_answers(self, serve: Any) -> None:
        """The visitor learns that she may still be signed in."""
        site, browser = await visited(serve, None, "/ada")
        site.store.fail(AWAY)

        response = await browser.fetch("/out")
        site.store.recover()

        assert (response.status, response.set_cookies) == (503, [])

    async def test_one_that_nobody_awaits_is_done(self, serve: Any) -> None:
        """The answer waits for it."""

        def act(handler: Any) -> None:
            handler.sign_out()

        site, browser = await visited(serve, {"/act": act}, "/ada")

        response = await browser.fetch("/act")

        assert (response.status, browser.cookie()) == (200, None)
        assert await site.rows() == {}
