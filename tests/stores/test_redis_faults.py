"""A real Redis server that is killed, paused, cut off, full, read-only or locked: our errors in time, and recovery by itself."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import redis as driver
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import GONE, Outcome, StoredSession
from sessions.stores.redis import RedisStore, one_server
from sessions.timeout import Deadline

from .redis_server import RedisCluster, RedisServer
from .support import opened, until, until_works

TEXT = '{"n":1}'
GENEROUS = 60.0
"""Seconds within which a busy machine gets anything done."""


def stored(data: str = TEXT) -> StoredSession:
    """A record that outlives the test."""
    return StoredSession(data, now_ms() + 3_600_000)


@pytest.fixture(autouse=True)
def _a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that has found nobody is not ready for longer than a busy machine takes to look at it."""
    monkeypatch.setattr(one_server, "RETRY_SECONDS", 5.0)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    """A server of the test's own, to be harmed."""
    with RedisServer(appendonly="yes", appendfsync="always") as server:
        yield server


@pytest.fixture
def redis(io_loop: IOLoop, server: RedisServer) -> Iterator[RedisStore]:
    """A store on it, which waits a second for a reply."""
    with opened(io_loop, RedisStore(server.url, timeout=1_000)) as store:
        yield store


async def unavailable(call: Any) -> StoreUnavailable:
    """The error of a call that has to fail for the moment, with its cause."""
    with pytest.raises(StoreUnavailable) as failure:
        await call
    assert failure.value.__cause__ is not None
    return failure.value


def alone(server: RedisServer) -> bool:
    """True if the test's own client is the only one."""
    return len(server.admin.client_list()) == 1


async def recovered(redis: RedisStore) -> None:
    """Return once the store is served again, by nothing but being asked."""
    await until_works(lambda: asyncio.gather(redis.get("nobody"), redis.destroy("nobody")), GENEROUS)


async def test_a_killed_server_is_unavailable_and_what_it_had_acknowledged_is_there_again(
    redis: RedisStore, server: RedisServer
) -> None:
    """With a log that is written through (appendfsync always), as with any restart on the same data."""
    await redis.create("a", stored())
    server.kill()

    await unavailable(redis.get("a"))
    await unavailable(redis.create("b", stored()))
    assert redis.ready is False

    server.start()
    await recovered(redis)
    assert redis.ready is True
    assert (await redis.update("a", stored("new"), stored())).outcome is Outcome.SAVED


async def test_a_server_that_comes_back_empty_has_no_sessions(redis: RedisStore, server: RedisServer) -> None:
    """What is lost is lost: nobody's late write brings it back."""
    await redis.create("a", stored())
    server.kill()
    for file in server.folder.rglob("*.aof*"):
        file.unlink()
    server.start()
    await recovered(redis)

    assert await redis.get("a") is None
    assert await redis.update("a", stored("new"), stored()) == GONE
    assert await redis.touch("a", now_ms() + 1_000, stored()) == GONE
    assert await redis.rename("a", "b", stored("new"), stored()) == GONE
    assert server.command("DBSIZE") == 0


async def test_an_idle_connection_that_was_closed_meanwhile_costs_nobody_an_error(
    redis: RedisStore, server: RedisServer
) -> None:
    """By a restart, or a proxy's idle limit: the store looks before it uses a connection that has rested."""
    await redis.create("a", stored())
    await redis.get("a")
    server.hang_up()
    await asyncio.sleep(0.6)  # the connections' rest

    assert (await redis.get("a") or stored("?")).data == TEXT
    assert (await redis.update("a", stored("new"), stored())).outcome is Outcome.SAVED


async def test_connections_cut_under_way_fail_their_calls_and_no_others(redis: RedisStore, server: RedisServer) -> None:
    """Every call ends, with its own outcome or an error, and no acknowledged change is missing."""
    await redis.create("a", stored("0"))
    acknowledged, failed = 0, 0
    for n in range(60):
        current = await asyncio.gather(redis.get("a"), return_exceptions=True)
        if n % 5 == 0:
            server.hang_up()
        match current:
            case [StoredSession() as row]:
                try:
                    update = await redis.update("a", stored(str(int(row.data) + 1)), row)
                    acknowledged += update.outcome is Outcome.SAVED
                except StoreUnavailable:
                    failed += 1
            case [error]:
                assert isinstance(error, StoreUnavailable)

    await recovered(redis)
    final = await redis.get("a")
    assert final is not None
    assert acknowledged <= int(final.data) <= acknowledged + failed
    assert failed > 0


async def test_a_paused_server_is_unavailable_in_time(redis: RedisStore, server: RedisServer) -> None:
    """SIGSTOP: the connection stays, nobody answers; the store gives up after its timeout, well before the session's."""
    await redis.create("a", stored())
    server.pause()
    try:
        begin = time.monotonic()
        errors = await asyncio.gather(unavailable(redis.get("a")), unavailable(redis.set("b", stored())))
        took = time.monotonic() - begin

        assert [str(error) for error in errors] == [f"{redis.name}: did not answer in time"] * 2
        assert 0.9 < took < 30
        assert redis.ready is False
        await until(lambda: redis.ready, GENEROUS)  # another try may be made
    finally:
        server.go_on()

    await recovered(redis)
    assert (await redis.get("a") or stored("?")).data == TEXT


async def test_the_sessions_deadline_holds_whatever_the_store_waits_for(server: RedisServer) -> None:
    """Where `storeTimeout` is below the store's own timeout it cuts the call, and the store is sound afterwards."""
    async with RedisStore(server.url, timeout=2_000) as redis:
        await redis.create("a", stored())
        server.pause()
        try:
            with pytest.raises(StoreUnavailable, match="whether a change was saved is unknown"):
                await Deadline(0.05).keep(redis.get("a"))
        finally:
            server.go_on()

        await recovered(redis)
        assert (await redis.get("a") or stored("?")).data == TEXT


async def test_a_late_reply_is_nobody_elses(redis: RedisStore, server: RedisServer) -> None:
    """What a paused server answers after the call was given up reaches no other call: each gets its own."""
    rows = {f"id-{n}": stored(f'"{n}"') for n in range(40)}
    await asyncio.gather(*(redis.create(sid, row) for sid, row in rows.items()))
    for _ in range(3):
        server.pause()
        late = [asyncio.ensure_future(redis.get(sid)) for sid in rows]
        try:
            await asyncio.wait(late)
        finally:
            server.go_on()
        await recovered(redis)
        assert all(isinstance(each.exception(), StoreUnavailable) for each in late)

        found = await asyncio.gather(*map(redis.get, rows))
        assert [row.data for row in found if row] == [row.data for row in rows.values()]


async def test_an_unknown_outcome_is_reported(redis: RedisStore, server: RedisServer) -> None:
    """A write that a paused server does later is done once, and its caller got StoreUnavailable."""
    await redis.create("a", stored("0"))
    server.pause()
    try:
        await unavailable(redis.update("a", stored("1"), stored("0")))
    finally:
        server.go_on()
    await recovered(redis)

    async with asyncio.timeout(GENEROUS):
        while (row := await redis.get("a")) is not None and row.data == "0":
            await asyncio.sleep(0.01)  # the command lies in the server's buffer, or was dropped with the connection
            if (await redis.update("a", stored("1"), stored("0"))).outcome is Outcome.SAVED:
                break
    row = await redis.get("a")
    assert row is not None
    assert row.data == "1"
    assert (await redis.update("a", stored("2"), stored("0"))).outcome is Outcome.CONFLICT


async def test_a_wrong_password_is_named_and_never_shown() -> None:
    """At the start, and when it is changed while the store is open; right again, the store goes on."""
    with RedisServer(requirepass="of-the-server") as server:
        for url in (server.url, server.url.replace("//", "//:not-the-servers@")):
            with pytest.raises(StoreUnavailable) as refusal:
                await RedisStore(url).__aenter__()
            assert str(refusal.value).startswith(f"redis at 127.0.0.1:{server.port}: ")
            assert "not-the-servers" not in f"{refusal.value}{refusal.value.__cause__}"
        async with RedisStore(server.url.replace("//", "//:of-the-server@")) as redis:
            await redis.create("a", stored())
            server.command("CONFIG", "SET", "requirepass", "another")
            server.hang_up()
            await asyncio.sleep(0.6)
            error = await unavailable(redis.get("a"))
            assert "of-the-server" not in f"{error}{error.__cause__}"
            server.kill()
            server.start()
            await recovered(redis)


async def test_a_read_only_replica_serves_reads_and_refuses_writes(server: RedisServer, redis: RedisStore) -> None:
    """Its master gone elsewhere (REPLICAOF): 503 for who changes something, and the store stays ready for who reads."""
    await redis.create("a", stored())
    with RedisServer() as replica:
        replica.command("REPLICAOF", "127.0.0.1", server.port)
        await until(lambda: replica.admin.info("replication")["master_link_status"] == "up", GENEROUS)
        async with RedisStore(replica.url) as reader:
            assert (await reader.get("a") or stored("?")).data == TEXT
            for call in (reader.set("b", stored()), reader.update("a", stored("new"), stored()), reader.destroy("a")):
                with pytest.raises(StoreUnavailable, match="READONLY"):
                    await call
            assert reader.ready is True
            assert (await reader.get("a") or stored("?")).data == TEXT

            replica.command("REPLICAOF", "NO", "ONE")
            assert (await reader.update("a", stored("new"), stored())).outcome is Outcome.SAVED


async def test_a_cluster_store_that_has_failed_leaves_no_connection_open() -> None:
    """It is closed right after a node did not answer, when redis-py wants to learn the nodes again."""
    with RedisCluster() as servers:
        async with RedisStore(servers.url, timeout=2_500) as store:
            await asyncio.gather(*(store.create(f"{n}", stored()) for n in range(20)))
            servers.masters[0].pause()
            outcomes = await asyncio.gather(*(store.get(f"{n}") for n in range(20)), return_exceptions=True)
            servers.masters[0].go_on()

        assert StoreUnavailable in map(type, outcomes)
        for server in servers.masters:
            await until(partial(alone, server), GENEROUS)


async def test_a_full_server_refuses_what_needs_room(redis: RedisStore, server: RedisServer) -> None:
    """With maxmemory and noeviction: a new or changed session is a 503; reads and sign-outs go on; with room all do."""
    await redis.create("a", stored())
    server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    server.command("CONFIG", "SET", "maxmemory", "1kb")
    for call in (redis.create("b", stored()), redis.update("a", stored("new"), stored()), redis.set("c", stored())):
        with pytest.raises(StoreUnavailable, match="OOM"):
            await call

    assert redis.ready is True
    assert (await redis.get("a") or stored("?")).data == TEXT
    await redis.destroy("a")
    assert await redis.get("a") is None
    server.command("CONFIG", "SET", "maxmemory", "0")
    assert await redis.create("b", stored()) is not None


async def test_a_server_that_runs_another_script_is_busy(redis: RedisStore, server: RedisServer) -> None:
    """It answers BUSY at once, and the store is there again when the script was killed."""
    await redis.create("a", stored())
    server.command("CONFIG", "SET", "lua-time-limit", "20")
    running = asyncio.ensure_future(asyncio.to_thread(_never_end, server))
    try:
        async with asyncio.timeout(GENEROUS):
            said = ""
            while "BUSY" not in said:
                said = str(await _error(redis.get("a")))
    finally:
        server.command("SCRIPT", "KILL")
        await running

    await recovered(redis)
    assert (await redis.get("a") or stored("?")).data == TEXT


def _never_end(server: RedisServer) -> None:
    """A script of somebody else's."""
    with driver.Redis(port=server.port) as other, suppress(driver.ResponseError):
        other.eval("while true do end", 0)


async def _error(call: Any) -> Exception | None:
    """The error of a call that may fail."""
    try:
        await call
    except StoreUnavailable as error:
        return error
    return None
