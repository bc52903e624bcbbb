"""Redis: each fault is made in a real server, and a server with its own defaults has no findings."""

from collections.abc import Iterator
from typing import Any

import pytest
from interop.processes import wait_until
from stores.redis_server import RedisCluster, RedisServer

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.redis import RedisStore
from sessions.stores.redis.examination import Facts, version

from .asking import ASKED, HOUR, store

WITH_USERS = ASKED._replace(user_path=("user",))
DEFAULTS: dict[str, Any] = {"save": "3600 1 300 100 60 10000"}
"""What Redis and Valkey do if nobody says anything; the servers of other tests keep nothing."""

LIMIT = 64 * 2**20


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server with Redis's defaults."""
    with RedisServer(**DEFAULTS) as server:
        yield server


async def test_a_healthy_one_has_no_findings(server: RedisServer) -> None:
    """Empty, and with sessions of a user."""
    empty = await store(server.url, WITH_USERS)
    served = RedisStore(server.url)
    served.users.index(("user",))
    async with served:
        await served.create("a", StoredSession('{"__meta":{"user":"ada"}}', now_ms() + HOUR))
        found = await store(server.url, WITH_USERS)

    assert (empty, found) == ({}, {})


async def test_nothing_is_changed(server: RedisServer) -> None:
    """No key, no script."""
    server.command("FLUSHALL")
    server.command("SCRIPT", "FLUSH")

    await store(server.url, WITH_USERS)

    assert server.command("DBSIZE") == 0
    assert server.admin.info("memory")["number_of_cached_scripts"] == 0


async def test_a_cluster_is_asked_master_by_master() -> None:
    """A healthy one has no findings; a fault of one names it."""
    with RedisCluster(masters=3, **DEFAULTS) as cluster:
        healthy = await store(cluster.url, WITH_USERS)
        cluster.masters[1].command("CONFIG", "SET", "save", "")
        found = await store(cluster.url, WITH_USERS)

    assert healthy == {}
    assert set(found) == {"redis.persistence"}
    assert str(cluster.masters[1].port) in found["redis.persistence"].problem


@pytest.mark.parametrize(
    ("settings", "name", "severity"),
    [
        ({"maxmemory_policy": "allkeys-lru", "maxmemory": LIMIT}, "redis.eviction", "fault"),
        ({"maxmemory_policy": "volatile-ttl", "maxmemory": LIMIT}, "redis.eviction", "fault"),
        ({"maxmemory_policy": "allkeys-lru"}, "redis.eviction", "warning"),
        ({"save": '""'}, "redis.persistence", "warning"),
        ({"maxmemory": 2**20}, "redis.memory", "warning"),
    ],
)
async def test_a_setting_that_loses_sessions(settings: dict[str, Any], name: str, severity: str) -> None:
    """Or that will refuse them soon."""
    with RedisServer(**{**DEFAULTS, **settings}) as server:
        found = await store(server.url, WITH_USERS)

    assert {each.name: each.severity for each in found.values()} == {name: severity}


async def test_a_log_of_commands_keeps_the_sessions_too() -> None:
    """It is enough without snapshots."""
    with RedisServer(save='""', appendonly="yes") as server:
        assert await store(server.url, WITH_USERS) == {}


async def test_a_save_that_fails() -> None:
    """Something else has the name of its file."""
    with RedisServer(**DEFAULTS) as server:
        (server.folder / "dump.rdb").mkdir()
        (server.folder / "dump.rdb" / "in the way").touch()
        server.command("BGSAVE")
        wait_until(lambda: server.admin.info("persistence")["rdb_last_bgsave_status"] == "err", 60)

        found = await store(server.url, WITH_USERS)

    assert set(found) == {"redis.saving"}


async def test_a_replica() -> None:
    """It takes no writes."""
    with RedisServer(**DEFAULTS) as master, RedisServer(**DEFAULTS, replicaof=f"127.0.0.1 {master.port}") as replica:
        found = await store(replica.url, WITH_USERS)

    assert set(found) == {"redis.replica"}


async def test_a_clock_that_is_off(server: RedisServer) -> None:
    """Redis counts the time that is left, so it is a warning."""
    found = await store(server.url, WITH_USERS._replace(clock=lambda: now_ms() - HOUR))

    assert {name: each.severity for name, each in found.items()} == {"clock.off": "warning"}
    assert "60 minutes ahead of this machine's" in found["clock.off"].problem


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ("~* +@all -eval -evalsha", {"redis.scripting"}),
        ("~* +@all -@scripting", {"redis.scripting"}),
        ("~* +@all -set", {"redis.rights"}),
        ("~other:* ~user-* +@all", {"redis.rights"}),
        ("~* +@all -zadd -time", {"redis.user-rights"}),
        ("~sess:* +@all", {"redis.user-rights"}),
        ("~* +@all -config", {"redis.unseen"}),
        ("~* +@all -info -config", {"redis.unseen"}),
        ("~* +@read +info +config|get +time +ping", {"redis.scripting", "redis.rights", "redis.user-rights"}),
        ("~* +@all", set()),
    ],
)
async def test_a_user_who_lacks_a_right(server: RedisServer, rules: str, names: set[str]) -> None:
    """One who only reads has all other findings."""
    server.command("ACL", "SETUSER", "app", "reset", "on", ">of-the-tests", *rules.split())

    found = await store(server.url.replace("//", "//app:of-the-tests@"), WITH_USERS)

    assert set(found) == names
    assert "of-the-tests" not in repr(found)


async def test_a_server_without_scripts() -> None:
    """Some providers take the command away."""
    with RedisServer("--rename-command", "EVAL", "", **DEFAULTS) as server:
        found = await store(server.url, WITH_USERS)

    assert set(found) == {"redis.scripting"}
    assert "unknown command" in found["redis.scripting"].problem


async def test_a_server_that_is_away() -> None:
    """It is said without a password."""
    with RedisServer() as server:
        url = server.url
    with pytest.raises(StoreUnavailable, match="redis at 127"):
        await store(url.replace("//", "//:of-the-tests@"), WITH_USERS)


@pytest.mark.parametrize(("given", "is_found"), [("5.0.14", True), ("6.0.0", False), ("7.2.4", False), ("", False)])
def test_a_version_that_is_too_old(given: str, is_found: bool) -> None:
    """No server so old is installed here, so this is its function."""
    facts = Facts({"redis_version": given}, "", {})

    assert [each.name for each in version(facts, "redis")] == ["redis.version"] * is_found
