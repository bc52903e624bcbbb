"""The user's other sessions on the page `/`: it shows them without their ids, and ends one or all of them."""

import pytest
from clock import HOUR, MINUTE
from stage import CONFIG, Document, Serve, Site, Visitor, known, plant
from test_page import each_hostile

from handlers.page import SHOWN
from sessions.formats.signing import fingerprint

DAY_LONG = '[session]\ncookie.maxAge = 86400000\nuserKey = "user"\n'


async def of(site: Site, user: str) -> Visitor:
    """Another visitor, with a session of that user."""
    visitor = site.visitor()
    await visitor.set(user=user)
    return visitor


def name(visitor: Visitor) -> str:
    """What the log calls the visitor's session."""
    return fingerprint(visitor.sid or "")


async def is_signed_in(visitor: Visitor) -> bool:
    """True if the visitor's session lives and is a user's."""
    return "Other sessions of" in (await visitor.page()).text


class TestShown:
    """The list."""

    async def test_the_others_of_the_user_are_shown(self, serve: Serve) -> None:
        """By the log's names of them; neither this one nor another user's."""
        site, visitor = await known(serve, user="ada")
        others = [await of(site, "ada"), await of(site, "ada")]
        await of(site, "eve")

        page = await visitor.page()

        assert page.others.keys() == {name(each) for each in others}

    async def test_a_user_without_another_session_sees_none(self, serve: Serve) -> None:
        """And has no button."""
        _, visitor = await known(serve, user="ada")

        page = await visitor.page()

        assert "Other sessions of ada\n\nNone." in page.text
        assert page.buttons.keys() == {"Delete", "Set", "Regenerate", "Destroy"}

    @pytest.mark.parametrize(("config", "data"), [(CONFIG, {"name": "ada"}), ("[session]\n", {"user": "ada"})])
    async def test_nobody_has_no_list(self, serve: Serve, config: str, data: dict[str, str]) -> None:
        """Not without a user, and not without `userKey`."""
        site, visitor = await known(serve, config, **data)
        await site.visitor().set(**data)

        page = await visitor.page()

        assert "Other sessions" not in page.text
        assert page.data.keys() == data.keys()

    async def test_to_look_makes_no_session(self, serve: Serve) -> None:
        """A new visitor has none to compare with."""
        site, _ = await known(serve, user="ada")

        await site.visitor().page()

        assert await site.store.length() == 1

    @pytest.mark.parametrize(("passed", "shown"), [(5 * MINUTE, "5 minutes"), (3 * HOUR, "3 hours")])
    async def test_the_last_use_is_shown(self, serve: Serve, passed: int, shown: str) -> None:
        """At most so long ago."""
        site, visitor = await known(serve, DAY_LONG, user="ada")
        other = await of(site, "ada")

        site.clock.forward(passed)
        page = await visitor.page()

        assert page.others == {name(other): f"at most {shown} ago"}

    async def test_a_last_use_that_nobody_knows_is_not_shown(self, serve: Serve) -> None:
        """The expiry of a session that is about to reach its absolute end says nothing of it."""
        site, visitor = await known(serve, CONFIG + "absoluteTimeout = 3600000\n", user="ada")
        other = await of(site, "ada")

        page = await visitor.page()

        assert page.others == {name(other): "not known"}

    async def test_no_more_than_some_are_shown(self, serve: Serve) -> None:
        """The rest is a number."""
        site, visitor = await known(serve, user="ada")
        for _ in range(SHOWN + 3):
            await of(site, "ada")

        page = await visitor.page()

        assert len(page.others) == SHOWN
        assert "And 3 more." in page.text

    @each_hostile
    async def test_hostile_text_is_text(self, serve: Serve, text: str) -> None:
        """As the name of a user and of a browser: the page has no tag that it would not have without."""
        site, visitor = await known(serve, user="ada")
        other = await of(site, "ada")
        harmless = await visitor.page()
        for each in (visitor, other):
            await plant(site, each, user=text, __meta={"agent": text})

        page = await visitor.page()

        assert f"Other sessions of {text}\n" in page.text
        assert page.others[name(other)].endswith(f", by {text}")
        assert page.tags == harmless.tags
        assert [each for each, _ in page.attributes] == [each for each, _ in harmless.attributes]


class TestEnded:
    """What the buttons do."""

    async def test_one_is_ended(self, serve: Serve) -> None:
        """The one that the button is beside."""
        site, visitor = await known(serve, user="ada")
        ended, left = await of(site, "ada"), await of(site, "ada")
        handle = handle_in(await visitor.page(), ended)

        response = await visitor.post("/end", (await visitor.page()).form("/end", handle=handle).fields)

        assert response.status == 303
        assert [await is_signed_in(each) for each in (visitor, ended, left)] == [True, False, True]

    async def test_all_others_are_ended(self, serve: Serve) -> None:
        """This one stays, and another user's."""
        site, visitor = await known(serve, user="ada")
        ended, eve = [await of(site, "ada"), await of(site, "ada")], await of(site, "eve")

        await visitor.submit("/end-others")

        assert [await is_signed_in(each) for each in (visitor, *ended, eve)] == [True, False, False, True]

    async def test_another_user_s_session_is_not_ended(self, serve: Serve) -> None:
        """However its handle became known."""
        site, visitor = await known(serve, user="ada")
        eve = await of(site, "eve")
        handle = handle_in(await (await of(site, "eve")).page(), eve)
        token = (await visitor.page()).form("/set").fields["_xsrf"]

        response = await visitor.post("/end", {"_xsrf": token, "handle": handle})

        assert response.status == 303
        assert await is_signed_in(eve)

    @pytest.mark.parametrize("action", ["/end", "/end-others"])
    async def test_nobody_ends_nothing(self, serve: Serve, action: str) -> None:
        """A visitor who was signed out meanwhile gets the page, which says so."""
        site, ada = await known(serve, user="ada")
        visitor = site.visitor()
        token = (await visitor.page()).form("/set").fields["_xsrf"]

        response = await visitor.post(action, {"_xsrf": token, "handle": "0" * 32})

        assert (response.status, response.set_cookies) == (303, [])
        assert await is_signed_in(ada)
        assert await site.store.length() == 1

    @pytest.mark.parametrize("handle", ["", "0" * 32, "%", "ü"])
    async def test_a_handle_of_no_session_ends_nothing(self, serve: Serve, handle: str) -> None:
        """It may have ended a moment ago."""
        site, visitor = await known(serve, user="ada")
        other = await of(site, "ada")
        token = (await visitor.page()).form("/set").fields["_xsrf"]

        response = await visitor.post("/end", {"_xsrf": token, "handle": handle})

        assert response.status == 303
        assert await is_signed_in(other)

    async def test_a_form_without_a_handle_is_refused(self, serve: Serve) -> None:
        """With what it lacks."""
        _, visitor = await known(serve, user="ada")
        token = (await visitor.page()).form("/set").fields["_xsrf"]

        response = await visitor.post("/end", {"_xsrf": token})

        assert response.status == 400
        assert "the form names no handle" in response.text


def handle_in(page: Document, visitor: Visitor) -> str:
    """The handle of a visitor's session on the page of another of its user."""
    (handle,) = [
        handle
        for form in page.forms
        if form.action == "/end" and (handle := form.fields["handle"]).startswith(name(visitor))
    ]
    return handle
