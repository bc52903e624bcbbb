"""Every store against a dict: random histories, one call after another, and random calls at once."""

import asyncio
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from clock import START, MovableClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from tornado.ioloop import IOLoop

from sessions.store import GONE, SAVED, Outcome, StoredSession, Update

from .support import STORES, opened

CALLS = settings(stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow])

IDS = st.sampled_from(["", "a", "A", "b.c"])
TEXTS = st.sampled_from(["0", "{}", '{"n":1}', '{"é":"\\u0000"}'])
MOMENTS = st.integers(START - 1, START + 12)
RECORDS = st.builds(StoredSession, TEXTS, MOMENTS)


class Model:
    """What a store is, in a dict."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.rows: dict[str, StoredSession] = {}

    def get(self, sid: str) -> StoredSession | None:
        """The session, if it lives."""
        row = self.rows.get(sid)
        return row if row and row.expires_at > self.clock() else None

    def create(self, sid: str, stored: StoredSession) -> bool:
        """Whether the id was free."""
        free = self.get(sid) is None
        if free:
            self.rows[sid] = stored
        return free

    def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Compare and set."""
        row = self.get(sid)
        if row is None or row.data != expected:
            return Update(Outcome.CONFLICT, row) if row else GONE
        self.rows[sid] = stored
        return SAVED

    def set(self, sid: str, stored: StoredSession) -> None:
        """Put it there."""
        self.rows[sid] = stored

    def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """An update that keeps the text."""
        return self.update(sid, StoredSession(expected, expires_at), expected).outcome

    def destroy(self, sid: str) -> None:
        """Take it away."""
        self.rows.pop(sid, None)

    def living(self) -> dict[str, StoredSession]:
        """All that live."""
        return {sid: row for sid, row in self.rows.items() if self.get(sid)}

    def sweep(self, limit: int) -> int:
        """Forget the oldest of the dead."""
        dead = sorted(self.rows.keys() - self.living().keys(), key=lambda sid: self.rows[sid].expires_at)
        for sid in dead[:limit]:
            del self.rows[sid]
        return len(dead[:limit])


class History(RuleBasedStateMachine):
    """An empty store and its model, which do the same one call after another."""

    def __init__(self, store: Any, clock: MovableClock, loop: IOLoop, *, sweeps: bool) -> None:
        super().__init__()
        clock.now = START
        self.store, self.clock, self.sweeps = store, clock, sweeps
        self.model = Model(clock)
        self.run = loop.asyncio_loop.run_until_complete
        self.run(store.clear())

    def same(self, verb: str, *arguments: Any) -> None:
        """Do it on both sides."""
        outcome = self.run(getattr(self.store, verb)(*arguments))

        assert outcome == getattr(self.model, verb)(*arguments)

    @rule(sid=IDS)
    def get(self, sid: str) -> None:
        """Read."""
        self.same("get", sid)

    @rule(sid=IDS, stored=RECORDS)
    def create(self, sid: str, stored: StoredSession) -> None:
        """Insert."""
        self.same("create", sid, stored)

    @rule(sid=IDS, stored=RECORDS, expected=TEXTS)
    def update(self, sid: str, stored: StoredSession, expected: str) -> None:
        """Compare and set."""
        self.same("update", sid, stored, expected)

    @rule(sid=IDS, stored=RECORDS)
    def set(self, sid: str, stored: StoredSession) -> None:
        """Replace."""
        self.same("set", sid, stored)

    @rule(sid=IDS, moment=MOMENTS, expected=TEXTS)
    def touch(self, sid: str, moment: int, expected: str) -> None:
        """Prolong."""
        self.same("touch", sid, moment, expected)

    @rule(sid=IDS)
    def destroy(self, sid: str) -> None:
        """Delete."""
        self.same("destroy", sid)

    @rule(step=st.integers(-2, 4))
    def time_goes_by(self, step: int) -> None:
        """Mostly forward. What a store drops by itself is gone for good, also when the clock goes back."""
        self.forget()
        self.clock.forward(step)
        self.forget()

    def forget(self) -> None:
        """Let a store without a sweeper drop what has expired, and the model with it."""
        if not self.sweeps:
            self.model.sweep(len(self.model.rows))
            assert self.run(self.store.length()) == len(self.model.living())

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        """Which of two that expired together goes first is the store's choice, so this is done only when none do."""
        dead = [row.expires_at for sid, row in self.model.rows.items() if not self.model.get(sid)]
        if self.sweeps and len(set(dead)) == len(dead):
            assert self.run(self.store.backlog(limit)) == min(limit, len(dead))
            self.same("sweep", limit)

    @rule()
    def list(self) -> None:
        """Everything that lives, counted and read."""

        async def rows() -> dict[str, StoredSession]:
            return {sid: stored async for sid, stored in self.store.all()}

        assert self.run(rows()) == self.model.living()
        assert self.run(self.store.length()) == len(self.model.living())


@pytest.mark.parametrize("name", STORES)
def test_a_store_is_a_dict_with_a_clock(name: str, io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> None:
    """No history of calls, of passing time and of sweeps tells a store from the model."""
    make, _, sweeps = STORES[name]
    with opened(io_loop, make(tmp_path, clock)) as store:
        run_state_machine_as_test(lambda: History(store, clock, io_loop, sweeps=sweeps), settings=CALLS)


CALL = st.one_of(
    st.tuples(st.just("get")),
    st.tuples(st.just("create"), RECORDS),
    st.tuples(st.just("update"), RECORDS, TEXTS),
    st.tuples(st.just("set"), RECORDS),
    st.tuples(st.just("touch"), MOMENTS, TEXTS),
    st.tuples(st.just("destroy")),
)


def test_calls_at_once_end_as_one_of_their_orders(store: Any, io_loop: IOLoop, clock: MovableClock) -> None:
    """Of calls on one id that meet, the outcomes and what is left are those of some order of them."""

    async def together(before: StoredSession, calls: list[Any]) -> list[Any]:
        await store.set("a", before)
        outcomes = await asyncio.gather(*(getattr(store, verb)("a", *rest) for verb, *rest in calls))
        return [*outcomes, await store.get("a")]

    def in_order(before: StoredSession, calls: list[Any], order: tuple[int, ...]) -> list[Any]:
        model = Model(clock)
        model.set("a", before)
        outcomes = {n: getattr(model, calls[n][0])("a", *calls[n][1:]) for n in order}
        return [*(outcomes[n] for n in range(len(calls))), model.get("a")]

    @given(before=RECORDS, calls=st.lists(CALL, min_size=2, max_size=4))
    @settings(CALLS)
    def check(before: StoredSession, calls: list[Any]) -> None:
        seen = io_loop.asyncio_loop.run_until_complete(together(before, calls))

        assert seen in [in_order(before, calls, order) for order in permutations(range(len(calls)))]

    check()
