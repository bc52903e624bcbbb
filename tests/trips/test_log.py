"""The log: nothing of ids, cookies, data or secrets at any level. The fixture that reads it after every trip works."""

import asyncio
import logging
from typing import Any

import pytest

from sessions import StoreError
from sessions.formats.signing import fingerprint

from .conftest import Logbook, check_log, memory_only
from .staged import Gate
from .world import MARK, SECRET, Site, count, logout, overtaken, replay, show, unset, visit


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
    """A task with an exception that nobody has retrieved is an error of the log."""
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
    for hidden in (SECRET, MARK, browser.sid or "no id"):
        assert hidden not in response.text


# ---------------------------------------------------------------- the events


def events(logbook: Logbook, *, level: int = logging.DEBUG) -> list[str]:
    """The lines about sessions."""
    return [line for line in logbook.lines("sessions", level=level) if line.startswith("session_")]


async def regenerate(handler: Any) -> None:
    """A login."""
    await handler.session.regenerate()
    visit(handler)


async def rotate(handler: Any) -> None:
    """A login that keeps the basket."""
    await handler.session.rotate()


@pytest.mark.parametrize("renew", [regenerate, rotate])
async def test_a_session_s_life_is_logged_by_fingerprint(serve: Any, logbook: Logbook, renew: Any) -> None:
    """Beginning, renewal and end, each with the fingerprint of its id."""
    site: Site = await serve({"/visit": visit, "/renew": renew, "/leave": logout})
    browser = site.browser()
    ids = []
    for path in ("/visit", "/renew"):
        await browser.fetch(path)
        ids.append(fingerprint(browser.sid or ""))

    await browser.fetch("/leave")

    first, second = ids
    assert sorted(events(logbook)) == sorted(
        [
            f"session_created: {first}",
            *([f"session_created: {second}"] if renew is regenerate else []),
            f"session_renewed: {first}",
            f"session_destroyed: {second}",
        ]
    )


async def test_the_fingerprint_of_an_answer_is_that_of_its_session(serve: Any) -> None:
    """Of the new id after a login; of the session that has ended after a logout; None before anything is stored."""
    seen: list[str | None] = []

    def note(handler: Any) -> None:
        seen.append(handler.session_fingerprint)

    async def sign_in(handler: Any) -> None:
        await handler.sign_in("ada")

    pages = {"/show": show, "/visit": visit, "/login": sign_in, "/leave": logout}
    site: Site = await serve(pages, settings={"log_function": note}, user_key="user")
    browser, ids = site.browser(), []
    for path in ("/show", "/visit", "/login", "/leave"):
        await browser.fetch(path)
        ids.append(browser.sid)

    _, first, second, _ = ids
    assert first != second
    assert seen == [None, fingerprint(first or ""), fingerprint(second or ""), fingerprint(second or "")]


@memory_only
async def test_an_end_by_unset_is_logged(serve: Any, logbook: Logbook) -> None:
    """As one by destroy() is; a session that is only let go is not at its end."""
    site: Site = await serve({"/visit": visit, "/leave": unset}, unset="destroy")
    browser = site.browser()
    await browser.fetch("/visit")
    sid = fingerprint(browser.sid or "")

    await browser.fetch("/leave")

    assert events(logbook, level=logging.INFO) == [f"session_destroyed: {sid}"]


@memory_only
@pytest.mark.parametrize("leave", [logout, unset])
async def test_an_end_that_failed_is_not_logged(serve: Any, logbook: Logbook, leave: Any) -> None:
    """While the store is away the session lives on, and the log does not say otherwise."""
    site: Site = await serve({"/visit": visit, "/leave": leave}, unset="destroy")
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(StoreError("the disk is away"))

    await browser.fetch("/leave")

    assert events(logbook, level=logging.INFO) == []


@memory_only
async def test_an_id_that_has_ended_is_logged(serve: Any, logbook: Logbook) -> None:
    """Whoever uses a copied cookie after the logout is seen in the log."""
    site: Site = await serve({"/visit": visit, "/leave": logout, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    old, sid = replay(browser), fingerprint(browser.sid or "")
    await browser.fetch("/leave")

    await site.browser().fetch("/show", headers=old)

    assert events(logbook, level=logging.INFO)[1:] == [f"session_use_after_expire: {sid}"]


@memory_only
async def test_tampering_is_logged(serve: Any, logbook: Logbook) -> None:
    """A cookie of our name that nobody has signed; other cookies are nobody's business."""
    site: Site = await serve(show)

    await site.browser().fetch(headers={"Cookie": "a=b; connect.sid=s%3Aan-id.no-signature"})

    assert events(logbook, level=logging.INFO) == [f"session_tampered: {fingerprint('s:an-id.no-signature')}"]


@memory_only
async def test_nobody_floods_the_log_with_cookies(serve: Any, logbook: Logbook) -> None:
    """The first five that nobody has signed are lines; of the others in that minute there is the number."""
    site: Site = await serve(show)
    cookies = "; ".join(f"connect.sid=junk{number}" for number in range(16))
    for _ in range(10):
        await site.browser().fetch(headers={"Cookie": cookies})

    await site.manager.close()

    expected = [f"session_tampered: {fingerprint(f'junk{number}')}" for number in range(5)]
    assert events(logbook, level=logging.INFO) == [*expected, "session_tampered: 155 more within 60 s"]


@memory_only
async def test_a_secret_that_is_dropped_is_a_few_lines(serve: Any, logbook: Logbook) -> None:
    """The cookies of all visitors are signed by it: to us they look as if somebody had tampered with them."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browsers = [site.browser() for _ in range(20)]
    for browser in browsers:
        await browser.fetch("/visit")

    site.manager.use_secrets("another-secret-that-has-more-than-32-bytes")
    for browser in browsers:
        await browser.fetch("/show")
    await site.manager.close()

    *first, more = events(logbook, level=logging.INFO)
    assert len(first) == 5
    assert more == "session_tampered: 15 more within 60 s"


@memory_only
async def test_a_request_in_its_session_is_nothing_to_tell(serve: Any, logbook: Logbook) -> None:
    """Reading, changing and renewing say nothing at any level."""
    site: Site = await serve({"/visit": visit, "/show": show, "/count": count}, rolling=True)
    browser = site.browser()
    await browser.fetch("/visit")
    before = events(logbook)

    for path in ("/show", "/count", "/visit"):
        await browser.fetch(path)

    assert events(logbook) == before


@memory_only
async def test_a_cookie_in_a_malformed_message_is_not_shown(serve: Any, logbook: Logbook) -> None:
    """Tornado refuses a header with a control character, and quotes it in its log."""
    site: Site = await serve({"/visit": visit, "/show": show})
    browser = site.browser()
    await browser.fetch("/visit")
    cookie = replay(browser)["Cookie"].encode()

    response = await site.raw(b"GET /show HTTP/1.1\r\nHost: h\r\nCookie: a=\x01; " + cookie + b"\r\n\r\n")

    assert response.status == 400
    (line,) = [each for each in logbook.lines("tornado.general") if each.startswith("Malformed HTTP message")]
    assert line.endswith("Invalid header value")
    assert cookie.decode() not in "\n".join(logbook.lines())


async def test_a_loop_that_is_being_debugged_shows_nothing(serve: Any, logbook: Logbook) -> None:
    """The loop tells of every callback, with its arguments, when it counts every one as slow."""
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0
    try:
        site: Site = await serve({"/visit": visit, "/show": show, "/count": count}, rolling=True)
        browser = site.browser()
        for path in ("/visit", "/show", "/count"):
            await browser.fetch(path)
    finally:
        loop.set_debug(False)

    sid = browser.sid or ""
    lines = logbook.lines("asyncio")
    assert any("Executing" in line for line in lines)
    assert [line for line in lines if sid[:12] in line or sid[-12:] in line or MARK[-12:] in line] == []


@memory_only
@pytest.mark.parametrize("at", ["end", "first bytes"])
async def test_a_change_that_is_dropped_is_logged_once(serve: Any, logbook: Logbook, at: str) -> None:
    """Of a stream too, which commits at its first bytes and at its end."""
    gate = Gate()

    async def late(handler: Any) -> None:
        handler.session["a"] = 1
        await gate.wait()
        if at == "first bytes":
            handler.write("first")
            await handler.flush()
            handler.write("last")

    site: Site = await serve({"/visit": visit, "/slow": late, "/fast": logout})
    browser = site.browser()
    await browser.fetch("/visit")
    sid = fingerprint(browser.sid or "")

    await overtaken(browser, gate)

    assert [line for line in events(logbook) if "dropped" in line] == [f"session_dropped: {sid}"]
