"""docs/how-to/oauth.md: its sign-in by OpenID Connect takes what it should, and nothing else."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.template import DictLoader
from tornado.web import Application

from sessions import MemoryStore, SessionManager, SessionOptions
from sessions.testing import Browser

from .conftest import ACCOUNTS
from .oidc_provider import STRANGERS_KEY, configuration, make_provider

PAGE = (ACCOUNTS.parents[1] / "how-to" / "oauth.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
HOME = DictLoader({"home.html": "{% module xsrf_form_html() %}"})


def names_of(*blocks: str) -> dict[str, Any]:
    """What some blocks of the page define."""
    names: dict[str, Any] = {"__name__": "oauth"}
    for block in blocks:
        exec(BLOCKS[block], names)
    return names


class Flow:
    """A visitor of the page's application, its provider, and what is between them."""

    def __init__(self, visitor: Browser, provider: Application) -> None:
        self.visitor, self.provider = visitor, provider

    async def asked(self, path: str = "/oidc") -> str:
        """Where the application sends the visitor to."""
        home = (await self.visitor.fetch("/")).body.decode()
        (token,) = re.findall(r'value="([^"]+)"', home)
        return str((await self.visitor.fetch(path, form={"_xsrf": token})).headers["Location"])

    async def back(self, url: str, **changed: str) -> HTTPResponse:
        """The answer to what the provider sends the visitor back with."""
        there = await AsyncHTTPClient().fetch(url, follow_redirects=False, raise_error=False)
        query = {name: values[0] for name, values in parse_qs(urlsplit(there.headers["Location"]).query).items()}
        return await self.visitor.fetch(f"/oidc/return?{urlencode({**query, **changed})}")


@asynccontextmanager
async def serving() -> AsyncIterator[Flow]:
    """Serve both."""
    manager = SessionManager(MemoryStore(), SessionOptions(secret="x" * 32, user_key="user"))
    (socket,) = bind_sockets(0, "127.0.0.1")
    issuer, redirect_uri = f"http://127.0.0.1:{socket.getsockname()[1]}", "http://127.0.0.1/oidc/return"
    app = names_of("oidc.py")["make_app"](manager, configuration(issuer, redirect_uri), template_loader=HOME)
    server = HTTPServer(provider := make_provider(redirect_uri, issuer))
    server.add_sockets([socket])
    async with Browser(app) as visitor:
        yield Flow(visitor, provider)
    server.stop()
    await server.close_all_connections()


async def test_a_person_is_signed_in() -> None:
    """By issuer and subject, where they wanted to go; nothing of the way is left."""
    async with serving() as flow:
        page = await flow.back(await flow.asked("/oidc?next=/?a=1"))
        session = await flow.visitor.session()

    assert (page.code, page.headers["Location"]) == (302, "/?a=1")
    assert session == {"user": f"{flow.provider.settings['issuer']} 4711"}


@pytest.mark.parametrize(
    "changed",
    [
        {"nonce": "another"},
        {"nonce": None},
        {"aud": "another"},
        {"iss": "https://evil.example"},
        {"exp": 1},
        {"sub": None},
    ],
    ids=lambda changed: "-".join(f"{name}-{value}" for name, value in changed.items()),
)
async def test_an_id_token_that_is_not_for_this_visit_is_refused(changed: dict[str, Any]) -> None:
    """A claim that is wrong, or is not there."""
    async with serving() as flow:
        flow.provider.settings["changed"].update(changed)
        page = await flow.back(await flow.asked())
        session = await flow.visitor.session()

    assert (page.code, session) == (403, {})


async def test_an_id_token_of_a_stranger_is_refused() -> None:
    """It is signed with another key of the same name."""
    async with serving() as flow:
        flow.provider.settings["key"] = STRANGERS_KEY
        page = await flow.back(await flow.asked())
        session = await flow.visitor.session()

    assert (page.code, session) == (403, {})


@pytest.mark.parametrize("changed", [{"state": "x"}, {"iss": "https://evil.example"}, {"code": "x"}], ids=str)
async def test_a_return_with_something_else_is_refused(changed: dict[str, str]) -> None:
    """And so is the right one after it: it was good once."""
    async with serving() as flow:
        url = await flow.asked()
        pages = [await flow.back(url, **changed), await flow.back(url)]
        session = await flow.visitor.session()

    assert ([page.code for page in pages], session) == ([403, 403], {})


async def test_a_verifier_of_another_visit_is_refused() -> None:
    """The second start counts; the first one's code and state are refused."""
    async with serving() as flow:
        first, second = await flow.asked(), await flow.asked()
        page = await flow.back(first, state=parse_qs(urlsplit(second).query)["state"][0])
        session = await flow.visitor.session()

    assert (page.code, session) == (403, {})


async def test_the_landing_page_shows_no_markup_of_others() -> None:
    """What comes in the URL stays in its attribute."""
    manager = SessionManager(MemoryStore(), SessionOptions(secret="x" * 32))
    async with Browser(Application([("/", names_of("strict_return.py")["Landing"])], sessions=manager)) as visitor:
        reader, writer = await asyncio.open_connection("127.0.0.1", visitor.port)
        writer.write(b'GET /?code="><script>alert(1)</script> HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n')
        page = await reader.read()
        writer.close()

    assert b'content="0;url=/oidc/return?code=&quot;&gt;&lt;script' in page
    assert b"<script" not in page
