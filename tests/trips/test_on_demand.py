"""`session_on_demand = True` on a handler: nothing of a session happens until `await self.load_session()`."""

import asyncio
from typing import Any

import pytest
from tornado.web import HTTPError, RequestHandler, authenticated
from tornado.websocket import WebSocketHandler

from sessions import CookieOptions, HeadersSent, NoSession, SessionMixin, StoreError, StoreUnavailable

from .conftest import Logbook
from .test_sockets import Socket, open_socket, say
from .world import LIFETIME, MARK, Act, Page, Site, count, show, visit

WHY = "no session: this handler has session_on_demand: `await self.load_session()` comes first"


class Lazy(Page):
    """A page with a session on demand."""

    session_on_demand = True


def loading(act: Act) -> tuple[type[Page], Act]:
    """A lazy page that loads its session and then acts."""

    async def page(handler: Any) -> Any:
        await handler.load_session()
        return act(handler)

    return Lazy, page


async def visited(serve: Any, pages: dict[str, Any], **options: Any) -> tuple[Site, Any]:
    """A site with those pages, and a browser that has a session there."""
    site: Site = await serve({"/visit": visit, "/show": show, **pages}, **options)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()
    return site, browser


# ---------------------------------------------------------------- without the call


@pytest.mark.parametrize("options", [{}, {"rolling": True}, {"touch_after": 0}, {"resave": True}], ids=str)
async def test_without_the_call_nothing_happens(serve: Any, options: dict[str, Any]) -> None:
    """No call of the store, no renewal, no cookie, and caches may share the answer."""
    site, browser = await visited(serve, {"/": (Lazy, lambda handler: "fine")}, **options)
    site.clock.forward(LIFETIME // 2)

    response = await browser.fetch()

    assert (response.text, response.set_cookies, response.header("Vary"), site.store.calls) == ("fine", [], None, [])


async def test_without_the_call_no_session_is_made(serve: Any) -> None:
    """Although `saveUninitialized` makes one for every visitor."""
    site: Site = await serve((Lazy, lambda handler: "fine"), save_uninitialized=True)

    response = await site.browser().fetch()

    assert (response.text, response.set_cookies, site.store.calls) == ("fine", [], [])


async def test_it_is_served_while_the_store_is_away(serve: Any) -> None:
    site, browser = await visited(serve, {"/": (Lazy, lambda handler: "fine")})
    site.store.is_down = True

    response = await browser.fetch()

    assert (response.status, response.text) == (200, "fine")


@pytest.mark.parametrize("look", [
    lambda handler: handler.session,
    lambda handler: handler.session.get("mark"),
    lambda handler: setattr(handler, "session", None),
    lambda handler: delattr(handler, "session"),
])  # fmt: skip
async def test_to_look_before_the_call_says_what_is_missing(serve: Any, look: Act) -> None:
    """Reading and unsetting alike."""

    def page(handler: Any) -> str:
        with pytest.raises(NoSession) as error:
            look(handler)
        return f"{error.value} {handler.has_session} {handler.session_id}"

    site, browser = await visited(serve, {"/": (Lazy, page)})

    response = await browser.fetch()

    assert response.text == f"{WHY} False None"
    assert site.store.calls == []


async def test_a_user_who_is_asked_for_too_early_is_nobody(serve: Any, logbook: Logbook) -> None:
    """With an error in the log, once: `@authenticated` would send everybody to the login."""

    class Account(Lazy):
        def get_current_user(self) -> Any:
            return self.session.get("mark")

    _, browser = await visited(serve, {"/": (Account, lambda handler: str(handler.current_user))})

    answers = [(await browser.fetch()).text for _ in range(3)]

    assert answers == ["None"] * 3
    (line,) = logbook.lines("sessions", level=40)
    assert line == f"Account: current_user is None, because {WHY.removeprefix('no session: ')}"


# ---------------------------------------------------------------- with the call


async def test_after_the_call_it_is_a_session_as_ever(serve: Any) -> None:
    """Read, changed and stored; the answer says that it varies."""
    site, browser = await visited(serve, {"/": loading(count)})

    response = await browser.fetch()

    assert (response.text, response.header("Vary"), site.store.calls) == ("1", "Cookie", ["get", "update"])
    assert await site.row(browser.sid) == {"mark": MARK, "n": 1}


async def test_after_the_call_a_session_is_renewed(serve: Any) -> None:
    """As one that `prepare` has loaded."""
    site, browser = await visited(serve, {"/": loading(lambda handler: "fine")}, rolling=True)
    site.clock.forward(LIFETIME // 2)

    response = await browser.fetch()

    assert (len(response.set_cookies), site.store.calls) == (1, ["get", "touch"])
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


async def test_a_new_visitor_can_begin_one(serve: Any) -> None:
    """There is nothing to load."""
    site: Site = await serve(loading(count))
    browser = site.browser()

    response = await browser.fetch()

    assert (response.text, site.store.calls) == ("1", ["create"])
    assert await site.row(browser.sid) == {"n": 1}


async def test_the_call_loads_once(serve: Any) -> None:
    """One after the other, or side by side: they see the same session."""

    async def page(handler: Any) -> str:
        await asyncio.gather(handler.load_session(), handler.load_session())
        session = handler.session
        session["n"] = 1
        await handler.load_session()
        assert handler.session is session
        return str(handler.session["n"])

    site, browser = await visited(serve, {"/": (Lazy, page)})

    response = await browser.fetch()

    assert response.text == "1"
    assert site.store.calls == ["get", "get", "update"]
    assert await site.row(browser.sid) == {"mark": MARK, "n": 1}


async def test_the_call_does_nothing_in_another_handler(serve: Any) -> None:
    """`prepare` has loaded its session."""

    async def page(handler: Any) -> str:
        handler.session["n"] = 1
        await handler.load_session()
        return str(handler.session["n"])

    site, browser = await visited(serve, {"/": page})

    response = await browser.fetch()

    assert (response.text, site.store.calls) == ("1", ["get", "update"])


async def test_a_prepare_of_its_own_may_load(serve: Any) -> None:
    """What comes before the handler, `@authenticated` say, finds the session then."""

    class Account(SessionMixin, RequestHandler):
        session_on_demand = True

        async def prepare(self) -> None:
            await super().prepare()
            await self.load_session()

        def get_current_user(self) -> Any:
            return self.session.get("mark")

        @authenticated
        def get(self) -> None:
            self.write("yours")

    _, browser = await visited(serve, {"/": Account})

    response = await browser.fetch()

    assert (response.status, response.text) == (200, "yours")


async def test_a_path_without_a_session_has_none_after_the_call(serve: Any) -> None:
    """`self.session` says why, as in every handler."""

    def page(handler: Any) -> str:
        with pytest.raises(NoSession) as error:
            len(handler.session)
        return str(error.value)

    site: Site = await serve(loading(page), cookie=CookieOptions(path="/app"))

    response = await site.browser().fetch("/other")

    assert response.text == "no session: the request's path is outside cookie.path '/app'"


# ---------------------------------------------------------------- what fails


async def test_a_store_that_is_away_is_a_503(serve: Any) -> None:
    """Where nobody catches it."""
    site, browser = await visited(serve, {"/": loading(show)})
    site.store.fail(StoreUnavailable("the disk is away"), "get")

    response = await browser.fetch()

    assert (response.status, response.header("Retry-After"), response.set_cookies) == (503, "1", [])


async def test_a_handler_may_go_on_without_it(serve: Any) -> None:
    """Or try again: a call that fails leaves everything as it was."""

    async def page(handler: Any) -> str:
        with pytest.raises(StoreUnavailable):
            await handler.load_session()
        with pytest.raises(NoSession):
            len(handler.session)
        await handler.load_session()
        return str(handler.session["mark"])

    site, browser = await visited(serve, {"/": (Lazy, page)})
    site.store.fail_once(StoreUnavailable("the disk is away"), "get")

    response = await browser.fetch()

    assert (response.status, response.text) == (200, MARK)


async def test_a_store_that_refuses_is_a_500(serve: Any) -> None:
    site, browser = await visited(serve, {"/": loading(show)})
    site.store.fail(StoreError("the disk says no"), "get")

    response = await browser.fetch()

    assert (response.status, response.set_cookies) == (500, [])


# ---------------------------------------------------------------- forms


class Form(SessionMixin, RequestHandler):
    """Renders a form's token, and takes the form with its session on demand."""

    session_on_demand = True

    async def get(self) -> None:
        await self.load_session()
        self.write(self.xsrf_token)

    async def post(self) -> None:
        if self.get_argument("load", ""):
            await self.load_session()
        self.write("taken")


@pytest.mark.parametrize(
    ("path", "planted", "status"),
    [("/form?load=1", False, 200), ("/form?load=1", True, 403), ("/form", True, 200)],
    ids=["its-own", "planted", "never-loaded"],
)
async def test_a_form_is_compared_with_the_session_when_that_is_loaded(
    serve: Any, path: str, planted: bool, status: int
) -> None:
    """Without the call there is Tornado's own check alone."""
    site, browser = await visited(serve, {"/form": Form}, settings={"xsrf_cookies": True})
    token = (await browser.fetch("/form")).text
    if planted:
        stranger = site.browser()
        await stranger.fetch("/visit")
        token = (await stranger.fetch("/form")).text
        browser.jar.receive(f"_xsrf={token}; Path=/", browser.host, "/", secure=False)

    response = await browser.fetch(path, method="POST", headers={"X-Xsrftoken": token})

    assert response.status == status


# ---------------------------------------------------------------- streams


async def test_a_stream_may_load_before_its_first_bytes(serve: Any) -> None:
    """They wait for the commit as ever."""

    async def page(handler: Any) -> None:
        await handler.load_session()
        handler.session["n"] = 1
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 2

    site, browser = await visited(serve, {"/": (Lazy, page)})

    response = await browser.fetch()

    assert (response.text, response.whole) == ("one,", True)
    assert await site.row(browser.sid) == {"mark": MARK, "n": 1, "late": 2}


async def test_a_stream_may_load_after_its_first_bytes(serve: Any) -> None:
    """What it changes is stored at its end; a new id cannot be sent any more."""

    async def page(handler: Any) -> str:
        handler.write("one,")
        await handler.flush()
        await handler.load_session()
        handler.session["late"] = 1
        with pytest.raises(HeadersSent):
            handler.session.rotate()
        return "two"

    site, browser = await visited(serve, {"/": (Lazy, page)})

    response = await browser.fetch()

    assert (response.text, response.whole, response.set_cookies) == ("one,two", True, [])
    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}


async def test_a_session_that_is_loaded_after_finish_can_be_read(serve: Any) -> None:
    """A change of it could not be stored with the answer."""
    seen: list[Any] = []

    async def page(handler: Any) -> None:
        handler.finish("done")
        await handler.load_session()
        seen.append(handler.session["mark"])
        with pytest.raises(HeadersSent):
            handler.session["n"] = 1

    site, browser = await visited(serve, {"/": (Lazy, page)})

    response = await browser.fetch()

    assert (response.text, seen, site.store.calls) == ("done", [MARK], ["get"])


async def test_an_error_page_has_no_session_that_was_not_loaded(serve: Any) -> None:
    """It says so like the handler."""

    class Rude(Lazy):
        def write_error(self, status_code: int, **_: Any) -> None:
            self.finish(f"sorry, {self.has_session}")

    def page(handler: Any) -> None:
        raise HTTPError(418)

    _, browser = await visited(serve, {"/": (Rude, page)})

    response = await browser.fetch()

    assert (response.status, response.text) == (418, "sorry, False")


# ---------------------------------------------------------------- sockets


class LazySocket(Socket):
    """Loads its session at a message."""

    session_on_demand = True

    async def prepare(self) -> None:
        await SessionMixin.prepare(self)


async def loaded(handler: Any) -> str:
    """Load, change, save."""
    await handler.load_session()
    handler.session["said"] = handler.session.get("said", 0) + 1
    await handler.session.save()
    return str(handler.session["said"])


async def test_a_socket_may_load_at_a_message(serve: Any) -> None:
    """Its handshake asks no store; `save()` stores, and starts the lifetime again."""
    site, browser = await visited(serve, {"/socket": (LazySocket, loaded)}, touch_after=0)

    call = await open_socket(browser)
    before = list(site.store.calls)
    site.clock.forward(LIFETIME // 2)
    answers = [await say(call), await say(call)]
    await call.wire.close()

    assert (before, answers) == ([], ["1", "2"])
    assert await site.row(browser.sid) == {"mark": MARK, "said": 2}
    assert (await site.stored(browser.sid)).expires_at == site.clock() + LIFETIME


async def test_a_socket_may_load_when_it_opens(serve: Any) -> None:
    """In `open`, which may be async."""

    class Opening(LazySocket):
        end_with_session = False  # or the store is asked for it a second time

        async def open(self, *_: str) -> None:
            await self.load_session()

    site, browser = await visited(serve, {"/socket": (Opening, show)})

    call = await open_socket(browser)
    answer = await say(call)
    await call.wire.close()

    assert answer == f'{{"mark": "{MARK}"}}'
    assert site.store.calls == ["get"]


async def test_a_socket_of_a_new_visitor_cannot_begin_a_session(serve: Any) -> None:
    """No cookie could be sent."""
    site: Site = await serve({"/socket": (LazySocket, loaded)})

    call = await open_socket(site.browser())
    answer = await say(call)
    await call.wire.close()

    assert answer.startswith("HeadersSent: ")
    assert site.store.calls == []


# ---------------------------------------------------------------- names


@pytest.mark.parametrize("name", ["session_on_demand", "load_session"])
def test_a_name_that_a_class_behind_has_too_is_refused(name: str) -> None:
    """As every name of the mixin."""
    behind = type("Behind", (WebSocketHandler,), {name: None})

    with pytest.raises(TypeError, match=rf"SessionMixin\.{name} hides \S+\.Behind\.{name}"):
        type("Mine", (SessionMixin, behind), {})
