"""Rename in a SQLite file: the row itself moves, in one transaction with its tombstone, and for one caller only."""

import asyncio
from pathlib import Path

import aiosqlite
import pytest
from clock import MovableClock

from sessions.store import GONE, TAKEN, Outcome, StoredSession, Update
from sessions.stores.sqlite import SQLiteStore

from .child import FAR, LOADED, RENAMED, TOMBSTONE
from .processes import child, kill, line
from .support import LATER, NEW, OLD, OTHER, listed, locked, node_writes, query

SAVED = Update(Outcome.SAVED, NEW)
CLOSED = StoredSession('{"closed":1}', LATER - 1)


class TestOutcome:
    """What one caller gets."""

    async def test_the_old_id_holds_the_tombstone(self, sqlite: SQLiteStore, database: Path) -> None:
        """With its text and its expiry, as an ordinary row."""
        await sqlite.create("a", OLD)

        assert await sqlite.rename("a", "b", NEW, OLD, CLOSED) == SAVED
        assert query(database, "SELECT sid, expired, sess FROM sessions ORDER BY sid") == [
            ("a", CLOSED.expires_at, CLOSED.data), ("b", NEW.expires_at, NEW.data),
        ]  # fmt: skip

    async def test_without_a_tombstone_the_old_id_is_free(self, sqlite: SQLiteStore) -> None:
        await sqlite.create("a", OLD)

        assert await sqlite.rename("a", "b", NEW, OLD) == SAVED
        assert await listed(sqlite) == {"b": NEW}
        assert await sqlite.create("a", OTHER) == OTHER

    async def test_the_row_itself_moves(self, sqlite: SQLiteStore, database: Path) -> None:
        """It is not inserted as another."""
        await asyncio.gather(*(sqlite.create(sid, OLD) for sid in ("x", "a", "y")))
        before = query(database, "SELECT rowid FROM sessions WHERE sid = 'a'")
        await sqlite.rename("a", "b", NEW, OLD, CLOSED)

        assert query(database, "SELECT rowid FROM sessions WHERE sid = 'b'") == before

    async def test_what_it_returns_is_expected_next(self, sqlite: SQLiteStore) -> None:
        """A renamed session goes on as any other."""
        await sqlite.create("a", OLD)
        renamed = (await sqlite.rename("a", "b", NEW, OLD)).record

        assert renamed
        assert await sqlite.touch("b", LATER, renamed) == Update(Outcome.SAVED, NEW._replace(expires_at=LATER))
        assert await sqlite.update("b", OTHER, renamed) == Update(Outcome.SAVED, OTHER)

    async def test_nodes_row_can_be_renamed(self, sqlite: SQLiteStore, database: Path) -> None:
        """An expiry with a fraction is no hindrance."""
        node_writes(database, ("a", LATER + 0.5, OLD.data))

        assert await sqlite.rename("a", "b", NEW, OLD) == SAVED

    @pytest.mark.parametrize("expires_at", [LATER, 1], ids=["living", "expired and not swept"])
    async def test_a_new_id_that_has_a_row_is_taken(self, sqlite: SQLiteStore, database: Path, expires_at: int) -> None:
        """Nothing is changed, in neither row."""
        node_writes(database, ("a", LATER, OLD.data), ("b", expires_at, OTHER.data))

        assert await sqlite.rename("a", "b", NEW, OLD, CLOSED) == TAKEN
        assert query(database, "SELECT sid, expired, sess FROM sessions ORDER BY sid") == [
            ("a", LATER, OLD.data), ("b", expires_at, OTHER.data),
        ]  # fmt: skip

    async def test_its_own_id_is_taken(self, sqlite: SQLiteStore) -> None:
        await sqlite.create("a", OLD)

        assert await sqlite.rename("a", "a", NEW, OLD, CLOSED) == TAKEN
        assert await listed(sqlite) == {"a": OLD}

    async def test_conflict_comes_before_taken(self, sqlite: SQLiteStore) -> None:
        await asyncio.gather(sqlite.create("a", OTHER), sqlite.create("b", OLD))

        assert await sqlite.rename("a", "b", NEW, OLD, CLOSED) == Update(Outcome.CONFLICT, OTHER)
        assert await listed(sqlite) == {"a": OTHER, "b": OLD}

    @pytest.mark.parametrize("expired", [True, False])
    async def test_gone_comes_before_taken(self, sqlite: SQLiteStore, database: Path, expired: bool) -> None:
        """An expired session counts as none, although its row has the expected text."""
        node_writes(database, ("b", LATER, OTHER.data), *([("a", 1, OLD.data)] if expired else []))

        assert await sqlite.rename("a", "b", NEW, OLD, CLOSED) == GONE
        assert await listed(sqlite) == {"b": OTHER._replace(expires_at=LATER)}

    async def test_one_that_is_repeated_in_vain_leaves_no_tombstone(self, sqlite: SQLiteStore) -> None:
        """The row that the first left under the new id has the very text of the second."""
        await sqlite.create("a", OLD)
        await sqlite.rename("a", "b", NEW, OLD)

        assert await sqlite.rename("a", "b", NEW, OLD, CLOSED) == GONE
        assert await listed(sqlite) == {"b": NEW}

    async def test_a_table_without_rowid_will_do(self, database: Path, clock: MovableClock) -> None:
        query(database, "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess) WITHOUT ROWID")
        async with SQLiteStore(database, clock=clock) as store:
            await asyncio.gather(store.create("a", OLD), store.create("c", OLD), store.create("d", OTHER))
            updates = await asyncio.gather(
                store.rename("a", "b", NEW, OLD, CLOSED), store.rename("c", "d", NEW, OLD, CLOSED)
            )

            assert list(updates) == [SAVED, TAKEN]
            assert await listed(store) == {"a": CLOSED, "b": NEW, "c": OLD, "d": OTHER}


class TestBatch:
    """Renames and other verbs in one transaction."""

    async def test_a_taken_id_fails_no_other_job(self, sqlite: SQLiteStore) -> None:
        await asyncio.gather(*(sqlite.create(sid, OLD) for sid in "acef"), sqlite.create("d", OTHER))
        outcomes = await asyncio.gather(
            sqlite.rename("a", "b", NEW, OLD, CLOSED), sqlite.rename("c", "d", NEW, OLD, CLOSED),
            sqlite.update("e", NEW, OLD), sqlite.rename("f", "g", NEW, OLD), sqlite.rename("h", "i", NEW, OLD, CLOSED),
        )  # fmt: skip

        assert list(outcomes) == [SAVED, TAKEN, SAVED, SAVED, GONE]
        assert await listed(sqlite) == {"a": CLOSED, "b": NEW, "c": OLD, "d": OTHER, "e": NEW, "g": NEW}

    @pytest.mark.parametrize(
        ("tombstone", "second"), [(CLOSED, Update(Outcome.CONFLICT, CLOSED)), (None, GONE)], ids=["tombstone", "none"]
    )
    async def test_of_two_renames_of_one_id_the_first_is_done(
        self, sqlite: SQLiteStore, tombstone: StoredSession | None, second: Update
    ) -> None:
        """The other one meets what the first has left."""
        await sqlite.create("a", OLD)
        updates = await asyncio.gather(
            sqlite.rename("a", "b", NEW, OLD, tombstone), sqlite.rename("a", "c", NEW, OLD, tombstone)
        )

        assert list(updates) == [SAVED, second]
        assert await listed(sqlite) == {"b": NEW} | ({"a": tombstone} if tombstone else {})

    async def test_of_two_renames_to_one_id_the_first_is_done(self, sqlite: SQLiteStore) -> None:
        await asyncio.gather(sqlite.create("a", OLD), sqlite.create("b", OLD))
        updates = await asyncio.gather(
            sqlite.rename("a", "c", NEW, OLD, CLOSED), sqlite.rename("b", "c", NEW, OLD, CLOSED)
        )

        assert list(updates) == [SAVED, TAKEN]
        assert await listed(sqlite) == {"a": CLOSED, "b": OLD, "c": NEW}

    async def test_a_chain_is_done_link_by_link(self, sqlite: SQLiteStore) -> None:
        """Each link moves what the one before has left."""
        await sqlite.create("a", OLD)
        updates = await asyncio.gather(
            sqlite.rename("a", "b", NEW, OLD, CLOSED), sqlite.rename("b", "c", OTHER, NEW, CLOSED),
            sqlite.rename("c", "d", OLD, OTHER),
        )  # fmt: skip

        assert list(updates) == [SAVED, Update(Outcome.SAVED, OTHER), Update(Outcome.SAVED, OLD)]
        assert await listed(sqlite) == {"a": CLOSED, "b": CLOSED, "d": OLD}

    async def test_all_are_cleared_with_their_tombstones(self, sqlite: SQLiteStore) -> None:
        """The clear deletes the session, so no tombstone of it may come afterwards."""
        await sqlite.create("a", OLD)
        await asyncio.gather(sqlite.clear(), sqlite.rename("a", "b", NEW, OLD, CLOSED))

        assert await listed(sqlite) == {}

    async def test_many_are_one_transaction(self, connections: list[aiosqlite.Connection], database: Path) -> None:
        """The lock, the renames, their tombstones, the commit; one alone is the same."""
        done: list[str] = []
        async with SQLiteStore(database) as store:
            await asyncio.gather(*(store.create(f"a-{n}", LOADED) for n in range(100)))
            for connection in connections:
                await connection.set_trace_callback(done.append)
            await asyncio.gather(*(store.rename(f"a-{n}", f"b-{n}", LOADED, LOADED, TOMBSTONE) for n in range(100)))

        assert [sql.split()[0] for sql in done] == ["BEGIN", "WITH", "WITH", "COMMIT"]


class TestLocked:
    """Another process writes meanwhile."""

    @pytest.mark.parametrize(
        ("sql", "outcome"),
        [
            (f"UPDATE sessions SET sess = '{OTHER.data}'", Update(Outcome.CONFLICT, OTHER._replace(expires_at=LATER))),
            ("DELETE FROM sessions", GONE),
            (f"INSERT INTO sessions VALUES ('b', {LATER}, '{OTHER.data}')", TAKEN),
        ],
        ids=["update", "destroy", "create"],
    )
    async def test_what_another_process_commits_first_counts(
        self, database: Path, clock: MovableClock, sql: str, outcome: Update
    ) -> None:
        """A rename that comes between another's change and its commit waits, and sees the change."""
        async with SQLiteStore(database, clock=clock) as store:
            await store.create("a", OLD)
            with locked(database) as other:
                other.execute(sql)
                rename = asyncio.ensure_future(store.rename("a", "b", NEW, OLD, CLOSED))
                await asyncio.sleep(0.05)
                assert not rename.done()
                other.execute("COMMIT")

            assert await rename == outcome
            assert NEW not in (await listed(store)).values()

    async def test_one_that_nobody_waits_for_is_not_begun(self, database: Path, clock: MovableClock) -> None:
        """Its caller would not know the new id; its neighbours in the batch are done."""
        async with SQLiteStore(database, clock=clock) as store:
            await asyncio.gather(store.create("a", OLD), store.create("c", OLD))
            with locked(database):
                left = asyncio.ensure_future(store.rename("a", "b", NEW, OLD, CLOSED))
                others = asyncio.gather(store.rename("c", "d", NEW, OLD), store.create("e", OLD))
                await asyncio.sleep(0.05)
                left.cancel()
                await asyncio.wait([left])

            assert await others == [SAVED, OLD]
            assert await listed(store) == {"a": OLD, "d": NEW, "e": OLD}

    async def test_a_batch_that_nobody_waits_for_frees_the_lock(self, database: Path, clock: MovableClock) -> None:
        async with SQLiteStore(database, clock=clock) as store:
            await store.create("a", OLD)
            with locked(database):
                left = asyncio.ensure_future(store.rename("a", "b", NEW, OLD, CLOSED))
                await asyncio.sleep(0.05)
                left.cancel()
                await asyncio.wait([left])
            await store.create("next", OLD)

            with locked(database):
                assert await listed(store) == {"a": OLD, "next": OLD}

    async def test_a_session_that_expires_while_it_waits_is_gone(self, database: Path, clock: MovableClock) -> None:
        """The clock is read when the lock is taken, not before."""
        async with SQLiteStore(database, clock=clock) as store:
            await store.create("a", OLD)
            with locked(database):
                rename = asyncio.ensure_future(store.rename("a", "b", NEW, OLD, CLOSED))
                await asyncio.sleep(0.05)
                clock.now = OLD.expires_at

            assert await rename == GONE


class TestProcesses:
    """Renames of several processes, and of one that is killed."""

    def test_of_two_processes_one_has_the_session(self, database: Path) -> None:
        """Each of many ids, renamed by both at once: one SAVED, and the other CONFLICT with the tombstone."""
        SQLiteStore(database).prepare()
        node_writes(database, *((f"id-{n}", FAR, LOADED.data) for n in range(RENAMED)))
        with child("rename", database) as one, child("rename", database) as two:
            for process in (one, two):
                assert line(process) == "ready"
            for process in (one, two):
                assert process.stdin
                print("go", file=process.stdin, flush=True)
            outcomes = [line(process).split() for process in (one, two)]

        assert [sorted(pair) for pair in zip(*outcomes, strict=True)] == [["conflict", "saved"]] * RENAMED
        texts = [text for (text,) in query(database, "SELECT sess FROM sessions")]
        assert texts.count(TOMBSTONE.data) == RENAMED
        assert len(texts) == 2 * RENAMED

    def test_no_kill_splits_a_rename(self, database: Path) -> None:
        """Each session is under one id, and a tombstone under each that it had before: all in one transaction."""
        SQLiteStore(database).prepare()
        node_writes(database, *((f"id-{n}", FAR, LOADED.data) for n in range(RENAMED)))
        with child("move", database) as mover:
            rounds = [line(mover) for _ in range(20)]
            rounds += kill(mover)

        assert len(rounds) >= 20
        rows = dict(query(database, "SELECT sid, sess FROM sessions"))
        for n in range(RENAMED):
            moves = sum(sid.startswith(f"id-{n}.") for sid in rows)
            assert moves in (len(rounds), len(rounds) + 1)
            ids = [f"id-{n}", *(f"id-{n}.{each}" for each in range(1, moves + 1))]
            assert [rows[sid] for sid in ids] == [TOMBSTONE.data] * moves + [LOADED.data]
        assert query(database, "PRAGMA integrity_check") == [("ok",)]
