"""docs/coming-from/pycket-torndsession.md, with both packages and their Redis."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.redis_server import RedisServer

from sessions.testing import Browser

from .served import served

TORNDSESSION = """
from torndsession.sessionhandler import SessionBaseHandler
import pycket_app

class Page(SessionBaseHandler):
    get_current_user = pycket_app.Page.get_current_user

class Login(Page):
    post = pycket_app.Login.post

class Logout(Page):
    post = pycket_app.Logout.post

class Home(Page):
    get = pycket_app.Home.get

def make_app(_):
    redis = {{"driver": "redis", "driver_settings": {{"host": "127.0.0.1", "port": {port}, "db": 0}}, "force_persistence": True}}
    routes = [("/", Home), ("/login", Login), ("/logout", Logout)]
    return pycket_app.Application(routes, session=redis, login_url="/login")
"""
"""The handlers of the page on the other package, as the page says."""

BEFORE = {
    "pycket": "import pycket_app\nmake_app = lambda _: pycket_app.make_app({port})",
    "torndsession": TORNDSESSION,
}

AFTER = """
import redis.asyncio
import bridge_pycket, from_pycket
bridge_pycket.OLD = redis.asyncio.Redis(host="127.0.0.1", port={port}, db=0)
for each in (from_pycket.Login, from_pycket.Logout, from_pycket.Home):
    each.__bases__ = (bridge_pycket.Page,)
make_app = from_pycket.make_app
"""

COOKIES = {"pycket": "PYCKET_ID", "torndsession": "msid"}


def bridge(package: str) -> str:
    """The lines that the page gives for a package, in the place of those for pycket."""
    if package == "pycket":
        return AFTER
    return (
        """
import bridge_pycket
text = open("bridge_pycket.py").read().replace('get_signed_cookie("PYCKET_ID")', 'get_cookie("msid")').replace("PYCKET_ID", "msid")
exec(text, bridge_pycket.__dict__)
"""
        + AFTER
    )


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Of a Redis server."""
    with RedisServer() as server:
        yield server.port


@contextlib.contextmanager
def before(package: str, port: int, tmp_path: Path) -> Iterator[Browser]:
    """The application with the package."""
    with served(tmp_path / "before", BEFORE[package].format(port=port), "pycket_app.py") as browser:
        yield browser


@contextlib.contextmanager
def after(package: str, port: int, tmp_path: Path) -> Iterator[Browser]:
    """The application with sessions of this library, and the lines for those who were signed in."""
    blocks = ("from_pycket.py", "bridge_pycket.py")
    with served(tmp_path / "after", bridge(package).format(port=port), *blocks) as browser:
        yield browser


async def trip(browser: Browser) -> list[Any]:
    """What a visitor meets who signs in and out."""
    stranger = await browser.fetch("/")
    await browser.fetch("/login", form={"user": "ada"})
    home = await browser.fetch("/")
    await browser.fetch("/logout", form={})
    return [stranger.headers["Location"], home.body, (await browser.fetch("/")).code]


@pytest.mark.parametrize("package", BEFORE)
async def test_both_sides_sign_in_and_out(package: str, port: int, tmp_path: Path) -> None:
    with before(package, port, tmp_path) as browser:
        old = await trip(browser)
    with after(package, port, tmp_path) as browser:
        new = await trip(browser)

    assert old == new == ["/login?next=%2F", b"Good day, ada", 302]


@pytest.mark.parametrize("package", BEFORE)
async def test_who_was_signed_in_stays_signed_in(package: str, port: int, tmp_path: Path) -> None:
    """Under a new id; the old cookie and the old row are gone."""
    with before(package, port, tmp_path) as old:
        await old.fetch("/login", form={"user": "ada"})
    names = [cookie.name for cookie in old.jar.all()]

    with after(package, port, tmp_path) as new:
        again = Browser(new.port, manager=new.manager)
        for browser in (new, again):
            for cookie in old.jar.all():
                browser.jar.receive(f"{cookie.name}={cookie.value}; Path=/", "127.0.0.1", "/", secure=False)
        answers = [(await new.fetch("/")).body for _ in range(2)]
        copy = await again.fetch("/")

    assert names == [COOKIES[package]]
    assert answers == [b"Good day, ada"] * 2
    assert [cookie.name for cookie in new.jar.all()] == ["connect.sid"]
    assert copy.code == 302
