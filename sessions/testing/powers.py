"""Owns the contracts of the powers: one class for each, which a test class lists if its store offers that power."""

import asyncio
from pathlib import Path
from typing import ClassVar

from ..store import (
    Admin,
    Overwriting,
    Store,
    StoredSession,
    Sweepable,
    admin,
    by_key,
    key_of,
    overwriting,
    prepared,
    sweepable,
)
from .suite import (
    LONG,
    SOON,
    Stores,
    Suite,
    assert_conflict,
    assert_gone,
    assert_record,
    assert_saved,
    create,
    on_store,
    on_two_stores,
)


class PowerContract(Suite):
    """A contract of one power."""

    power: ClassVar[str]
    """The attribute by which a store offers it."""


class AdminContract(PowerContract):
    """`admin`: count, list and delete all sessions."""

    power = "admin"

    @on_store
    async def test_length_counts_the_living(self, store: Store) -> None:
        """An expired session does not count, swept or not; a tombstone does."""
        admin = _admin(store)
        before = await admin.length()
        made = await create(store, "a", self.record(1))
        await store.create("b", self.record(2, SOON))
        await store.rename("a", "c", self.record(3), made, self.record(4))
        await self.pass_time(SOON)

        assert [before, await admin.length()] == [0, 2]

    @on_store
    async def test_all_yields_the_living_with_their_keys(self, store: Store) -> None:
        """An expired session is not listed, swept or not; a tombstone is."""
        made = await create(store, "a", self.record(1))
        await store.create("b", self.record(2, SOON))
        await store.rename("a", "c", self.record(3), made, self.record(4))
        await self.pass_time(SOON)

        rows = await listed(store)
        assert set(rows) == {key_of(store, "a"), key_of(store, "c")}
        assert_record(rows[key_of(store, "a")], self.record(4, LONG - SOON))
        assert_record(rows[key_of(store, "c")], self.record(3, LONG - SOON))

    @on_store
    async def test_all_yields_records_for_the_next_write(self, store: Store) -> None:
        """A record that was listed is good as the expected one of the store with verbs that take keys."""
        await create(store, "a", self.record(1))
        ((key, record),) = (await listed(store)).items()

        assert_saved(await by_key(store).update(key, self.record(2), record), self.record(2))
        assert_record(await store.get("a"), self.record(2))

    @on_store
    async def test_all_yields_each_of_many_once(self, store: Store) -> None:
        """Listing goes through as many pages as there are."""
        await asyncio.gather(*(create(store, f"{n}", self.record(n)) for n in range(501)))
        rows = [(key, record.data) async for key, record in _admin(store).all()]

        assert len(rows) == 501
        assert dict(rows) == {key_of(store, f"{n}"): self.record(n).data for n in range(501)}

    @on_store
    async def test_all_goes_on_while_listed_sessions_are_destroyed(self, store: Store) -> None:
        """Deleting while listing misses no session that stays."""
        await asyncio.gather(*(create(store, f"{n}", self.record(n)) for n in range(501)))
        seen = []
        async for key, _ in _admin(store).all():
            seen.append(key)
            if len(seen) % 100 == 0:
                await by_key(store).destroy(key)

        assert sorted(seen) == sorted(key_of(store, f"{n}") for n in range(501))
        assert await _admin(store).length() == 496

    @on_store
    async def test_all_may_be_left_early(self, store: Store) -> None:
        """The store goes on after a listing that was not read to its end."""
        await asyncio.gather(*(create(store, f"{n}", self.record(n)) for n in range(501)))
        async for _ in _admin(store).all():
            break

        assert await _admin(store).length() == 501

    @on_two_stores
    async def test_clear_deletes_every_session(self, stores: Stores) -> None:
        """A store that was cleared is empty for the other stores on its data, too."""
        made = await create(stores[0], "a", self.record(1))
        await create(stores[1], "b", self.record(2))
        await _admin(stores[0]).clear()

        assert await _admin(stores[1]).length() == 0
        assert_gone(await stores[1].update("a", self.record(3), made))
        await create(stores[1], "b", self.record(3))


class OverwritingContract(PowerContract):
    """`overwriting`: write blindly, as Express does."""

    power = "overwriting"

    @on_store
    async def test_set_inserts(self, store: Store) -> None:
        """An id without a session gets one, and its record is good as the expected one."""
        made = assert_record(await _overwriting(store).set("a", self.record(1)), self.record(1))

        assert_record(await store.get("a"), self.record(1))
        assert_saved(await store.update("a", self.record(2), made), self.record(2))

    @on_store
    async def test_set_replaces(self, store: Store) -> None:
        """A living session is replaced, whatever it is; who has loaded it before finds a conflict."""
        made = await create(store, "a", self.record(1))
        await _overwriting(store).set("a", self.record(2, 2 * LONG))

        assert_record(await store.get("a"), self.record(2, 2 * LONG))
        assert_conflict(await store.update("a", self.record(3), made), self.record(2, 2 * LONG))

    @on_store
    async def test_set_replaces_an_expired_session(self, store: Store) -> None:
        """Swept or not, a living one is there afterwards."""
        await store.create("a", self.record(1, SOON))
        await self.pass_time(SOON)
        await _overwriting(store).set("a", self.record(2))

        assert_record(await store.get("a"), self.record(2))

    @on_two_stores
    async def test_many_sets_are_all_done(self, stores: Stores) -> None:
        """Busy writers do not make each other fail, and the last one is seen."""
        await asyncio.gather(*(_overwriting(stores[n % 2]).set(f"{n % 50}", self.record(n)) for n in range(200)))
        for n in range(50):
            await _overwriting(stores[0]).set(f"{n}", self.record(n))

            assert_record(await stores[1].get(f"{n}"), self.record(n))


class SweepableContract(PowerContract):
    """`sweepable`: expired sessions stay until the `Sweeper` asks for their deletion."""

    power = "sweepable"

    @on_store
    async def test_a_lone_store_leads(self, store: Store) -> None:
        """It sweeps, and goes on to do so."""
        assert [_sweepable(store).lead(), _sweepable(store).lead()] == [True, True]

    @on_store
    async def test_sweep_deletes_what_has_expired_and_nothing_else(self, store: Store) -> None:
        """The living stay; the expired are gone for good, and for any clock."""
        await store.create("old", self.record(1, SOON))
        await create(store, "young", self.record(2))
        await self.pass_time(SOON)
        counts = [await _sweepable(store).backlog(10), await _sweepable(store).sweep(10)]

        assert [*counts, await _sweepable(store).backlog(10), await _sweepable(store).sweep(10)] == [1, 1, 0, 0]
        self.clock.advance(-SOON)
        assert await store.get("old") is None
        assert_record(await store.get("young"), self.record(2))

    @on_store
    async def test_sweep_deletes_the_oldest_first_and_no_more_than_the_limit(self, store: Store) -> None:
        """What has waited longest goes first, in the order of the expiry."""
        for n in (3, 1, 4, 0, 2):
            await store.create(f"{n}", self.record(n, n + 1))
        await self.pass_time(5)
        counts = [await _sweepable(store).sweep(2)]
        self.clock.advance(-5)
        oldest = [await store.get("0"), await store.get("1")]
        self.clock.advance(5)
        counts += [await _sweepable(store).sweep(2) for _ in range(3)]

        assert oldest == [None, None]
        assert counts == [2, 2, 1, 0]

    @on_store
    async def test_backlog_is_counted_up_to_the_limit(self, store: Store) -> None:
        """A count costs no more than what is asked for."""
        await asyncio.gather(*(create(store, f"{n}", self.record(n)) for n in range(10)))
        before = await _sweepable(store).backlog(20)
        await asyncio.gather(*(store.create(f"old {n}", self.record(n, SOON)) for n in range(30)))
        await self.pass_time(SOON)

        assert [before, await _sweepable(store).backlog(20), await _sweepable(store).backlog(100)] == [0, 20, 30]

    @on_store
    async def test_every_verb_says_the_same_before_a_sweep_and_after_it(self, store: Store) -> None:
        """An expired session counts as none, swept or not."""
        made = await store.create("a", self.record(1, SOON))
        assert made is not None
        await self.pass_time(SOON)

        for _ in range(2):
            assert await store.get("a") is None
            assert_gone(await store.update("a", self.record(2), made))
            assert_gone(await store.touch("a", self.record(2).expires_at, made))
            assert_gone(await store.rename("a", "b", self.record(2), made))
            await _sweepable(store).sweep(10)

    @on_store
    async def test_a_session_that_was_prolonged_is_not_swept(self, store: Store) -> None:
        """A touch, an update and a rename take a session out of the sweeper's way."""
        made = [await create(store, sid, self.record(n)) for n, sid in enumerate(("touched", "saved", "renamed"))]
        expires_at = self.record(0, 2 * LONG).expires_at
        await store.touch("touched", expires_at, made[0])
        await store.update("saved", self.record(1, 2 * LONG), made[1])
        await store.rename("renamed", "new", self.record(2, 2 * LONG), made[2])
        self.clock.advance(LONG)
        swept = await _sweepable(store).sweep(10)

        assert swept == 0
        assert None not in [await store.get(sid) for sid in ("touched", "saved", "new")]

    @on_store
    async def test_sweeping_among_requests_disturbs_nobody(self, store: Store) -> None:
        """Of a sweep and a create of an expired id that meet, the new session survives."""
        await asyncio.gather(*(store.create(f"{n}", self.record(n, SOON)) for n in range(60)))
        await self.pass_time(SOON)
        sweeps = [_sweepable(store).sweep(40) for _ in range(2)]
        await asyncio.gather(*(create(store, f"{n}", self.record(-n)) for n in range(60)), *sweeps)

        for n in range(60):
            assert_record(await store.get(f"{n}"), self.record(-n))


class PreparedContract(PowerContract):
    """`prepared`: something is made or asked before the first of several processes opens the store."""

    power = "prepared"

    def test_a_prepared_store_works(self, tmp_path: Path) -> None:
        """Preparing needs no event loop, leaves nothing open, and may be done at every start."""
        for _ in range(2):
            power = prepared(self.make_store(tmp_path))
            assert power is not None, "the store does not offer prepared"
            power.prepare()

        self.work(tmp_path)

    @on_store
    async def work(self, store: Store) -> None:
        """Keep a session."""
        await create(store, "a", self.record(1))

        assert_record(await store.get("a"), self.record(1))


async def listed(store: Store) -> dict[str, StoredSession]:
    """Return what `all` yields."""
    return {key: record async for key, record in _admin(store).all()}


def _admin(store: Store) -> Admin:
    power = admin(store)
    assert power is not None, "the store does not offer admin"
    return power


def _overwriting(store: Store) -> Overwriting:
    power = overwriting(store)
    assert power is not None, "the store does not offer overwriting"
    return power


def _sweepable(store: Store) -> Sweepable:
    power = sweepable(store)
    assert power is not None, "the store does not offer sweepable"
    return power
