"""A master is killed: Sentinel's replica, or the cluster's, takes its place, and the store finds it by itself."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.redis import RedisStore
from sessions.stores.redis import cluster as redis_cluster

from .redis_server import HOST, RedisCluster, RedisServer, succeeds
from .support import opened, until, until_works

SECONDS = 60.0
"""Within which a replica must have taken over, on a machine that is busy with something else."""

COUNT = 60

kept_trying = partial(until_works, seconds=SECONDS)


def stored(n: int) -> StoredSession:
    """A record that outlives the test."""
    return StoredSession(str(n), now_ms() + 3_600_000)


async def change(store: RedisStore, sid: str, before: int) -> None:
    """Write the next number until it is acknowledged, or is there: a write with no reply may have been done."""

    async def step() -> None:
        row = await store.get(sid)
        assert row is not None, "an acknowledged session is lost"
        if row.data == str(before):
            await store.update(sid, stored(before + 1), row)

    await kept_trying(step)


@pytest.fixture
def sentinel(io_loop: IOLoop) -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, its replica and a sentinel that knows both."""
    with RedisServer(repl_diskless_sync_delay=0) as master, RedisServer() as replica:
        replica.command("REPLICAOF", HOST, master.port)
        io_loop.run_sync(
            lambda: until(lambda: master.admin.info("replication").get("slave0", {}).get("state") == "online", SECONDS)
        )
        watched = {
            "sentinel monitor": f"main {HOST} {master.port} 1",
            "sentinel down-after-milliseconds": "main 500",
            "sentinel failover-timeout": "main 3000",
        }
        with RedisServer("--sentinel", **watched) as sentinel:
            io_loop.run_sync(lambda: until(lambda: _knows_replica(sentinel), SECONDS))
            yield master, replica, sentinel


def _knows_replica(sentinel: RedisServer) -> bool:
    """Whether a sentinel has asked a replica how it is, and it is well."""
    replicas = sentinel.admin.sentinel_slaves("main")
    return [(each["flags"], each["master-link-status"]) for each in replicas] == [("slave", "ok")]


async def test_sentinels_new_master_is_found(sentinel: tuple[RedisServer, RedisServer, RedisServer]) -> None:
    """The store asks Sentinel again when the master is gone; what the replica had is all there, and can be changed."""
    master, replica, watcher = sentinel
    nobody = "127.0.0.1:1"  # another sentinel, which is away
    async with RedisStore(f"redis+sentinel://{nobody},{HOST}:{watcher.port}/main", timeout=2_000) as store:
        await asyncio.gather(*(store.create(f"id-{n}", stored(n)) for n in range(COUNT)))
        assert master.command("DBSIZE") == COUNT
        master.replicate()
        master.kill()

        await asyncio.gather(*(change(store, f"id-{n}", n) for n in range(COUNT)))

        rows = await asyncio.gather(*(store.get(f"id-{n}") for n in range(COUNT)))
        assert [row and int(row.data) - n for n, row in enumerate(rows)] == [1] * COUNT
        assert replica.command("ROLE")[0] == b"master"


async def test_a_master_that_was_demoted_under_an_open_connection_is_left(
    sentinel: tuple[RedisServer, RedisServer, RedisServer],
) -> None:
    """It answers READONLY: the next call asks Sentinel who is the master now."""
    master, replica, watcher = sentinel
    async with RedisStore(f"redis+sentinel://{HOST}:{watcher.port}/main", timeout=2_000) as store:
        await store.create("a", stored(0))
        master.replicate()
        await until(succeeds(lambda: watcher.command("SENTINEL", "FAILOVER", "main")), SECONDS)
        await until(lambda: replica.command("ROLE")[0] == b"master", SECONDS)
        master.command("REPLICAOF", HOST, replica.port)  # as Sentinel itself does, ten seconds later

        await change(store, "a", 0)

        assert await kept_trying(lambda: store.create("b", stored(1))) is not None
        assert replica.command("EXISTS", "sess:b") == 1


async def test_a_service_that_sentinel_does_not_know(sentinel: tuple[RedisServer, RedisServer, RedisServer]) -> None:
    """Is named."""
    with pytest.raises(StoreUnavailable, match=r"redis sentinel .* 'mian'"):
        await RedisStore(f"redis+sentinel://{HOST}:{sentinel[2].port}/mian").__aenter__()


@pytest.fixture
def cluster(io_loop: IOLoop, tmp_path: Path) -> Iterator[tuple[RedisCluster, RedisStore]]:
    """Three masters with a replica each, and a store that knows two of the six."""
    with RedisCluster(replicas=1, cluster_node_timeout=2_000, cluster_require_full_coverage="no") as cluster:
        known = ",".join(f"{HOST}:{server.port}" for server in cluster.masters[:2])
        with opened(io_loop, RedisStore(f"redis+cluster://{known}", timeout=1_500)) as store:
            yield cluster, store


async def test_a_master_that_hangs_is_replaced(cluster: tuple[RedisCluster, RedisStore]) -> None:
    """One that is stopped and keeps its connections: the store learns of its replica, and of its return as one."""
    servers, store = cluster
    ids = [f"id-{n}" for n in range(COUNT)]
    await asyncio.gather(*(store.create(sid, stored(n)) for n, sid in enumerate(ids)))
    for server in servers.masters:
        server.replicate()
    servers.masters[0].pause()
    try:
        await asyncio.gather(*(change(store, sid, n) for n, sid in enumerate(ids)))
    finally:
        servers.masters[0].go_on()

    rows = await asyncio.gather(*(kept_trying(partial(store.get, sid)) for sid in ids))
    assert [row and int(row.data) - n for n, row in enumerate(rows)] == [1] * COUNT


async def test_a_cluster_loses_a_master(cluster: tuple[RedisCluster, RedisStore]) -> None:
    """Sessions of the other masters are served all the time; the lost one's go on at its replica, changed once each."""
    servers, store = cluster
    ids = [f"id-{n}" for n in range(COUNT)]
    await asyncio.gather(*(store.create(sid, stored(n)) for n, sid in enumerate(ids)))
    for server in servers.masters:
        server.replicate()
    lost = {key.decode().removeprefix("sess:") for key in servers.masters[0].command("KEYS", "*")}
    assert 0 < len(lost) < COUNT
    servers.masters[0].kill()

    outcomes = await asyncio.gather(*map(store.get, ids), return_exceptions=True)
    failed = {sid for sid, row in zip(ids, outcomes, strict=True) if isinstance(row, StoreUnavailable)}
    await asyncio.gather(*(change(store, sid, n) for n, sid in enumerate(ids)))

    assert failed <= lost
    rows = await asyncio.gather(*map(store.get, ids))
    assert [row and int(row.data) - n for n, row in enumerate(rows)] == [1] * COUNT
    assert servers.replicas[0].command("ROLE")[0] == b"master"
    assert await store.length() == COUNT
    assert store.ready is True


async def test_a_cluster_that_is_away_as_a_whole_is_not_ready(
    cluster: tuple[RedisCluster, RedisStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every node killed: our error for every session, `ready` says so, and after the restart all go on."""
    monkeypatch.setattr(redis_cluster, "NODE_RETRY_SECONDS", 2.0)
    servers, store = cluster
    ids = [f"id-{n}" for n in range(COUNT)]
    await asyncio.gather(*(store.create(sid, stored(n)) for n, sid in enumerate(ids)))
    for server in servers.servers:
        server.kill()
    seen = False
    for _ in range(20):
        outcomes = await asyncio.gather(*map(store.get, ids), return_exceptions=True)
        assert {type(each) for each in outcomes} == {StoreUnavailable}
        seen = seen or not store.ready

    assert seen
    for server in servers.servers:
        server.start()
    await kept_trying(lambda: store.create("new", stored(1)))
    assert await kept_trying(lambda: store.get("new")) is not None


async def test_a_slot_that_moves_is_followed(cluster: tuple[RedisCluster, RedisStore]) -> None:
    """Resharding: MOVED and ASK lead to the new owner without an error for anybody."""
    servers, store = cluster
    await store.create("a", stored(0))
    one, two = servers.masters[0], servers.masters[1]
    slot = one.command("CLUSTER", "KEYSLOT", "sess:a")
    owner = next(each for each in servers.masters if each.command("KEYS", "sess:a"))
    other = two if owner is one else one
    names = {each: each.command("CLUSTER", "MYID") for each in servers.masters}
    other.command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[owner])
    owner.command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[other])
    owner.command("MIGRATE", HOST, other.port, "sess:a", 0, 10_000)
    row = await store.get("a")
    assert row is not None
    assert row.data == "0"
    for each in (other, owner):
        each.command("CLUSTER", "SETSLOT", slot, "NODE", names[other])

    await change(store, "a", 0)

    row = await store.get("a")
    assert row is not None
    assert row.data == "1"
    assert other.command("GET", "sess:a") == b"1"
