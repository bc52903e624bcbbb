"""The session as the mapping that it is: answered with, joined, copied. What comes of it is plain data."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from tornado.web import RequestHandler

from sessions import SessionMixin

from .conftest import memory_only
from .world import Site, show

pytestmark = memory_only


def fill(handler: Any) -> None:
    """Put something in."""
    handler.session["cart"] = ["milk"]


class Base(RequestHandler):
    """A base below the mixin that has its own way to finish."""

    def finish(self, chunk: Any = None) -> Any:
        """Answer with what it is given, in an envelope."""
        return super().finish({"envelope": chunk})


class Enveloped(SessionMixin, Base):
    """A handler on that base."""

    def get(self) -> None:
        """Answer with the session."""
        self.finish(self.session)  # type: ignore[arg-type] # as an unchecked application calls it


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (lambda handler: handler.write(handler.session), {"cart": ["milk"]}),
        (lambda handler: handler.finish(handler.session), {"cart": ["milk"]}),
        (lambda handler: handler.write(handler.session | {"more": 1}), {"cart": ["milk"], "more": 1}),
        (lambda handler: handler.write({"more": 1} | handler.session), {"more": 1, "cart": ["milk"]}),
        (lambda handler: handler.write(json.dumps(dict(handler.session))), {"cart": ["milk"]}),
    ],
    ids=["write", "finish", "joined", "joined from behind", "json.dumps of a dict"],
)
async def test_a_handler_answers_with_its_session(
    serve: Any, answer: Callable[[Any], object], body: dict[str, Any]
) -> None:
    """As JSON, as Tornado does with a dict."""
    site: Site = await serve({"/fill": fill, "/answer": answer})
    browser = site.browser()
    await browser.fetch("/fill")

    response = await browser.fetch("/answer")

    assert response.json() == body


async def test_a_base_that_finishes_in_its_own_way_gets_a_dict(serve: Any) -> None:
    """It may know nothing of sessions."""
    site: Site = await serve({"/fill": fill, "/answer": Enveloped})
    browser = site.browser()
    await browser.fetch("/fill")

    response = await browser.fetch("/answer")

    assert response.json() == {"envelope": {"cart": ["milk"]}}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda session: copy.deepcopy({"in": session})["in"]])
async def test_a_deep_copy_is_not_the_sessions(serve: Any, copied: Callable[[Any], Any]) -> None:
    """Nor is it bound to the store."""

    def act(handler: Any) -> None:
        copied(handler.session)["cart"].append("honey")

    site: Site = await serve({"/fill": fill, "/act": act})
    browser = site.browser()
    await browser.fetch("/fill")

    await browser.fetch("/act")

    assert await site.row(browser.sid) == {"cart": ["milk"]}


async def test_keys_are_set_by_a_joining_assignment(serve: Any) -> None:
    """`self.session |= {…}` is `update`, and no unset."""

    def act(handler: Any) -> None:
        handler.session |= {"n": 1}

    site: Site = await serve({"/fill": fill, "/act": act, "/show": show})
    browser = site.browser()
    await browser.fetch("/fill")

    await browser.fetch("/act")

    assert await site.row(browser.sid) == {"cart": ["milk"], "n": 1}


async def test_another_session_cannot_be_assigned(serve: Any, logbook: Any) -> None:
    """Nor can a dict: its keys are changed, or it is unset."""

    def act(handler: Any) -> None:
        handler.session = handler.session | {"n": 1}

    site: Site = await serve({"/fill": fill, "/act": act})
    browser = site.browser()
    await browser.fetch("/fill")

    response = await browser.fetch("/act")

    assert response.status == 500
    assert await site.row(browser.sid) == {"cart": ["milk"]}
    assert any("TypeError: self.session can only be set to None" in line for line in logbook.lines("tornado"))
