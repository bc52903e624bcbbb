"""Connections to PostgreSQL that end or are given up: without noise, and nothing is written twice or afterwards."""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from interop.processes import wait_until
from tornado.ioloop import IOLoop

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore, connections

from .postgres_client import connected
from .postgres_server import Server, fragile
from .support import listed, outcome

SECONDS = 30.0
"""Until something must have happened, far above what it takes."""

OLD, NEW = (StoredSession(f'{{"n":{n}}}', 4_000_000_000_000) for n in (1, 2))


@pytest.fixture
def server() -> Server:
    """A server that a test may treat badly, with no table."""
    fragile().sql("DROP TABLE IF EXISTS session")
    return fragile()


@asynccontextmanager
async def breaking(server: Server) -> AsyncIterator[tuple[str, asyncio.Event]]:
    """A URL that leads to the server, and what breaks each connection when an answer comes."""
    is_broken = asyncio.Event()
    tasks = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with suppress(OSError):
            while (data := await reader.read(65_536)) and not (answers and is_broken.is_set()):
                writer.write(data)
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", server.port)
        tasks.add(asyncio.create_task(pass_on(reader, far_writer, answers=False)))
        tasks.add(asyncio.create_task(pass_on(far_reader, writer, answers=True)))

    async with await asyncio.start_server(connect, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        yield server.tcp_url.replace(f":{server.port}/", f":{port}/"), is_broken
    await asyncio.gather(*tasks)


class TestEnded:
    """The server ends connections by a command."""

    @pytest.mark.parametrize("by", ["tcp_url", "url"])
    @pytest.mark.parametrize("turns", range(4))
    @pytest.mark.parametrize("verb", ["get", "create", "rename"])
    async def test_an_end_that_the_loop_has_not_seen_is_noticed(
        self, server: Server, verb: str, turns: int, by: str
    ) -> None:
        """Or only a part of it: nothing is sent, and the call goes on with a fresh connection."""
        async with PostgresStore(getattr(server, by), pool=3) as store:
            made = await store.set("old", OLD)
            await store.get("old")
            calls: dict[str, Callable[[], Any]] = {
                "get": lambda: store.get("old"),
                "create": lambda: store.create("new", OLD),
                "rename": lambda: store.rename("old", "new", OLD, made),
            }
            others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            server.sql(f"SELECT pg_terminate_backend(pid) {others}")
            wait_until(lambda: server.sql(f"SELECT count(*) {others}") == "0", SECONDS)
            for _ in range(turns):
                await asyncio.sleep(0)
            answer = await calls[verb]()

            assert answer == (Update(Outcome.SAVED, OLD) if verb == "rename" else OLD)

    @pytest.mark.parametrize("verb", ["update", "rename", "destroy"])
    async def test_what_is_unknown_is_not_tried_again(self, server: Server, verb: str) -> None:
        """The connection breaks before the answer comes: the row is written once, and no answer says that it is not."""
        async with breaking(server) as (url, is_broken), PostgresStore(url, timeout=2_000, pool=3) as store:
            calls: dict[str, Callable[[str], Any]] = {
                "update": lambda sid: store.update(sid, NEW, OLD),
                "rename": lambda sid: store.rename(sid, f"new {sid}", NEW, OLD),
                "destroy": store.destroy,
            }
            for sid in ("a", "b"):
                await store.set(sid, OLD)
            await calls[verb]("a")  # which prepares the statement
            is_broken.set()
            with pytest.raises(StoreUnavailable, match=r"connection was closed in the middle of operation$"):
                await calls[verb]("b")
            is_broken.clear()

            left: dict[str, Any] = {
                "update": {"a": NEW, "b": NEW},
                "rename": {"new a": NEW, "new b": NEW},
                "destroy": {},
            }
            assert await listed(store) == left[verb]


class TestGivenUp:
    """Connections on which nobody waits any more: no task and no close() raises, whatever the server does."""

    @pytest.fixture
    def raised(self, io_loop: IOLoop) -> Iterator[list[str]]:
        """What the loop's handler got of exceptions that nobody awaits."""
        raised: list[str] = []
        loop = io_loop.asyncio_loop  # type: ignore[attr-defined] # of Tornado's asyncio loops
        loop.set_exception_handler(
            lambda _, context: raised.append(f"{context['message']}: {context.get('exception')!r}")
        )
        yield raised
        loop.set_exception_handler(None)

    @pytest.mark.parametrize("by", ["tcp_url", "url"])
    @pytest.mark.parametrize("pause", [0.0, 0.2, 0.6])
    async def test_a_frozen_server_makes_no_noise(
        self, server: Server, raised: list[str], pause: float, by: str
    ) -> None:
        """Neither what is given up, nor closing the store while, or soon after, that happens."""
        store = await PostgresStore(getattr(server, by), timeout=200).__aenter__()
        await asyncio.gather(store.get("old"), store.set("old", OLD), store.backlog(5))
        server.pause()
        try:
            calls = [outcome(call) for call in (store.get("old"), store.create("new", OLD), store.backlog(5))]
            answers = await asyncio.gather(*calls)
            await asyncio.sleep(pause)
            await store.__aexit__()
        finally:
            server.resume()
        await asyncio.sleep(0.1)
        gc.collect()
        await asyncio.sleep(0)

        assert answers == [StoreError] * 3
        assert raised == []

    @pytest.mark.parametrize("turns", [0, 1, 3, 10])
    async def test_callers_that_leave_a_frozen_server_make_no_noise(
        self, server: Server, raised: list[str], turns: int
    ) -> None:
        """However far their calls have come, and whether it wakes before the store is closed or afterwards."""
        store = await PostgresStore(server.tcp_url, timeout=300).__aenter__()
        made = await store.set("old", OLD)
        server.pause()
        try:
            calls = [store.length(), store.get("old"), store.rename("old", "new", NEW, made)]
            tasks = [asyncio.ensure_future(call) for call in calls]
            for _ in range(turns):
                await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if turns % 2:
                server.resume()
            await store.__aexit__()
        finally:
            server.resume()
        await asyncio.sleep(0.1)
        gc.collect()
        await asyncio.sleep(0)

        assert raised == []

    async def test_a_killed_server_makes_no_noise(self, server: Server, raised: list[str]) -> None:
        """Its connections end under calls that are under way, and while the store is closed."""
        store = await PostgresStore(server.tcp_url, timeout=1_000).__aenter__()
        await store.set("old", OLD)
        under_way = [asyncio.ensure_future(outcome(store._query("SELECT pg_sleep(9)"))) for _ in range(2)]
        await asyncio.sleep(0.1)
        server.kill()
        try:
            answers = await asyncio.gather(*under_way, outcome(store.get("old")))
            await store.__aexit__()
        finally:
            server.start()
        gc.collect()
        await asyncio.sleep(0)

        assert answers == [StoreError] * 3
        assert raised == []

    async def test_nothing_is_written_after_a_failure(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """Also if PostgreSQL does not end the statement by itself: the store cancels it, and it has ended."""
        limits = connections._session
        monkeypatch.setattr(connections, "_session", lambda *_: limits(60_000, 60_000, 60_000))
        monkeypatch.setattr(connections, "_STOP", SECONDS)
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        async with PostgresStore(server.url, timeout=500) as store, connected(server.url) as other:
            await store.set("old", OLD)
            async with other.transaction():
                await other.execute("SELECT 1 FROM session WHERE sid = 'old' FOR UPDATE")
                with pytest.raises(StoreUnavailable, match="no answer in time"):
                    await store.rename("old", "new", NEW, OLD)
                left = await other.fetchval(waiting)

            assert left == 0
            assert await listed(store) == {"old": OLD}

    async def test_what_comes_too_late_is_not_begun(self, server: Server) -> None:
        """Its time passed while it waited for a connection: the server is as well as ever, and the connection stays."""
        async with PostgresStore(server.url, timeout=300, pool=3) as store, connected(server.url) as other:
            made = await store.set("old", OLD)
            busy = asyncio.ensure_future(store._query("SELECT pg_sleep(0.5)", patience=2_000))
            await asyncio.sleep(0.05)
            with pytest.raises(StoreUnavailable, match="no answer in time"):
                await store.rename("old", "new", NEW, made)
            is_ready = store.ready
            await busy
            asked = await other.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%tombstone%job.new%'")

            assert is_ready
            assert asked == 1  # this very question
            assert await store.get("old") == OLD
