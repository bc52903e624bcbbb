"""docs/coming-from/sqlalchemy.md: this library's session under another name, beside one that the handler sets itself."""

import logging
from typing import Any

import pytest
from tornado.web import Application, RequestHandler

from sessions import SessionMixin, SessionOptions

from .blocks import manager, module, visitor

OPTIONS = SessionOptions(secret="a secret of these tests, which is long enough", user_key="user")


async def test_the_two_sessions_stay_apart(caplog: pytest.LogCaptureFixture) -> None:
    """The visitor's is stored, the database's is the handler's own."""
    caplog.set_level(logging.WARNING)
    app = Application([("/", module("database_pages.py").Visits)], sessions=manager(OPTIONS))
    async with visitor(app) as browser:
        answers = [(await browser.fetch("/")).body for _ in range(2)]

    assert answers == [b'{"visits": 1, "database": "Database"}', b'{"visits": 2, "database": "Database"}']
    assert caplog.records == []


async def test_the_verbs_of_a_handler_mean_the_visitors_session() -> None:
    """Sign-in, flash, `|=` and unsetting."""
    page = module("database_pages.py").Page

    async def post(self: Any) -> None:
        await self.sign_in("ada")
        self.flash("welcome")
        self.visitor |= {"basket": ["milk"]}

    async def delete(self: Any) -> None:
        self.visitor = None

    handler: type[RequestHandler] = type("Login", (page,), {"post": post, "delete": delete})
    app = Application(
        [("/", handler)], sessions=manager(SessionOptions(secret=str(OPTIONS.secret), user_key="user", unset="destroy"))
    )
    async with visitor(app) as browser:
        await browser.fetch("/", form={})
        stored = await browser.session()
        await browser.fetch("/", method="DELETE")
        left = await browser.session()

    assert stored is not None
    assert (stored["user"], stored["basket"]) == ("ada", ["milk"])
    assert stored["flash"] == {"info": ["welcome"]}
    assert left is None


def test_without_the_two_lines_the_class_is_refused() -> None:
    """As the page says, by the names of both classes and their modules."""

    class Behind:
        session = None

    with pytest.raises(TypeError, match=r"hides .*Behind\.session: give one of the two another name, or define it"):
        type("Page", (SessionMixin, Behind), {})
