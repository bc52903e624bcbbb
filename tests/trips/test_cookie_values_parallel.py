"""`renewAfter` where requests meet in the store: one new value, in every answer, and no change is lost."""

import asyncio
from typing import Any

from clock import DAY, MINUTE

from sessions import CookieOptions
from sessions.renewal import split

from .staged import Gate
from .world import MARK, Site, World, visit

AFTER = 10 * MINUTE
MANY = 50


async def test_fifty_requests_at_once_get_one_new_value(serve: Any, world: World) -> None:
    """In two processes: one of them renews, the others merge, and all answers have the same cookie."""
    gate = Gate()

    async def page(handler: Any) -> None:
        len(handler.session)
        await gate.wait()
        handler.session[handler.request.path] = MARK

    options = {"renew_after": AFTER, "cookie": CookieOptions(max_age=DAY)}
    here: Site = await serve({"/visit": visit, "/[0-9]+": page}, **options)
    there: Site = await serve({"/[0-9]+": page}, store=await world.store(), **options)
    browser, other = here.browser(), there.browser()
    other.jar = browser.jar
    await browser.fetch("/visit")
    sid = browser.sid
    here.clock.forward(AFTER)
    calls = [await (browser, other)[number % 2].start(f"/{number}") for number in range(MANY)]
    await gate.reached(MANY)

    gate.open()
    responses = await asyncio.gather(*(call.response() for call in calls))

    cookies = [[each.partition(";")[0] for each in response.set_cookies] for response in responses]
    assert {response.status for response in responses} == {200}
    assert cookies == [cookies[0]] * MANY
    assert len(cookies[0]) == 1
    assert split(browser.sid or "")[0] == sid != browser.sid
    row = await here.row(sid) or {}
    assert row.keys() - {"__meta"} == {"mark", *(f"/{number}" for number in range(MANY))}
    assert row["__meta"]["tag"] == split(browser.sid or "")[1]


async def test_a_reader_and_a_writer_at_once_send_one_value(serve: Any, world: World) -> None:
    """Neither of two processes forgets what the other has written."""
    gate = Gate()

    async def page(handler: Any) -> None:
        _ = dict(handler.session)
        await gate.wait()

    async def write(handler: Any) -> None:
        await page(handler)
        handler.session["n"] = 1

    options = {"renew_after": AFTER, "cookie": CookieOptions(max_age=DAY)}
    here: Site = await serve({"/visit": visit, "/write": write}, **options)
    there: Site = await serve({"/read": page}, store=await world.store(), **options)
    browser, reader, writer = here.browser(), there.browser(), here.browser()
    await browser.fetch("/visit")
    sid = browser.sid
    for each in (reader, writer):
        each.jar.receive(f"connect.sid={browser.kept().value}; Path=/", each.host, "/", secure=False)
    here.clock.forward(AFTER)
    calls = [await reader.start("/read"), await writer.start("/write")]
    await gate.reached(2)

    gate.open()
    await asyncio.gather(*(call.response() for call in calls))

    assert reader.sid == writer.sid != sid
    assert (await here.row(sid) or {})["n"] == 1
