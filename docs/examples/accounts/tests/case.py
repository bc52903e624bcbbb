"""What the tests share: an application of their own for each, and visitors who type into its forms."""

import re
from html import unescape
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import IsolatedAsyncioTestCase
from urllib.parse import urlsplit

from aiosqlite import connect
from argon2 import PasswordHasher
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from main import make_app, options
from provider import Memory, configuration, make_provider
from sessions import MemoryStore, SessionManager
from sessions.testing import Browser, Clock
from user_table import TABLE, UserTable

PASSWORD = "correct horse battery"  # noqa: S105 # of the tests


def token_of(page: HTTPResponse) -> str:
    """Return the XSRF token of a page with a form."""
    (token, *_) = re.findall(r'name="_xsrf" value="([^"]+)"', page.body.decode())
    return unescape(token)


class Person(Browser):
    """A visitor who types into forms and follows redirects."""

    async def open(self, path: str) -> HTTPResponse:
        """Open a page, and the one that it leads to."""
        return await self.follow(await self.fetch(path))

    async def follow(self, response: HTTPResponse) -> HTTPResponse:
        """Go where an answer leads; to the provider without a cookie."""
        while response.code in (302, 303):
            url = response.headers["Location"]
            here = f"http://127.0.0.1:{self.port}"
            if url.startswith(("/", here)):
                response = await self.fetch(url.removeprefix(here))
            else:
                response = await AsyncHTTPClient().fetch(url, follow_redirects=False, raise_error=False)
        return response

    async def send(self, path: str, to: str = "", **fields: str) -> HTTPResponse:
        """Open the page with a form, and send the form, to the page itself if nothing else is said."""
        page = await self.open(path)
        path = to or urlsplit(page.effective_url)._replace(scheme="", netloc="").geturl()
        return await self.follow(await self.fetch(path, form={"_xsrf": token_of(page), **fields}))

    async def upload(self, body: bytes) -> HTTPResponse:
        """Upload a file as the page does: the token is in a header, because the body is the file."""
        headers = {"X-Xsrftoken": token_of(await self.fetch("/"))}
        return await self.fetch("/upload", method="POST", headers=headers, body=body, expect_100_continue=True)

    async def register(self, name: str = "ada") -> HTTPResponse:
        """Become a user."""
        return await self.send("/register", name=name, password=PASSWORD)

    async def log_in(self, name: str = "ada", password: str = PASSWORD, **fields: str) -> HTTPResponse:
        """Sign in by the form."""
        return await self.send("/login", name=name, password=password, **fields)


class AccountsCase(IsolatedAsyncioTestCase):
    """Each test has an application of its own, in memory, with a clock that it can move."""

    async def asyncSetUp(self) -> None:
        self.clock = Clock()
        self.manager = SessionManager(MemoryStore(clock=self.clock), options("x" * 32), clock=self.clock)
        db = await self.enterAsyncContext(connect(":memory:", isolation_level=None))
        await db.execute(TABLE)
        self.users = UserTable(db, PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
        self.uploads = Path(self.enterContext(TemporaryDirectory()))

        (at_provider, here) = (bind_sockets(0, "127.0.0.1")[0] for _ in range(2))
        self.port = here.getsockname()[1]
        redirect_uri = f"http://127.0.0.1:{self.port}/oauth/return"
        provider = make_provider(redirect_uri)
        settings = configuration(f"http://127.0.0.1:{at_provider.getsockname()[1]}", redirect_uri)
        self.app = make_app(self.manager, users=self.users, uploads=self.uploads, provider=settings)
        for each, socket in ((provider, at_provider), (self.app, here)):
            server = HTTPServer(each)
            server.add_sockets([socket])
            self.addAsyncCleanup(server.close_all_connections)
            self.addCleanup(server.stop)
        self.memory: Memory = provider.settings["memory"]

    def person(self) -> Person:
        """A browser of its own."""
        person = Person(self.port, manager=self.manager)
        self.addAsyncCleanup(person.close)
        return person
