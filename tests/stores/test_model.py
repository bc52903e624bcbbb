"""Every store against a dict: random histories, one call after another, and random calls at once.

The model compares texts, as every store of this library does where it can; what the contract leaves to the store (a
touch may compare the text or the expiry) the model takes from the store.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import cycle, permutations
from pathlib import Path
from typing import Any

import pytest
from clock import START, MovableClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, multiple, rule, run_state_machine_as_test

from sessions.store import GONE, TAKEN, Outcome, StoredSession, Update
from sessions.stores.wrappers import StoreWrapper

from .support import STORES

Run = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine to its end."""

CALLS = settings(stateful_step_count=25, suppress_health_check=[HealthCheck.too_slow])

IDS = st.sampled_from(["a", "A", "b.c", "d"])
TEXTS = st.sampled_from(["0", "{}", '{"n":1}', '{"é":"\\u0000"}'])
MOMENTS = st.integers(START - 1, START + 12)
RECORDS = st.builds(StoredSession, TEXTS, MOMENTS, st.none())


class Model:
    """What a store is, in a dict. `touch_sees` is what a touch compares: "data" or "expires_at"."""

    def __init__(self, clock: Callable[[], int], touch_sees: str = "data") -> None:
        self.clock = clock
        self.touch_sees = touch_sees
        self.rows: dict[str, StoredSession] = {}

    def get(self, sid: str) -> StoredSession | None:
        """The session, if it lives."""
        row = self.rows.get(sid)
        return row if row and row.expires_at > self.clock() else None

    def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """The record, if the id was free."""
        return None if self.get(sid) else self.set(sid, record)

    def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Compare and set."""
        return self.refusal(sid, expected) or Update(Outcome.SAVED, self.set(sid, record))

    def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """An update that keeps the text; the record that it returns has the text that was expected."""
        refusal = self.refusal(sid, expected, self.touch_sees)
        if refusal is None:
            self.set(sid, self.rows[sid]._replace(expires_at=expires_at))
        return refusal or Update(Outcome.SAVED, plain(expected)._replace(expires_at=expires_at))

    def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        """Compare, move and set."""
        refusal = self.refusal(old, expected)
        if refusal is None and new in self.rows:
            refusal = TAKEN
        if refusal is None:
            del self.rows[old]
            self.set(new, record)
            if tombstone is not None:
                self.set(old, tombstone)
        return refusal or Update(Outcome.SAVED, record)

    def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Put it there."""
        self.rows[sid] = plain(record)
        return self.rows[sid]

    def destroy(self, sid: str) -> None:
        """Take it away."""
        self.rows.pop(sid, None)

    def refusal(self, sid: str, expected: StoredSession, seen: str = "data") -> Update | None:
        """Why a write to an expected record is not done."""
        row = self.get(sid)
        if row is None:
            return GONE
        return None if getattr(row, seen) == getattr(expected, seen) else Update(Outcome.CONFLICT, row)

    def living(self) -> dict[str, StoredSession]:
        """All that live."""
        return {sid: row for sid, row in self.rows.items() if self.get(sid)}

    def sweep(self, limit: int) -> int:
        """Forget the oldest of the expired."""
        expired = sorted(self.rows.keys() - self.living().keys(), key=lambda sid: self.rows[sid].expires_at)
        for sid in expired[:limit]:
            del self.rows[sid]
        return len(expired[:limit])


def plain(answer: Any) -> Any:
    """An answer of a store without versions, which only the store understands."""
    if isinstance(answer, Update):
        return Update(answer.outcome, plain(answer.record))
    return answer._replace(version=None) if isinstance(answer, StoredSession) else answer


class History(RuleBasedStateMachine):
    """Some store objects on one data and their model, which do the same one call after another."""

    records = Bundle("records")
    """What the store has returned: good as `expected`."""

    def __init__(self, stores: list[Any], clock: MovableClock, run: Run, *, sweeps: bool) -> None:
        super().__init__()
        clock.now = START
        self.stores, self.clock, self.sweeps = cycle(stores), clock, sweeps
        self.model = Model(clock)
        self.run = run
        self.run(next(self.stores).clear())

    def ask(self, verb: str, *arguments: Any) -> Any:
        """Call a verb of the next store, while the loop runs."""

        async def call() -> Any:
            return await getattr(next(self.stores), verb)(*arguments)

        return self.run(call())

    def same(self, verb: str, *arguments: Any) -> Any:
        """Do it on both sides. Returns the record that came back, for the bundle."""
        answer = self.ask(verb, *arguments)

        assert plain(answer) == getattr(self.model, verb)(*arguments)
        record = answer.record if isinstance(answer, Update) else answer
        return multiple() if record is None else record

    @rule(target=records, sid=IDS)
    def get(self, sid: str) -> Any:
        """Read."""
        return self.same("get", sid)

    @rule(target=records, sid=IDS, record=RECORDS)
    def create(self, sid: str, record: StoredSession) -> Any:
        """Insert."""
        return self.same("create", sid, record)

    @rule(target=records, sid=IDS, record=RECORDS, expected=records)
    def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Any:
        """Compare and set."""
        return self.same("update", sid, record, expected)

    @rule(target=records, old=IDS, new=IDS, record=RECORDS, expected=records, tombstone=st.none() | RECORDS)
    def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None
    ) -> Any:
        """Move. An expired row in the way is the store's to keep or to replace, so this is done where there is none."""
        in_the_way = self.model.rows.get(new)
        if old != new and (in_the_way is None or self.model.get(new)):
            return self.same("rename", old, new, record, expected, tombstone)
        return multiple()

    @rule(target=records, sid=IDS, record=RECORDS)
    def set(self, sid: str, record: StoredSession) -> Any:
        """Replace."""
        return self.same("set", sid, record)

    @rule(target=records, sid=IDS, moment=MOMENTS, expected=records)
    def touch(self, sid: str, moment: int, expected: StoredSession) -> Any:
        """Prolong. Where only the text or only the expiry was changed, the store may see it or not."""
        answer = self.ask("touch", sid, moment, expected)
        answers = {}
        for sees in ("data", "expires_at"):
            model = Model(self.clock, sees)
            model.rows = dict(self.model.rows)
            answers[sees] = (model.touch(sid, moment, expected), model.rows)
        seen = next((sees for sees in answers if answers[sees][0] == plain(answer)), None)

        assert seen is not None
        self.model.rows = answers[seen][1]
        return multiple() if answer.record is None else answer.record

    @rule(sid=IDS)
    def destroy(self, sid: str) -> None:
        """Delete."""
        self.same("destroy", sid)

    @rule(step=st.integers(-2, 4))
    def time_goes_by(self, step: int) -> None:
        """Mostly forward. What a store drops by itself is gone for good, also when the clock goes back."""
        self.forget()
        self.clock.advance(step)
        self.forget()

    def forget(self) -> None:
        """Let a store without a sweeper drop what has expired, and the model with it."""
        if not self.sweeps:
            self.model.sweep(len(self.model.rows))
            assert self.run(next(self.stores).length()) == len(self.model.living())

    @rule(limit=st.integers(1, 3))
    def sweep(self, limit: int) -> None:
        """Which of two that expired together goes first is the store's choice, so this is done only when none do."""
        expired = [row.expires_at for sid, row in self.model.rows.items() if not self.model.get(sid)]
        if self.sweeps and len(set(expired)) == len(expired):
            assert self.run(next(self.stores).backlog(limit)) == min(limit, len(expired))
            self.same("sweep", limit)

    @rule()
    def list(self) -> None:
        """Everything that lives, counted and read."""

        async def rows() -> dict[str, StoredSession]:
            return {sid: plain(record) async for sid, record in next(self.stores).all()}

        assert self.run(rows()) == self.model.living()
        assert self.run(next(self.stores).length()) == len(self.model.living())


@contextmanager
def stores_of(name: str, folder: Path, clock: MovableClock) -> Iterator[tuple[list[Any], Run]]:
    """Two store objects on one data, or one where it cannot be shared, open while the block runs; and what runs a call."""
    make, shared, _ = STORES[name]
    with asyncio.Runner() as runner:
        stores = [make(folder, clock) for _ in range(1 + shared)]
        wrappers = [StoreWrapper(store) for store in stores]  # which open a store that can be opened
        for wrapper in wrappers:
            runner.run(wrapper.__aenter__())
        yield stores, runner.run
        for wrapper in wrappers:
            runner.run(wrapper.__aexit__())


each_store = pytest.mark.parametrize("name", STORES)


@each_store
def test_a_store_is_a_dict_with_a_clock(name: str, tmp_path: Path, clock: MovableClock) -> None:
    """No history of calls, of passing time and of sweeps tells a store from the model."""
    with stores_of(name, tmp_path, clock) as (stores, run):

        def begin() -> History:
            return History(stores, clock, run, sweeps=STORES[name].sweeps)

        run_state_machine_as_test(begin, settings=CALLS)  # type: ignore[arg-type] # anything that makes one is taken


EXPECTED = st.sampled_from(["stale", "present"])
"""Which record a call expects: the one that is there, or the one before it."""
WRITTEN = st.builds(StoredSession, st.sampled_from(["1", '{"n":2}', '{"n":3}']), MOMENTS, st.none())
"""What calls write: never a text that a call expects, of which a store may say that it is another session's."""
CALL = st.one_of(
    st.tuples(st.just("get")),
    st.tuples(st.just("create"), WRITTEN),
    st.tuples(st.just("update"), WRITTEN, EXPECTED),
    st.tuples(st.just("rename"), WRITTEN, EXPECTED, st.none() | WRITTEN),
    st.tuples(st.just("set"), WRITTEN),
    st.tuples(st.just("touch"), MOMENTS, EXPECTED),
    st.tuples(st.just("destroy")),
)


def arguments(n: int, call: tuple[Any, ...], stale: StoredSession, present: StoredSession) -> list[Any]:
    """The arguments of the nth call: on the id "a", and a rename to an id of its own."""
    verb, *rest = call
    known = {"stale": stale, "present": present}
    return ["a", *([f"new {n}"] if verb == "rename" else []), *(known.get(each, each) for each in rest)]


@each_store
def test_calls_at_once_end_as_one_of_their_orders(name: str, tmp_path: Path, clock: MovableClock) -> None:
    """Of calls on one id that meet, the outcomes and what is left are those of some order of them."""

    async def together(stores: list[Any], before: list[StoredSession], calls: list[Any]) -> tuple[list[Any], list[Any]]:
        await stores[0].clear()
        known = [await stores[0].set("a", record) for record in before]
        made = [getattr(stores[n % len(stores)], call[0])(*arguments(n, call, *known)) for n, call in enumerate(calls)]
        answers = await asyncio.gather(*made)
        left = [await stores[0].get(sid) for sid in ("a", *(f"new {n}" for n in range(len(calls))))]
        return known, [plain(answer) for answer in (*answers, *left)]

    def in_order(known: list[StoredSession], calls: list[Any], order: tuple[int, ...], sees: str) -> list[Any]:
        model = Model(clock, sees)
        model.set("a", known[1])
        answers = {n: getattr(model, calls[n][0])(*arguments(n, calls[n], *known)) for n in order}
        left = [model.get(sid) for sid in ("a", *(f"new {n}" for n in range(len(calls))))]
        return [plain(answer) for answer in (*(answers[n] for n in range(len(calls))), *left)]

    @given(before=st.lists(RECORDS, min_size=2, max_size=2), calls=st.lists(CALL, min_size=2, max_size=4))
    @settings(CALLS)
    def check(before: list[StoredSession], calls: list[Any]) -> None:
        known, seen = run(together(stores, before, calls))
        orders = permutations(range(len(calls)))

        assert seen in [in_order(known, calls, order, sees) for order in orders for sees in ("data", "expires_at")]

    with stores_of(name, tmp_path, clock) as (stores, run):
        check()
