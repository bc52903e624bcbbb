"""The limit on a call of the store, and what it leaves of the task that waited."""

import asyncio
import time
from typing import Any

import pytest

from sessions import StoreUnavailable
from sessions.timeout import Deadline


async def test_a_call_that_takes_too_long_is_cut_off_and_its_task_goes_on() -> None:
    """As if nobody had ever cancelled it."""
    task: Any = asyncio.current_task()

    with pytest.raises(StoreUnavailable):
        await Deadline(0.01).keep(asyncio.Event().wait())

    assert task.cancelling() == 0


async def test_a_task_that_is_cancelled_in_the_moment_of_the_deadline_is_cancelled() -> None:
    """Who cancels has the last word, also if the timer rings before the cancellation has reached the task."""
    loop = asyncio.get_running_loop()
    waiting = asyncio.Event()
    deadline = Deadline(0.02)

    async def call() -> None:
        waiting.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(deadline.keep(call()))
    await waiting.wait()
    loop.call_later(0.01, task.cancel)
    time.sleep(0.1)  # noqa: ASYNC251 # a busy loop: cancellation and deadline come in one turn of it, in this order

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_that_answers_its_cancellation_with_an_error_leaves_no_cancellation_behind() -> None:
    """Or a `TaskGroup` or a timeout around it would take it for one of its own."""
    task: Any = asyncio.current_task()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError from None

    with pytest.raises(LookupError):
        await Deadline(0.01).keep(call())

    assert task.cancelling() == 0


async def test_a_future_is_failed_at_its_deadline_and_one_that_is_done_is_left() -> None:
    """A store of ours hands back the Future of its job, which needs no task to be cut off."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[int] = loop.create_future()
    silent: asyncio.Future[int] = loop.create_future()
    deadline = Deadline(0.01, "a store")
    awaited = deadline.keep(answered), deadline.keep(silent)
    answered.set_result(1)

    assert await awaited[0] == 1
    with pytest.raises(StoreUnavailable, match=r"a store did not answer within 0\.01 s"):
        await awaited[1]


async def test_a_call_and_a_future_keep_their_own_deadlines() -> None:
    """There is one timer for both kinds, which is set again for whichever ends first."""
    deadline = Deadline(0.02)
    first = asyncio.ensure_future(deadline.keep(asyncio.Event().wait()))
    await asyncio.sleep(0.01)
    second = deadline.keep(asyncio.get_running_loop().create_future())

    with pytest.raises(StoreUnavailable):
        await first
    with pytest.raises(StoreUnavailable):
        await second


def test_it_holds_in_a_second_event_loop_too() -> None:
    """A timer that the first loop took with it rings no more."""
    deadline = Deadline(0.02)

    async def at_once() -> None:
        await deadline.keep(asyncio.sleep(0))

    async def never() -> None:
        async with asyncio.timeout(10):
            await deadline.keep(asyncio.Event().wait())

    asyncio.run(at_once())

    with pytest.raises(StoreUnavailable):
        asyncio.run(never())
