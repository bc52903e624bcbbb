"""docs/coming-from/oauth-cookies.md: a sign-in at a provider, with eight cookies and with a session."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from oauth_provider import TOKEN, OAuthProvider
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from sessions import SessionOptions
from sessions.testing import Browser

from .blocks import copy_of, manager, module, visitor

OPTIONS = SessionOptions(secret="a secret of these tests, which is long enough", user_key="user")
SIDES = ["before", "after"]

HOME = b'{"user": "ada", "token": %d}' % len(TOKEN)


@asynccontextmanager
async def serving(side: str) -> AsyncIterator[Browser]:
    """The application of one side, with its provider."""
    with OAuthProvider() as provider:
        made = module(f"oauth_{side}.py")
        app = made.make_app(provider.url) if side == "before" else made.make_app(manager(OPTIONS), provider.url)
        async with visitor(app) as browser:
            provider.callback = f"http://127.0.0.1:{browser.port}/callback"
            yield browser


async def leave(browser: Browser, path: str = "/login") -> str:
    """Begin to sign in: the path of the callback to which the provider leads back."""
    away = await browser.fetch(path)
    back: HTTPResponse = await AsyncHTTPClient().fetch(
        away.headers["Location"], follow_redirects=False, raise_error=False
    )
    return urlsplit(back.headers["Location"])._replace(scheme="", netloc="").geturl()


@pytest.mark.parametrize("side", SIDES)
async def test_a_visitor_signs_in_at_the_provider_and_out(side: str) -> None:
    async with serving(side) as browser:
        callback = await browser.fetch(await leave(browser))
        home = await browser.fetch(callback.headers["Location"])
        await browser.fetch("/logout", form={})
        left = await browser.fetch("/")

    assert (callback.code, home.body, left.code) == (302, HOME, 302)


async def test_eight_cookies_become_one() -> None:
    """Of 200 bytes at most, whatever the tokens take."""
    sent = []
    for side in SIDES:
        async with serving(side) as browser:
            await browser.fetch(await leave(browser))
            sent.append([len(cookie.value) for cookie in browser.jar.all()])

    assert (len(sent[0]), sum(sent[0]) > 3 * len(TOKEN)) == (8, True)
    assert (len(sent[1]), sum(sent[1]) < 200) == (1, True)


@pytest.mark.parametrize(("side", "codes"), [("before", [400, 302]), ("after", [302, 302])])
async def test_two_tabs_sign_in_at_once(side: str, codes: list[int]) -> None:
    """With one cookie for the state the first of them fails."""
    async with serving(side) as browser:
        first, second = await leave(browser), await leave(browser)

        answers = [(await browser.fetch(path)).code for path in (first, second)]

    assert answers == codes


async def test_tabs_that_begin_together_keep_both_attempts() -> None:
    """Each is a key of its own."""
    async with serving("after") as browser:
        await leave(browser)  # so that there is a session
        paths = await asyncio.gather(leave(browser), leave(browser))

        codes = [(await browser.fetch(path)).code for path in paths]

    assert codes == [302, 302]


@pytest.mark.parametrize("side", SIDES)
async def test_a_state_that_was_not_given_out_is_refused(side: str) -> None:
    async with serving(side) as browser:
        path = await leave(browser)

        forged = await browser.fetch(path.replace("state=", "state=x"))

    assert forged.code == 400


async def test_a_login_leads_back_and_to_no_other_site() -> None:
    async with serving("after") as browser:
        here = await browser.fetch(await leave(browser, "/login?next=/account"))
        elsewhere = await browser.fetch(await leave(browser, "/login?next=//evil.example"))

    assert (here.headers["Location"], elsewhere.headers["Location"]) == ("/account", "/")


async def test_a_sign_out_ends_the_copies_too() -> None:
    """Of the cookies it does not."""
    codes = []
    for side in SIDES:
        async with serving(side) as browser:
            await browser.fetch(await leave(browser))
            copy = copy_of(browser)
            await browser.fetch("/logout", form={})
            codes.append((await copy.fetch("/")).code)

    assert codes == [200, 302]
