"""The README's examples that show handlers, and the audit trail of docs/users.md: they do what the pages say of them."""

import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from test_docs import README, ROOT, fenced
from tornado.web import Application

from sessions import MemoryStore, SessionManager, SessionMixin, SessionOptions, open_store
from sessions.config import ConfigFile
from sessions.testing import Browser, FailingStore

SECRET = "the-secret-of-these-tests-has-bytes-enough"


def handlers() -> dict[str, Any]:
    """The names that the blocks after the whole application define."""
    names: dict[str, Any] = {"__name__": "readme"}
    for block in fenced(README, "python")[1:]:
        exec(block, names)
    return names


class Site:
    """The handlers of the README in one application, and a visitor."""

    def __init__(self) -> None:
        names = handlers()
        self.store = FailingStore(MemoryStore())
        manager = SessionManager(self.store, SessionOptions(secret=SECRET, user_key="user", conflict="reject"))
        routes = [(f"/{name.lower()}", names[name]) for name in ("Login", "Account", "Add", "Article", "Address")]

        async def prepare(handler: SessionMixin) -> None:
            """Let another request store an address between the load and the save of this one."""
            await SessionMixin.prepare(handler)
            await self.browser.fetch("/address", form={"address": "London"})

        late = type("Late", (names["Address"],), {"prepare": prepare})
        self.browser = Browser(Application([*routes, ("/late", late)], sessions=manager, login_url="/login"))


@asynccontextmanager
async def serving() -> AsyncIterator[Site]:
    """A server of the README's handlers."""
    site = Site()
    async with site.browser:
        yield site


async def test_a_login_leads_to_the_account() -> None:
    """Which a visitor who is not signed in does not see."""
    async with serving() as site:
        before = await site.browser.fetch("/account")
        login = await site.browser.fetch(before.headers["Location"], form={})
        after = await site.browser.fetch(login.headers["Location"])

        assert before.headers["Location"] == "/login?next=%2Faccount"
        assert (after.request.url.rpartition("/")[2], after.body) == ("account", b"signed in as ada")


async def test_a_basket_is_the_session_itself() -> None:
    """What is put into it is stored."""
    async with serving() as site:
        for item in ("milk", "bread"):
            await site.browser.fetch("/add", form={"item": item})

        assert await site.browser.session() == {"items": ["milk", "bread"]}


async def test_an_article_asks_no_store_before_its_comments() -> None:
    """With the session's store away it is answered; its comments are not."""
    async with serving() as site:
        await site.browser.sign_in("ada")
        comments = await site.browser.fetch("/article?comments=1")
        site.store.fail("get")

        codes = [(await site.browser.fetch(path)).code for path in ("/article", "/article?comments=1")]

        assert (comments.body, codes) == (b"for ada", [200, 503])


async def test_the_second_address_is_shown_the_first() -> None:
    """And not stored."""
    async with serving() as site:
        await site.browser.sign_in("ada")

        answer = await site.browser.fetch("/late", form={"address": "Paris"})

        assert (answer.code, answer.body) == (200, b"meanwhile it became London")
        assert await site.browser.session() == {"user": "ada", "address": "London"}


async def test_a_file_keeps_the_sessions_for_the_next_process(tmp_path: Path) -> None:
    """With `open_store`, as the README says: the store and the manager are others then."""
    assert 'async with open_store("sqlite:sessions.db") as store:' in README
    url = f"sqlite:{tmp_path / 'sessions.db'}"
    add, jar = handlers()["Add"], None

    for item in ("milk", "bread"):
        async with open_store(url) as store:
            manager = SessionManager(store, SessionOptions(secret=SECRET))
            async with Browser(Application([("/add", add)], sessions=manager)) as browser:
                browser.jar = jar = jar or browser.jar
                await browser.fetch("/add", form={"item": item})
                basket = await browser.session()

    assert basket == {"items": ["milk", "bread"]}


def test_the_servers_file_is_read_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the server's table named as another's."""
    (call,) = re.findall(r"`(ConfigFile\(.+?)` of `sessions\.config`", README)
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
    login, manager = handlers()["Login"], names["manager"]
    logout = type("Logout", (SessionMixin,), {"post": SessionMixin.sign_out})

    async with Browser(Application([("/login", login), ("/logout", logout)], sessions=manager)) as browser:
        for path in ("/login", "/logout", "/login"):
            await browser.fetch(path, form={})
        await manager.revoke_all("ada")

    printed = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [each for each in printed if each[0].startswith(("signed", "revoked"))] == [
        ["signed_in", "ada"], ["signed_out", "ada"], ["signed_in", "ada"], ["revoked", "ada"],
    ]  # fmt: skip
