"""The examples of the pages that show handlers (docs/how-to, in a handler, merging): they do what the pages say of them."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from test_docs import ROOT, fenced
from tornado.simple_httpclient import HTTPStreamClosedError
from tornado.web import Application, RequestHandler

from sessions import MemoryStore, SessionManager, SessionMixin, SessionOptions
from sessions.config import ConfigFile
from sessions.testing import Browser, Clock, FailingStore

SECRET = "the-secret-of-these-tests-has-bytes-enough"
DAY = 86_400_000


def example(page: str) -> dict[str, Any]:
    """The names that the Python blocks of a page define."""
    names: dict[str, Any] = {"__name__": "example"}
    for block in fenced((ROOT / "docs" / page).read_text("utf-8"), "python"):
        exec(block, names)
    return names


class Site:
    """The handlers of a page in one application, each at its name in lower case, and a visitor."""

    def __init__(self, names: dict[str, Any], *, xsrf: bool = False, **options: Any) -> None:
        self.clock = Clock()
        self.store = FailingStore(MemoryStore(clock=self.clock))
        self.manager = SessionManager(
            self.store, SessionOptions(secret=SECRET, user_key="user", **options), clock=self.clock
        )
        handlers = [each for each in names.values() if isinstance(each, type) and issubclass(each, RequestHandler)]
        routes: list[Any] = [(f"/{each.__name__.lower()}", each) for each in handlers if each is not SessionMixin]
        self.app = Application(routes, sessions=self.manager, login_url="/login", xsrf_cookies=xsrf)
        self.visitor = Browser(self.app)

    def another(self) -> Browser:
        """Another visitor, or the same one where the browser sends no cookie."""
        return Browser(self.visitor.port, manager=self.manager)


@asynccontextmanager
async def serving(page: str, **given: Any) -> AsyncIterator[Site]:
    """Serve the handlers of a page."""
    site = Site(example(page), **given)
    async with site.visitor:
        yield site


async def token_of(visitor: Browser, path: str) -> str:
    """The token in the form of a page."""
    found = re.search(r'name="_xsrf" value="([^"]+)"', (await visitor.fetch(path)).body.decode())
    assert found is not None
    return unescape(found[1])


# ---------------------------------------------------------------- signing in


async def test_a_login_leads_to_the_page_that_was_asked_for() -> None:
    """Under a new id, by a form with a token; a wrong password is a 403, and a sign-out leads to the login."""
    async with serving("how-to/sign-in.md", xsrf=True) as site:
        visitor = site.visitor
        asked = (await visitor.fetch("/account")).headers["Location"]
        form = {"_xsrf": await token_of(visitor, asked), "user": "ada", "password": "1815"}

        wrong = await visitor.fetch(asked, form={**form, "password": "1816"})
        right = await visitor.fetch(asked, form=form)
        account = await visitor.fetch(right.headers["Location"])
        left = await visitor.fetch("/logout", form={"_xsrf": await token_of(visitor, asked)})
        after = await visitor.fetch("/account")

    assert (asked, wrong.code) == ("/login?next=%2Faccount", 403)
    assert (right.headers["Location"], account.body) == ("/account", b'{"user": "ada"}')
    assert (left.headers["Location"], after.code) == ("/login", 302)


async def test_a_program_gets_401_and_no_login_page() -> None:
    """A browser says of a fetch() that it is none of a page."""
    async with serving("how-to/sign-in.md") as site:
        answer = await site.visitor.fetch("/account", headers={"Sec-Fetch-Mode": "cors"})

    assert answer.code == 401


@pytest.mark.parametrize(("form", "days"), [({"remember": "on"}, 30), ({}, None)])
async def test_a_login_is_remembered_if_it_is_asked_for(form: dict[str, str], days: int | None) -> None:
    """The cookie lives as long as the page says; without the tick it ends with the browser."""
    async with serving("how-to/remember-me.md") as site:
        await site.visitor.fetch("/login", form={"user": "ada", **form})

        (cookie,) = [each for each in site.visitor.jar.all() if each.name == "connect.sid"]

    assert cookie.expires == (None if days is None else pytest.approx(site.clock() + days * DAY, abs=1_000))


async def test_a_remembered_session_ends_however_much_it_is_used() -> None:
    """After 30 days, of which every one saw a visit."""
    async with serving("how-to/remember-me.md") as site:
        await site.visitor.fetch("/login", form={"user": "ada", "remember": "on"})
        users = []
        for _ in range(31):
            users.append(await site.visitor.session())
            site.clock.advance(DAY)
            await site.visitor.fetch("/longer")

    assert [each is not None for each in users] == [True] * 30 + [False]


async def test_a_message_is_shown_once() -> None:
    """On the page after the redirect, by kind, and escaped."""
    async with serving("how-to/flash.md") as site:
        left = await site.visitor.fetch("/save", form={})
        pages = [(await site.visitor.fetch("/home")).body.decode() for _ in range(2)]

    assert left.headers["Location"] == "/"
    assert pages == ["<p class=info>saved</p><p class=error>the picture was too large</p>", ""]


async def test_a_token_of_another_session_is_refused() -> None:
    """Though the cookie of the token was planted with it, as a sibling domain can."""
    names = example("how-to/xsrf.md")
    manager = SessionManager(MemoryStore(), SessionOptions(secret=SECRET, user_key="user"))
    async with Browser(names["make_app"](manager)) as visitor:
        await visitor.sign_in("ada")
        own = await token_of(visitor, "/email")
        planted = await token_of(stranger := Browser(visitor.port, manager=manager), "/email")
        right = await visitor.fetch("/email", form={"_xsrf": own, "email": "ada@example.com"})
        (cookie,) = [each for each in stranger.jar.all() if each.name == "_xsrf"]
        visitor.jar.receive(f"_xsrf={cookie.value}; Path=/", "127.0.0.1", "/", secure=False)

        wrong = await visitor.fetch("/email", form={"_xsrf": planted, "email": "eve@example.com"})
        stored = await visitor.session()

    assert (right.code, wrong.code) == (200, 403)
    assert stored == {"user": "ada", "email": "ada@example.com"}


# ---------------------------------------------------------------- streams, background work, other sites


async def test_a_stream_goes_on_until_the_sign_out() -> None:
    """Then it is cut; a visitor who is not signed in gets 204."""
    async with serving("how-to/event-streams.md") as site:
        pieces: asyncio.Queue[bytes] = asyncio.Queue()
        nobody = await site.visitor.fetch("/news")
        await site.visitor.sign_in("ada")

        stream = asyncio.ensure_future(site.visitor.fetch("/news", streaming_callback=pieces.put_nowait))
        first = await pieces.get()
        await site.manager.revoke_all("ada")
        with pytest.raises(HTTPStreamClosedError):
            await stream

    assert (nobody.code, first) == (204, b"data: news\n\n")


async def test_work_in_the_background_is_seen_by_the_visitor() -> None:
    """Once it is done; a visitor who has left is not brought back."""
    names = example("how-to/background-work.md")
    site = Site(names)
    async with site.visitor:
        await site.visitor.sign_in("ada")
        begun = await site.visitor.fetch("/export", form={})
        at_work = await site.visitor.session()
        await asyncio.gather(*names["Export"].tasks)
        ready = await site.visitor.session()
        await site.visitor.fetch("/export", form={})
        await site.manager.revoke_all("ada")
        await asyncio.gather(*names["Export"].tasks)

        assert begun.code == 202
        assert (at_work, ready) == ({"user": "ada", "export": "at work"}, {"user": "ada", "export": "ready"})
        assert await site.visitor.session() is None


async def test_a_post_from_another_site_leaves_the_login_alone() -> None:
    """The browser sends no cookie with it, and gets none; with the GET that follows the visitor is who it was."""
    async with serving("how-to/other-sites.md", xsrf=True) as site:
        await site.visitor.sign_in("ada", orders=["7"])
        without_cookie = site.another()
        form = {"order": "7", "signature": "signed-7"}

        forged = await without_cookie.fetch("/return", form={**form, "signature": "signed-8"})
        returned = await without_cookie.fetch("/return", form=form)
        thanks = await site.visitor.fetch(returned.headers["Location"])
        of_others = await site.visitor.fetch("/thanks?order=8")

    assert (forged.code, returned.code, returned.headers.get_list("Set-Cookie")) == (403, 303, [])
    assert (thanks.code, thanks.body) == (200, b'{"user": "ada", "order": "paid"}')
    assert of_others.code == 404


# ---------------------------------------------------------------- in a handler


async def test_a_basket_is_the_session_itself() -> None:
    """What is put into it is stored."""
    async with serving("reference/handlers.md") as site:
        for item in ("milk", "bread"):
            await site.visitor.fetch("/add", form={"item": item})

        assert await site.visitor.session() == {"items": ["milk", "bread"]}


async def test_an_article_asks_no_store_before_its_comments() -> None:
    """With the session's store away it is answered; its comments are not."""
    async with serving("reference/handlers.md") as site:
        await site.visitor.sign_in("ada")
        comments = await site.visitor.fetch("/article?comments=1")
        site.store.fail("get")

        codes = [(await site.visitor.fetch(path)).code for path in ("/article", "/article?comments=1")]

        assert (comments.body, codes) == (b"for ada", [200, 503])


async def test_a_user_of_your_own_counts() -> None:
    """Instead of the one that userKey names."""
    greeting = example("reference/handlers.md")["Greeting"]
    page = type("Page", (greeting,), {"get": lambda self: self.write({"user": self.current_user})})
    site = Site({"Page": page})
    async with site.visitor:
        await site.visitor.sign_in("ada", nickname="the countess")

        answer = await site.visitor.fetch("/page")

    assert answer.body == b'{"user": "the countess"}'


# ---------------------------------------------------------------- parallel changes


async def test_a_counter_loses_no_hit() -> None:
    """Of ten at the same time."""
    async with serving("merge.md") as site:
        await site.visitor.sign_in("ada")

        await asyncio.gather(*(site.visitor.fetch("/hit") for _ in range(10)))

        assert await site.visitor.session() == {"user": "ada", "hits": 10}


async def test_the_second_address_is_shown_the_first() -> None:
    """And not stored."""
    names = example("merge.md")

    async def prepare(handler: SessionMixin) -> None:
        """Let another request store an address between the load and the save of this one."""
        await SessionMixin.prepare(handler)
        await site.visitor.fetch("/address", form={"address": "London"})

    late = type("Late", (names["Address"],), {"prepare": prepare})
    site = Site({**names, "Late": late}, conflict="reject")
    async with site.visitor:
        await site.visitor.sign_in("ada")

        answer = await site.visitor.fetch("/late", form={"address": "Paris"})

        assert (answer.code, answer.body) == (200, b"meanwhile it became London")
        assert await site.visitor.session() == {"user": "ada", "address": "London"}


# ---------------------------------------------------------------- the server's parts, the observers


def test_the_servers_file_is_read_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the server's table named as another's."""
    page = (ROOT / "docs" / "server.md").read_text("utf-8")
    (call,) = re.findall(r"`(ConfigFile\(.+?)` of `sessions\.config`", page)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "config.toml", tmp_path)

    config = eval(call, {"ConfigFile": ConfigFile, "Path": Path})

    assert config.session.user_key == "username"
    assert config.open_store() is not None


async def test_the_audit_trail_has_the_events_that_it_names(capsys: pytest.CaptureFixture[str]) -> None:
    """A sign-in, a revocation and a sign-out, each with its user."""
    (block,) = [each for each in fenced((ROOT / "docs/users.md").read_text("utf-8"), "python") if "def audit" in each]
    names: dict[str, Any] = {"__name__": "audit"}
    exec(block, names)
    manager: SessionManager = names["manager"]

    async def post(handler: SessionMixin) -> None:
        await handler.sign_in("ada")

    login = type("Login", (SessionMixin,), {"post": post})
    logout = type("Logout", (SessionMixin,), {"post": SessionMixin.sign_out})

    async with Browser(Application([("/login", login), ("/logout", logout)], sessions=manager)) as browser:
        for path in ("/login", "/logout", "/login"):
            await browser.fetch(path, form={})
        await manager.revoke_all("ada")

    printed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [each for each in printed if each[0].startswith(("signed", "revoked"))] == [
        ["signed_in", "ada"], ["signed_out", "ada"], ["signed_in", "ada"], ["revoked", "ada"],
    ]  # fmt: skip
