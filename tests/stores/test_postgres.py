"""What is PostgreSQL's own: the table that Node makes and writes, what a row cannot hold, how much is asked."""

import asyncio
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from clock import MINUTE, MovableClock
from tornado.ioloop import IOLoop

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore
from sessions.stores.postgres import store as postgres_store

from .postgres_client import NODE_GET, NODE_SET, NODE_TOUCH, TABLE_SQL, connected, database, shape, table
from .postgres_server import shared
from .postgres_time import timed
from .support import LATER, NEW, OLD, OTHER, listed, opened, outcome, postgres


@pytest.fixture
def store(io_loop: IOLoop, tmp_path: Path, clock: MovableClock) -> Iterator[PostgresStore]:
    """The store, open and empty."""
    with opened(io_loop, postgres(tmp_path, clock=clock)) as store:
        yield store


class TestTable:
    """session(sid, sess, expire), as connect-pg-simple makes it."""

    async def test_it_is_made_as_node_makes_it(self) -> None:
        """To the names of the key and of the index, so that neither side minds which of them came first."""
        url, other = database("made here"), database("made there")
        async with PostgresStore(url), connected(url) as here, connected(other) as there:
            await there.execute(TABLE_SQL)

            assert await shape(here, "session") == await shape(there, "session")
            assert len((await shape(here, "session"))[2]) == 2

    async def test_nodes_own_is_used_as_it_is(self, clock: MovableClock) -> None:
        """Its rows are there, and a column that somebody has added is nobody's business."""
        url = database("made there")
        async with connected(url) as there:
            await there.execute(TABLE_SQL)
            await there.execute('ALTER TABLE session ADD COLUMN "seen" timestamptz DEFAULT now()')
            await there.execute(NODE_SET.format("session"), OLD.data, LATER // 1000, "a")

        async with PostgresStore(timed(shared(), url, clock)) as store:
            assert await listed(store) == {"a": OLD}

    async def test_many_that_open_at_once_make_one(self, tmp_path: Path, clock: MovableClock) -> None:
        """Several processes that start on an empty database."""
        stores = [postgres(tmp_path, clock=clock) for _ in range(6)]
        await asyncio.gather(*(store.__aenter__() for store in stores))

        await stores[0].create("a", OLD)

        assert [await store.get("a") for store in stores] == [OLD] * 6
        await asyncio.gather(*(store.__aexit__() for store in stores))

    async def test_a_role_that_may_not_make_it_can_use_it(self, clock: MovableClock) -> None:
        """Nothing is asked for but the four verbs of SQL on the one table."""
        url = database("theirs")
        async with PostgresStore(url):
            pass
        async with connected(url) as owner:
            await owner.execute(
                "DROP ROLE IF EXISTS guest; CREATE ROLE guest LOGIN; REVOKE CREATE ON SCHEMA public FROM PUBLIC"
            )
            await owner.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON session TO guest")

        async with PostgresStore(timed(shared(), url.replace("postgres@", "guest@"), clock)) as store:
            assert await store.create("a", OLD) == OLD
            assert await store.sweep(5) == 0
            await store.clear()
        async with connected(url) as owner:
            await owner.execute("DROP TABLE session; DROP ROLE guest")

    async def test_any_name_will_do(self, clock: MovableClock) -> None:
        """Quoted as it is, in a schema of its own, beside Node's table of the usual name."""
        url = database("named")
        async with connected(url) as owner:
            await owner.execute("""CREATE SCHEMA "o'th$make$er"; """)
        names: dict[str, Any] = {"table": "we\"ird 'é", "schema": "o'th$make$er"}
        async with PostgresStore(url), PostgresStore(timed(shared(), url, clock), **names) as store:
            assert await store.create("a", OLD) == OLD
            clock.now = LATER
            assert await store.sweep(5) == 1

    async def test_a_table_that_went_away_is_no_passing_outage(self, store: PostgresStore) -> None:
        """If the table is dropped while the store is open, no error asks to try again; sessions work once it is back."""
        async with connected() as other:
            await other.execute(f"ALTER TABLE {table(store)} RENAME TO away")
            with pytest.raises(StoreError, match="does not exist") as caught:
                await store.get("a")
            assert await outcome(store.create("a", OLD)) is StoreError
            await other.execute(f"ALTER TABLE away RENAME TO {table(store)}")

        assert not isinstance(caught.value, StoreUnavailable)
        assert await store.create("a", OLD) == OLD


class TestNode:
    """Rows that Node writes with its own statements, and reads with them."""

    async def test_what_node_writes_is_read(self, store: PostgresStore) -> None:
        """The text to the character, the end to the second."""
        text = '{"cookie":{"originalMaxAge":60000},"é": [1,  2]}'
        async with connected() as node:
            await node.execute(NODE_SET.format(table(store)), text, LATER // 1000, "a")

        assert await store.get("a") == StoredSession(text, LATER)
        assert await store.update("a", NEW, StoredSession(text, LATER)) == Update(Outcome.SAVED, NEW)

    async def test_what_is_written_node_reads(self, store: PostgresStore) -> None:
        """Until the second that holds its end."""
        await store.create("a", StoredSession(OLD.data, LATER + 1))
        async with connected() as node:
            seen = [await node.fetchval(NODE_GET.format(table(store)), "a", LATER // 1000 + each) for each in (0, 1)]

        assert seen == [OLD.data, None]

    async def test_nodes_touch_counts(self, store: PostgresStore, clock: MovableClock) -> None:
        """It moves the end and leaves the text."""
        await store.create("a", OLD)
        async with connected() as node:
            await node.execute(NODE_TOUCH.format(table(store)), (LATER + MINUTE) // 1000, "a")
        clock.now = LATER

        assert await store.get("a") == OLD._replace(expires_at=LATER + MINUTE)

    @pytest.mark.parametrize("end", ["2030-03-17 18:00:00.0004999", "2030-03-17 18:00:00.9996", "infinity"])
    async def test_a_touch_compares_the_end_as_it_was_read(self, store: PostgresStore, end: str) -> None:
        """Whoever wrote it, and however finely."""
        async with connected() as other:
            await other.execute(f"INSERT INTO {table(store)} VALUES ('a', '1', '{end}')")
        read = await store.get("a")
        assert read is not None

        assert await store.touch("a", LATER, read) == Update(Outcome.SAVED, StoredSession("1", LATER))

    async def test_a_touch_that_node_made_before_is_a_conflict(self, store: PostgresStore) -> None:
        await store.create("a", OLD)
        async with connected() as node:
            await node.execute(NODE_TOUCH.format(table(store)), (LATER + MINUTE) // 1000, "a")

        assert await store.touch("a", LATER + 1, OLD) == Update(
            Outcome.CONFLICT, OLD._replace(expires_at=LATER + MINUTE)
        )

    async def test_a_touch_leaves_the_text_that_node_wrote(self, store: PostgresStore) -> None:
        """A change that kept the expiry goes unseen, and is not written over: the next update finds it."""
        await store.create("a", OLD)
        async with connected() as node:
            await node.execute(NODE_SET.format(table(store)), OTHER.data, LATER // 1000, "a")
        touched = await store.touch("a", LATER + 1, OLD)
        assert touched.record is not None

        newer = OTHER._replace(expires_at=LATER + 1)
        assert await store.update("a", NEW, touched.record) == Update(Outcome.CONFLICT, newer)

    async def test_an_end_that_is_infinite_is_javascripts_last(self, store: PostgresStore) -> None:
        """By hand only; it neither breaks the reading of others nor is it swept."""
        await store.create("a", OLD)
        async with connected() as other:
            await other.execute(f"INSERT INTO {table(store)} VALUES ('b', '1', 'infinity'), ('c', '2', '-infinity')")

        assert await listed(store) == {"a": OLD, "b": StoredSession("1", 8_640_000_000_000_000)}
        assert await store.sweep(5) == 1


class TestRefused:
    """What a row cannot hold."""

    async def test_a_bad_text_fails_alone(self, store: PostgresStore) -> None:
        """Of calls that arrive together the others are done."""
        calls = [store.create(f"id-{n}", OLD if n != 3 else StoredSession('{"hush', LATER)) for n in range(8)]

        assert await asyncio.gather(*map(outcome, calls)) == [OLD] * 3 + [StoreError] + [OLD] * 4

    async def test_an_error_does_not_show_what_was_refused(self, store: PostgresStore) -> None:
        """PostgreSQL quotes it in the lines that follow its message: neither our error nor its traceback has them."""
        with pytest.raises(StoreError, match=r"invalid input syntax for type json$") as caught:
            await store.create("the-id", StoredSession('{"hush": hush}', LATER))

        assert type(caught.value.__cause__).__name__ == "InvalidTextRepresentationError"
        text = "".join(traceback.format_exception(caught.value))
        assert "hush" not in text.replace("'{\"hush\": hush}'", "")
        assert "the-id" not in text.replace('"the-id", StoredSession', "")

    @pytest.mark.parametrize("expires_at", [10**17, -(10**17), 10**400])
    async def test_a_time_beyond_every_calendar_is_refused(self, store: PostgresStore, expires_at: int) -> None:
        """PostgreSQL's own ends in the year 294276."""
        with pytest.raises(StoreError) as caught:
            await store.create("a", OLD._replace(expires_at=expires_at))

        assert not isinstance(caught.value, StoreUnavailable)

    async def test_an_id_too_long_for_the_index_is_refused(self, store: PostgresStore) -> None:
        """A `genid` of kilobytes that no compression shortens."""
        sid = "".join(chr(0x4E00 + n * 7919 % 20_000) for n in range(4_000))

        assert await outcome(store.create(sid, OLD)) is StoreError
        assert await store.get(sid) is None


class TestStatements:
    """How much is asked of the server."""

    async def test_calls_that_wait_together_are_one_statement(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of each verb; the first call goes alone, since it need not wait."""
        await asyncio.gather(*(store.create(f"id-{n}", OLD) for n in range(100)))
        asked: list[str] = []
        fetch = asyncpg.Connection.fetch

        async def noting(connection: Any, sql: str, *arguments: Any, **options: Any) -> Any:
            asked.append(sql)
            return await fetch(connection, sql, *arguments, **options)

        monkeypatch.setattr(asyncpg.Connection, "fetch", noting)
        await asyncio.gather(
            *(store.get(f"id-{n}") for n in range(100)), *(store.update(f"id-{n}", NEW, OLD) for n in range(50)),
            *(store.touch(f"id-{n}", LATER, OLD) for n in range(50, 100)),
        )  # fmt: skip

        assert len(asked) <= 2 + 4

    async def test_a_call_that_finds_what_it_expects_is_one_statement(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And a touch does not send the text."""
        asked: list[tuple[Any, ...]] = []
        fetch = asyncpg.Connection.fetch

        async def noting(connection: Any, sql: str, *arguments: Any, **options: Any) -> Any:
            asked.append(arguments)
            return await fetch(connection, sql, *arguments, **options)

        monkeypatch.setattr(asyncpg.Connection, "fetch", noting)
        await store.create("a", OLD)
        await store.touch("a", LATER + 1, OLD)
        await store.update("a", NEW, OLD)
        await store.get("a")
        await store.destroy("a")

        sids = ("a",)
        assert [[tuple(each) if isinstance(each, list) else each for each in arguments] for arguments in asked] == [
            [sids, (f"{LATER}",), (OLD.data,)],
            [sids, (f"{LATER + 1}",), (f"{LATER}",)],
            [sids, (f"{NEW.expires_at}",), (NEW.data,), (OLD.data,)],
            [sids],
            [sids],
        ]

    async def test_no_more_connections_than_the_pool_has(self, clock: MovableClock) -> None:
        """Whatever is asked for at once."""
        counted = timed(shared(), f"{shared().url}&application_name=counted", clock)
        async with PostgresStore(counted, table="counted", pool=4, timeout=30_000) as store:
            calls: list[Any] = [store.set(f"id-{n}", OLD) for n in range(300)] + [store.get("id-1") for _ in range(300)]
            await asyncio.gather(*calls, *(store.length() for _ in range(30)), *(store.backlog(9) for _ in range(30)))
            async with connected() as other:
                used = await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'counted'")

        assert 2 <= used <= 4

    async def test_clear_goes_in_steps(self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each is a transaction by itself, so that a million rows are never held at once; all are gone at its end."""
        monkeypatch.setattr(postgres_store, "_CLEARED", 10)
        await asyncio.gather(*(store.create(f"{n}", OLD) for n in range(35)))
        seen: list[int] = []
        query = store._query

        async def noting(sql: str, *arguments: Any, **options: Any) -> Any:
            rows = await query(sql, *arguments, **options)
            async with connected() as other:
                seen.append(await other.fetchval(f"SELECT count(*) FROM {table(store)}"))
            return rows

        monkeypatch.setattr(store, "_query", noting)
        await store.clear()

        assert seen == [25, 15, 5, 0]

    @pytest.mark.parametrize("number", [0, 1, 9, 10, 11, 20])
    async def test_clear_ends_with_the_last_row(
        self, store: PostgresStore, monkeypatch: pytest.MonkeyPatch, number: int
    ) -> None:
        """However many there are; an id may be empty, or begin with any character."""
        monkeypatch.setattr(postgres_store, "_CLEARED", 10)
        ids = ["", " ", "~", "é", "\U0001f600", *(f"{n}" for n in range(15))][:number]
        await asyncio.gather(*(store.create(sid, OLD) for sid in ids))
        await store.clear()

        assert await store.length() == 0

    async def test_what_nobody_waits_for_leaves_connections_to_the_others(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        """Counts of millions, one after another: a rename, which shares their connections, waits for none of them."""
        async with postgres(tmp_path, clock, pool=4) as store:
            made = await store.set("a", OLD)
            counts = [asyncio.ensure_future(store._query("SELECT pg_sleep(0.5)")) for _ in range(5)]
            await asyncio.sleep(0.1)
            renamed = await store.rename("a", "b", NEW, made)

            assert renamed.outcome is Outcome.SAVED
            assert [count.done() for count in counts] == [False] * 5
            await asyncio.gather(*counts)

    async def test_a_statement_that_takes_too_long_is_ended_by_the_server(
        self, tmp_path: Path, clock: MovableClock
    ) -> None:
        """Nothing goes on behind the back of somebody who was answered 503."""
        async with postgres(tmp_path, timeout=2_000, clock=clock) as store:
            with pytest.raises(StoreUnavailable, match="statement timeout"):
                await store._query("SELECT pg_sleep(30)")
            async with connected() as other:
                assert (
                    await other.fetchval(
                        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)' AND state = 'active'"
                    )
                    == 0
                )
            assert await store.create("a", OLD) == OLD

    async def test_a_caller_that_leaves_takes_its_connection_along(self, store: PostgresStore) -> None:
        """A count that nobody waits for any more: its answer never is another's."""
        for _ in range(5):
            task = asyncio.ensure_future(store.length())
            await asyncio.sleep(0)
            await asyncio.sleep(0.002)
            task.cancel()
            await asyncio.wait([task])

            assert await store.backlog(5) == 0
        await store.create("a", OLD)
        assert await store.length() == 1


async def test_closed_is_said_and_not_ready(tmp_path: Path) -> None:
    """Before it is opened and after it was closed; it can be opened again."""
    store = postgres(tmp_path)
    assert not store.ready
    with pytest.raises(StoreUnavailable, match="the store was never opened; open it by `async with store:`"):
        await store.get("a")
    async with store:
        assert store.ready
        await store.create("a", StoredSession("1", 10**15))
    assert not store.ready
    for call in (store.get("a"), store.set("a", OLD), store.length(), store.sweep(1)):
        with pytest.raises(StoreUnavailable, match="the store is closed"):
            await call
    async with store:
        assert await store.length() == 1


async def test_closing_finishes_what_is_under_way(tmp_path: Path, clock: MovableClock) -> None:
    """What was asked for before is answered."""
    store = await postgres(tmp_path, clock=clock).__aenter__()
    writes = [asyncio.ensure_future(store.create(f"id-{n}", OLD)) for n in range(300)]
    await asyncio.sleep(0)
    await store.__aexit__()

    assert await asyncio.gather(*writes) == [OLD] * 300
    assert not store.ready
