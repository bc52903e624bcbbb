"""The log: nothing of ids, cookies, data or secrets at any level. The fixture that reads it after every trip works."""

import logging
from typing import Any

import pytest

from sessions import StoreError

from .conftest import Logbook, check_log
from .world import MARK, SECRET, Site, count, show, visit


@pytest.mark.parametrize("hidden", [SECRET, MARK, "an-id-which-the-store-has-seen"])
@pytest.mark.parametrize("level", [logging.DEBUG, logging.CRITICAL])
def test_a_log_that_shows_a_secret_is_found(logbook: Logbook, hidden: str, level: int) -> None:
    """At any level, in any logger, in the middle of a line."""
    logging.getLogger("anybody.at.all").log(level, "somewhere in %r", f"x{hidden}x")

    with pytest.raises(AssertionError, match="the log shows"):
        check_log(logbook, {"an-id-which-the-store-has-seen"})


def test_a_traceback_that_shows_a_secret_is_found(logbook: Logbook) -> None:
    """An exception's text is part of the log."""
    logging.getLogger("anybody").debug("oops", exc_info=LookupError(MARK))

    with pytest.raises(AssertionError, match="the log shows"):
        check_log(logbook, set())


def test_a_clean_log_is_clean(logbook: Logbook) -> None:
    """Short ids and other words do not count."""
    logging.getLogger("anybody").warning("all is well with id 7")

    check_log(logbook, {"7"})


def test_what_asyncio_has_overlooked_is_found(logbook: Logbook) -> None:
    """A task whose exception nobody has retrieved is an error of the log."""
    logging.getLogger("asyncio").error("Task exception was never retrieved")

    with pytest.raises(AssertionError):
        check_log(logbook, set())


async def test_the_drivers_own_debug_log_is_silenced(serve: Any, logbook: Logbook) -> None:
    """It shows every statement with its parameters at DEBUG: ids and data."""
    site: Site = await serve({"/visit": visit, "/show": show, "/count": count}, rolling=True)
    browser = site.browser()

    for path in ("/visit", "/show", "/count"):
        await browser.fetch(path)

    assert logbook.lines("aiosqlite") == []


async def test_an_error_of_the_driver_does_not_carry_data_into_the_log(serve: Any, logbook: Logbook) -> None:
    """The traceback of a failed commit shows lines of code and the store's own words."""
    site: Site = await serve(visit)
    site.store.fail(StoreError("the disk says no"))

    await site.browser().fetch()

    (line,) = logbook.lines("tornado.application")
    assert line.endswith("StoreError: the disk says no")


async def test_what_is_printed_of_a_session_is_no_secret(serve: Any) -> None:
    """repr() of the session, its cookie, its manager's options: as they come into logs and error pages."""

    def act(handler: Any) -> str:
        visit(handler)
        handler.session.cookie.domain = None
        return f"{handler.session!r} {handler.session.cookie!r} {site.manager.options!r}"

    site: Site = await serve(act)
    browser = site.browser()

    response = await browser.fetch()

    assert "<Session " in response.text
    for hidden in (SECRET, MARK, browser.sid):
        assert hidden not in response.text
