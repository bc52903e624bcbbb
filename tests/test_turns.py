"""The turns of large sessions: one at a time, and everybody else in between."""

import asyncio
import time
from typing import Any

from clock import MINUTE, MovableClock
from properties.made import loaded

from sessions import StoredSession
from sessions.formats.json_text import dumps
from sessions.turns import LARGE, Turns, decode_if_large, is_large

TEXT = "x" * LARGE


def spin(seconds: float) -> None:
    """Work that holds the loop."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


class Steps:
    """Counts the steps of the event loop."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()
        self._handle = self._loop.call_soon(self._next)

    def _next(self) -> None:
        self.count += 1
        self._handle = self._loop.call_soon(self._next)

    def stop(self) -> None:
        """Count no more."""
        self._handle.cancel()


async def test_each_large_text_has_a_step_of_the_loop_of_its_own() -> None:
    """However many come at once."""
    turns, steps, seen = Turns(), Steps(), list[int]()

    async def one() -> None:
        await turns.take(TEXT)
        seen.append(steps.count)

    await asyncio.gather(*(one() for _ in range(5)))
    steps.stop()

    assert len(set(seen)) == 5


async def test_after_a_turn_the_loop_is_free_for_as_long() -> None:
    """The next one does not begin before."""
    turns, ends, begins = Turns(), list[float](), list[float]()

    async def one() -> None:
        await turns.take(TEXT)
        begins.append(time.perf_counter())
        spin(0.01)
        ends.append(time.perf_counter())

    await asyncio.gather(one(), one(), one())

    assert all(begin - end >= 0.009 for end, begin in zip(ends, begins[1:], strict=False))


async def test_others_are_served_between_two_turns() -> None:
    """What needs ten steps of the loop waits for one turn, not for ten."""
    turns, taken = Turns(), list[int]()

    async def one(number: int) -> None:
        await turns.take(TEXT)
        spin(0.02)
        taken.append(number)

    async def bystander() -> int:
        for _ in range(10):
            await asyncio.sleep(0)
        return len(taken)

    large = asyncio.gather(*map(one, range(8)))
    seen = await bystander()
    await large

    assert seen <= 2


async def test_a_turn_is_its_tasks_until_the_step_ends() -> None:
    """What it does in that step needs no second one; after a wait of its own it does."""
    turns, seen = Turns(), list[tuple[bool, bool]]()

    async def one() -> None:
        await turns.take(TEXT)
        at_once = turns.is_mine()
        await asyncio.sleep(0)
        seen.append((at_once, turns.is_mine()))

    await asyncio.gather(one(), one())

    assert seen == [(True, False)] * 2
    assert not turns.is_mine()


async def test_a_small_text_waits_for_nobody() -> None:
    """One character less."""
    turns = Turns()
    await turns.take(TEXT)
    waiting = asyncio.ensure_future(turns.take(TEXT))
    await asyncio.sleep(0)

    await turns.take(TEXT[1:])

    assert not waiting.done()
    await waiting


async def test_who_stops_waiting_holds_up_nobody() -> None:
    """The turn is the next one's, before it has come and at the moment when it comes."""
    turns = Turns()
    await turns.take(TEXT)
    first, second, third = (asyncio.ensure_future(turns.take(TEXT)) for _ in range(3))
    await asyncio.sleep(0)

    first.cancel()
    second.add_done_callback(lambda _: third.cancel())
    await asyncio.wait({first, second, third}, timeout=5)

    await asyncio.wait_for(turns.take(TEXT), 5)
    assert [each.cancelled() for each in (first, second, third)] == [True, False, True]


async def test_a_commit_that_has_met_a_conflict_comes_next() -> None:
    """It waits within its deadline; those behind it have not begun."""
    clock, turns, order = MovableClock(), Turns(), list[str]()
    session = loaded(clock, dumps({"large": TEXT})[1:-1], max_age=MINUTE)
    session["n"] = 1
    newer = StoredSession(session.state.base.data[:-1] + ',"m":1}', clock() + MINUTE)  # type: ignore[union-attr] # loaded

    async def one(name: str, turn: Any) -> Any:
        result = await turn
        order.append(name)
        return result

    await turns.take(TEXT)
    others = [asyncio.ensure_future(one("other", turns.take(TEXT))) for _ in range(2)]
    await asyncio.sleep(0)
    merged = await one("merge", turns.on(session.state, newer))
    await asyncio.gather(*others)

    assert order == ["merge", "other", "other"]
    assert merged.data.endswith(',"m":1,"n":1}')


def test_a_large_session_is_decoded_in_its_turn(clock: MovableClock) -> None:
    """A handler that looks cannot wait; a small session, or one that is over, is decoded when somebody looks."""
    large = loaded(clock, dumps({"large": TEXT})[1:-1] + ',"torn"')
    small = loaded(clock, '"torn"')
    over = loaded(clock, dumps({"large": TEXT})[1:-1])
    over.over("gone")

    decode_if_large(small.state)

    assert [is_large(each.state) for each in (large, small, over)] == [True, False, False]
