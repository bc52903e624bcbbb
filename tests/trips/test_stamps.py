"""`user_stamp()`: a changed password ends all other sessions, with no index at all."""

import asyncio
from datetime import timedelta
from typing import Any

from sessions import StoreUnavailable

from .conftest import Logbook
from .members import meta, rows, signing_in, visited, who
from .world import MARK, Page, Site, show

AWAY = StoreUnavailable("the disk is away")


class TestStamp:
    """`user_stamp()`: a changed password ends all other sessions, with no index at all."""

    async def site(self, serve: Any, *first: str, **options: Any) -> tuple[Site, Any, dict[str, Any]]:
        """A site with an application that knows the users' passwords."""
        passwords: dict[str, Any] = {"ada": "secret-1", "bob": b"secret-2"}

        class Stamped(Page):
            async def user_stamp(self, user: str | int) -> str | bytes | None:
                await asyncio.sleep(0)
                found: str | bytes | None = passwords.get(str(user))
                return found

        async def change(handler: Any) -> None:
            passwords["ada"] = "secret-3"
            await handler.sign_in("ada", stamp="secret-3")

        async def confirm(handler: Any) -> None:
            passwords["ada"] = "secret-3"
            await handler.confirm(stamp="secret-3")

        table = {"/in": signing_in("ada"), "/no": signing_in("nobody"), "/user": who, "/data": show, "/change": change}
        table |= {"/stay": signing_in("ada", remember=timedelta(days=30)), "/confirm": confirm}
        pages = {path: (Stamped, act) for path, act in table.items()}
        site, browser = await visited(serve, pages, *first, **options)
        return site, browser, passwords

    async def test_a_changed_password_ends_the_others_and_keeps_this_one(self, serve: Any) -> None:
        """`sign_in(user, stamp=new)` in the handler that changes it."""
        site, browser, _ = await self.site(serve, "/in")
        other = site.browser()
        await other.fetch("/in")

        await browser.fetch("/change")

        assert [(await each.fetch("/user")).json() for each in (browser, other)] == ["ada", None]
        assert list(await rows(site)) == [browser.sid]

    async def test_a_confirmation_with_the_new_stamp_keeps_this_one(self, serve: Any) -> None:
        """With what it remembers, which a sign-in would replace; and ends the others likewise."""
        site, browser, _ = await self.site(serve, "/stay")
        other = site.browser()
        await other.fetch("/in")
        ends = (await meta(site, browser.sid))["endsAt"]

        await browser.fetch("/confirm")

        assert [(await each.fetch("/user")).json() for each in (browser, other)] == ["ada", None]
        assert (await meta(site, browser.sid))["endsAt"] == ends

    async def test_the_request_goes_on_as_an_anonymous_one(self, serve: Any) -> None:
        """With a session of its own if it uses one, and the cookie cleared if it does not."""
        site, browser, passwords = await self.site(serve, "/in", "/visit")
        other = site.browser()
        await other.fetch("/in")
        passwords["ada"] = "changed"

        unused, used = await browser.fetch("/user"), await other.fetch("/data")

        assert (unused.json(), used.json()) == (None, {})
        assert (browser.cookie(), other.cookie()) == (None, None)
        assert await site.rows() == {}

    async def test_a_session_that_it_begins_then_is_stored(self, serve: Any) -> None:
        """Its cookie takes the place of the one that is over."""
        site, browser, passwords = await self.site(serve, "/in")
        passwords["ada"] = "changed"

        response = await browser.fetch("/in")

        assert len(response.set_cookies) == 1
        assert await rows(site) == {browser.sid: {"user": "ada"}}

    async def test_a_user_who_is_no_more_is_signed_out(self, serve: Any) -> None:
        """None says so: an account that was deleted or blocked."""
        site, browser, passwords = await self.site(serve, "/in")
        del passwords["ada"]

        assert (await browser.fetch("/user")).json() is None
        assert await site.rows() == {}

    async def test_nobody_signs_in_as_one_who_is_not_known(self, serve: Any) -> None:
        """The error names the reason."""
        site, browser, _ = await self.site(serve, "/visit")

        response = await browser.fetch("/no")

        assert response.status == 500
        assert await rows(site) == {browser.sid: {"mark": MARK}}

    async def test_a_session_without_a_stamp_gets_the_present_one(self, serve: Any) -> None:
        """A deployment that begins to use stamps signs nobody out."""
        site, browser, passwords = await self.site(serve, "/ada")

        first = (await browser.fetch("/user")).json()
        passwords["ada"] = "changed"
        second = (await browser.fetch("/user")).json()

        assert (first, second) == ("ada", None)
        assert await site.rows() == {}

    async def test_new_secrets_sign_nobody_out(self, serve: Any) -> None:
        """Neither while the old one verifies, nor once a request has seen the new one."""
        site, browser, _ = await self.site(serve, "/in", rolling=True)

        site.manager.use_secrets(
            ["a-new-secret-that-signs-from-now-on", "the-secret-of-the-trips-which-no-log-may-show"]
        )
        seen = [(await browser.fetch("/user")).json()]
        site.manager.use_secrets("a-new-secret-that-signs-from-now-on")
        seen.append((await browser.fetch("/user")).json())

        assert seen == ["ada", "ada"]

    async def test_the_password_is_not_in_the_row(self, serve: Any) -> None:
        """An HMAC of it is; bytes do as well as text."""
        site, browser, _ = await self.site(serve, "/in")

        text = (await site.stored(browser.sid)).data

        assert "secret-1" not in text
        assert len((await meta(site, browser.sid))["stamp"]) == 64

    async def test_a_store_that_fails_then_is_a_503(self, serve: Any) -> None:
        """It fails closed."""
        site, browser, passwords = await self.site(serve, "/in")
        passwords["ada"] = "changed"
        site.store.fail(AWAY)

        response = await browser.fetch("/user")
        site.store.recover()

        assert response.status == 503

    async def test_nobody_is_asked_for_a_visitor(self, serve: Any, logbook: Logbook) -> None:
        """Nor for a session without a user."""
        _, browser, passwords = await self.site(serve, "/visit")
        passwords.clear()

        response = await browser.fetch("/data")

        assert response.json() == {"mark": MARK}
        assert logbook.lines("tornado.application") == []
