"""Families of session ids: no history of requests, faults, Node's writes and time breaks what is promised of them.

After a sign-out under any id of a family no id of it gives a session again; no committed change is lost; no family shows
another's data; at most one id lives, and a tombstone gives none; nothing hangs. What is demanded is in family.py, the
long run in tests/lab/family.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from clock import DAY, START, MovableClock
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from sessions import queues, rotation
from sessions.meta import is_closed
from sessions.stores.memory import MemoryStore

from .family import World
from .held import HOW
from .visits import GRACE, KEYS

Run = Callable[[Coroutine[Any, Any, Any]], Any]

HISTORIES = settings(stateful_step_count=25, suppress_health_check=list(HealthCheck))

VERBS = ("set", "set", "delete", "touch", "save", "mutate", "rotate", "rotate", "regenerate", "destroy", "reload")
ACTIONS = st.lists(st.tuples(st.sampled_from(VERBS), st.sampled_from(KEYS), st.booleans()), max_size=4)
MANY = st.integers(0, 7)


class Families(RuleBasedStateMachine):
    """One history."""

    def __init__(self, store: Any, clock: MovableClock, run: Run) -> None:
        super().__init__()
        clock.now = START
        self.run, self.clock = run, clock
        self.run(store.clear())
        self.world = World(store, clock)
        self.request_to_its_end([("set", "a", True)])

    def request_to_its_end(self, actions: list[Any]) -> None:
        """A sign-in that nobody disturbs: every history begins with one."""
        self.begin([], actions)
        self.run(self.world.drain())

    def begin(self, sids: list[str], actions: list[Any]) -> None:
        async def begin() -> None:
            self.world.request(sids, actions)
            await self.world.quiet()

        self.run(begin())

    def sid(self, number: int) -> str:
        """One of the newest ids that a browser has."""
        return self.world.sent[-1 - number % len(self.world.sent)]

    @rule(numbers=st.lists(MANY, min_size=1, max_size=2), actions=ACTIONS)
    def request(self, numbers: list[int], actions: list[Any]) -> None:
        """A request begins, under one id or two."""
        self.begin(list(dict.fromkeys(map(self.sid, numbers))), actions)

    @rule(actions=ACTIONS)
    def visitor(self, actions: list[Any]) -> None:
        """A request without an id begins."""
        self.begin([], actions)

    @precondition(lambda self: self.world.store.waiting)
    @rule(number=MANY)
    def go(self, number: int) -> None:
        """A call of the store goes on."""
        self.run(self.world.step(number, "go"))

    @precondition(lambda self: self.world.store.waiting)
    @rule(number=MANY, how=st.sampled_from(HOW))
    def fault(self, number: int, how: str) -> None:
        """A call of the store fails in some way, or its reply is late."""
        self.run(self.world.step(number, how))

    @rule(number=MANY)
    def node_loads(self, number: int) -> None:
        """A Node server reads a row."""
        self.run(self.world.node_loads(self.sid(number)))

    @precondition(lambda self: self.world.node)
    @rule()
    def node_saves(self) -> None:
        """It writes it back."""
        self.run(self.world.node_saves())

    @rule(number=MANY)
    def node_touches(self, number: int) -> None:
        """It prolongs a row."""
        self.run(self.world.node_touches(self.sid(number)))

    @rule(step=st.sampled_from([10_000, 10_000, GRACE + 1, DAY + 1]))
    def time_goes_by(self, step: int) -> None:
        """A part of the grace, the grace, or a whole lifetime."""
        self.world.time_goes_by(step)

    @rule()
    def drain(self) -> None:
        """Everything that is under way ends."""
        self.run(self.world.drain())

    def teardown(self) -> None:
        """It ends, and the graces with it."""
        self.run(self.world.drain())
        self.world.time_goes_by(GRACE + 1)
        self.run(self.world.drain())


def no_pauses(patch: pytest.MonkeyPatch) -> None:
    """No pause takes time; a lost row is looked for until the store has performed what it was asked."""
    patch.setattr(queues, "PAUSE", 0)
    patch.setattr(rotation, "PAUSE", 0)
    patch.setattr(rotation, "SETTLED", 1e9)


def try_histories(store: Any, clock: MovableClock, run: Run, patch: pytest.MonkeyPatch, how: settings) -> None:
    """Try histories on a store that is open."""
    no_pauses(patch)
    run_state_machine_as_test(lambda: Families(store, clock, run), settings=how)  # type: ignore[arg-type] # it makes one


def test_no_history_breaks_what_a_family_is_promised(clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some hundred histories on the memory store."""
    with asyncio.Runner() as runner:
        store = MemoryStore(clock=clock)

        try_histories(store, clock, runner.run, monkeypatch, settings(HISTORIES, max_examples=150))


@pytest.mark.parametrize("calls", range(1, 6))
def test_a_sign_out_is_not_undone_by_the_way_back(
    clock: MovableClock, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    """A rotation fails and is performed after all; while the row is put back the visitor signs out."""

    async def history() -> None:
        world = World(MemoryStore(clock=clock), clock)
        world.request([], [("set", "a", True)])
        await world.drain()
        sid = world.sent[0]
        world.request([sid], [("rotate", "a", True)])
        await world.quiet()
        for number, how in ((0, "go"), (0, "late"), (1, "go"), (0, "go"), (0, "go")):  # the last: the new id is there
            await world.step(number, how)
        world.request([sid], [("destroy", "a", True)])
        await world.quiet()
        for _ in range(calls):
            await world.step(1, "go")

        await world.drain()

    no_pauses(monkeypatch)
    asyncio.run(history())


@pytest.mark.parametrize(
    "verbs", ["rotate rotate", "rotate rotate rotate", "rotate regenerate", "regenerate save rotate"]
)
def test_a_sign_out_under_an_old_id_follows_each_id_of_a_request(
    clock: MovableClock, monkeypatch: pytest.MonkeyPatch, verbs: str
) -> None:
    """Also those that no browser has got, as the request went on at once."""

    async def history() -> None:
        world = World(MemoryStore(clock=clock), clock)
        world.request([], [("set", "a", True)])
        await world.drain()
        old = world.sent[0]
        world.request([old], [(verb, "a", True) for verb in verbs.split()])
        await world.drain()
        world.request([old], [("destroy", "a", True)])

        await world.drain()
        living = [sid async for sid, row in world.inner.all() if not is_closed(row, clock())]

        assert living == []

    no_pauses(monkeypatch)
    asyncio.run(history())
