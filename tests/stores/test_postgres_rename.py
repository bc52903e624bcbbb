"""A rename in PostgreSQL: one statement for one row, which moves, beside others that want the row or its new id."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from clock import SECOND, MovableClock
from tornado.ioloop import IOLoop

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import GONE, TAKEN, Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore, connections

from .postgres_client import connected, locked, table
from .postgres_server import shared
from .support import LATER, NEW, OLD, OTHER, listed, opened, outcome, postgres, until

TOMBSTONE = StoredSession('{"cookie":{"originalMaxAge":30000},"closed":true}', LATER - 30 * SECOND)
SAVED = Update(Outcome.SAVED, NEW)
SECONDS = 30.0
"""Until something must have happened, far above what it takes."""


@pytest.fixture
def store(io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[PostgresStore]:
    """The store, open and empty."""
    with opened(io_loop, postgres(tmp_path, clock=clock)) as store:
        yield store


async def waiting(statements: int, seconds: float = SECONDS) -> None:
    """Return when so many statements wait for a lock. Raises TimeoutError."""
    sql = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await until(lambda: shared().sql(sql) == str(statements), seconds)


class TestOutcome:
    """What it returns, and what is there afterwards."""

    async def test_the_session_goes_on_under_its_new_id(self, store: PostgresStore) -> None:
        await store.create("old", OLD)

        assert await store.rename("old", "new", NEW, OLD) == SAVED
        assert await listed(store) == {"new": NEW}

    async def test_the_old_id_holds_the_tombstone_until_it_expires(
        self, store: PostgresStore, clock: MovableClock
    ) -> None:
        """With its own text and expiry."""
        await store.create("old", OLD)

        assert await store.rename("old", "new", NEW, OLD, TOMBSTONE) == SAVED
        assert await listed(store) == {"old": TOMBSTONE, "new": NEW}
        clock.now = TOMBSTONE.expires_at
        assert await store.get("old") is None
        assert await store.sweep(5) == 1
        assert await listed(store) == {"new": NEW}

    async def test_a_moved_expiry_is_no_conflict(self, store: PostgresStore) -> None:
        """The text is compared."""
        await store.create("old", OLD)
        await store.touch("old", LATER + 1, OLD)

        assert await store.rename("old", "new", NEW, OLD) == SAVED

    @pytest.mark.parametrize("tombstone", [None, TOMBSTONE])
    async def test_a_taken_id_changes_nothing(self, store: PostgresStore, tombstone: StoredSession | None) -> None:
        await store.create("old", OLD)
        await store.create("new", OTHER)

        assert await store.rename("old", "new", NEW, OLD, tombstone) == TAKEN
        assert await listed(store) == {"old": OLD, "new": OTHER}

    async def test_an_expired_row_has_its_id_until_it_is_swept(self, store: PostgresStore, clock: MovableClock) -> None:
        await store.create("new", OLD)
        clock.now = LATER
        await store.create("old", NEW)

        assert await store.rename("old", "new", OTHER, NEW, TOMBSTONE) == TAKEN
        assert await listed(store) == {"old": NEW}
        assert await store.sweep(5) == 1
        assert await store.rename("old", "new", OTHER, NEW) == Update(Outcome.SAVED, OTHER)

    @pytest.mark.parametrize("tombstone", [None, TOMBSTONE])
    async def test_a_session_has_its_own_id(self, store: PostgresStore, tombstone: StoredSession | None) -> None:
        await store.create("old", OLD)

        assert await store.rename("old", "old", NEW, OLD, tombstone) == TAKEN
        assert await store.rename("old", "old", NEW, OTHER, tombstone) == Update(Outcome.CONFLICT, OLD)
        assert await listed(store) == {"old": OLD}

    async def test_conflict_and_gone_come_before_taken(self, store: PostgresStore, clock: MovableClock) -> None:
        await store.create("old", OLD)
        await store.create("new", OTHER)

        assert await store.rename("old", "new", NEW, OTHER, TOMBSTONE) == Update(Outcome.CONFLICT, OLD)
        clock.now = LATER
        assert await store.rename("old", "new", NEW, OLD, TOMBSTONE) == GONE
        assert await store.rename("none", "new", NEW, OLD, TOMBSTONE) == GONE
        assert await listed(store) == {"new": OTHER}

    @pytest.mark.parametrize("bad", ["record", "tombstone"])
    async def test_a_text_that_is_no_json_changes_nothing(self, store: PostgresStore, bad: str) -> None:
        await store.create("old", OLD)
        records = {"record": NEW, "tombstone": TOMBSTONE, bad: StoredSession("{", LATER)}

        assert await outcome(store.rename("old", "new", expected=OLD, **records)) is StoreError
        assert await listed(store) == {"old": OLD}


class TestAtOnce:
    """Several that want one row, or one id."""

    async def test_of_two_renames_of_an_id_one_is_saved(self, tmp_path: Path, clock: MovableClock) -> None:
        """By two processes, 200 times, half of them with a tombstone: nothing is lost and nothing is there twice."""
        expected = {}
        async with postgres(tmp_path, clock=clock) as one, postgres(tmp_path, clock=clock) as two:
            for n in range(200):
                old, tombstone = f"old-{n}", TOMBSTONE if n % 2 else None
                await one.create(old, OLD)
                mine, other = await asyncio.gather(
                    one.rename(old, f"one-{n}", NEW, OLD, tombstone), two.rename(old, f"two-{n}", OTHER, OLD, tombstone)
                )
                won = mine.outcome is Outcome.SAVED
                assert (other if won else mine) == (Update(Outcome.CONFLICT, tombstone) if tombstone else GONE)
                assert (mine if won else other) == Update(Outcome.SAVED, NEW if won else OTHER)
                expected[f"one-{n}" if won else f"two-{n}"] = NEW if won else OTHER
                expected |= {old: tombstone} if tombstone else {}

            assert await listed(two) == expected

    async def test_of_two_renames_to_an_id_one_is_saved(self, tmp_path: Path, clock: MovableClock) -> None:
        async with postgres(tmp_path, clock=clock) as one, postgres(tmp_path, clock=clock) as two:
            for n in range(50):
                await asyncio.gather(one.set("a", OLD), one.set("b", OLD), one.destroy("new"))
                updates = await asyncio.gather(one.rename("a", "new", NEW, OLD), two.rename("b", "new", NEW, OLD))
                assert sorted(updates, key=[SAVED, TAKEN].index) == [SAVED, TAKEN], n
                assert await listed(one) == {"a" if updates[0] == TAKEN else "b": OLD, "new": NEW}

    async def test_renames_that_cross_change_nothing(self, tmp_path: Path, clock: MovableClock) -> None:
        """Each waits for the row that the other moves; PostgreSQL rolls one of them back, and it is tried again."""
        async with (
            postgres(tmp_path, clock=clock, settings="&deadlock_timeout=5") as one,
            postgres(tmp_path, clock=clock, settings="&deadlock_timeout=5") as two,
        ):
            await asyncio.gather(one.create("a", OLD), one.create("b", OLD))
            for _ in range(50):
                renames = [one.rename("a", "b", NEW, OLD, TOMBSTONE), two.rename("b", "a", NEW, OLD, TOMBSTONE)]
                assert await asyncio.gather(*renames) == [TAKEN] * 2

            assert await listed(one) == {"a": OLD, "b": OLD}

    async def test_a_deadlock_is_tried_again(self, tmp_path: Path, clock: MovableClock) -> None:
        """Another transaction has the new id and wants the old row; when it has ended the rename is done."""
        async with (
            postgres(tmp_path, clock=clock, settings="&deadlock_timeout=1000") as store,
            connected() as other,
        ):
            await asyncio.gather(store.create("old", OLD), store.create("new", OTHER))
            async with other.transaction():
                await other.execute("SET LOCAL deadlock_timeout = '60s'")
                await other.execute(f"DELETE FROM {table(store)} WHERE sid = 'new'")
                rename = asyncio.ensure_future(store.rename("old", "new", NEW, OLD))
                await waiting(1)
                await other.execute(f"UPDATE {table(store)} SET expire = expire WHERE sid = 'old'")
                assert not rename.done()

            assert await rename == SAVED
            assert await listed(store) == {"new": NEW}

    async def test_a_deadlock_without_end_is_unavailable(self, store: PostgresStore) -> None:
        async with connected() as other:
            await other.execute("""
                CREATE OR REPLACE FUNCTION meet() RETURNS int LANGUAGE plpgsql AS $$
                BEGIN PERFORM nextval('meetings'); RAISE 'met' USING ERRCODE = '40P01'; END $$
            """)
            await other.execute("DROP SEQUENCE IF EXISTS meetings; CREATE SEQUENCE meetings")
            with pytest.raises(StoreUnavailable, match="met"):
                await store._query("SELECT meet()")

            assert await other.fetchval("SELECT last_value FROM meetings") == connections._TRIES

    async def test_a_deletion_that_waits_for_the_row_follows_it(self, store: PostgresStore) -> None:
        """So whoever signs a user out everywhere misses no session that gets a new id at that moment."""
        await store.create("old", OLD)
        async with connected() as deleter:
            async with locked(store, "old"):
                rename = asyncio.ensure_future(store.rename("old", "new", OLD, OLD, TOMBSTONE))
                await waiting(1)
                sql = f"DELETE FROM {table(store)} WHERE sess->>'n' = '1' RETURNING sid"
                deleted = asyncio.ensure_future(deleter.fetch(sql))
                await waiting(2)

            assert await rename == Update(Outcome.SAVED, OLD)
            assert [row["sid"] for row in await deleted] == ["new"]
        assert await listed(store) == {"old": TOMBSTONE}

    async def test_an_update_that_waits_for_the_row_finds_it_moved(self, tmp_path: Path, clock: MovableClock) -> None:
        """In another process, and so it is not written under the new id."""
        async with postgres(tmp_path, clock=clock) as store, postgres(tmp_path, clock=clock) as two:
            await store.create("old", OLD)
            async with locked(store, "old"):
                rename = asyncio.ensure_future(store.rename("old", "new", NEW, OLD))
                await waiting(1)
                update = asyncio.ensure_future(two.update("old", OTHER, OLD))
                await waiting(2)

            assert await rename == SAVED
            assert await update == GONE
            assert await listed(store) == {"new": NEW}


class TestLocked:
    """Another transaction holds the row."""

    async def test_it_is_waited_for_and_compared_once_more(self, store: PostgresStore) -> None:
        await asyncio.gather(store.create("a", OLD), store.create("b", OLD))
        async with locked(store, "a", text=OTHER.data), locked(store, "b"):
            renames = [asyncio.ensure_future(store.rename(sid, f"new {sid}", NEW, OLD)) for sid in "ab"]
            await waiting(2)

        newer = Update(Outcome.CONFLICT, OTHER._replace(expires_at=OLD.expires_at))
        assert await asyncio.gather(*renames) == [newer, SAVED]

    async def test_no_batch_waits_for_it(
        self, tmp_path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Not even for the moment that a batch waits for other rows, also not with calls for the old and the new id."""
        monkeypatch.setattr(connections, "_BRIEF", int(SECONDS * 1_000))
        async with postgres(tmp_path, timeout=2 * SECONDS * 1_000, pool=6, clock=clock) as store:
            ids = [f"id-{n}" for n in range(20)]
            await asyncio.gather(*(store.create(sid, OLD) for sid in ["old", *ids]))
            async with locked(store, "old"):
                rename = asyncio.ensure_future(store.rename("old", "new", NEW, OLD))
                await waiting(1)
                own = [asyncio.ensure_future(each) for each in (store.update("old", OTHER, OLD), store.destroy("new"))]
                await waiting(2)
                async with asyncio.timeout(SECONDS / 2):
                    assert await asyncio.gather(*(store.update(sid, NEW, OLD) for sid in ids)) == [SAVED] * 20
                assert not rename.done()

            assert await rename == SAVED
            assert (await asyncio.gather(*own))[0] == GONE

    async def test_too_long_is_unavailable_and_not_renamed_later(self, tmp_path: Path, clock: MovableClock) -> None:
        """Within the store's own timeout, so that the caller's deadline finds nothing under way."""
        async with postgres(tmp_path, timeout=1_000, clock=clock) as store:
            await store.create("old", OLD)
            loop = asyncio.get_running_loop()
            begun = loop.time()
            async with locked(store, "old"):
                with pytest.raises(StoreUnavailable, match="lock timeout"):
                    await store.rename("old", "new", NEW, OLD)
                assert store.ready
            assert loop.time() - begun < SECONDS / 2

            await waiting(0)
            assert await listed(store) == {"old": OLD}

    async def test_one_that_begins_late_ends_in_time(self, tmp_path: Path, clock: MovableClock) -> None:
        """It waited for a connection: PostgreSQL gives it up by itself, and nothing is unknown."""
        async with postgres(tmp_path, timeout=2_000, pool=3, clock=clock) as store:
            await store.create("old", OLD)
            busy = asyncio.ensure_future(store._query("SELECT pg_sleep(1.6)"))
            await asyncio.sleep(0)
            async with locked(store, "old"):
                with pytest.raises(StoreUnavailable, match="canceling statement due to"):
                    await store.rename("old", "new", NEW, OLD)

            await busy
            assert await listed(store) == {"old": OLD}

    async def test_a_caller_that_leaves_ends_it(self, store: PostgresStore) -> None:
        """Nothing is renamed behind the back of somebody who was answered 503."""
        await store.create("old", OLD)
        async with locked(store, "old"):
            rename = asyncio.ensure_future(store.rename("old", "new", NEW, OLD))
            await waiting(1)
            rename.cancel()
            await asyncio.wait([rename])
            await waiting(0, SECONDS / 4)  # half the time after which PostgreSQL would give it up by itself

        assert await listed(store) == {"old": OLD}
        assert await store.rename("old", "new", NEW, OLD) == SAVED

    async def test_one_that_nobody_waits_for_is_not_begun(self, tmp_path: Path, clock: MovableClock) -> None:
        """It was cancelled while it waited for a connection."""
        async with postgres(tmp_path, pool=3, clock=clock) as store:
            await store.create("old", OLD)
            busy = asyncio.ensure_future(store._query("SELECT pg_sleep(0.3)"))
            await asyncio.sleep(0.05)
            rename = asyncio.ensure_future(store.rename("old", "new", NEW, OLD))
            await asyncio.sleep(0.05)
            rename.cancel()
            await busy

            assert await store.backlog(5) == 0  # by the same connection
            assert rename.cancelled()
            assert await listed(store) == {"old": OLD}


async def test_a_rename_is_one_statement(store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a transaction by itself; another statement only asks what is there if the row was not as expected."""
    await store.create("old", OLD)
    asked = []
    fetch = asyncpg.Connection.fetch

    async def noting(connection: asyncpg.Connection, sql: str, *arguments: object) -> list[asyncpg.Record]:
        asked.append(sql)
        rows: list[asyncpg.Record] = await fetch(connection, sql, *arguments)
        return rows

    monkeypatch.setattr(asyncpg.Connection, "fetch", noting)
    await store.rename("old", "new", NEW, OLD, TOMBSTONE)

    assert asked == [store._sql.writes["rename"].sql]
