"""`sessions.testing`: a visitor of an application, and a store that fails, in pytest and in `AsyncHTTPTestCase`."""

import json
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tornado.httpclient import HTTPClientError
from tornado.testing import AsyncHTTPTestCase, gen_test
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from sessions import (
    CookieOptions,
    MemoryStore,
    OptionsError,
    SessionError,
    SessionManager,
    SessionMixin,
    SessionOptions,
    StoreError,
    open_store,
)
from sessions.testing import Browser, Clock, FailingStore

ROOT = Path(__file__).parent.parent.parent
BLOCKS = re.findall(
    r"^```py(?:thon)?\n(# (\w+\.py)\n.*?)^```$", (ROOT / "docs/users.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
)
SECRET = "the-secret-of-these-tests-has-bytes-enough"


class Who(SessionMixin, RequestHandler):
    """Shows the user, and counts."""

    def get(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        self.write({"user": self.current_user, "n": self.session["n"]})

    def post(self) -> None:
        self.write({"word": self.get_body_argument("word")})


class Echo(SessionMixin, WebSocketHandler):
    """Says who has said what."""

    async def on_message(self, message: str | bytes) -> None:
        await self.write_message(f"{self.current_user}: {message!s}")


def made(store: Any = None, clock: Clock | None = None, **options: Any) -> Application:
    """An application of one page."""
    clock = clock or Clock()
    given = SessionOptions(**{"secret": SECRET, "user_key": "user", **options})
    return Application(
        [("/socket", Echo), ("/.*", Who)],
        sessions=SessionManager(store or MemoryStore(clock=clock), given, clock=clock),
    )


@pytest.fixture(scope="module")
def accounts(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The application of docs/users.md."""
    path = tmp_path_factory.mktemp("docs") / "accounts.py"
    path.write_text(BLOCKS[0][0])
    spec = spec_from_file_location("accounts", path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@asynccontextmanager
async def visitors(accounts: ModuleType, number: int, clock: Clock | None = None) -> AsyncIterator[list[Browser]]:
    """Browsers of the application of the docs."""
    clock = clock or Clock()
    options = SessionOptions(secret=SECRET, user_key="user")
    manager = SessionManager(MemoryStore(clock=clock), options, clock=clock)
    async with Browser(accounts.make_app(manager)) as first:
        yield [first, *(Browser(first.port, manager=manager) for _ in range(number - 1))]


LOGIN = {"user": "ada", "password": "1815"}


class TestDocs:
    """The application of docs/users.md does what the page says, and so do its tests."""

    def test_its_tests_pass(self, tmp_path: Path) -> None:
        """As they are, with pytest."""
        for text, name in BLOCKS:
            (tmp_path / name).write_text(text)
        (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")

        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "test_accounts.py"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)

        assert "2 passed" in done.stdout, done.stdout + done.stderr

    async def test_a_login_leads_where_the_visitor_was(self, accounts: ModuleType) -> None:
        """The login page, the password, the page, and a welcome that is shown once."""
        async with visitors(accounts, 1) as (browser,):
            first = await browser.fetch("/")
            login = await browser.fetch(first.headers["Location"], form=LOGIN)
            pages = [(await browser.fetch(login.headers["Location"])).body for _ in range(2)]

            assert first.headers["Location"] == "/login?next=%2F"
            assert pages == [
                b'{"user": "ada", "messages": {"info": ["welcome, ada"]}}',
                b'{"user": "ada", "messages": {}}',
            ]

    async def test_a_changed_password_ends_the_other_sessions(self, accounts: ModuleType) -> None:
        """And keeps this one."""
        async with visitors(accounts, 2) as browsers:
            for browser in browsers:
                await browser.fetch("/login", form=LOGIN)

            changed = await browsers[0].fetch("/password", form={"new": "1815"})
            accounts.PASSWORDS["ada"] = "1852"
            await browsers[0].fetch("/login", form={**LOGIN, "password": "1852"})
            codes = [(await browser.fetch("/")).code for browser in browsers]
            accounts.PASSWORDS["ada"] = "1815"

            assert (changed.code, codes) == (200, [200, 302])

    async def test_a_sign_out_everywhere_ends_both(self, accounts: ModuleType) -> None:
        """Of the same user."""
        async with visitors(accounts, 2) as browsers:
            for browser in browsers:
                await browser.fetch("/login", form=LOGIN)

            await browsers[0].fetch("/logout", form={"everywhere": "yes"})

            assert [await browser.session() for browser in browsers] == [None, None]

    async def test_what_is_remembered_outlives_the_day(self, accounts: ModuleType) -> None:
        """Thirty days; a session without it is over after a day."""
        clock = Clock()
        async with visitors(accounts, 2, clock) as browsers:
            await browsers[0].fetch("/login", form={**LOGIN, "remember": "yes"})
            await browsers[1].fetch("/login", form=LOGIN)

            clock.advance(int(timedelta(days=2) / timedelta(milliseconds=1)))

            assert [(await browser.fetch("/")).code for browser in browsers] == [200, 302]

    async def test_an_old_login_is_confirmed(self, accounts: ModuleType) -> None:
        """401, the password again, and then it may."""
        clock = Clock()
        async with visitors(accounts, 1, clock) as (browser,):
            await browser.fetch("/login", form=LOGIN)
            clock.advance(11 * 60_000)

            before = await browser.fetch("/password", form={"new": "1815"})
            await browser.fetch("/login?fresh=1", form=LOGIN)
            after = await browser.fetch("/password", form={"new": "1815"})

            assert (before.code, after.code) == (401, 200)


class TestBrowser:
    """A visitor."""

    async def test_it_keeps_its_cookies(self) -> None:
        """As a browser does, by the clock of the manager."""
        clock = Clock()
        async with Browser(made(clock=clock, cookie=CookieOptions(max_age=1_000))) as browser:
            texts = [(await browser.fetch()).body for _ in range(2)]
            clock.advance(1_000)
            texts.append((await browser.fetch()).body)

        assert [text[-2:-1] for text in texts] == [b"1", b"2", b"1"]

    async def test_signing_in_needs_no_form(self) -> None:
        """With more data; what the server has can be read."""
        async with Browser(made()) as browser:
            before = await browser.session()
            await browser.sign_in("ada", basket=["milk"])
            page = await browser.fetch()

            assert (before, page.body) == (None, b'{"user": "ada", "n": 1}')
            assert await browser.session() == {"basket": ["milk"], "user": "ada", "n": 1}

    async def test_a_form_is_posted(self) -> None:
        """URL-encoded."""
        async with Browser(made()) as browser:
            assert json.loads((await browser.fetch("/", form={"word": "ä&b"})).body) == {"word": "ä&b"}

    async def test_a_secure_cookie_needs_https(self) -> None:
        """As in a browser; the requests of this one count as such."""
        app = made(cookie=CookieOptions(secure=True))
        async with Browser(app, https=True) as browser, Browser(app) as plain:
            for each in (browser, plain):
                await each.sign_in("ada")

            pages = [(await each.fetch()).body for each in (browser, plain)]

        assert pages == [b'{"user": "ada", "n": 1}', b'{"user": null, "n": 1}']

    async def test_a_websocket_is_opened_with_the_cookies(self) -> None:
        """From a page of the application, unless the test says another; the end of the visit closes it."""
        async with Browser(made()) as browser:
            await browser.sign_in("ada")
            socket = await browser.connect("/socket")
            await socket.write_message("hello")

            assert await socket.read_message() == "ada: hello"
            with pytest.raises(HTTPClientError, match="403"):
                await browser.connect("/socket", headers={"Origin": "https://elsewhere.example"})
        assert await socket.read_message() is None

    async def test_options_of_the_request_count(self) -> None:
        """A function for the cookie, and one for the id."""
        app = made(cookie=lambda _: CookieOptions(path="/"), genid=lambda _: "an-id-of-the-application")
        async with Browser(app) as browser:
            await browser.sign_in("ada")

            assert (await browser.fetch()).body == b'{"user": "ada", "n": 1}'

    @pytest.mark.parametrize("app", [8888, Application()])
    async def test_without_a_manager_it_says_so(self, app: Any) -> None:
        """A port does not tell it."""
        with pytest.raises(SessionError, match="needs the SessionManager"):
            Browser(app)

    async def test_without_users_nobody_signs_in(self) -> None:
        """The option is named."""
        async with Browser(made(user_key=None)) as browser:
            with pytest.raises(OptionsError, match="userKey"):
                await browser.sign_in("ada")


class TestInTornadosCase(AsyncHTTPTestCase):
    """In Tornado's own test case."""

    def get_app(self) -> Application:
        """One page."""
        self.manager: SessionManager = (app := made()).settings["sessions"]
        return app

    @gen_test
    async def test_two_visitors_share_the_server(self) -> None:
        """Each has a session."""
        browsers = [Browser(self.get_http_port(), manager=self.manager) for _ in range(2)]
        await browsers[0].sign_in("ada")

        pages = [(await each.fetch()).body for each in browsers]

        assert pages == [b'{"user": "ada", "n": 1}', b'{"user": null, "n": 1}']


class TestFailingStore:
    """A store that fails when a test says so."""

    async def test_a_verb_fails_until_it_recovers(self) -> None:
        """503 is what a visitor sees of it."""
        store = FailingStore(MemoryStore())
        async with Browser(made(store)) as browser:
            await browser.fetch()
            store.fail("get")
            codes = [(await browser.fetch()).code]
            store.recover()
            codes.append((await browser.fetch()).code)

        assert codes == [503, 200]

    @pytest.mark.parametrize("verb", ["get", "create", "update", "touch", "rename", "destroy", "set"])
    async def test_each_verb_fails_with_the_error_of_the_test(self, verb: str) -> None:
        """And no other."""
        store = FailingStore(MemoryStore())
        error = StoreError("the disk is full")
        store.fail(verb, error=error)
        expired = (await MemoryStore().get("none"), "a", "b", "c", "d")

        with pytest.raises(StoreError, match="the disk is full"):
            await getattr(store, verb)(
                *expired[: {"get": 1, "destroy": 1, "create": 2, "set": 2, "rename": 4}.get(verb, 3)]
            )

    def test_a_verb_that_no_store_has_is_named(self) -> None:
        """A typing mistake is no success."""
        with pytest.raises(ValueError, match="'gte'"):
            FailingStore(MemoryStore()).fail("gte")


EXIT = """
import asyncio
from sessions import SessionManager, SessionOptions, open_store

async def main():
    store = await open_store(URL).__aenter__()
    manager = SessionManager(store, SessionOptions(secret="x" * 32, user_key="user"))
    assert await store.get("none") is None
    print("done", flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("url", ["memory:", "sqlite:x.db"])
def test_a_store_that_nobody_closed_lets_the_process_exit(url: str, tmp_path: Path) -> None:
    """A test that forgot it must not hang."""
    done = subprocess.run(
        [sys.executable, "-c", EXIT.replace("URL", repr(url))],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert open_store("memory:") is not None
