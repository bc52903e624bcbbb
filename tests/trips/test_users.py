"""Who is there: `current_user`, `@authenticated`, and where a login leads to."""

from typing import Any
from urllib.parse import quote

import pytest
from tornado.web import HTTPError, RequestHandler, authenticated

from sessions import SessionMixin, StoreUnavailable

from .members import visited
from .world import Page, setting

AWAY = StoreUnavailable("the disk is away")
FETCH = {"Sec-Fetch-Mode": "cors"}
NAVIGATION = {"Sec-Fetch-Mode": "navigate"}
LOGIN = {"login_url": "/login"}


class Account(SessionMixin, RequestHandler):
    """For who is signed in."""

    @authenticated
    async def get(self) -> None:
        self.write(str(self.current_user))

    post = get


PAGES: dict[str, Any] = {"/account": Account}


class TestCurrentUser:
    """`get_current_user()` over `userKey`."""

    async def test_asking_makes_no_session(self, serve: Any) -> None:
        """A visitor without one stays so; caches learn that the answer is the visitor's."""
        site, browser = await visited(serve)

        response = await browser.fetch("/who")

        assert (response.json(), response.set_cookies, response.header("Vary")) == (None, [], "Cookie")
        assert await site.rows() == {}

    @pytest.mark.parametrize("value", [True, 1.5, None, [], {"name": "ada"}, "", "x" * 201])
    async def test_what_names_nobody_is_nobody(self, serve: Any, value: Any) -> None:
        """Somebody else may have put it there."""
        _, browser = await visited(serve, {"/begin": setting(user=value)}, "/begin")

        assert (await browser.fetch("/who")).json() is None

    async def test_a_login_by_the_key_alone_is_one(self, serve: Any) -> None:
        """As Express sets it."""
        _, browser = await visited(serve, {"/begin": setting(user="ada")}, "/begin")

        assert (await browser.fetch("/who")).json() == "ada"

    async def test_a_row_that_cannot_be_read_is_nobody(self, serve: Any) -> None:
        """`current_user` raises nothing, whatever the data is."""
        site, browser = await visited(serve)
        await site.plant(browser, '{"cookie":{"originalMaxAge":null,"expires":null,"path":"/"},"user":tru}')

        response = await browser.fetch("/who")

        assert (response.status, response.json()) == (200, None)

    async def test_the_page_of_an_error_may_ask(self, serve: Any) -> None:
        """Before there is a session, and after the store has failed."""

        class Asks(SessionMixin, RequestHandler):
            def get(self) -> None:
                raise HTTPError(418)

            def write_error(self, status_code: int, **kwargs: Any) -> None:
                self.finish(f"{status_code} {self.current_user}")

        site, browser = await visited(serve, {"/asks": Asks}, "/ada")

        texts = [(await browser.fetch("/asks")).text]
        site.store.fail(AWAY, "get")
        texts.append((await browser.fetch("/asks")).text)

        assert texts == ["418 ada", "503 None"]

    async def test_a_class_behind_the_mixin_says_who_it_is(self, serve: Any) -> None:
        """An application that has its own keeps it."""

        class Base(RequestHandler):
            def get_current_user(self) -> str:
                return "somebody"

        class Asks(SessionMixin, Base):
            def get(self) -> None:
                self.write(str(self.current_user))

        _, browser = await visited(serve, {"/asks": Asks}, "/ada")

        assert (await browser.fetch("/asks")).text == "somebody"

    async def test_an_override_may_ask_ours(self, serve: Any) -> None:
        """It is asked again after the sign-in, and after the sign-out."""

        class Asks(Page):
            def get_current_user(self) -> str | None:
                user = super().get_current_user()
                return user and f"the user {user}"

        async def act(handler: Any) -> str:
            seen = [handler.current_user]
            await handler.sign_in("ada")
            seen.append(handler.current_user)
            await handler.sign_out()
            seen.append(handler.current_user)
            return str(seen)

        _, browser = await visited(serve, {"/act": (Asks, act)})

        assert (await browser.fetch("/act")).text == "[None, 'the user ada', None]"


class TestAuthenticated:
    """Tornado's decorator."""

    @pytest.mark.parametrize(("headers", "status"), [({}, 302), (NAVIGATION, 302), (FETCH, 401)])
    async def test_only_a_page_is_sent_to_the_login(self, serve: Any, headers: dict[str, str], status: int) -> None:
        """A `fetch()` would follow to a page that it cannot use."""
        _, browser = await visited(serve, PAGES, settings=LOGIN)

        response = await browser.fetch("/account?a=1", headers=headers)

        assert response.status == status
        assert response.header("Location") == (
            f"/login?next={quote('/account?a=1', safe='')}" if status == 302 else None
        )

    async def test_without_users_nothing_changes(self, serve: Any) -> None:
        """An application without the option has Tornado's way."""
        _, browser = await visited(serve, PAGES, settings=LOGIN, user_key=None)

        assert (await browser.fetch("/account", headers=FETCH)).status == 302

    async def test_who_is_signed_in_gets_the_page(self, serve: Any) -> None:
        """Whatever asks for it."""
        _, browser = await visited(serve, PAGES, "/ada", settings=LOGIN)

        assert [(await browser.fetch("/account", headers=each)).text for each in (NAVIGATION, FETCH)] == ["ada"] * 2


class TestNextUrl:
    """`next_url()`: a path of this site, or the default."""

    @pytest.mark.parametrize(
        "url",
        [
            "//evil.example", "https://evil.example/", "http://h@evil.example/", "/\\evil.example", "\\\\evil.example",
            "/\t/evil.example", "/\n/evil.example", " //evil.example", "javascript:alert(1)", "data:text/html,x", "evil",
            "", "http:///evil.example", "https:evil.example", "///evil.example", "//[", "http://[", "\x00/a", "?a", "#a",
            "http://h", "ftp://h/a", "http://h//evil.example", "http://h\\@evil.example/",
        ],
    )  # fmt: skip
    async def test_what_leads_elsewhere_is_the_default(self, serve: Any, url: str) -> None:
        """Also by what browsers make of it."""
        _, browser = await visited(serve, {"/login": lambda handler: handler.next_url("/home")})

        response = await browser.fetch(f"/login?next={quote(url, safe='')}", headers={"Host": "h"})

        assert response.text == "/home"

    @pytest.mark.parametrize(
        ("url", "path"),
        [("/", "/"), ("/a?b=//c", "/a?b=//c"), ("/a/../b#c", "/a/../b#c"), ("http://h/a?b=1", "/a?b=1"), ("/å", "/å")],
    )
    async def test_a_path_of_this_site_is_taken(self, serve: Any, url: str, path: str) -> None:
        """Of a URL of this site, as `@authenticated` makes it for an absolute `login_url`, the path."""
        _, browser = await visited(serve, {"/login": lambda handler: handler.next_url()})

        response = await browser.fetch(f"/login?next={quote(url, safe='')}", headers={"Host": "h"})

        assert response.text == path

    @pytest.mark.parametrize("query", ["", "?next=%ff"])
    async def test_no_argument_is_the_default(self, serve: Any, query: str) -> None:
        """Nor bytes that are no text."""
        _, browser = await visited(serve, {"/login": lambda handler: handler.next_url()})

        assert (await browser.fetch(f"/login{query}")).text == "/"
