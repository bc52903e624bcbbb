"""The phases of an answer, cell by cell: what each method of a handler does while a commit is under way, before and after.

A page enters a phase (phases.py), acts, and goes on. The session was changed before, so the first flush and `finish()` have a commit
to wait for. What each cell expects is what Tornado does without sessions, unless the row of the table says otherwise.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tornado.web import Finish, HTTPError

from .ends import PAGE
from .phases import BEGUN, COMMITS, each_phase, enter
from .staged import Gate
from .world import MARK, Act, Site


class Seen(NamedTuple):
    """What a cell came to."""

    raised: str
    """What the method has raised, "" if nothing."""
    status: int
    text: str
    whole: bool = True


async def cell(serve: Any, phase: str, act: Act, settings: dict[str, Any] | None = None, **options: Any) -> Seen:
    """Act in a phase; what came of it. The session is stored, and its cookie has come, whatever the act was."""
    raised: list[BaseException] = []
    gate = Gate()

    async def page(handler: Any) -> None:
        await enter(handler, phase, gate)
        try:
            act(handler)
        except Exception as error:
            raised.append(error)
            if not isinstance(error, RuntimeError):
                raise
        finally:
            gate.open()

    site: Site = await serve(page, settings=settings, **options)
    if phase in COMMITS:
        gate = site.store.hold("create")
    browser = site.browser()
    response = await browser.fetch()

    assert (await site.row(browser.sid) or {}).get("mark") == MARK
    return Seen("".join(type(error).__name__ for error in raised), response.status, response.text, response.whole)


# ---------------------------------------------------------------- methods that answer


def writes(handler: Any) -> None:
    handler.write("more")


def finishes(handler: Any) -> None:
    handler.finish("end")


def redirects(handler: Any) -> None:
    handler.redirect("/elsewhere")


def renders(handler: Any) -> None:
    handler.render(PAGE, word="page")


def sends_error(handler: Any) -> None:
    handler.send_error(501)


def raises(handler: Any) -> None:
    raise HTTPError(501)


def fails(handler: Any) -> None:
    raise LookupError("the application's own")


def flushes(handler: Any) -> None:
    handler.write("more,")
    handler.flush()
    handler.write("rest")


def raises_finish(handler: Any) -> None:
    raise Finish


ERROR = "<html><title>501: Not Implemented</title><body>501: Not Implemented</body></html>"
FAULT = "<html><title>500: Internal Server Error</title><body>500: Internal Server Error</body></html>"
TWICE = Seen("RuntimeError", 200, "whole")
KEPT = Seen("", 200, "whole")
CUT = Seen("", 200, "one,", whole=False)

TABLE: dict[Callable[[Any], None], dict[str, Seen]] = {
    writes: {
        "open": Seen("", 200, "more"),
        "held": Seen("", 200, "one,more"),
        "streaming": Seen("", 200, "one,more"),
        "waiting": TWICE,
        "done": TWICE,
    },
    flushes: {
        "open": Seen("", 200, "more,rest"),
        "held": Seen("", 200, "one,more,rest"),
        "streaming": Seen("", 200, "one,more,rest"),
        "waiting": TWICE,  # by its write(); flush() alone is below
        "done": TWICE,
    },
    finishes: {
        "open": Seen("", 200, "end"),
        "held": Seen("", 200, "one,end"),
        "streaming": Seen("", 200, "one,end"),
        "waiting": TWICE,
        "done": TWICE,
    },
    redirects: {
        "open": Seen("", 302, ""),
        "held": Seen("Exception", 500, FAULT),  # "Cannot redirect after headers have been written", and the head has not left
        "streaming": Seen("Exception", 200, "one,", whole=False),
        "waiting": TWICE,
        "done": Seen("Exception", 200, "whole"),
    },
    renders: {
        "open": Seen("", 200, "page"),
        "held": Seen("", 200, "one,page"),
        "streaming": Seen("", 200, "one,page"),
        "waiting": TWICE,
        "done": TWICE,
    },
    sends_error: {
        "open": Seen("", 501, ERROR),
        "held": Seen("", 501, ERROR),
        "streaming": CUT,
        "waiting": KEPT,
        "done": KEPT,
    },
    raises: {
        "open": Seen("HTTPError", 501, ERROR),
        "held": Seen("HTTPError", 501, ERROR),
        "streaming": CUT._replace(raised="HTTPError"),
        "waiting": KEPT._replace(raised="HTTPError"),
        "done": KEPT._replace(raised="HTTPError"),
    },
    fails: {
        "open": Seen("LookupError", 500, FAULT),
        "held": Seen("LookupError", 500, FAULT),
        "streaming": CUT._replace(raised="LookupError"),
        "waiting": KEPT._replace(raised="LookupError"),
        "done": KEPT._replace(raised="LookupError"),
    },
    raises_finish: {
        "open": Seen("Finish", 200, ""),
        "held": Seen("Finish", 200, "one,"),
        "streaming": Seen("Finish", 200, "one,"),
        "waiting": KEPT._replace(raised="Finish"),
        "done": KEPT._replace(raised="Finish"),
    },
}  # fmt: skip


@each_phase
@pytest.mark.parametrize("method", TABLE, ids=lambda method: method.__name__)
async def test_what_a_method_does_in_a_phase(
    serve: Any, settings: dict[str, Any], phase: str, method: Callable[[Any], None]
) -> None:
    """As in Tornado without sessions; an answer that waits for its commit is finished for the handler."""
    seen = await cell(serve, phase, method, settings)

    assert seen == TABLE[method][phase]


# ---------------------------------------------------------------- methods that change the head


def sets_header(handler: Any) -> None:
    handler.set_header("X-Late", "yes")


def adds_header(handler: Any) -> None:
    handler.add_header("X-Late", "yes")


def sets_status(handler: Any) -> None:
    handler.set_status(202)


def sets_cookie(handler: Any) -> None:
    handler.set_cookie("late", "yes")


def clears_header(handler: Any) -> None:
    handler.clear_header("X-Early")


def clears(handler: Any) -> None:
    handler.clear()


@each_phase
@pytest.mark.parametrize(
    ("method", "changed"),
    [
        (sets_header, (200, "yes", "yes", 0)),
        (adds_header, (200, "yes", "yes", 0)),
        (sets_status, (202, "yes", None, 0)),
        (sets_cookie, (200, "yes", None, 1)),
        (clears_header, (200, None, None, 0)),
        (clears, (200, None, None, 0)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_the_head_is_that_of_the_first_flush_or_of_finish(
    serve: Any, phase: str, method: Callable[[Any], None], changed: tuple[object, ...]
) -> None:
    """Before it acts; afterwards it changes nothing, and the session's cookie comes all the same."""
    gate = Gate()

    async def page(handler: Any) -> None:
        handler.set_header("X-Early", "yes")
        await enter(handler, phase, gate)
        method(handler)
        gate.open()

    site: Site = await serve(page)
    if phase in COMMITS:
        gate = site.store.hold("create")
    response = await site.browser().fetch()

    others = [cookie for cookie in response.set_cookies if not cookie.startswith("connect.sid=")]
    seen = response.status, response.header("X-Early"), response.header("X-Late"), len(others)
    assert seen == (changed if phase == "open" else (200, "yes", None, 0))
    assert (response.text, response.whole) == (BEGUN[phase], True)
    assert len(response.set_cookies) - len(others) == 1
