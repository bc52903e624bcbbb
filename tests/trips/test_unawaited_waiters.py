"""Who waits for a verb, by whatever asyncio and Tornado have for it, and who stops to: no verb is stopped by that.

A failure is seen when it was raised into somebody who was still waiting; else it is the answer's, or a line of the log.
"""

import asyncio
from typing import Any

import pytest
from tornado import gen

from sessions import StoreError, StoreUnavailable

from .conftest import Logbook
from .test_sockets import Socket, open_socket, say
from .world import MARK, Site, count, setting, show, turns, visit

AWAY = StoreUnavailable("the disk is away")


def logs_in(handler: Any) -> str:
    handler.session.regenerate()
    handler.session["user"] = "eve"
    return "in"


# ---------------------------------------------------------------- who waits


async def gathers(verb: Any) -> None:
    await asyncio.gather(verb, asyncio.sleep(0))


async def waits_for(verb: Any) -> None:
    await asyncio.wait_for(verb, 5)


async def makes_a_task(verb: Any) -> None:
    await asyncio.create_task(verb)


async def groups(verb: Any) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(verb)


async def shields(verb: Any) -> None:
    await asyncio.shield(verb)


@gen.coroutine
def yields(verb: Any) -> Any:
    yield verb


async def waits_twice(verb: Any) -> None:
    await verb
    await verb


each_waiter = pytest.mark.parametrize(
    "waiter",
    [gathers, waits_for, makes_a_task, groups, shields, yields, waits_twice],
    ids=lambda waiter: waiter.__name__,
)


@each_waiter
async def test_whatever_waits_for_a_verb_gets_its_end(serve: Any, waiter: Any) -> None:
    """What asyncio and Tornado have for coroutines takes a verb."""
    seen: list[Any] = []

    async def act(handler: Any) -> None:
        handler.session["changed"] = 1
        await waiter(handler.session.save())
        seen.append(await site.row(handler.session.id))

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")

    response = await browser.fetch("/act")

    assert response.status == 200
    assert seen == [{"mark": MARK, "changed": 1}]


@each_waiter
async def test_whatever_waits_for_a_verb_sees_its_failure(serve: Any, waiter: Any) -> None:
    """The handler answers for itself, and is not overruled."""
    seen: list[BaseException] = []

    async def act(handler: Any) -> None:
        handler.session["changed"] = 1
        try:
            await waiter(handler.session.regenerate())
        except* StoreError as group:
            seen.extend(group.exceptions)
        handler.set_status(502)

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(AWAY)

    response = await browser.fetch("/act")

    assert seen == [AWAY]
    assert (response.status, response.set_cookies) == (502, [])
    assert await site.rows() == {browser.sid: {"mark": MARK}}


@each_waiter
async def test_a_failure_that_leaves_the_handler_is_a_503(serve: Any, logbook: Logbook, waiter: Any) -> None:
    """With Retry-After and one line, out of a TaskGroup as well."""

    async def act(handler: Any) -> None:
        await waiter(handler.session.regenerate())

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail(AWAY)

    response = await browser.fetch("/act")

    assert (response.status, response.header("Retry-After"), response.set_cookies) == (503, "1", [])
    assert logbook.lines("tornado.application") == []


def forgets_a_task(handler: Any, tasks: list[Any]) -> None:
    tasks.append(asyncio.ensure_future(handler.session.regenerate()))


async def gives_up(handler: Any, tasks: list[Any]) -> None:
    try:
        await asyncio.wait_for(handler.session.regenerate(), 0.001)
    except TimeoutError:
        tasks.append(None)


async def cancels(handler: Any, tasks: list[Any]) -> None:
    task = asyncio.ensure_future(handler.session.regenerate())
    await asyncio.sleep(0)
    task.cancel()
    tasks.append(None)


async def only_waits(handler: Any, tasks: list[Any]) -> None:
    task = asyncio.ensure_future(handler.session.regenerate())
    await asyncio.wait({task}, timeout=0.001)
    tasks.append(task)


each_deserter = pytest.mark.parametrize(
    "deserter", [forgets_a_task, gives_up, cancels, only_waits], ids=lambda deserter: deserter.__name__
)


@each_deserter
@pytest.mark.parametrize("fails", [False, True], ids=["works", "fails"])
async def test_who_stops_waiting_stops_no_verb(serve: Any, deserter: Any, fails: bool) -> None:
    """It is performed, and the answer waits for it: with the new id, or with the failure, which nobody has seen."""
    tasks: list[Any] = []

    async def act(handler: Any) -> None:
        result = deserter(handler, tasks)
        if result is not None:
            await result
        handler.session["user"] = "eve"

    site: Site = await serve({"/visit": visit, "/act": act})
    browser = site.browser()
    await browser.fetch("/visit")
    before = browser.sid
    gate = site.store.hold("update")
    if fails:
        site.store.fail(AWAY)
    call = await browser.start("/act")
    await gate.reached()
    while not tasks:  # noqa: ASYNC110 # a handler that goes on sets no event
        await asyncio.sleep(0.001)
    early = await call.quiet()
    gate.open()
    response = await call.response()

    assert early
    assert response.status == (503 if fails else 200)
    assert (browser.sid == before) is fails
    assert await site.rows() == {browser.sid: {"mark": MARK} if fails else {"user": "eve"}}


async def test_a_client_that_leaves_stops_no_verb(serve: Any) -> None:
    """What it has asked for is done."""
    site: Site = await serve({"/visit": visit, "/login": logs_in})
    browser = site.browser()
    await browser.fetch("/visit")
    gate = site.store.hold("update")
    call = await browser.start("/login")
    await gate.reached()

    await call.wire.close()
    await turns()
    gate.open()
    await site.store.idle()
    await turns()

    assert [row for row in (await site.rows()).values() if row] == [{"user": "eve"}]


# ---------------------------------------------------------------- where there is no answer any more


async def saves_after_finish(handler: Any) -> None:
    count(handler)
    await handler.finish("done")
    handler.session.save()


async def test_a_failure_after_the_answer_is_one_line(serve: Any, logbook: Logbook) -> None:
    """With the session's fingerprint: nobody else could tell of it."""
    site: Site = await serve({"/visit": visit, "/act": saves_after_finish})
    browser = site.browser()
    await browser.fetch("/visit")
    site.store.fail_once(AWAY, "update", after=1)

    response = await browser.fetch("/act")
    await site.store.idle()
    await turns()

    assert response.text == "done"
    lines = [line for line in logbook.lines("sessions") if "nobody awaited" in line]
    assert [line.partition(": ")[2] for line in lines] == ["a verb that nobody awaited failed: the disk is away"]


@pytest.mark.parametrize("waiter", [None, gathers, makes_a_task, waits_for])
async def test_a_failure_on_a_socket_is_a_line_unless_it_was_seen(serve: Any, logbook: Logbook, waiter: Any) -> None:
    """Who waits for it, by whatever means, tells of it himself."""

    async def act(handler: Any) -> str:
        handler.session["said"] = 1
        verb = handler.session.save()
        if waiter is not None:
            await waiter(verb)
        return "said"

    site: Site = await serve({"/socket": (Socket, act)})
    call = await open_socket(site.browser())
    site.store.fail(AWAY)

    answer = await say(call)
    await site.store.idle()
    await turns()
    await call.wire.close()

    assert answer == ("said" if waiter is None else "StoreUnavailable: the disk is away")
    assert len([line for line in logbook.lines("sessions") if "nobody awaited" in line]) == (waiter is None)


async def test_verbs_of_two_requests_do_not_wait_for_each_other(serve: Any) -> None:
    """Each request has its own order."""
    site: Site = await serve({"/visit": visit, "/login": logs_in, "/set": setting(a=1), "/show": show})
    first, second = site.browser(), site.browser()
    await first.fetch("/visit")
    gate = site.store.hold("update")
    call = await first.start("/login")
    await gate.reached()

    await second.fetch("/set")
    shown = await second.fetch("/show")
    gate.open()
    await call.response()

    assert shown.json() == {"a": 1}
