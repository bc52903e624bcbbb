"""A form's XSRF token belongs to the session: one that a sibling domain has planted together with its cookie does not."""

import contextlib
import json
from typing import Any
from urllib.parse import quote

import pytest
from tornado.web import RequestHandler

from sessions import SessionMixin, TooManySessions

from .conftest import memory_only
from .members import signing_in
from .world import Site, count, setting, visit

SETTINGS = {"xsrf_cookies": True}


class Form(SessionMixin, RequestHandler):
    """Renders a form's token, and takes the form."""

    async def get(self) -> None:
        """Show the token."""
        self.write(self.xsrf_token)

    async def post(self) -> None:
        """Take the form."""
        self.session["sent"] = 1


class Unchecked(Form):
    """Takes forms without a token, as an API does."""

    def check_xsrf_cookie(self) -> None:
        """Check nothing."""


async def regenerate(handler: Any) -> None:
    """A login."""
    await handler.session.regenerate()
    visit(handler)


async def rotate(handler: Any) -> None:
    """A login that keeps the basket."""
    await handler.session.rotate()


PAGES: dict[str, Any] = {
    "/visit": visit, "/count": count, "/form": Form, "/api": Unchecked, "/rotate": rotate, "/regenerate": regenerate,
    "/more": setting(more=1),
}  # fmt: skip


async def visited(serve: Any) -> tuple[Site, Any]:
    """A site with protected forms, and a browser that has a session there."""
    site: Site = await serve(PAGES, settings=SETTINGS)
    browser = site.browser()
    await browser.fetch("/visit")
    return site, browser


async def send(browser: Any, token: str, path: str = "/form", **more: Any) -> int:
    """Send the form; the status."""
    body = f"_xsrf={quote(token)}".encode()
    headers = {"Content-Type": "application/x-www-form-urlencoded", **more}
    return int((await browser.fetch(path, method="POST", body=body, headers=headers)).status)


async def test_a_visitor_s_own_form_is_taken(serve: Any) -> None:
    """Rendered once, or twice; the token is recorded with the session."""
    site, browser = await visited(serve)

    first = (await browser.fetch("/form")).text
    second = (await browser.fetch("/form")).text
    statuses = [await send(browser, first), await send(browser, second)]

    assert statuses == [200, 200]
    assert set((await site.row(browser.sid) or {})["__meta"]) == {"xsrf"}


async def test_somebody_else_s_token_and_cookie_are_refused(serve: Any) -> None:
    """What Tornado alone takes: the two fit together, but not to the session."""
    site, browser = await visited(serve)
    await browser.fetch("/form")
    eve = site.browser()
    token = (await eve.fetch("/form")).text
    planted = f"connect.sid={browser.kept().value}; _xsrf={eve.kept('_xsrf').value}"

    response = await site.browser().fetch(
        "/form", method="POST", body=f"_xsrf={quote(token)}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Cookie": planted},
    )  # fmt: skip

    assert response.status == 403
    assert "sent" not in (await site.row(browser.sid) or {})


@pytest.mark.parametrize(("verb", "status"), [("rotate", 200), ("regenerate", 403)])
async def test_a_new_id_takes_the_token_along_or_leaves_it(serve: Any, verb: str, status: int) -> None:
    """Open forms go on after rotate(); after regenerate() the session is another, and its next form has its own."""
    _, browser = await visited(serve)
    token = (await browser.fetch("/form")).text
    await browser.fetch(f"/{verb}")
    fresh = (await browser.fetch("/form")).text

    assert await send(browser, token) == status
    assert await send(browser, fresh) == 200


async def test_two_forms_that_are_rendered_at_once_have_one_token(serve: Any) -> None:
    """Neither page's form is refused because the other was first."""
    _, browser = await visited(serve)
    calls = [await browser.start("/form") for _ in range(2)]

    tokens = [(await call.response()).text for call in calls]

    assert [await send(browser, token) for token in tokens] == [200, 200]


@memory_only
async def test_without_a_stored_session_only_tornado_s_check_counts(serve: Any) -> None:
    """A visitor without a session fills in a form; no session is made by rendering it."""
    site: Site = await serve(PAGES, settings=SETTINGS)
    browser = site.browser()

    token = (await browser.fetch("/form")).text
    rows = await site.rows()

    assert rows == {}
    assert await send(browser, token) == 200


@memory_only
async def test_a_session_without_a_token_gets_tornado_s_check_only(serve: Any) -> None:
    """It has rendered no form yet, or Node has made it."""
    site: Site = await serve(PAGES, settings=SETTINGS)
    browser = site.browser()
    token = (await browser.fetch("/form")).text
    await browser.fetch("/visit")

    assert await send(browser, token) == 200


@memory_only
async def test_a_handler_that_checks_no_token_is_left_alone(serve: Any) -> None:
    """An override without super() takes requests without a token, whatever the session has."""
    _, browser = await visited(serve)
    await browser.fetch("/form")

    assert await send(browser, "", "/api") == 200


@memory_only
@pytest.mark.parametrize("broken", ["zz", 5, None, "00"])
async def test_a_broken_token_in_the_row_lets_no_other_in(serve: Any, broken: Any) -> None:
    """What is no token binds nothing; a short one fits none."""
    site, browser = await visited(serve)
    token = (await browser.fetch("/form")).text
    stored = await site.stored(browser.sid)
    text = stored.data.replace(stored.data.split('"xsrf":')[1].split("}")[0], json.dumps(broken))
    await site.store.inner.update(browser.sid or "", stored._replace(data=text), stored)

    assert await send(browser, token) == (403 if broken == "00" else 200)


async def test_a_sign_in_leaves_the_token_behind(serve: Any) -> None:
    """Whoever gave the visitor the session knows the token that it had, and can plant it."""
    settings = SETTINGS | {
        "xsrf_cookie_kwargs": {"expires_days": None}
    }  # Tornado's 30 days are not by the site's clock
    site: Site = await serve({**PAGES, "/ada": signing_in("ada")}, settings=settings, user_key="user")
    browser = site.browser()
    await browser.fetch("/visit")
    token = (await browser.fetch("/form")).text
    of_before = browser.kept("_xsrf").value
    await browser.fetch("/ada")
    planted = f"connect.sid={browser.kept().value}; _xsrf={of_before}"

    response = await site.browser().fetch(
        "/form", method="POST", body=f"_xsrf={quote(token)}".encode(),
        headers={"Content-Type": "application/x-www-form-urlencoded", "Cookie": planted},
    )  # fmt: skip

    assert response.status == 403
    assert await send(browser, (await browser.fetch("/form")).text) == 200


async def test_after_a_sign_in_that_was_refused_open_forms_go_on(serve: Any) -> None:
    """The session has its token still, and the browser too."""

    async def ada(handler: Any) -> None:
        with contextlib.suppress(TooManySessions):
            await handler.sign_in("ada")
        handler.write(handler.xsrf_token)

    options = {"user_key": "user", "max_per_user": 1, "at_limit": "refuse"}
    site: Site = await serve({**PAGES, "/ada": ada}, settings=SETTINGS, **options)
    await site.browser().fetch("/ada")
    browser = site.browser()
    await browser.fetch("/visit")
    token = (await browser.fetch("/form")).text

    shown = (await browser.fetch("/ada")).text

    assert [await send(browser, each) for each in (token, shown)] == [200, 200]
