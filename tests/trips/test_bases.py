"""What an application brings: bases behind the mixin, `get_current_user`, names; and the Future of `finish()`."""

import asyncio
import json
from typing import Any

import pytest
from tornado.iostream import StreamClosedError
from tornado.web import Finish, HTTPError, RequestHandler, authenticated

from sessions import CommitFailed, SessionMixin, StoreError, StoreUnavailable
from sessions.web.mixin import OWN_NAMES

from .conftest import Logbook
from .world import MARK, Act, Page, Site, logout, turns, visit

AWAY = StoreUnavailable("the disk is away")

# ---------------------------------------------------------------- finish() of a base


class JsonBase(RequestHandler):
    """What an application has of its own: it wraps what it is given, and takes a status."""

    def finish(self, chunk: Any = None, code: int | None = None) -> "asyncio.Future[None]":
        if code is not None:
            self.set_status(code)
        return super().finish(None if chunk is None else json.dumps({"data": chunk}))


class FutureBase(RequestHandler):
    """One that returns a Future of its own."""

    def finish(self, chunk: Any = None) -> "asyncio.Future[None]":
        finished = super().finish(chunk)
        mine: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        finished.add_done_callback(lambda _: mine.set_result(None))
        self.settings["futures"].append(mine)
        return mine


class Listed(SessionMixin, JsonBase):
    async def get(self) -> None:
        visit(self)
        await self.finish({"list": [1, 2]})

    async def post(self) -> None:
        visit(self)
        await self.finish({"list": [3]}, 201)

    async def put(self) -> None:
        visit(self)
        await self.finish({"list": [4]}, code=202)

    async def delete(self) -> None:
        await self.finish({"list": [5]})


class Delayed(SessionMixin, FutureBase):
    async def get(self) -> None:
        visit(self)
        await self.finish("whole")


@pytest.mark.parametrize(
    ("method", "status", "data"), [("GET", 200, [1, 2]), ("POST", 201, [3]), ("PUT", 202, [4]), ("DELETE", 200, [5])]
)
async def test_a_base_gets_the_chunk_and_the_arguments(serve: Any, method: str, status: int, data: list[int]) -> None:
    """By position and by name, with something to commit and without."""
    site: Site = await serve({"/": Listed})
    browser = site.browser()

    response = await browser.fetch(method=method)

    assert (response.status, response.json()) == (status, {"data": {"list": data}})
    assert len(await site.rows()) == (method != "DELETE")


async def test_a_base_may_return_its_own_future(serve: Any) -> None:
    """It resolves when the answer was sent."""
    futures: list[asyncio.Future[None]] = []
    site: Site = await serve({"/": Delayed}, settings={"futures": futures})

    response = await site.browser().fetch()
    await turns()

    assert (response.text, response.whole) == ("whole", True)
    assert [future.done() for future in futures] == [True]


# ---------------------------------------------------------------- the Future of finish()


@pytest.mark.parametrize("error", [AWAY, StoreError("the disk says no")])
async def test_finish_fails_where_the_commit_has_failed(serve: Any, error: StoreError) -> None:
    """With the failure as its cause; where it leaves the handler there is no second traceback."""
    seen: list[BaseException] = []

    async def act(handler: Any) -> None:
        visit(handler)
        try:
            await handler.finish("order placed")
        except CommitFailed as failed:
            seen.append(failed)
            raise

    site: Site = await serve(act)
    site.store.fail(error)
    response = await site.browser().fetch()
    await turns()

    assert response.status == (503 if error is AWAY else 500)
    assert [type(each.__cause__) for each in seen] == [type(error)]
    assert isinstance(seen[0], Finish)


async def test_finish_fails_where_the_client_has_left(serve: Any) -> None:
    """As in Tornado; what the client has asked for is committed."""
    seen: list[str] = []

    async def act(handler: Any) -> None:
        visit(handler)
        try:
            await handler.finish("order placed")
        except StreamClosedError:
            seen.append("left")

    site: Site = await serve(act)
    gate = site.store.hold("create")
    call = await site.browser().start()
    await gate.reached()
    await call.wire.close()
    await turns()
    gate.open()
    await site.store.idle()
    await turns()

    assert seen == ["left"]
    assert [row["mark"] for row in (await site.rows()).values()] == [MARK]


async def test_nobody_has_to_wait_for_finish(serve: Any, logbook: Logbook) -> None:
    """A failure that nobody awaits is one line, and asyncio finds nothing that was never retrieved."""

    def act(handler: Any) -> None:
        visit(handler)
        handler.finish("order placed")

    site: Site = await serve(act)
    site.store.fail(AWAY)
    response = await site.browser().fetch()

    assert response.status == 503
    assert logbook.lines("tornado.application") == []


# ---------------------------------------------------------------- the current user


class Old(Page):
    """What every Tornado application has: it reads the session unguarded."""

    def get_current_user(self) -> Any:
        return self.session.get("mark")

    def write_error(self, status_code: int, **_kwargs: Any) -> None:
        user = "nobody" if self.current_user is None else "a user"  # a page may show it, a test's log must not
        self.render("page.html", word=f"sorry, {status_code}, {user}")


def page_400(handler: Any) -> None:
    handler.get_argument("missing")


def page_404(handler: Any) -> None:
    raise HTTPError(404)


@pytest.mark.parametrize(
    ("method", "act", "status", "user"),
    [
        ("POST", visit, 403, "nobody"),  # refused before prepare()
        ("BREW", visit, 405, "nobody"),  # likewise
        ("OPTIONS", visit, 405, "a user"),
        ("GET", page_400, 400, "a user"),
        ("GET", page_404, 404, "a user"),
    ],
)
async def test_an_error_page_renders_whatever_the_override_finds(
    serve: Any, settings: dict[str, Any], method: str, act: Act, status: int, user: str
) -> None:
    """Where prepare() has not run there is no session, and nobody is signed in."""
    site: Site = await serve({"/visit": visit, "/": (Old, act)}, settings={**settings, "xsrf_cookies": True})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/", method=method)

    assert (response.status, response.text) == (status, f"sorry, {status}, {user}")


async def test_the_page_of_a_store_that_is_away_renders(serve: Any, settings: dict[str, Any]) -> None:
    """503 with the application's own page."""
    site: Site = await serve({"/visit": visit, "/": (Old, visit)}, settings=settings)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(AWAY, "get")

    response = await browser.fetch("/")

    assert (response.status, response.text) == (503, "sorry, 503, nobody")


async def test_the_user_of_a_request_without_a_session_is_not_remembered(serve: Any, settings: dict[str, Any]) -> None:
    """Behind a sign-out a page renders; behind a login in the same request the user is found."""
    users: list[bool] = []

    async def act(handler: Any) -> None:
        session = handler.session
        await logout(handler)
        users.append(handler.current_user is None)
        await session.regenerate()
        visit(handler)
        users.append(handler.current_user is None)
        handler.render("page.html", word="hello")

    site: Site = await serve({"/visit": visit, "/": (Old, act)}, settings=settings)
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/")

    assert (response.status, response.text) == (200, "hello")
    assert users == [True, False]


class Account(Old):
    """A page for users."""

    @authenticated
    async def get(self) -> None:  # type: ignore[override] # the decorator's type is narrower
        self.write("welcome")


async def test_authenticated_works_as_ever(serve: Any) -> None:
    """A stranger is sent to the login, a user is let in."""
    account = (Account, visit)
    site: Site = await serve({"/visit": visit, "/account": account}, settings={"login_url": "/login"})
    browser = site.browser()

    stranger = await browser.fetch("/account")
    await browser.fetch("/visit")
    user = await browser.fetch("/account")

    assert (stranger.status, stranger.header("Location")) == (302, "/login?next=%2Faccount")
    assert user.text == "welcome"


# ---------------------------------------------------------------- names that clash


@pytest.mark.parametrize("name", OWN_NAMES)
def test_a_base_with_a_name_of_the_mixins_is_refused(name: str) -> None:
    """One of the two would be hidden, in silence; the error names both and the way out."""
    base = type("SQLBase", (RequestHandler,), {name: None})

    with pytest.raises(
        TypeError, match=rf"Clash: SessionMixin\.{name} hides \S+\.SQLBase\.{name}: give one of the two"
    ):
        type("Clash", (SessionMixin, base), {})


@pytest.mark.parametrize("name", OWN_NAMES)
def test_a_class_of_ones_own_may_define_such_a_name(name: str) -> None:
    """In front of the mixin it hides nothing by accident; and names that are not the mixin's are free."""
    kind = type("Page", (SessionMixin, RequestHandler), {name: None, "_commit": None, "_session": None})

    assert getattr(kind, name) is None
