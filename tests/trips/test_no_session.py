"""Where there is no session: `self.has_session` knows, and NoSession says why."""

from typing import Any

import pytest
from tornado.web import RequestHandler

from sessions import CookieOptions, MemoryStore, NoSession, SessionManager, SessionMixin, SessionOptions

from .conftest import Logbook, memory_only
from .world import MARK, SECRET, Act, Page, Site, replay, show, visit


def why(handler: Any) -> str:
    """Whether there is a session, and what asking for it says."""
    try:
        return f"{handler.has_session}: {sorted(handler.session)}"
    except NoSession as error:
        return f"{handler.has_session}: {error}"


# ---------------------------------------------------------------- reasons


async def test_a_fresh_visitor_has_one(serve: Any) -> None:
    """It is made when it is asked for; asking whether there is one makes none."""
    site: Site = await serve(lambda handler: f"{handler.has_session} {handler.session_id} {why(handler)}")

    response = await site.browser().fetch()

    assert response.text == "True None True: []"
    assert site.store.calls == []


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/app", "True: []"),
        ("/app/deep?q=/elsewhere", "True: []"),
        ("/app/", "True: []"),
        ("/apple", "False: no session: the request's path is outside cookie.path '/app'"),
        ("/app;x", "False: no session: the request's path is outside cookie.path '/app'"),
        ("/other", "False: no session: the request's path is outside cookie.path '/app'"),
        ("/APP", "False: no session: the request's path is outside cookie.path '/app'"),
        ("/", "False: no session: the request's path is outside cookie.path '/app'"),
        ("/?x=/app", "False: no session: the request's path is outside cookie.path '/app'"),
    ],
)
async def test_outside_the_cookies_path(serve: Any, path: str, answer: str) -> None:
    """The browser would not send the cookie there, so nothing is kept there."""
    site: Site = await serve(why, cookie=CookieOptions(path="/app"), save_uninitialized=True)

    response = await site.browser().fetch(path)

    assert response.text == answer
    assert bool(response.set_cookies) is answer.startswith("True")


async def test_outside_the_path_a_cookie_is_not_even_looked_at(serve: Any) -> None:
    """It costs no store call, even when somebody sends it."""
    site: Site = await serve(why, cookie=CookieOptions(path="/app"), save_uninitialized=True)
    browser = site.browser()
    await browser.fetch("/app")
    site.store.forget()

    response = await browser.fetch("/other", headers=replay(browser))

    assert response.text.startswith("False: no session: the request's path")
    assert site.store.calls == []


def unset(handler: Any) -> str:
    handler.session = None
    return why(handler)


def deleted(handler: Any) -> str:
    del handler.session
    return why(handler)


async def destroyed(handler: Any) -> str:
    await handler.session.destroy()
    return why(handler)


@pytest.mark.parametrize(
    ("act", "reason"), [(unset, "it was unset"), (deleted, "it was unset"), (destroyed, "it was destroyed")]
)
@pytest.mark.parametrize("known", [True, False])
async def test_after_its_end(serve: Any, act: Act, reason: str, known: bool) -> None:
    """Unset and destroyed sessions stay away for the rest of the request."""
    site: Site = await serve({"/visit": visit, "/end": act})
    browser = site.browser()
    if known:
        await browser.fetch("/visit")

    response = await browser.fetch("/end")

    assert response.text == f"False: no session: {reason} in this request"


async def test_the_id_can_be_asked_for_after_the_end(serve: Any) -> None:
    """As Express's `req.sessionID`: to close the visitor's sockets at a logout, say."""

    async def leave(handler: Any) -> str:
        await handler.session.destroy()
        return str(handler.session_id)

    site: Site = await serve({"/visit": visit, "/leave": leave})
    browser = site.browser()
    await browser.fetch("/visit")
    sid = browser.sid

    response = await browser.fetch("/leave")

    assert response.text == sid


async def test_a_store_that_is_down_is_a_503_by_default(serve: Any) -> None:
    """For those who have a session cookie; others are served."""
    site: Site = await serve({"/visit": visit, "/why": why})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.is_down = True
    site.store.forget()

    known = await browser.fetch("/why")
    fresh = await site.browser().fetch("/why")

    assert (known.status, known.header("Retry-After"), known.set_cookies) == (503, "1", [])
    assert (fresh.status, fresh.text) == (200, "True: []")
    assert site.store.calls == []


async def test_a_store_that_is_down_means_no_session_on_request(serve: Any) -> None:
    """`storeDown = "none"`: as Express, no session and no error, for anybody."""
    site: Site = await serve({"/visit": visit, "/why": why}, store_down="none")
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.is_down = True

    answers = [(await each.fetch("/why")).text for each in (browser, site.browser())]
    site.store.is_down = False
    later = await browser.fetch("/why")

    assert answers == ["False: no session: the store is not ready"] * 2
    assert later.text == "True: ['mark']"


class Unprepared(Page):
    """Overrides prepare() and forgets super(), as many do."""

    async def prepare(self) -> None:
        self.prepared = True


async def test_the_error_of_prepare_without_super_says_the_remedy(serve: Any) -> None:
    """It must never look like an empty, anonymous session."""
    site: Site = await serve({"/visit": visit, "/": (Unprepared, why)}, save_uninitialized=True)
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch()

    assert response.text.startswith("False: no session: prepare() has not run")
    assert response.text.endswith("overridden without `await super().prepare()`")
    assert response.set_cookies == []
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_unset_without_prepare_says_so(serve: Any) -> None:
    """As reading does: a sign-out that signs nobody out is a 500, and the session is as it was."""
    site: Site = await serve({"/visit": visit, "/": (Unprepared, unset)}, unset="destroy")
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch()

    assert response.status == 500
    assert await site.row(browser.sid) == {"mark": MARK}


async def test_initialize_without_super_loses_nothing(serve: Any) -> None:
    """Page overrides initialize() without super(); a class that has an __init__ state of its own works as well."""

    class Stateful(SessionMixin, RequestHandler):
        def initialize(self, **_: Any) -> None:
            self._data: dict[str, Any] = {}

        def get(self) -> None:
            self.write(show(self))

    site: Site = await serve({"/visit": visit, "/": Stateful})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch()

    assert response.json() == {"mark": MARK}


# ---------------------------------------------------------------- misuse


@pytest.mark.parametrize("value", [5, {}, False, "", []])
async def test_a_session_cannot_be_assigned(serve: Any, logbook: Logbook, value: object) -> None:
    """Only None; a dict would silently drop the id, the cookie and what others have stored."""

    def act(handler: Any) -> None:
        handler.session = value

    site: Site = await serve({"/visit": visit, "/": act})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch()

    assert response.status == 500
    assert any("TypeError: self.session can only be set to None" in line for line in logbook.lines("tornado"))
    assert await site.row(browser.sid) == {"mark": MARK}


@memory_only
@pytest.mark.parametrize("manager", [None, "sqlite:sessions.db", SessionOptions(secret=SECRET)])
@pytest.mark.parametrize("kind_of_page", [Page, Unprepared])
async def test_settings_without_a_manager_are_a_500_that_says_so(
    serve: Any, logbook: Logbook, manager: object, kind_of_page: type[Page]
) -> None:
    """A deployment's error: every request fails, none hangs, and the log names the setting."""
    site: Site = await serve({"/": (kind_of_page, show)}, settings={"sessions": manager})

    response = await site.browser().fetch()

    assert (response.status, response.whole) == (500, True)
    expected = "not a SessionManager" if kind_of_page is Page else "prepare() was overridden"
    assert any(expected in line for line in logbook.lines("tornado.application"))


@memory_only
async def test_an_error_page_without_a_manager_keeps_nobody_waiting(serve: Any) -> None:
    """Not even one that asks for the session once more."""

    class Rude(Page):
        def write_error(self, status_code: int, **_: Any) -> None:
            self.finish(f"sorry, {self.has_session} {self.session.get('mark')}")

    site: Site = await serve({"/": (Rude, show)}, settings={"sessions": None})

    response = await site.browser().fetch()

    assert response.status == 500


# ---------------------------------------------------------------- two at once


async def test_two_applications_in_one_process_do_not_meet(serve: Any) -> None:
    """Names, secrets, cookies and policies are each application's own, also on one store."""
    shop: Site = await serve({"/visit": visit, "/": why}, name="shop", secret="shop-secret-shop-secret")
    blog: Site = await serve(
        {"/visit": visit, "/": why},
        store=shop.store,
        name="blog",
        secret="blog-secret-blog-secret",
        cookie=CookieOptions(path="/", same_site="strict"),
        rolling=True,
    )
    browser = shop.browser()
    reader = blog.browser()
    reader.jar = browser.jar

    await browser.fetch("/visit")
    await reader.fetch("/visit")
    answers = [await browser.fetch(), await reader.fetch()]

    assert [answer.text for answer in answers] == ["True: ['mark']"] * 2
    assert [len(answer.set_cookies) for answer in answers] == [0, 1]
    assert browser.kept("shop").attributes["samesite"] == "Lax"
    assert reader.kept("blog").attributes["samesite"] == "Strict"
    assert len(await shop.rows()) == 2


async def test_a_handler_without_the_mixin_is_left_alone(serve: Any) -> None:
    """Static files and health checks of the same application cost nothing."""

    class Health(RequestHandler):
        def get(self) -> None:
            self.write("fine")

    site: Site = await serve({"/visit": visit, "/health": Health}, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()

    response = await browser.fetch("/health")

    assert (response.text, response.set_cookies, site.store.calls) == ("fine", [], [])


def test_a_manager_is_made_without_a_loop() -> None:
    """In a module's body, before any event loop runs."""
    manager = SessionManager(MemoryStore(), SessionOptions(secret=SECRET))

    assert manager.options.name == "connect.sid"


@memory_only
@pytest.mark.parametrize("target", ["http://[/", "http://[::1/x", "http://]x/", "http://[x]/", "x://[::g]/?a"])
async def test_a_target_that_is_no_url_is_a_400(serve: Any, logbook: Logbook, target: str) -> None:
    """Of a visitor with a session and of one without; no traceback, and nothing is stored."""
    site: Site = await serve({".*": visit})
    browser = site.browser()
    await browser.fetch()
    head = f"GET {target} HTTP/1.1\r\nHost: h\r\n"

    known = await site.raw(f"{head}Cookie: {replay(browser)['Cookie']}\r\n\r\n".encode())
    unknown = await site.raw(f"{head}\r\n".encode())

    assert (known.status, unknown.status) == (400, 400)
    assert [line for line in logbook.lines() if "Traceback" in line] == []
    assert list(await site.rows()) == [browser.sid]
