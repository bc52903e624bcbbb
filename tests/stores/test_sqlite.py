"""SQLite's own: the file and its layout, what Node reads and writes in it, and what a batch costs."""

# ruff: noqa: ASYNC240 # files are what is tested, and nobody else is on the loop

import asyncio
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_IMODE
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock

from sessions.errors import OptionsError, StoreError
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.sqlite import SQLiteStore

from .support import LATER, NEW, OLD, OTHER, locked, node_writes, query


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """Another umask while the block runs."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


class TestFile:
    """What is made, with which mode, and what is refused."""

    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm", ".sweeper"])
    async def test_only_the_owner_may_read_it(self, database: Path, suffix: str) -> None:
        """Sessions are secrets: the file and all that lies beside it have mode 0600, whatever the umask."""
        with umask(0):
            async with SQLiteStore(database) as store:
                store.lead()
                await store.create("a", OLD)

                assert S_IMODE(Path(f"{database}{suffix}").stat().st_mode) == 0o600

    async def test_a_file_that_is_there_keeps_its_mode(self, database: Path) -> None:
        """A mode that an administrator has chosen is theirs."""
        database.touch(mode=0o640)
        database.chmod(0o640)
        async with SQLiteStore(database):
            assert S_IMODE(database.stat().st_mode) == 0o640

    async def test_it_is_connect_sqlite3s_table_with_an_index(self, sqlite: SQLiteStore, database: Path) -> None:
        """Three columns and no more, or Node's INSERT without column names would fail."""
        columns = query(database, "SELECT name, type, pk FROM pragma_table_info('sessions') ORDER BY cid")

        assert columns == [("sid", "", 1), ("expired", "", 0), ("sess", "", 0)]
        assert "expired" in query(database, "SELECT sql FROM sqlite_master WHERE name = 'sessions_expired'")[0][0]

    async def test_the_sweep_goes_over_the_index(self, sqlite: SQLiteStore, database: Path) -> None:
        """Ordered by expiry without sorting the table."""
        plan = query(database, "EXPLAIN QUERY PLAN SELECT rowid FROM sessions WHERE expired <= 1 ORDER BY expired")

        assert "USING COVERING INDEX sessions_expired" in plan[0][3]

    async def test_it_is_in_wal_mode(self, sqlite: SQLiteStore, database: Path) -> None:
        """Readers and the writer do not wait for each other."""
        assert query(database, "PRAGMA journal_mode") == [("wal",)]

    async def test_a_table_that_node_has_made_is_used_and_indexed(self, database: Path, clock: MovableClock) -> None:
        """A file of connect-sqlite3 is opened as it is, its sessions included."""
        query(database, "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess)")
        node_writes(database, ("a", float(LATER), OLD.data))
        async with SQLiteStore(database, clock=clock) as store:
            assert await store.get("a") == OLD
        assert query(database, "SELECT count(*) FROM sqlite_master WHERE name = 'sessions_expired'") == [(1,)]

    @pytest.mark.parametrize("columns", ["id, data", "sid, expired", "sid, expired, sess, user"])
    async def test_a_foreign_table_is_refused_and_left_alone(self, database: Path, columns: str) -> None:
        """The error names the columns that are there; nothing was added."""
        query(database, f"CREATE TABLE sessions ({columns})")
        before = query(database, "SELECT * FROM sqlite_master")

        with pytest.raises(StoreError, match=re.escape(columns.rsplit(", ", maxsplit=1)[-1])):
            await SQLiteStore(database).__aenter__()
        assert query(database, "SELECT * FROM sqlite_master") == before

    async def test_a_missing_folder_is_named(self, tmp_path: Path) -> None:
        """No folder is made by mistake."""
        with pytest.raises(StoreError, match=re.escape(str(tmp_path / "none"))):
            await SQLiteStore(tmp_path / "none" / "sessions.db").__aenter__()
        assert list(tmp_path.iterdir()) == []

    async def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        """The error names the path."""
        with pytest.raises(StoreError, match=re.escape(str(tmp_path))):
            await SQLiteStore(tmp_path).__aenter__()

    async def test_what_is_no_database_is_left_alone(self, database: Path) -> None:
        """A file that is something else is refused and not touched."""
        diary = b"Dear diary. " * 1_000
        database.write_bytes(diary)

        with pytest.raises(StoreError, match=r"sessions\.db: file is not a database"):
            await SQLiteStore(database).__aenter__()
        assert database.read_bytes() == diary

    def test_a_sqlite_that_is_too_old_is_named(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """At the start, and not as a syntax error later."""
        monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 34, 1))

        with pytest.raises(StoreError, match=r"SQLite 3\.35 or newer is needed"):
            SQLiteStore(database).prepare()
        assert not database.exists()

    async def test_any_file_name_will_do(self, tmp_path: Path) -> None:
        """Characters that mean something in a URI mean nothing here."""
        path = tmp_path / "a b?c#d%20e&mode=memory é.db"
        async with SQLiteStore(path) as store:
            await store.create("a", StoredSession("x", 10**15))

        assert list(tmp_path.iterdir()) == [path]
        assert query(path, "SELECT sess FROM sessions") == [("x",)]

    async def test_a_relative_path_is_that_of_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """`sqlite:sessions.db` lies where the server was started."""
        monkeypatch.chdir(tmp_path)
        async with SQLiteStore("here.db"):
            assert (tmp_path / "here.db").is_file()

    def test_it_can_be_prepared_before_any_loop(self, database: Path) -> None:
        """The server makes the file once, before it forks."""
        store = SQLiteStore(database)
        store.prepared.prepare()
        store.prepare()

        assert query(database, "PRAGMA journal_mode") == [("wal",)]
        assert query(database, "SELECT count(*) FROM sessions") == [(0,)]

    async def test_many_open_a_prepared_file_at_once(self, database: Path) -> None:
        """Processes that were forked after `prepare` do not meet a lock."""
        stores = [SQLiteStore(database) for _ in range(8)]
        stores[0].prepare()
        await asyncio.gather(*(store.__aenter__() for store in stores))

        assert all(store.ready for store in stores)
        await asyncio.gather(*(store.__aexit__() for store in stores))

    async def test_it_opens_while_another_process_writes(self, database: Path) -> None:
        """A restart does not wait for Node."""
        SQLiteStore(database).prepare()
        with locked(database):
            async with SQLiteStore(database, busy_timeout=0) as store:
                assert await store.length() == 0

    @pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
    async def test_durability_is_the_level_of_synchronous(
        self, database: Path, connections: list[aiosqlite.Connection], durability: Any, level: int
    ) -> None:
        """`full` waits for the disk at every commit, `normal` at checkpoints only."""
        async with SQLiteStore(database, durability=durability):
            levels = [tuple(row) for each in connections for row in await each.execute_fetchall("PRAGMA synchronous")]

        assert levels == [(level,)] * len(connections)

    async def test_full_durability_is_the_default(
        self, sqlite: SQLiteStore, connections: list[aiosqlite.Connection], database: Path
    ) -> None:
        """Durable means durable where nothing is said."""
        async with SQLiteStore(database):
            levels = [tuple(row) for each in connections for row in await each.execute_fetchall("PRAGMA synchronous")]

        assert levels == [(2,)] * 3

    @pytest.mark.parametrize(
        ("options", "name"),
        [({"durability": "off"}, "durability"), ({"busy_timeout": -1}, "busyTimeout"),
         ({"busy_timeout": "5"}, "busyTimeout"), ({"busy_timeout": True}, "busyTimeout")],
    )  # fmt: skip
    def test_a_wrong_option_is_refused_by_name(self, database: Path, options: Any, name: str) -> None:
        """In the file's spelling, with what was expected."""
        with pytest.raises(OptionsError, match=f"^{name}: expected "):
            SQLiteStore(database, **options)

    def test_memory_is_refused(self) -> None:
        """Each connection would have a database of its own."""
        with pytest.raises(OptionsError, match="memory:"):
            SQLiteStore(":memory:")


class TestNode:
    """The same rows, written and read by connect-sqlite3."""

    async def test_nodes_insert_works(self, sqlite: SQLiteStore, database: Path) -> None:
        """`INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)` inserts, and replaces what we wrote."""
        await sqlite.create("ours", OLD)
        node_writes(database, ("ours", float(NEW.expires_at), NEW.data), ("nodes", float(LATER), OLD.data))

        assert await sqlite.get("ours") == NEW
        assert await sqlite.get("nodes") == OLD

    async def test_nodes_numbers_are_read_as_integers(self, sqlite: SQLiteStore, database: Path) -> None:
        """Node binds an expiry as REAL; it counts, compares and comes back in whole milliseconds."""
        node_writes(database, ("a", LATER + 0.5, OLD.data))

        stored = await sqlite.get("a")
        assert stored == OLD
        assert type(stored.expires_at) is int
        assert await sqlite.update("a", NEW, OLD) == Update(Outcome.SAVED, NEW)
        node_writes(database, ("a", LATER + 0.5, OLD.data))
        assert await sqlite.touch("a", LATER + 1, stored) == Update(Outcome.SAVED, OLD._replace(expires_at=LATER + 1))
        assert await sqlite.update("a", NEW, OTHER) == Update(Outcome.CONFLICT, StoredSession(OLD.data, LATER + 1))

    async def test_nodes_expired_rows_are_swept(self, sqlite: SQLiteStore, database: Path, clock: MovableClock) -> None:
        """The sweeper serves both."""
        node_writes(database, ("a", float(LATER), OLD.data), ("b", LATER + 1.0, OLD.data))
        clock.now = LATER

        assert await sqlite.sweep(10) == 1
        assert query(database, "SELECT sid FROM sessions") == [("b",)]

    async def test_what_we_write_is_text_and_an_integer(self, sqlite: SQLiteStore, database: Path) -> None:
        """Node reads TEXT with JSON.parse, and compares numbers."""
        await sqlite.create("a", OLD)
        await sqlite.update("a", NEW, OLD)
        await sqlite.set("b", OLD)
        await sqlite.touch("b", LATER + 5, OLD)
        await sqlite.set("c", OLD)
        await sqlite.rename("c", "d", NEW, OLD, OTHER)

        assert query(database, "SELECT sid, typeof(sid), expired, typeof(expired), typeof(sess) FROM sessions") == [
            ("a", "text", NEW.expires_at, "integer", "text"), ("b", "text", LATER + 5, "integer", "text"),
            ("d", "text", NEW.expires_at, "integer", "text"), ("c", "text", OTHER.expires_at, "integer", "text"),
        ]  # fmt: skip


class TestCost:
    """Requests that arrive together share the work."""

    async def test_writes_share_a_commit_and_reads_a_select(
        self, connections: list[aiosqlite.Connection], database: Path
    ) -> None:
        """A hundred at once are two statements, the first that came and all the others; not a hundred."""
        done: list[str] = []
        async with SQLiteStore(database) as store:
            for connection in connections:
                await connection.set_trace_callback(done.append)
            ids = [f"id-{n}" for n in range(100)]
            await asyncio.gather(*(store.create(sid, StoredSession("x", 10**15)) for sid in ids))
            inserts = len(done)
            await asyncio.gather(*map(store.get, ids))

        assert inserts <= 2
        assert len(done) - inserts <= 2

    async def test_updates_of_one_batch_are_compared_each_by_itself(self, sqlite: SQLiteStore) -> None:
        """One alone has another statement, which the contract suite tests."""
        for sid, record in {"a": OLD, "b": OTHER, "c": OLD._replace(expires_at=1), "d": OLD}.items():
            await sqlite.set(sid, record)

        updates = await asyncio.gather(*(sqlite.update(sid, NEW, OLD) for sid in "abcd"))

        assert [update.outcome for update in updates] == [
            Outcome.SAVED, Outcome.CONFLICT, Outcome.GONE, Outcome.SAVED,
        ]  # fmt: skip
        assert updates[1].record == OTHER

    async def test_reads_of_one_batch_have_each_its_own_row(self, sqlite: SQLiteStore) -> None:
        """Also those that ask for one id, for none that is there, or for an expired one."""
        await sqlite.set("a", OLD)
        await sqlite.set("b", NEW)
        await sqlite.set("c", OLD._replace(expires_at=1))

        assert await asyncio.gather(*map(sqlite.get, "xbaxcab")) == [None, NEW, OLD, None, None, OLD, NEW]

    async def test_creates_of_one_batch_are_refused_each_by_itself(self, sqlite: SQLiteStore) -> None:
        """A living session stays as it is, and an expired one is replaced."""
        await sqlite.set("a", OLD)
        await sqlite.set("b", OLD._replace(expires_at=1))

        made = await asyncio.gather(*(sqlite.create(sid, NEW) for sid in "abc"))

        assert made == [None, NEW, NEW]
        assert await sqlite.get("a") == OLD

    async def test_a_small_change_of_a_large_session_writes_little(self, sqlite: SQLiteStore, database: Path) -> None:
        """A touch does not write the text, and an update of the same length only the pages that differ."""
        log = database.with_name(f"{database.name}-wal")
        large = StoredSession('{"n":1,"text":"' + "x" * 1_000_000 + '"}', OLD.expires_at)
        await sqlite.set("a", large)
        sizes = []

        for call in (
            sqlite.touch("a", LATER + 5, large),
            sqlite.update("a", large._replace(data=large.data.replace("1", "2", 1)), large),
        ):
            query(database, "PRAGMA wal_checkpoint(TRUNCATE)")
            assert (await call).outcome is Outcome.SAVED
            sizes.append(log.stat().st_size)

        assert max(sizes) < 20_000

    async def test_one_alone_is_one_statement(self, connections: list[aiosqlite.Connection], database: Path) -> None:
        """Without a transaction around it: an idle server answers at once."""
        done: list[str] = []
        async with SQLiteStore(database) as store:
            for connection in connections:
                await connection.set_trace_callback(done.append)
            made = await store.create("a", StoredSession("x", 10**15))
            assert made
            await store.get("a")
            await store.update("a", StoredSession("y", 10**15), made)
            await store.touch("a", 10**15, made)
            await store.create("a", made)
            await store.destroy("a")

        assert len(done) == 6
