"""What SQLite does in steps, so that nobody waits: batches bounded by their text, deletions, lists; and a long count."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock

from sessions.store import Outcome, StoredSession
from sessions.stores.sqlite import SQLiteStore, statements, store

from .support import LATER, NEW, OLD, OTHER, listed, locked, node_writes, query, until

BIG = StoredSession("x" * 300_000, LATER)


@pytest.fixture(params=["", " WITHOUT ROWID"], ids=["rowid", "without rowid"])
def table(request: pytest.FixtureRequest, database: Path) -> None:
    """A table that is there, of either kind."""
    query(database, f"CREATE TABLE sessions (sid PRIMARY KEY, expired, sess){request.param}")


@pytest.fixture
def trace(connections: list[aiosqlite.Connection]) -> Callable[[], Awaitable[list[str]]]:
    """Has all statements from now on noted, in a list."""

    async def tracing() -> list[str]:
        done: list[str] = []
        for connection in connections:
            await connection.set_trace_callback(done.append)
        return done

    return tracing


Trace = Callable[[], Awaitable[list[str]]]


class TestBytes:
    """A batch is bounded by its text as well as by its jobs."""

    async def test_a_transaction_holds_no_more_than_some_megabytes(
        self, database: Path, clock: MovableClock, trace: Trace
    ) -> None:
        """Of twenty large changes that have waited at the same time: other writers get their turn in between."""
        async with SQLiteStore(database, busy_timeout=5_000, clock=clock) as kept:
            with locked(database):
                done = await trace()
                writes = [asyncio.ensure_future(kept.create(f"id-{n}", BIG)) for n in range(20)]
                await asyncio.sleep(0.05)
            assert await asyncio.gather(*writes) == [BIG] * 20
        sizes = [len(each) for each in done if "INSERT" in each]

        assert max(sizes) < 3_000_000
        assert len(sizes) >= 4

    async def test_a_touch_carries_no_text(self, database: Path, clock: MovableClock, trace: Trace) -> None:
        """However large the session is."""
        async with SQLiteStore(database, clock=clock) as kept:
            await kept.create("a", BIG)
            done = await trace()
            assert (await kept.touch("a", LATER + 1, BIG)).outcome is Outcome.SAVED

        assert max(map(len, done)) < 2_000

    async def test_a_list_is_read_in_pages_of_some_megabytes(
        self, database: Path, clock: MovableClock, trace: Trace
    ) -> None:
        """After a first page of few sessions, by what they weighed."""
        async with SQLiteStore(database, clock=clock) as kept:
            node_writes(database, *((f"{n:03}", LATER, "x" * 50_000) for n in range(120)))
            done = await trace()
            assert len(await listed(kept)) == 120
        limits = [int(each) for each in re.findall(r"ORDER BY sid LIMIT (\d+)", "\n".join(done))]

        assert limits == [50, 19, 19, 19, 19]


class TestDeletions:
    """`sweep` and `clear` are transactions of some tens of milliseconds each."""

    async def test_a_long_one_is_followed_by_shorter_ones(
        self, trace: Trace, sqlite: SQLiteStore, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Down to a few rows, as rows may be of any size."""
        monkeypatch.setattr(store, "_LONG", -1)
        node_writes(database, *((f"{n:03}", 1, "") for n in range(450)))

        assert await self.limits(sqlite, trace, sqlite.sweep(1_000)) == [
            200,
            100,
            50,
            25,
            12,
            6,
            5,
            5,
            5,
            5,
            5,
            5,
            5,
            5,
            5,
            5,
            5,
            5,
        ]
        assert await sqlite.backlog(10) == 0

    async def test_a_short_one_is_followed_by_longer_ones(
        self, trace: Trace, sqlite: SQLiteStore, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A million rows are not deleted two hundred at a time."""
        monkeypatch.setattr(store, "_LONG", 99)
        monkeypatch.setattr(store, "_SHORT", 99)
        node_writes(database, *((f"{n:04}", LATER, "") for n in range(2_000)))

        assert await self.limits(sqlite, trace, sqlite.clear()) == [200, 400, 800, 1_600]
        assert query(database, "SELECT count(*) FROM sessions") == [(0,)]

    async def limits(self, kept: SQLiteStore, trace: Trace, deletion: Awaitable[Any]) -> list[int]:
        """How many rows each transaction of a deletion might take."""
        done = await trace()
        await deletion
        return [int(each) for each in re.findall(r"AS \(VALUES \((\d+)\)\)\s+DELETE", "\n".join(done))]

    async def test_what_is_written_between_two_steps_is_seen_and_cleared(
        self, sqlite: SQLiteStore, database: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Others write meanwhile; after the last step there is nothing."""
        monkeypatch.setattr(store, "_LONG", -1)
        node_writes(database, *((f"{n:03}", LATER, "{}") for n in range(300)))
        clearing = asyncio.ensure_future(sqlite.clear())
        written = [await sqlite.create(f"new-{n}", OLD) for n in range(3)]
        await clearing

        assert written == [OLD] * 3
        assert query(database, "SELECT count(*) FROM sessions") == [(0,)]

    @pytest.mark.usefixtures("table")
    async def test_a_table_without_rowid_does_as_any_other(self, database: Path, clock: MovableClock) -> None:
        """All verbs, the sweep in its order, and the clear."""
        async with SQLiteStore(database, clock=clock) as kept:
            await kept.create("a", OLD)
            assert (await kept.update("a", NEW, OLD)).outcome is Outcome.SAVED
            assert (await kept.touch("a", LATER + 9, NEW)).outcome is Outcome.SAVED
            assert (await kept.rename("a", "b", OTHER, NEW, OLD)).outcome is Outcome.SAVED
            assert await listed(kept) == {"a": OLD, "b": OTHER}
            node_writes(database, *((f"{9 - n}", n, "{}") for n in range(1, 6)))
            assert (await kept.backlog(9), await kept.sweep(2)) == (5, 2)
            assert query(database, "SELECT sid FROM sessions WHERE expired < 9 ORDER BY 1") == [("4",), ("5",), ("6",)]
            assert (await kept.sweep(9), await kept.sweep(9), await kept.length()) == (3, 0, 2)
            await kept.clear()
            assert await kept.length() == 0

    @pytest.mark.usefixtures("table")
    async def test_the_sweep_goes_over_the_index(self, database: Path, clock: MovableClock) -> None:
        """In the order of expiry without sorting the table, of either kind."""
        async with SQLiteStore(database, clock=clock) as kept:
            file = await kept._opened()
            sql, parameters = statements.VERBS[f"sweep by {file.row_key}"].prepared(
                [statements.Deletion("sweep", file.row_key, 5)], clock()
            )
        plan = "\n".join(row[3] for row in query(database, f"EXPLAIN QUERY PLAN {sql}", *parameters))

        assert "sessions_expired (expired<?)" in plan
        assert "SCAN sessions" not in plan
        assert "TEMP B-TREE FOR ORDER BY" not in plan


async def test_a_count_of_many_rows_holds_up_no_read(sqlite: SQLiteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """`length`, `backlog` and `all` have a connection of their own, and see one state."""
    slow = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT count(*) FROM n WHERE ?"
    monkeypatch.setattr(statements, "LENGTH", slow)
    await sqlite.create("a", OLD)
    counting = asyncio.ensure_future(sqlite.length())
    reads = [await sqlite.get("a") for _ in range(5)]
    wrote = await sqlite.update("a", NEW, OLD)

    assert not counting.done()
    assert reads == [OLD] * 5
    assert wrote.outcome is Outcome.SAVED
    assert await counting == 3_000_000
    await until(counting.done)
