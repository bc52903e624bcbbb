"""Owns the ways in which an answer can end. Each page changes the session first; `each_end` makes a trip of every one."""

from typing import Any

import pytest
from tornado.web import Finish, HTTPError

from .world import Act, visit

PAGE = "page.html"


def written(handler: Any) -> None:
    """Written, and finished by Tornado."""
    visit(handler)
    handler.write("done")


def empty(handler: Any) -> None:
    """Nothing written, and finished by Tornado."""
    visit(handler)


def finished(handler: Any) -> None:
    """Finished with a chunk."""
    visit(handler)
    handler.finish("done")


async def finish_awaited(handler: Any) -> None:
    """Finished, and waited for."""
    visit(handler)
    await handler.finish("done")


def rendered(handler: Any) -> None:
    """A template."""
    visit(handler)
    handler.render(PAGE, word="done")


def redirected(handler: Any) -> None:
    """A redirect."""
    visit(handler)
    handler.redirect("/elsewhere")


def raised_finish(handler: Any) -> None:
    """Finish raised."""
    visit(handler)
    raise Finish("done")


def http_error(handler: Any) -> None:
    """An HTTPError raised."""
    visit(handler)
    raise HTTPError(404)


def exception(handler: Any) -> None:
    """An exception that nobody has caught."""
    visit(handler)
    raise LookupError("the application's own")


def error_sent(handler: Any) -> None:
    """An error page asked for."""
    visit(handler)
    handler.send_error(403)


def no_content(handler: Any) -> None:
    """204."""
    visit(handler)
    handler.set_status(204)


def not_modified(handler: Any) -> None:
    """304, by the page's own knowledge."""
    visit(handler)
    handler.set_status(304)


async def streamed(handler: Any) -> None:
    """Flushed, and waited for, before the end."""
    visit(handler)
    handler.write("do")
    await handler.flush()
    handler.write("ne")


def streamed_blindly(handler: Any) -> None:
    """Flushed without waiting before the end."""
    visit(handler)
    handler.write("do")
    handler.flush()
    handler.write("ne")


ENDS: dict[Act, int] = {
    written: 200, empty: 200, finished: 200, finish_awaited: 200, rendered: 200, redirected: 302, raised_finish: 200,
    http_error: 404, exception: 500, error_sent: 403, no_content: 204, not_modified: 304, streamed: 200,
    streamed_blindly: 200,
}  # fmt: skip
"""The pages, and the status that each answers."""

each_end = pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__)
