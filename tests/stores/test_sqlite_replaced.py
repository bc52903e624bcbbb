"""A SQLite file that is replaced under several processes: none plays a log into the next file, deletes another's, or splits.

Several stores on one file do for several processes here: each holds the file by descriptors and locks of its own.
"""

# ruff: noqa: ASYNC230, ASYNC240 # files are what is tested, and nobody else is on the loop

import asyncio
import fcntl
import json
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock

from sessions.errors import StoreUnavailable
from sessions.stores.sqlite import SQLiteStore, beside, file

from .processes import child, kill, line
from .replacing import Writers, replacements, writing
from .support import LATER, NEW, OLD, node_writes, query
from .support import until_works as until_works_in

until_works = partial(until_works_in, seconds=10)


def replacement(database: Path, name: str, rows: int = 50) -> Path:
    """Another file beside the database, with sessions of its own, to be renamed to it."""
    other = database.with_suffix(f".{name}")
    SQLiteStore(other).prepare()
    node_writes(other, *((f"{name}-{n}", LATER, OLD.data) for n in range(rows)))
    return other


def sessions_in(database: Path) -> set[str]:
    """The names of the replacements that the ids in the file come from; "ours" for what was written here."""
    assert query(database, "PRAGMA integrity_check") == [("ok",)]
    return {sid.partition("-")[0] for (sid,) in query(database, "SELECT sid FROM sessions")}


async def write(store: SQLiteStore, name: str, count: int = 100) -> None:
    """Sessions that stay in the log, as they are not enough to be folded into the file."""
    await asyncio.gather(*(store.set(f"{name}-{n}", OLD) for n in range(count)))


@asynccontextmanager
async def two_stores(database: Path, clock: MovableClock) -> AsyncIterator[tuple[SQLiteStore, SQLiteStore]]:
    """Two processes that have the file open."""
    async with SQLiteStore(database, clock=clock) as one, SQLiteStore(database, clock=clock) as two:
        yield one, two


class TestTwoReplacements:
    """A second one while not everybody has noticed the first."""

    async def test_the_log_of_the_first_is_not_played_into_the_second(
        self, database: Path, clock: MovableClock
    ) -> None:
        """One process works on the first successor; its log lies at the path when the late one opens the second."""
        first, second = replacement(database, "first"), replacement(database, "second")
        async with two_stores(database, clock) as (early, late):
            first.rename(database)
            await until_works(early.length)
            await write(early, "ours")
            second.rename(database)
            await until_works(late.length)

            assert sessions_in(database) == {"second"}
            await until_works(lambda: early.set("ours-again", OLD))
            assert sessions_in(database) == {"second", "ours"}
        assert sessions_in(database) == {"second", "ours"}

    @pytest.mark.parametrize("nth", range(4))
    async def test_not_if_it_comes_just_before_a_connection(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, nth: int
    ) -> None:
        """A connection that got the second file, with the first one's log beside it, never begins to read."""
        first, second = replacement(database, "first"), replacement(database, "second")
        async with two_stores(database, clock) as (early, late):
            first.rename(database)
            await until_works(early.length)
            await write(early, "ours")
            with suppress(StoreUnavailable):
                await late.length()  # from here on it has to open the file
            connect, calls = sqlite3.connect, 0

            def connecting(*arguments: Any, **options: Any) -> Any:
                nonlocal calls
                if calls == nth and second.exists():
                    second.rename(database)
                calls += 1
                return connect(*arguments, **options)

            monkeypatch.setattr(sqlite3, "connect", connecting)
            await asyncio.gather(late.length(), return_exceptions=True)
            monkeypatch.undo()
            await until_works(late.length)
            await until_works(early.length)

            assert calls > nth
            assert not second.exists()
            assert sessions_in(database) == {"second"}

    async def test_an_opening_that_is_given_up_leaves_no_log(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file that is replaced while it is made, with its table still in the log."""
        successor = replacement(database, "successor")
        connect: Any = sqlite3.connect

        class Replaced(sqlite3.Connection):
            """A connection to a file that is replaced when the table has been made."""

            def executescript(self, sql: str) -> sqlite3.Cursor:
                cursor = super().executescript(sql)
                if successor.exists():
                    successor.rename(database)
                return cursor

        monkeypatch.setattr(sqlite3, "connect", lambda *given, **options: connect(*given, **options, factory=Replaced))
        with pytest.raises(StoreUnavailable, match="replaced while it was opened"):
            await SQLiteStore(database, clock=clock).__aenter__()
        monkeypatch.undo()

        assert {each.name for each in database.parent.iterdir()} == {database.name}
        async with SQLiteStore(database, clock=clock) as store:
            assert await store.length() == 50
        assert sessions_in(database) == {"successor"}

    async def test_at_any_step_of_opening_it_is_what_is_served_then(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """However far the opening has come, and whoever holds the predecessor."""
        left = steps = 0
        real = aiosqlite.Connection.execute_fetchall

        async def execute_fetchall(connection: aiosqlite.Connection, *arguments: Any) -> Any:
            nonlocal left
            rows = await real(connection, *arguments)
            left -= 1
            if left == 0:
                replacement(database, f"step{steps}").rename(database)
            return rows

        monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", execute_fetchall)
        async with two_stores(database, clock) as (early, late):
            while True:
                await write(early, "ours", 20)
                replacement(database, "gone").rename(database)
                with suppress(StoreUnavailable):
                    await late.length()
                steps += 1
                left = steps
                await asyncio.gather(late.length(), return_exceptions=True)
                if left > 0:
                    break
                await until_works(late.length)
                await until_works(early.length)
                assert sessions_in(database) == {f"step{steps}"}

        assert steps > 15

    @pytest.mark.parametrize("nth", [1, 5, 9, 14])
    async def test_not_the_log_that_a_peer_has_open_either(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, nth: int
    ) -> None:
        """Node has the first file open, and changes in its log; we are at a statement of opening it."""
        SQLiteStore(database).prepare()
        successor = replacement(database, "successor")
        left, real = nth, aiosqlite.Connection.execute_fetchall

        async def execute_fetchall(connection: aiosqlite.Connection, *arguments: Any) -> Any:
            nonlocal left
            rows = await real(connection, *arguments)
            left -= 1
            if left == 0:
                successor.rename(database)
            return rows

        monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", execute_fetchall)
        with closing(sqlite3.connect(database)) as node:
            with node:
                node.executemany("INSERT INTO sessions VALUES (?, ?, ?)", [(f"node-{n}", 1, "") for n in range(100)])
            with pytest.raises(StoreUnavailable):
                await SQLiteStore(database, clock=clock).__aenter__()
            async with SQLiteStore(database, clock=clock) as store:
                assert await store.length() == 50
            assert sessions_in(database) == {"successor"}


class TestWhoHoldsTheLog:
    """A log is used, or deleted, by who has it open."""

    async def test_a_late_one_deletes_no_log_of_another(self, database: Path, clock: MovableClock) -> None:
        """It has been on the predecessor all the time, and closes."""
        async with SQLiteStore(database, clock=clock) as early:
            async with SQLiteStore(database, clock=clock) as late:
                await write(late, "theirs")
                replacement(database, "successor").rename(database)
                await until_works(early.length)
                await write(early, "ours")
            assert sessions_in(database) == {"successor", "ours"}
            await early.set("ours-again", OLD)

        assert ("ours-again",) in query(database, "SELECT sid FROM sessions")

    async def test_the_log_of_a_killed_process_is_brought_into_its_file(self, database: Path, tmp_path: Path) -> None:
        """Where it lies, and in a copy of the folder: there the files have other inode numbers."""
        with child("write", database) as writer:
            acknowledged = [line(writer) for _ in range(30)] + kill(writer)
        copy = tmp_path / "copy"
        copy.mkdir()
        for each in database.parent.glob(f"{database.name}*"):
            shutil.copy2(each, copy / each.name)
        assert (copy / f"{database.name}-wal").stat().st_size > 0

        for each in (database, copy / database.name):
            async with SQLiteStore(each) as store:
                assert await store.length() >= len(acknowledged)
            assert set(acknowledged) <= {sid for (sid,) in query(each, "SELECT sid FROM sessions")}

    async def test_what_is_noted_counts_only_while_somebody_holds_the_log(self, database: Path) -> None:
        """By chance the numbers in a copied folder may be those that are noted, for another file."""
        with child("write", database) as writer:
            acknowledged = [line(writer) for _ in range(30)] + kill(writer)
        noted = Path(f"{database}.lock")
        wal = Path(f"{database}-wal").stat()
        noted.write_text(json.dumps([[1, 1], [wal.st_dev, wal.st_ino], [1, 2]]))

        async with SQLiteStore(database) as store:
            assert await store.length() >= len(acknowledged)

    @pytest.mark.parametrize("words", ["", "garbage", "[[1, 2]]", "[1, 2, 3]", "{}"])
    async def test_a_note_that_cannot_be_read_is_none(self, database: Path, clock: MovableClock, words: str) -> None:
        """A process may be killed while it writes."""
        async with SQLiteStore(database, clock=clock) as one:
            await write(one, "ours")
            Path(f"{database}.lock").write_text(words)
            async with SQLiteStore(database, clock=clock) as two:
                assert await two.length() == 100

    async def test_a_log_that_is_deleted_takes_nothing_with_it(self, database: Path, clock: MovableClock) -> None:
        """Who notices first brings it into the file, although another one has it open still."""
        async with SQLiteStore(database, clock=clock) as store:
            with child("lead", database) as late:
                assert line(late) == "True"
                await write(store, "ours")
                index = beside.identity(Path(f"{database}-shm"))
                Path(f"{database}-wal").unlink()
                await until_works(lambda: store.set("again-0", OLD))

                assert beside.identity(Path(f"{database}-shm")) != index  # that was of the log that is gone
                assert sessions_in(database) == {"ours", "again"}
                assert await store.length() == 101

    async def test_what_lies_there_after_all_have_closed_is_one_file(self, database: Path, clock: MovableClock) -> None:
        """The lock's file goes with the log."""
        async with two_stores(database, clock) as (one, _):
            await one.set("ours-0", OLD)
            replacement(database, "successor").rename(database)
            await until_works(one.length)

        assert [each.name for each in database.parent.iterdir()] == [database.name]


class TestLock:
    """`<file>.lock`, under which one process at a time opens the file."""

    @pytest.fixture
    def inside(self, database: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
        """For each opening how many there were at the same time, and whether the lock's file was there."""
        seen: list[tuple[int, bool]] = []
        now = 0
        made = file._made

        def _made(*arguments: Any) -> beside.Pin:
            nonlocal now
            now += 1
            time.sleep(0.02)
            seen.append((now, Path(f"{database}.lock").exists()))
            now -= 1
            return made(*arguments)

        monkeypatch.setattr(file, "_made", _made)
        return seen

    async def test_waiting_for_it_ends_and_stops_nobody_else(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A process that was stopped while it had the lock is named by the lock's file."""
        monkeypatch.setattr(beside, "PATIENCE", 0.1)
        SQLiteStore(database).prepare()
        turns = 0
        with Path(f"{database}.lock").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            opening = asyncio.ensure_future(SQLiteStore(database, clock=clock).__aenter__())
            while not opening.done():
                turns += 1
                await asyncio.sleep(0.001)

        with pytest.raises(StoreUnavailable, match=r"sessions\.db\.lock: another process has held the lock"):
            await opening
        assert turns > 5

    async def test_a_store_closes_all_the_same(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """An orderly end does not hang on another process."""
        monkeypatch.setattr(beside, "PATIENCE", 0.1)
        with Path(f"{database}.lock").open("w") as held:
            async with SQLiteStore(database, clock=clock) as store:
                await store.set("ours-0", NEW)
                fcntl.flock(held, fcntl.LOCK_EX)

        assert sessions_in(database) == {"ours"}

    async def test_one_at_a_time_opens_the_file(
        self, database: Path, clock: MovableClock, inside: list[tuple[int, bool]]
    ) -> None:
        """However many come at once."""
        stores = [SQLiteStore(database, clock=clock) for _ in range(5)]
        await asyncio.gather(*(store.__aenter__() for store in stores))
        await asyncio.gather(*(store.__aexit__() for store in stores))

        assert inside == [(1, True)] * 5

    async def test_one_that_is_deleted_as_it_is_taken_is_none(
        self, database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch, inside: list[tuple[int, bool]]
    ) -> None:
        """The next one would make another, and open the file at the same time."""
        lock, flock = Path(f"{database}.lock"), fcntl.flock

        def deleting(descriptor: int, operation: int) -> None:
            flock(descriptor, operation)
            if operation & fcntl.LOCK_EX and not inside:
                monkeypatch.setattr(fcntl, "flock", flock)
                lock.unlink()

        monkeypatch.setattr(fcntl, "flock", deleting)
        async with SQLiteStore(database, clock=clock):
            assert inside == [(1, True)]

    async def test_one_that_was_deleted_is_made_again(self, database: Path, clock: MovableClock) -> None:
        """By `rm sessions.db*`, say, while somebody waits for it: the lock of a file without a name is none."""
        lock = Path(f"{database}.lock")
        with lock.open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            opening = asyncio.ensure_future(SQLiteStore(database, clock=clock).__aenter__())
            await asyncio.sleep(0.05)
            lock.unlink()
            store = await opening
            assert await store.length() == 0
            assert lock.exists()
        await store.__aexit__()

    async def test_a_link_in_its_place_is_not_followed(self, database: Path, tmp_path: Path) -> None:
        """Or who may write into the folder would have another file overwritten."""
        precious = tmp_path / "precious"
        precious.write_text("precious")
        Path(f"{database}.lock").symlink_to(precious)

        with pytest.raises(StoreUnavailable, match=r"sessions\.db\.lock"):
            await SQLiteStore(database).__aenter__()
        assert precious.read_text() == "precious"

    async def test_a_write_under_way_on_the_old_file_holds_up_no_opening(
        self, database: Path, clock: MovableClock
    ) -> None:
        """It may wait for a lock, or for a disk that hangs, long after the file is another."""
        async with two_stores(database, clock) as (one, two):
            other = sqlite3.connect(database, isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            stuck = asyncio.ensure_future(one.set("ours-0", OLD))
            await asyncio.sleep(0.05)
            replacement(database, "successor").rename(database)
            noticing = asyncio.ensure_future(until_works(one.length))
            async with asyncio.timeout(1):  # of the 2 s that the write waits
                await until_works(two.length)
            assert not stuck.done()
            other.close()
            assert (await asyncio.gather(stuck, return_exceptions=True))[0] != OLD
            assert await noticing == 50


async def test_processes_that_write_lose_nothing_and_never_split(database: Path) -> None:
    """The short form of `python -m tests.lab.chaos replaced`."""
    acknowledged: Writers = {}
    wrong = []
    async with writing(database, 3, acknowledged):
        async for each in replacements(database, acknowledged, writers=6, pairs=5):
            wrong += each

    assert wrong == []
