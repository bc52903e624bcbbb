"""`saveOnError`: with `false` an answer of 500 or more stores nothing, and what a verb has done by then stays."""

from typing import Any

import pytest
from tornado.web import HTTPError

from .staged import Gate
from .test_sockets import Socket, open_socket
from .world import LIFETIME, MARK, Act, Site, acted_meanwhile, flushing, setting, show, unset, visit

SWITCHED_OFF: dict[str, Any] = {"save_on_error": False, "touch_after": 0}


def failing(act: Act | None = None, *, status: int = 500) -> Act:
    """A page that changes the session, does what a test says, and fails."""

    async def page(handler: Any) -> None:
        handler.session["late"] = 1
        if act is not None:
            result = act(handler)
            if result is not None:
                await result  # type: ignore[misc] # a verb
        raise HTTPError(status)

    return page


async def visited(serve: Any, page: Act, **options: Any) -> tuple[Site, Any]:
    """A site with that page at /, and a browser that has a session there."""
    site: Site = await serve({"/visit": visit, "/show": show, "/": page}, **SWITCHED_OFF, **options)
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.forget()
    return site, browser


# ---------------------------------------------------------------- the end of the request


@pytest.mark.parametrize("status", [500, 502, 503, 599])
async def test_a_5xx_stores_nothing(serve: Any, status: int) -> None:
    """Neither the change nor a renewal, and it sends no cookie."""
    site, browser = await visited(serve, failing(status=status), rolling=True)
    before = await site.stored(browser.sid)
    site.clock.forward(LIFETIME // 2)

    response = await browser.fetch()

    assert (response.status, response.set_cookies, site.store.writes) == (status, [], [])
    assert await site.stored(browser.sid) == before


@pytest.mark.parametrize("end", ["exception", "set_status", "send_error"])
@pytest.mark.parametrize(
    "options", [{}, {"save_uninitialized": True}, {"resave": True}, {"conflict": "overwrite"}], ids=str
)
async def test_a_new_visitor_of_a_5xx_gets_no_session(serve: Any, options: dict[str, Any], end: str) -> None:
    """However the answer becomes one, and whatever else is stored without a change."""

    def page(handler: Any) -> None:
        handler.session["late"] = 1
        if end == "exception":
            raise LookupError("the application's own")
        handler.set_status(500) if end == "set_status" else handler.send_error(500)

    site: Site = await serve(page, **SWITCHED_OFF, **options)

    response = await site.browser().fetch()

    assert (response.status, response.set_cookies, site.store.writes) == (500, [], [])


@pytest.mark.parametrize("status", [200, 302, 404, 409, 499])
async def test_another_answer_is_stored_as_ever(serve: Any, status: int) -> None:
    """A 4xx is the client's, and no error of the server."""

    def page(handler: Any) -> None:
        handler.session["late"] = 1
        handler.set_status(status, "so")

    site, browser = await visited(serve, page)

    response = await browser.fetch()

    assert response.status == status
    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}


async def test_by_default_a_5xx_is_stored_as_express_does(serve: Any) -> None:
    """`saveOnError` is true."""
    site: Site = await serve({"/visit": visit, "/": failing()})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch()

    assert response.status == 500
    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}


@pytest.mark.parametrize("option", ["keep", "destroy"])
async def test_an_unset_of_a_5xx_ends_nothing(serve: Any, option: str) -> None:
    """The end of the request is what would delete the row."""
    site, browser = await visited(serve, failing(unset), unset=option)

    response = await browser.fetch()

    assert (response.status, response.set_cookies, site.store.writes) == (500, [], [])
    assert (await browser.fetch("/show")).json() == {"mark": MARK}


# ---------------------------------------------------------------- what a verb has done


async def test_a_save_before_a_5xx_stays(serve: Any) -> None:
    """What is changed after it is not stored."""

    def act(handler: Any) -> Any:
        saved = handler.session.save()
        handler.session["later"] = 2
        return saved

    site, browser = await visited(serve, failing(act))

    await browser.fetch()

    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}
    assert site.store.writes == ["update"]


async def test_a_save_that_nobody_awaits_makes_no_5xx_store_more(serve: Any) -> None:
    """It is under way when the answer fails, and the end waits for it."""

    def act(handler: Any) -> None:
        handler.session.save()
        handler.session["later"] = 2

    site, browser = await visited(serve, failing(act))

    await browser.fetch()

    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}
    assert site.store.writes == ["update"]


@pytest.mark.parametrize("conflict", ["merge", "overwrite"])
async def test_a_new_id_is_sent_with_a_5xx(serve: Any, conflict: str) -> None:
    """The row has moved: without the cookie the visitor would be signed out."""
    site, browser = await visited(serve, failing(lambda handler: handler.session.rotate()), conflict=conflict)
    old = browser.sid

    response = await browser.fetch()

    assert response.status == 500
    assert browser.sid != old
    assert await site.rows() == {browser.sid: {"mark": MARK, "late": 1}}


async def test_a_row_that_save_has_made_has_its_cookie_with_a_5xx(serve: Any) -> None:
    """Or nobody could find it."""
    site: Site = await serve(failing(lambda handler: handler.session.save()), **SWITCHED_OFF)
    browser = site.browser()

    response = await browser.fetch()

    assert (response.status, site.store.writes) == (500, ["create"])
    assert await site.rows() == {browser.sid: {"late": 1}}


@pytest.mark.parametrize("option", ["keep", "destroy"])
async def test_a_sign_out_stays_with_a_5xx(serve: Any, option: str) -> None:
    """The row is gone, and the cookie is cleared."""
    site, browser = await visited(serve, failing(lambda handler: handler.session.destroy()), unset=option)

    response = await browser.fetch()

    assert (response.status, len(response.set_cookies), site.store.writes) == (500, 1, ["update", "destroy"])
    assert browser.sid is None
    assert await site.rows() == {}


async def test_a_login_of_a_5xx_is_none(serve: Any) -> None:
    """`regenerate()` has ended the old session; what the new one holds is not stored, and no cookie leads to it."""

    async def login(handler: Any) -> None:
        await handler.session.regenerate()
        handler.session["user"] = "ada"

    site, browser = await visited(serve, failing(login))

    response = await browser.fetch()

    assert (response.status, response.set_cookies) == (500, [])
    assert await site.rows() == {}


# ---------------------------------------------------------------- streams


async def test_a_stream_that_begins_as_a_5xx_stores_nothing(serve: Any) -> None:
    """Neither before its first bytes nor at its end, although the status is set again in between."""

    async def page(handler: Any) -> None:
        handler.session["late"] = 1
        handler.set_status(503)
        handler.write("one,")
        await handler.flush()
        handler.session["later"] = 2
        handler.set_status(200)

    site, browser = await visited(serve, page)

    response = await browser.fetch()

    assert (response.status, response.text, response.whole, site.store.writes) == (503, "one,", True, [])


async def test_a_stream_that_began_as_a_200_is_stored_to_its_end(serve: Any) -> None:
    """A status that is set after the first bytes reaches nobody."""

    async def page(handler: Any) -> None:
        handler.write("one,")
        await handler.flush()
        handler.session["late"] = 1
        handler.set_status(500)

    site, browser = await visited(serve, page)

    response = await browser.fetch()

    assert (response.status, response.whole) == (200, True)
    assert await site.row(browser.sid) == {"mark": MARK, "late": 1}


async def test_an_error_page_in_place_of_held_bytes_stores_nothing_more(serve: Any) -> None:
    """The commit of the first bytes is under way, and stays; the page that replaces them is a 5xx."""
    under_way = Gate()

    def late(handler: Any) -> None:
        handler.session["late"] = 2
        raise LookupError("the application's own")

    site, browser = await visited(serve, flushing(under_way, late))

    response = await acted_meanwhile(site, browser, under_way)

    assert (response.status, response.whole) == (500, True)
    assert await site.row(browser.sid) == {"mark": MARK, "early": 1}


async def test_a_page_in_place_of_a_held_5xx_is_stored(serve: Any) -> None:
    """What leaves is a 404, so the status of the bytes that were held does not count."""

    async def page(handler: Any) -> None:
        handler.session["late"] = 1
        handler.session.save()  # which holds the first bytes back
        handler.session["later"] = 2
        handler.set_status(500)
        handler.flush()
        raise HTTPError(404)

    site, browser = await visited(serve, page)

    response = await browser.fetch()

    assert (response.status, response.whole) == (404, True)
    assert await site.row(browser.sid) == {"mark": MARK, "late": 1, "later": 2}


# ---------------------------------------------------------------- handshakes


async def test_a_handshake_is_stored_as_ever(serve: Any) -> None:
    """Its 101 is no error, and a socket saves by its verbs."""
    site: Site = await serve({"/socket": Socket}, **SWITCHED_OFF)
    browser = site.browser()

    call = await open_socket(browser)
    await call.wire.close()

    assert list((await site.rows()).values()) == [{"n": 1}]


@pytest.mark.parametrize("value", [object(), float("nan")], ids=["object", "nan"])
async def test_a_5xx_with_what_json_cannot_hold_is_answered(serve: Any, value: object) -> None:
    """As with the default: the error of the value takes the place of the handler's own."""
    site, browser = await visited(serve, failing(setting(bad=value)))

    response = await browser.fetch()

    assert (response.status, response.set_cookies) == (500, [])
    assert await site.row(browser.sid) == {"mark": MARK}
