"""`flash()` and `flashes()`: messages that are shown once, in the shape of connect-flash."""

import json
from typing import Any

from .members import visited
from .staged import Gate
from .world import Site, setting, slow, visit


def say(text: str, kind: str = "info") -> Any:
    """A page that keeps a message."""
    return lambda handler: handler.flash(text, kind)


def read(handler: Any) -> str:
    """A page that shows the messages."""
    return json.dumps(handler.flashes())


PAGES: dict[str, Any] = {"/saved": say("saved"), "/wrong": say("too long", "error"), "/read": read}


async def flashed(serve: Any, *first: str, **pages: Any) -> tuple[Site, Any]:
    """A site, and a browser that has visited some paths of it."""
    return await visited(serve, {**PAGES, **{f"/{name}": page for name, page in pages.items()}}, *first)


async def test_a_message_is_shown_once(serve: Any) -> None:
    """On the next page that asks, by kind; the session keeps nothing of it."""
    site, browser = await flashed(serve, "/visit", "/saved", "/wrong")

    texts = [(await browser.fetch("/read")).json() for _ in range(2)]

    assert texts == [{"info": ["saved"], "error": ["too long"]}, {}]
    assert list((await site.row(browser.sid)) or {}) == ["mark"]


async def test_it_is_stored_as_connect_flash_does(serve: Any) -> None:
    """An Express page beside this one shows it."""
    site, browser = await flashed(serve, "/saved", "/saved")

    assert await site.row(browser.sid) == {"flash": {"info": ["saved", "saved"]}}


async def test_one_of_express_is_shown_here(serve: Any) -> None:
    """`req.flash("info", …)` leaves an empty object when they were read there."""
    _, browser = await flashed(serve, "/begin", begin=setting(flash={"info": ["from Express", 1], "none": []}))

    assert (await browser.fetch("/read")).json() == {"info": ["from Express", "1"]}


async def test_asking_makes_no_session_and_no_write(serve: Any) -> None:
    """A layout asks on every page."""
    site, browser = await flashed(serve)

    response = await browser.fetch("/read")
    await browser.fetch("/visit")
    site.store.forget()
    await browser.fetch("/read")

    assert (response.json(), response.set_cookies) == ({}, [])
    assert site.store.writes == []


async def test_what_is_no_flash_is_left_alone(serve: Any) -> None:
    """The key was somebody else's."""
    site, browser = await flashed(serve, "/begin", begin=setting(flash="light"))

    response = await browser.fetch("/read")

    assert response.json() == {}
    assert await site.row(browser.sid) == {"flash": "light"}


async def test_two_requests_that_keep_a_message_lose_none(serve: Any) -> None:
    """Side by side: both are shown; a merge by key alone would drop one."""
    gate = Gate()
    _, browser = await flashed(serve, "/visit", slow=slow(gate, say("late")))

    call = await browser.start("/slow")
    await gate.reached()
    await browser.fetch("/saved")
    gate.open()
    await call.response()

    assert (await browser.fetch("/read")).json() == {"info": ["saved", "late"]}


async def test_one_that_was_shown_meanwhile_does_not_come_back(serve: Any) -> None:
    """A slow request that adds another one has loaded it before."""
    gate = Gate()
    _, browser = await flashed(serve, "/saved", slow=slow(gate, say("late")))

    call = await browser.start("/slow")
    await gate.reached()
    shown = (await browser.fetch("/read")).json()
    gate.open()
    await call.response()

    assert shown == {"info": ["saved"]}
    assert (await browser.fetch("/read")).json() == {"info": ["late"]}


async def test_a_page_of_an_error_may_ask(serve: Any) -> None:
    """Also where there is no session any more."""

    async def act(handler: Any) -> str:
        await handler.sign_out()
        return json.dumps(handler.flashes())

    _, browser = await flashed(serve, "/visit", "/saved", act=act)

    assert (await browser.fetch("/act")).json() == {}


async def test_a_visitor_gets_a_session_for_a_message(serve: Any) -> None:
    """Or it could not be shown on the next page."""
    _, browser = await flashed(serve, "/wrong", other=visit)

    assert (await browser.fetch("/read")).json() == {"error": ["too long"]}
