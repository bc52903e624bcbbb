"""A PostgreSQL server in trouble: killed, frozen, cut off, full, read-only, locked up. What is said, and how it ends."""

import asyncio
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from clock import MovableClock
from tornado.ioloop import IOLoop

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.postgres import PostgresStore
from sessions.stores.postgres.connections import UPKEEP

from .postgres_server import PASSWORD, Server, fragile
from .postgres_time import timed
from .support import LATER, NEW, OLD, listed, opened, outcome, until

SECONDS = 60.0
"""Until the store must be back, far above the second that it takes."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that a test may treat badly, with no table."""
    server = fragile()
    server.sql("DROP TABLE IF EXISTS session")
    yield server
    assert server.sql("SHOW default_transaction_read_only") == "off"


@pytest.fixture
def store(io_loop: IOLoop, server: Server, clock: MovableClock) -> Iterator[PostgresStore]:
    """The store, by TCP and with its password."""
    with opened(io_loop, PostgresStore(timed(server, server.tcp_url, clock), timeout=2_000)) as store:
        io_loop.run_sync(partial(store.create, "old", OLD))
        yield store


def every_verb(store: PostgresStore) -> list[Any]:
    """A call of each."""
    return [
        store.get("old"), store.create("new", OLD), store.update("old", NEW, OLD), store.set("put", NEW),
        store.touch("old", LATER, OLD), store.rename("old", "renamed", NEW, OLD), store.destroy("old"), store.length(), store.clear(), store.sweep(5),
        store.backlog(5), anext(store.all()),
    ]  # fmt: skip


async def back(store: PostgresStore) -> None:
    """Return when it answers again, and says that it is ready."""
    async with asyncio.timeout(SECONDS):
        while await outcome(store.get("nobody")) is StoreError:  # noqa: ASYNC110 # nobody tells when it is back
            await asyncio.sleep(0.05)
    await until(lambda: store.ready, SECONDS)


async def cut_off(server: Server) -> None:
    """End every connection, and return when the store can know."""
    others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
    server.sql(f"SELECT pg_terminate_backend(pid) {others}")
    await until(lambda: server.sql(f"SELECT count(*) {others}") == "0", SECONDS)
    await asyncio.sleep(0.05)


class TestKilled:
    """Every process of the server is gone at once."""

    async def test_every_call_is_unavailable_and_what_was_acknowledged_is_there_again(
        self, store: PostgresStore, server: Server
    ) -> None:
        """No foreign error, no password in ours; after its restart the store comes back by itself."""
        await asyncio.gather(*(store.create(f"id-{n}", OLD) for n in range(50)))
        server.kill()
        try:
            errors = await asyncio.gather(*every_verb(store), return_exceptions=True)
            again = await asyncio.gather(*every_verb(store), return_exceptions=True)
            assert not store.ready
        finally:
            server.start()

        assert {type(each) for each in [*errors, *again]} == {StoreUnavailable}
        assert not [each for each in errors if PASSWORD in str(each)]
        await back(store)
        assert set(await listed(store)) == {"old", *(f"id-{n}" for n in range(50))}

    async def test_under_way_it_is_unknown_and_never_done_twice(self, store: PostgresStore, server: Server) -> None:
        """Counting on until it is killed: of what was acknowledged nothing is missing, and at most one step is more."""
        await store.create("n", StoredSession("0", LATER))
        acknowledged = 0

        async def kill() -> None:
            await until(lambda: acknowledged >= 5, SECONDS)
            server.kill()

        killed = asyncio.ensure_future(kill())
        try:
            for n in range(1_000_000):
                update = await store.update("n", StoredSession(f"{n + 1}", LATER), StoredSession(f"{n}", LATER))
                assert update.outcome is Outcome.SAVED
                acknowledged = n + 1
        except StoreUnavailable:
            pass
        finally:
            await killed
            server.start()

        await back(store)
        found = await store.get("n")
        assert found is not None
        assert 5 <= acknowledged <= int(found.data) <= acknowledged + 1

    async def test_a_rename_under_way_is_done_whole_or_not_at_all(self, store: PostgresStore, server: Server) -> None:
        """Renamed on and on until it is killed: one row is there, at most one step further, with all tombstones."""
        await store.create("id-0", OLD)
        acknowledged = 0

        async def kill() -> None:
            await until(lambda: acknowledged >= 5, SECONDS)
            server.kill()

        killed = asyncio.ensure_future(kill())
        try:
            for n in range(1_000_000):
                update = await store.rename(f"id-{n}", f"id-{n + 1}", OLD, OLD, NEW)
                assert update == Update(Outcome.SAVED, OLD)
                acknowledged = n + 1
        except StoreUnavailable:
            pass
        finally:
            await killed
            server.start()

        await back(store)
        sessions = await listed(store)
        (last,) = {int(sid.removeprefix("id-")) for sid, record in sessions.items() if record == OLD and sid != "old"}
        assert 5 <= acknowledged <= last <= acknowledged + 1
        assert sessions == {"old": OLD, f"id-{last}": OLD, **{f"id-{n}": NEW for n in range(last)}}

    async def test_it_is_not_opened_where_there_is_none(self, server: Server) -> None:
        """A start without its database fails, and says where it was looked for."""
        server.kill()
        try:
            with pytest.raises(
                StoreUnavailable, match=rf"^postgresql://127\.0\.0\.1:{server.port}/postgres: .*Connect call failed"
            ):
                await PostgresStore(server.tcp_url).__aenter__()
        finally:
            server.start()


class TestFrozen:
    """Every process of the server is stopped, and its connections stay."""

    async def test_calls_end_in_time_and_it_comes_back(self, store: PostgresStore, server: Server) -> None:
        """Within the limits of the statements of two batches, well before a request's five seconds."""
        await asyncio.gather(*(store.get("old") for _ in range(3)))
        loop = asyncio.get_running_loop()
        server.pause()
        try:
            begun = loop.time()
            errors = await asyncio.gather(
                store.get("old"), store.update("old", NEW, OLD), store.create("new", OLD), return_exceptions=True
            )
            waited = loop.time() - begun
            assert not store.ready
        finally:
            server.resume()

        assert {type(each) for each in errors} == {StoreUnavailable}
        assert 2 < waited < 30
        await back(store)
        assert (await store.get("old")) in (OLD, NEW)

    async def test_a_late_answer_is_nobody_elses(self, store: PostgresStore, server: Server) -> None:
        """What is asked after the pause is answered with its own rows, again and again."""
        for n in range(30):
            await store.set(f"id-{n}", StoredSession(f"{n}", LATER))
        server.pause()
        try:
            late = await asyncio.gather(*(outcome(store.get(f"id-{n}")) for n in range(5)))
        finally:
            server.resume()
        await back(store)

        assert late == [StoreError] * 5
        for n in range(30):
            assert await store.get(f"id-{n}") == StoredSession(f"{n}", LATER)

    async def test_a_caller_that_left_holds_nobody_up(self, store: PostgresStore, server: Server) -> None:
        """Nothing waits afterwards for requests that gave up while the server was stopped."""
        server.pause()
        try:
            tasks = [asyncio.ensure_future(store.update("old", NEW, OLD)) for _ in range(40)]
            await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        finally:
            server.resume()

        await back(store)
        assert await store.set("after", OLD) == OLD

    async def test_closing_does_not_wait_for_it(self, server: Server, clock: MovableClock) -> None:
        """A server process that is to stop stops."""
        store = await PostgresStore(timed(server, server.tcp_url, clock), timeout=2_000).__aenter__()
        await store.get("old")
        server.pause()
        try:
            async with asyncio.timeout(SECONDS):
                await store.__aexit__()
        finally:
            server.resume()


class TestCutOff:
    """The server ends connections, or takes no new ones."""

    async def test_idle_connections_are_replaced(self, store: PostgresStore, server: Server) -> None:
        """Whoever comes next does not notice, once the loop has seen the connection end."""
        await asyncio.gather(store.get("old"), store.set("a", OLD), store.length())
        await cut_off(server)

        assert await store.get("old") == OLD
        assert await store.create("new", OLD) == OLD

    async def test_one_that_is_cut_off_at_work_is_unavailable(self, store: PostgresStore, server: Server) -> None:
        """The next call has a connection again, and nothing was turned away meanwhile."""
        slow = asyncio.ensure_future(store._query("SELECT pg_sleep(50)", patience=UPKEEP))
        active = "FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(50)' AND state = 'active'"
        await until(lambda: server.sql(f"SELECT count(*) {active}") == "1", SECONDS)
        server.sql(f"SELECT pg_terminate_backend(pid) {active}")

        assert await outcome(slow) is StoreError
        assert store.ready
        assert await store.sweep(5) == 0

    async def test_a_wrong_password_is_said_without_it(self, server: Server) -> None:
        """At the start."""
        with pytest.raises(StoreUnavailable, match="password authentication failed") as caught:
            await PostgresStore(server.url_of("hush-and-wrong")).__aenter__()

        assert "hush" not in str(caught.value)

    async def test_a_password_that_was_changed(self, store: PostgresStore, server: Server) -> None:
        """A store that is connected works on; one that has to connect again is unavailable until the password fits again."""
        assert await store.get("old") == OLD
        server.sql("ALTER ROLE postgres PASSWORD 'another'")
        try:
            assert await store.get("old") == OLD
            await cut_off(server)
            errors = await asyncio.gather(*every_verb(store), return_exceptions=True)
            assert not store.ready
        finally:
            server.sql(f"ALTER ROLE postgres PASSWORD '{PASSWORD}'")

        assert {type(each) for each in errors} == {StoreUnavailable}
        await back(store)
        assert await store.get("old") == OLD


class TestReadOnly:
    """As a standby is, to which a failover may lead."""

    async def test_reads_are_served_and_writes_unavailable(self, store: PostgresStore, server: Server) -> None:
        """Nothing is written, nothing half; when it may write again it does."""
        server.sql("ALTER DATABASE postgres SET default_transaction_read_only = on")
        try:
            await cut_off(server)
            assert await store.get("old") == OLD
            writes = [store.create("new", OLD), store.update("old", NEW, OLD), store.destroy("old"), store.clear()]
            errors = await asyncio.gather(*writes, return_exceptions=True)
            assert store.ready
        finally:
            server.sql("BEGIN READ WRITE; ALTER DATABASE postgres RESET default_transaction_read_only; COMMIT")
            await cut_off(server)

        assert {type(each) for each in errors} == {StoreUnavailable}
        assert all("read-only transaction" in str(each) for each in errors)
        await back(store)
        assert await listed(store) == {"old": OLD}
        assert await store.update("old", NEW, OLD) == Update(Outcome.SAVED, NEW)


def _fill(disk: Path) -> None:
    with (disk / "ballast").open("wb", buffering=0) as ballast:
        try:
            while True:
                ballast.write(bytes(4_096))
        except OSError:
            pass


@contextmanager
def full_disk(server: Server) -> Iterator[None]:
    """The table lies on a small file system in memory, which is full while the block runs."""
    disk = server.folder / "disk"
    space = disk / "space"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "sessions-test", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can be mounted by root only")
    try:
        space.mkdir(mode=0o700)
        owner = server.data.stat()
        os.chown(space, owner.st_uid, owner.st_gid)
        server.sql(f"CREATE TABLESPACE small LOCATION '{space}'")
        server.sql("ALTER TABLE session SET TABLESPACE small")
        _fill(disk)
        yield
        (disk / "ballast").unlink()
        server.sql("ALTER TABLE session SET TABLESPACE pg_default")
        server.sql("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)
        disk.rmdir()


@contextmanager
def quota(server: Server) -> Iterator[None]:
    """No file may grow beyond a megabyte while the block runs: the log's are as large as that."""
    server.stop()
    server.start(largest=1024 * 1024)
    try:
        yield
    finally:
        server.stop()
        server.start()


class TestFull:
    """There is no room for another page of the table."""

    @pytest.mark.parametrize("full", [full_disk, quota], ids=lambda each: each.__name__)
    async def test_writes_are_unavailable_until_there_is_room(
        self, store: PostgresStore, server: Server, full: Callable[[Server], Any]
    ) -> None:
        """What is stored can be read, and ended; nothing that was refused is there later."""
        big = StoredSession(f'"{"x" * 1_000}"', LATER)
        await asyncio.gather(*(store.set(f"id-{n}", big) for n in range(10)))
        with full(server):
            await back(store)
            outcomes: list[Any] = []
            while len(outcomes) < 3_000:
                calls = [store.create(f"more-{n}", big) for n in range(len(outcomes), len(outcomes) + 100)]
                outcomes += await asyncio.gather(*calls, return_exceptions=True)
            errors = [each for each in outcomes if each != big]
            assert await store.get("id-3") == big
            await store.destroy("id-3")
            assert store.ready

        await back(store)
        assert {type(each) for each in errors} == {StoreUnavailable}
        words = r"could not extend file.*: (No space left on device|wrote only \d+ of \d+ bytes.*|File too large)$"
        assert [str(each) for each in errors if not re.search(words, str(each))] == []
        made = {f"more-{n}" for n, each in enumerate(outcomes) if each == big}
        assert set(await listed(store)) == {"old", *(f"id-{n}" for n in range(10) if n != 3), *made}
        assert await store.create("after", big) == big


class TestLocked:
    """Somebody holds the whole table."""

    async def test_everything_ends_in_time_and_nothing_is_written_later(
        self, store: PostgresStore, server: Server
    ) -> None:
        """As while a migration rewrites it."""
        holder = await asyncio.create_subprocess_exec(
            server.program("psql"), "-Xq", server.url, "-c", "BEGIN; LOCK TABLE session; SELECT 'held', pg_sleep(60)",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted AND relation = 'session'::regclass"
            await until(lambda: server.sql(held) == "1", SECONDS)
            calls = [
                store.get("old"),
                store.update("old", NEW, OLD),
                store.create("new", OLD),
                store.destroy("old"),
            ]
            async with asyncio.timeout(SECONDS):
                errors = await asyncio.gather(*calls, return_exceptions=True)
        finally:
            server.sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LOCK TABLE%' AND pid <> pg_backend_pid()"
            )
            await holder.wait()

        assert {type(each) for each in errors} == {StoreUnavailable}
        await back(store)
        assert await listed(store) == {"old": OLD}
