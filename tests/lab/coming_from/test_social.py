"""docs/coming-from/python-social-auth.md, with social-core, social-app-tornado, and a provider that they sign in at."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from oauth_provider import OAuthProvider
from tornado.httpclient import AsyncHTTPClient

from sessions.testing import Browser

from .served import served

APP = """
import models
from social_tornado import handlers
from social_tornado.models import init_social
from social_tornado.utils import load_strategy
from tornado.web import Application, authenticated
{home}

class Page(Home):
    @authenticated
    def get(self):
        self.write(f"{{self.current_user.username}} {{type(self.current_user).__name__}}")

def make_app(manager):
    settings = dict(
        SETTINGS,
        SOCIAL_AUTH_STORAGE="social_tornado.models.TornadoStorage",
        SOCIAL_AUTH_USER_MODEL="models.User",
        SOCIAL_AUTH_AUTHENTICATION_BACKENDS=["models.Provider"],
        SOCIAL_AUTH_LOGIN_REDIRECT_URL="/",
        SOCIAL_AUTH_SANITIZE_REDIRECTS=False,
        SOCIAL_AUTH_PROVIDER_KEY="shop",
        SOCIAL_AUTH_PROVIDER_SECRET="secret",
        cookie_secret="the secret that you have",
        login_url="/login/provider/",
        sessions=manager,
    )
    init_social(models.Base, models.session, settings)
    models.Base.metadata.create_all(models.engine)
    return Application([*ROUTES, ("/", Page)], **settings)
"""

BEFORE = """
from social_before import ROUTES, SETTINGS

class Home(handlers.BaseHandler):
    def get_current_user(self):
        user_id = self.user_id()
        return load_strategy(self).get_user(int(user_id)) if user_id else None
"""
"""`get_current_user` of the package works in its own handlers only, so applications have one like this."""

AFTER = """
from social_sessions import ROUTES, SETTINGS, Social

class Home(Social, handlers.BaseHandler): ...
"""

MODELS = """
from social_core.backends.oauth import BaseOAuth2
from sqlalchemy import Boolean, Column, Integer, String, create_engine
from sqlalchemy.orm import DeclarativeBase, scoped_session, sessionmaker

engine = create_engine("sqlite:///shop.db")
session = scoped_session(sessionmaker(engine))

class Base(DeclarativeBase): ...

class User(Base):
    __tablename__ = "users"
    id = Column(Integer, primary_key=True)
    username = Column(String(200))
    email = Column(String(200))
    is_active = Column(Boolean, default=True)
    is_authenticated = True

class Provider(BaseOAuth2):
    name = "provider"
    AUTHORIZATION_URL = "{url}/authorize"
    ACCESS_TOKEN_URL = "{url}/token"

    def user_data(self, access_token, *args, **kwargs):
        return self.get_json("{url}/user", headers={{"Authorization": f"Bearer {{access_token}}"}})

    def get_user_details(self, response):
        return {{"username": response["login"], "email": ""}}
"""


@pytest.fixture
def provider() -> Iterator[OAuthProvider]:
    """The provider, at work."""
    with OAuthProvider() as provider:
        yield provider


async def sign_in(browser: Browser) -> tuple[str, str]:
    """Sign in at the provider. Returns the name on the first page, and where the sign-in led."""
    away = await browser.fetch("/login/provider/?next=/")
    back = await AsyncHTTPClient().fetch(away.headers["Location"], follow_redirects=False, raise_error=False)
    callback = urlsplit(back.headers["Location"])
    done = await browser.fetch(f"{callback.path}?{callback.query}")
    return (await browser.fetch("/")).body.decode(), done.headers.get("Location", done.body.decode()[-300:])


@pytest.mark.parametrize(("home", "block"), [(BEFORE, "social_before.py"), (AFTER, "social_sessions.py")])
async def test_both_sides_sign_in(home: str, block: str, provider: OAuthProvider, tmp_path: Path) -> None:
    """The same person, by the same pipeline and models; after it there is one cookie."""
    (tmp_path / "models.py").write_text(MODELS.format(url=provider.url))
    with served(tmp_path, APP.format(home=home), block) as browser:
        stranger = await browser.fetch("/")
        name, led = await sign_in(browser)
        cookies = sorted(cookie.name for cookie in browser.jar.all())

    assert (stranger.code, name, led) == (302, "ada User", "/")
    assert cookies == (
        ["connect.sid"] if home is AFTER else ["next", "provider_state", "social_auth_last_login_backend", "user_id"]
    )


async def test_a_sign_in_has_an_id_of_its_own(provider: OAuthProvider, tmp_path: Path) -> None:
    """So that nobody who knew the id of before is signed in too."""
    (tmp_path / "models.py").write_text(MODELS.format(url=provider.url))
    with served(tmp_path, APP.format(home=AFTER), "social_sessions.py") as browser:
        away = await browser.fetch("/login/provider/")
        before = browser.jar.all()
        back = await AsyncHTTPClient().fetch(away.headers["Location"], follow_redirects=False, raise_error=False)
        callback = urlsplit(back.headers["Location"])
        await browser.fetch(f"{callback.path}?{callback.query}")
        after = browser.jar.all()
        other = Browser(browser.port, manager=browser.manager)
        other.jar.receive(f"connect.sid={before[0].value}; Path=/", "127.0.0.1", "/", secure=False)
        stranger = await other.fetch("/")

    assert (len(before), len(after)) == (1, 1)
    assert before[0].value != after[0].value
    assert stranger.code == 302
