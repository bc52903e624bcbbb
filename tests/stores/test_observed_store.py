"""The store behind an observer: the same store of the same powers, and each call is reported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clock import START

from sessions.errors import StoreError, StoreUnavailable
from sessions.observe import Batch, Event, Reporter, StoreCall, StoreReady
from sessions.observed_store import VERBS, observed
from sessions.store import Limit, Store, Users, admin, by_key, overwriting, sweepable, users
from sessions.stores.memory import MemoryStore
from sessions.stores.sqlite import SQLiteStore
from sessions.stores.wrappers import StoreWrapper
from sessions.testing import (
    AdminContract,
    FailingStore,
    OverwritingContract,
    StoreContract,
    SweepableContract,
    UsersContract,
)

from .support import LATER, NEW, OLD
from .test_wrappers import Hashed, SixVerbs


def behind(store: Store) -> tuple[Any, list[Event]]:
    """A store behind an observer, and what that is called with."""
    events: list[Event] = []
    return observed(store, Reporter(events.append)), events


def calls(events: list[Event]) -> list[tuple[str, str]]:
    """Verbs and outcomes."""
    return [(event.verb, event.outcome) for event in events if isinstance(event, StoreCall)]


class TestObserved(AdminContract, OverwritingContract, SweepableContract, UsersContract, StoreContract):
    """The contract of a store of every power."""

    def make_store(self, place: Path) -> Store:
        store: Store = behind(MemoryStore(clock=self.clock))[0]
        return store


class TestObservedSixVerbs(StoreContract):
    """No power is offered that the store inside lacks."""

    def make_store(self, place: Path) -> Store:
        store: Store = behind(SixVerbs(MemoryStore(clock=self.clock)))[0]
        return store


def test_without_an_observer_the_store_is_itself() -> None:
    """Nothing is in front of it, so nothing costs anything."""
    store = MemoryStore()

    assert observed(store, Reporter()) is store


async def test_each_verb_has_its_outcome() -> None:
    """What it returned, in a word."""
    store, events = behind(MemoryStore(clock=lambda: START))
    power: Users = store.users
    power.index(("user",), node_peer=False)

    made = await store.create("a", NEW)
    await store.create("a", NEW)
    await store.get("a")
    await store.get("b")
    update = await store.update("a", OLD, made)
    await store.update("a", OLD, made)
    await store.touch("nobody", LATER, made)
    await store.rename("a", "b", NEW, update.record)
    await store.destroy("b")
    await overwriting(store).set("c", NEW)  # type: ignore[union-attr] # it has the power
    await power.rows("ada")
    await power.end("ada")
    await power.sign_in(Limit("ada", 1, refuses=True), "d", NEW)

    assert calls(events) == [
        ("create", "saved"),
        ("create", "taken"),
        ("get", "found"),
        ("get", "missing"),
        ("update", "saved"),
        ("update", "conflict"),
        ("touch", "gone"),
        ("rename", "saved"),
        ("destroy", "done"),
        ("set", "saved"),
        ("rows", "done"),
        ("end", "done"),
        ("sign_in", "saved"),
    ]
    assert {verb for verb, _ in calls(events)} == set(VERBS)
    assert all(event.seconds >= 0 for event in events if isinstance(event, StoreCall))


async def test_the_store_by_key_is_observed() -> None:
    """Where it is another one: the watch over sockets asks it."""
    store, events = behind(Hashed(MemoryStore()))

    await by_key(store).get("key")

    assert calls(events) == [("get", "missing")]
    assert by_key(behind(MemoryStore())[0]) is not None


async def test_an_error_says_nothing_of_where_the_store_is() -> None:
    """Only a store that cannot be reached is away, until a call is answered."""
    failing = FailingStore(MemoryStore())
    store, events = behind(failing)

    for error in (StoreError("broken"), StoreUnavailable("away"), StoreError("broken"), StoreUnavailable("away")):
        failing.fail("get", error=error)
        with pytest.raises(type(error)):
            await store.get("a")
    failing.recover()
    await store.get("a")

    assert [event.is_ready for event in events if isinstance(event, StoreReady)] == [True, False, True]
    assert [outcome for _, outcome in calls(events)] == ["error", "unavailable", "error", "unavailable", "missing"]


def test_a_store_that_is_not_open_is_away(tmp_path: Path) -> None:
    """So it begins; it is back when a call is answered."""
    _, events = behind(SQLiteStore(tmp_path / "sessions.db"))

    assert events == [StoreReady(is_ready=False)]


@pytest.mark.parametrize("wrap", [lambda store: store, StoreWrapper])
async def test_batches_are_reported_through_wrappers(tmp_path: Path, wrap: Callable[[Any], Store]) -> None:
    """Jobs that wait together are one batch."""
    async with SQLiteStore(tmp_path / "sessions.db") as inner:
        store, events = behind(wrap(inner))
        await store.create("a", NEW)

        await store.get("a")

    assert [event for event in events if isinstance(event, Batch)] == [Batch("write", 1), Batch("read", 1)]
    assert (admin(store), sweepable(store)) != (None, None)
    assert users(store) is not None
