"""`sign_in()`: a new id; the data of an anonymous visitor and of the same user goes on, another user's does not."""

from typing import Any

from .members import rows, signing_in, visited
from .staged import Gate
from .world import MARK, Act, Site, logout, overtaken, replay, setting, slow


class TestData:
    """What the session holds afterwards, on every store."""

    async def test_an_anonymous_visitor_keeps_the_basket(self, serve: Any) -> None:
        """Under a new id, in one write; the old id never has the login."""
        site, browser = await visited(serve, None, "/visit")
        old = replay(browser)

        response = await browser.fetch("/ada")

        assert (response.text, site.store.writes) == ("ada", ["rename"])
        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}
        assert (await site.browser().fetch("/who", headers=old)).json() is None

    async def test_a_visitor_without_a_session_gets_one(self, serve: Any) -> None:
        """In one write, with one cookie."""
        site, browser = await visited(serve)

        response = await browser.fetch("/ada")

        assert (len(response.set_cookies), site.store.writes) == (1, ["create"])
        assert await rows(site) == {browser.sid: {"user": "ada"}}

    async def test_the_same_user_keeps_the_data_under_a_new_id(self, serve: Any) -> None:
        """A second login, where the password is asked for again."""
        site, browser = await visited(serve, None, "/visit", "/ada")
        old = browser.sid

        await browser.fetch("/ada")

        assert browser.sid != old
        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}

    async def test_another_user_begins_without_the_data(self, serve: Any) -> None:
        """The session of the user before ends."""
        site, browser = await visited(serve, None, "/visit", "/ada")
        old = replay(browser)

        await browser.fetch("/bob")

        assert await rows(site) == {browser.sid: {"user": "bob"}}
        assert (await site.browser().fetch("/who", headers=old)).json() is None

    async def test_a_user_who_was_taken_out_of_the_data_still_counts(self, serve: Any) -> None:
        """To delete the key is no way to hand the data on."""

        async def act(handler: Any) -> None:
            del handler.session["user"]
            await handler.sign_in("bob")

        site, browser = await visited(serve, {"/act": act}, "/visit", "/ada")

        await browser.fetch("/act")

        assert await rows(site) == {browser.sid: {"user": "bob"}}

    async def test_a_user_below_a_key_keeps_what_lies_beside(self, serve: Any) -> None:
        """Passport's place, which a real Express reads."""
        site, browser = await visited(
            serve, {"/begin": setting(passport={"more": 1})}, "/begin", user_key="passport.user"
        )

        await browser.fetch("/ada")

        assert await rows(site) == {browser.sid: {"passport": {"more": 1, "user": "ada"}}}

    async def test_an_integer_and_its_text_are_one_user(self, serve: Any) -> None:
        """Users are compared as text."""
        site, browser = await visited(serve, {"/one": signing_in(1), "/text": signing_in("1")}, "/visit", "/one")

        await browser.fetch("/text")

        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "1"}}


class TestParallel:
    """Another request writes the row between the load and the sign-in."""

    async def late(self, serve: Any, meanwhile: Act, *first: str) -> tuple[Site, Any]:
        """A browser with a sign-in as Ada that another request has overtaken."""
        gate = Gate()
        pages = {"/slow": slow(gate, signing_in("ada")), "/fast": meanwhile}
        site, browser = await visited(serve, pages, *first)
        await overtaken(browser, gate)
        return site, browser

    async def test_a_save_between_is_kept(self, serve: Any) -> None:
        """It is merged into what moves."""
        site, browser = await self.late(serve, setting(basket="milk"), "/visit")

        assert await rows(site) == {browser.sid: {"mark": MARK, "basket": "milk", "user": "ada"}}

    async def test_a_row_that_became_another_users_is_not_taken(self, serve: Any) -> None:
        """By an Express server that sets the key and keeps the id: his data is not hers, and what she has set is."""
        site, browser = await self.late(serve, setting(user="bob", secret="his"), "/visit")

        assert await rows(site) == {browser.sid: {"user": "ada"}}

    async def test_a_user_whom_another_request_has_removed_is_signed_in(self, serve: Any) -> None:
        """The key is the same as before, so that a merge alone would drop it."""

        def leave(handler: Any) -> None:
            del handler.session["user"]

        site, browser = await self.late(serve, leave, "/visit", "/ada")

        assert await rows(site) == {browser.sid: {"mark": MARK, "user": "ada"}}

    async def test_a_session_that_was_ended_goes_on_with_what_was_set(self, serve: Any) -> None:
        """A sign-out in another tab: she is signed in, without the data."""
        site, browser = await self.late(serve, logout, "/visit")

        assert await rows(site) == {browser.sid: {"user": "ada"}}

    async def test_of_two_sign_ins_each_is_somebody(self, serve: Any) -> None:
        """Two tabs: one has the row, the other a new one; the browser has the cookie of one of them."""
        site, browser = await visited(serve, None, "/visit")
        gate = site.store.hold("rename", "rename")

        calls = [await browser.start(path) for path in ("/ada", "/bob")]
        await gate.reached()
        gate.open()
        texts = [(await call.response()).text for call in calls]

        assert texts == ["ada", "bob"]
        assert sorted(row["user"] for row in (await rows(site)).values()) == ["ada", "bob"]
        assert sum("mark" in row for row in (await rows(site)).values()) == 1
