"""PostgreSQL's rows that others have locked, and one sweeper at a time."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from clock import SECOND, MovableClock
from tornado.ioloop import IOLoop

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore

from .postgres_client import connected, locked, table
from .support import LATER, NEW, OLD, OTHER, listed, opened, outcome, postgres


@pytest.fixture
def store(io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[PostgresStore]:
    """The store, open and empty."""
    with opened(io_loop, postgres(tmp_path, clock=clock)) as store:
        yield store


class TestLocked:
    """Rows that another transaction holds."""

    async def test_it_is_waited_for_and_compared_once_more(self, store: PostgresStore) -> None:
        """Whoever waits for a change saves nothing over it."""
        await store.create("a", OLD)
        await store.create("b", OLD)
        async with locked(store, "a", text=OTHER.data), locked(store, "b", text=OLD.data):
            update, same = (asyncio.ensure_future(store.update(sid, NEW, OLD)) for sid in "ab")
            await asyncio.sleep(0.05)
            assert not update.done()

        assert await update == Update(Outcome.CONFLICT, StoredSession(OTHER.data, OLD.expires_at))
        assert await same == Update(Outcome.SAVED, NEW)

    async def test_neighbours_are_not_held_up(self, store: PostgresStore) -> None:
        """Of one batch, and of those that follow: they are done while the row is still locked, and so are reads."""
        await asyncio.gather(*(store.create(f"id-{n}", OLD) for n in range(20)))
        async with locked(store, "id-7"):
            first = [asyncio.ensure_future(store.update(f"id-{n}", NEW, OLD)) for n in range(10)]
            assert await asyncio.gather(*(first[n] for n in range(10) if n != 7)) == [Update(Outcome.SAVED, NEW)] * 9
            later = [store.update(f"id-{n}", NEW, OLD) for n in range(10, 20)]
            assert await asyncio.gather(*later) == [Update(Outcome.SAVED, NEW)] * 10
            assert await store.get("id-7") == OLD
            assert not first[7].done()

        assert await first[7] == Update(Outcome.SAVED, NEW)

    async def test_too_long_is_unavailable_and_not_written_later(self, tmp_path: Path, clock: MovableClock) -> None:
        """Every verb; the store stays ready, for a lock is no reason to turn away who only reads."""
        async with postgres(tmp_path, timeout=2_000, clock=clock) as store:
            await store.create("a", OLD)
            async with locked(store, "a"):
                calls = [
                    store.update("a", NEW, OLD), store.touch("a", LATER + 1, OLD), store.set("a", NEW),
                    store.create("a", NEW), store.destroy("a"),
                ]  # fmt: skip
                errors = await asyncio.gather(*calls, return_exceptions=True)
                assert store.ready

            assert {type(each) for each in errors} == {StoreUnavailable}
            assert "lock timeout" in str(errors[0])
            assert await listed(store) == {"a": OLD}
            assert await store.update("a", NEW, OLD) == Update(Outcome.SAVED, NEW)

    async def test_many_that_are_locked_leave_the_store_ready(self, tmp_path: Path, clock: MovableClock) -> None:
        """More than there are connections to wait on: all end as unavailable, and the others do not notice."""
        async with postgres(tmp_path, timeout=2_000, pool=3, clock=clock) as store:
            ids = [f"id-{n}" for n in range(8)]
            await asyncio.gather(*(store.create(sid, OLD) for sid in [*ids, "free"]))
            async with locked(store, *ids):
                updates = [asyncio.ensure_future(outcome(store.update(sid, NEW, OLD))) for sid in ids]
                while not all(each.done() for each in updates):
                    assert store.ready
                    assert await store.get("id-0") == OLD
                    assert await store.touch("free", LATER, OLD) == Update(Outcome.SAVED, OLD)
                    await asyncio.sleep(0.05)

            assert {await each for each in updates} == {StoreError}
            assert set((await listed(store)).values()) == {OLD}

    async def test_two_that_lock_each_others_rows_end(
        self, store: PostgresStore, tmp_path: Path, clock: MovableClock
    ) -> None:
        """A circle of waiting is broken, and what was rolled back is done again, once."""
        await store.create("a", OLD)
        await store.create("b", OLD)
        async with locked(store, "b") as other:
            updates = [asyncio.ensure_future(store.update(sid, NEW, OLD)) for sid in "ab"]
            await asyncio.sleep(0.05)
            await other.execute(f"UPDATE {table(store)} SET expire = expire WHERE sid = 'a'")

        assert await asyncio.gather(*updates) == [Update(Outcome.SAVED, NEW)] * 2
        assert await listed(store) == {"a": NEW, "b": NEW}

    async def test_two_stores_that_write_the_same_rows_lose_nothing(self, tmp_path: Path, clock: MovableClock) -> None:
        """Batches of the same ids in opposite orders, again and again: every increment that was saved is there."""
        ids = [f"id-{n}" for n in range(12)]
        counted = dict.fromkeys(ids, 0)

        async def count(store: PostgresStore, sid: str) -> None:
            update = Update(Outcome.CONFLICT, await store.get(sid))
            while update.outcome is Outcome.CONFLICT and update.record is not None:
                more = StoredSession(str(int(update.record.data) + 1), LATER)
                update = await store.update(sid, more, update.record)
            counted[sid] += 1

        async with postgres(tmp_path, clock=clock) as one, postgres(tmp_path, clock=clock) as two:
            await asyncio.gather(*(one.create(sid, StoredSession("0", LATER)) for sid in ids))
            for _ in range(8):
                await asyncio.gather(*(count(one, sid) for sid in ids), *(count(two, sid) for sid in reversed(ids)))

            assert {sid: int(stored.data) for sid, stored in (await listed(two)).items()} == counted
            assert set(counted.values()) == {16}


class TestSweep:
    """One leader, by a lock in each sweep's transaction."""

    async def test_while_another_sweeps_nothing_is_done(self, store: PostgresStore, clock: MovableClock) -> None:
        """Whoever is not the leader goes away at once; when the leader's transaction has ended there is a new one."""
        await store.create("a", OLD)
        clock.now = LATER
        async with connected() as other:
            async with other.transaction():
                lock = "SELECT pg_try_advisory_xact_lock(1936028531, to_regclass($1)::oid::int)"
                assert await other.fetchval(lock, table(store))
                assert await store.sweep(10) == 0
                assert await store.backlog(10) == 1
            assert await store.sweep(10) == 1

    async def test_another_tables_sweeper_is_another(
        self, store: PostgresStore, tmp_path: Path, clock: MovableClock
    ) -> None:
        """The lock is the table's."""
        await store.create("a", OLD)
        clock.now = LATER
        async with postgres(tmp_path / "other", clock=clock) as neighbour, connected() as other, other.transaction():
            lock = "SELECT pg_try_advisory_xact_lock(1936028531, to_regclass($1)::oid::int)"
            assert await other.fetchval(lock, table(neighbour))

            assert await store.sweep(10) == 1

    async def test_what_somebody_holds_is_left_for_later(self, store: PostgresStore, clock: MovableClock) -> None:
        """Nobody waits for anybody, and what is prolonged meanwhile stays."""
        await asyncio.gather(*(store.create(sid, OLD) for sid in "abc"))
        clock.now = LATER
        async with locked(store, "b") as other:
            assert await store.sweep(10) == 2
            await other.execute(f"UPDATE {table(store)} SET expire = to_timestamp($1)", LATER / 1000 + 5)

        assert await store.sweep(10) == 0
        assert await store.get("b") == OLD._replace(expires_at=LATER + 5 * SECOND)

    async def test_sweeps_at_once_delete_each_row_once(
        self, store: PostgresStore, tmp_path: Path, clock: MovableClock
    ) -> None:
        """The intervals of two processes end together: what they say they have deleted is what is gone."""
        await asyncio.gather(*(store.create(f"id-{n}", OLD) for n in range(200)))
        clock.now = LATER
        async with postgres(tmp_path, clock=clock) as other:
            swept = sum(await asyncio.gather(*(each.sweep(20) for each in (store, other) * 5)))

            assert 20 <= swept == 200 - await other.backlog(1_000)
