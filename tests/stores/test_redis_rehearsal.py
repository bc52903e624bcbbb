"""Setups of Redis in which no session could ever be kept: refused at the start, in a line that says what is missing."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from sessions import now_ms
from sessions.errors import StoreError, StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.redis import RedisStore

from .redis_server import RedisServer, shared_cluster

WORDS = {
    "the scripts": ("~sess:* +@all -@scripting", "EVALSHA"),
    "a script by its text": ("~sess:* +@all -eval", "EVAL"),
    "the prefix": ("~other:* +@all", "EVALSHA"),
    "writing": ("%R~sess:* +@all", "EVALSHA"),
    "one command of a read": ("~sess:* +@all -pttl", "PTTL"),
    "one command of a touch": ("~sess:* +@all -pexpire", "PEXPIRE"),
    "one command of a new session": ("~sess:* +@all -exists", "EXISTS"),
}
"""What a user lacks, by the rules of ACL SETUSER, and what is named."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A server with users of its own."""
    with RedisServer() as server:
        yield server


def as_user(server: Any, url: str, rules: str) -> str:
    """The URL for a user with these rights alone."""
    server.command("ACL", "SETUSER", "limited", "reset", "on", ">secret", *rules.split())
    return url.replace("//", "//limited:secret@")


async def refusal(url: str, **options: Any) -> str:
    """What is said to who opens a store: an error that is no passing outage."""
    with pytest.raises(StoreError) as refused:
        await RedisStore(url, **options).__aenter__()
    assert not isinstance(refused.value, StoreUnavailable)
    assert "\n" not in str(refused.value)
    assert "secret" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize(("rules", "named"), WORDS.values(), ids=list(WORDS))
async def test_a_user_without_a_right_is_refused_at_the_start(server: RedisServer, rules: str, named: str) -> None:
    """The right is named, with the keys; nothing is left."""
    said = await refusal(as_user(server, server.url, rules))

    assert said.endswith(f"; sessions need {named} on the keys sess:*")
    assert server.command("DBSIZE") == 0


async def test_the_prefix_that_is_named_is_ones_own(server: RedisServer) -> None:
    """Rights on connect-redis's keys are none on others."""
    url = as_user(server, server.url, "~sess:* +@all")

    said = await refusal(url, prefix="shop:")

    assert said.endswith("on the keys shop:*")
    async with RedisStore(url) as store:
        assert await store.length() == 0


async def test_a_right_that_is_missing_is_an_error_before_a_fork(server: RedisServer) -> None:
    """`prepare` asks as opening does."""
    store = RedisStore(as_user(server, server.url, "~sess:* +@all -del"))

    with pytest.raises(StoreError, match="sessions need DEL on the keys"):
        await asyncio.to_thread(store.prepare)

    for key in server.command("KEYS", "*"):
        assert 0 < server.command("PTTL", key) <= 1_000  # what may not be deleted goes by itself
    server.command("FLUSHALL")


@pytest.mark.parametrize("command", ["EVALSHA", "EVAL", "PEXPIRE", "GET"])
async def test_a_server_without_a_command_is_refused_at_the_start(command: str) -> None:
    """Some operators rename commands away, scripting above all."""
    with RedisServer("--rename-command", command, "") as server:
        said = await refusal(server.url)

    assert said.endswith(f"; sessions need {command} on the keys sess:*")


async def test_a_node_of_a_cluster_is_refused_as_a_server() -> None:
    """Whichever keys it has: it would serve a third of the visitors, and none of them a new id."""
    said = [await refusal(master.url) for master in shared_cluster().masters]

    assert all("must begin with redis+cluster://" in each for each in said)


async def test_a_user_of_a_cluster_is_asked_for_rights_as_well() -> None:
    """By the node that keeps the key which is tried."""
    cluster = shared_cluster()
    for master in cluster.masters:
        url = as_user(master, cluster.url, "~sess:* +@all -pexpire")
    try:
        assert "sessions need PEXPIRE" in await refusal(url)
    finally:
        for master in cluster.masters:
            master.command("ACL", "DELUSER", "limited")


async def test_a_full_server_is_opened() -> None:
    """That may pass, and the sessions that it has are served meanwhile."""
    record = StoredSession('{"n":1}', now_ms() + 3_600_000)
    with RedisServer() as server:
        server.command("SET", "sess:a", record.data, "PX", 3_600_000)
        server.command("CONFIG", "SET", "maxmemory", "1")
        async with RedisStore(server.url) as store:
            found = await store.get("a")
            with pytest.raises(StoreUnavailable, match="OOM"):
                await store.create("b", record)

    assert found is not None
    assert found.data == record.data


async def test_a_replica_is_opened(server: RedisServer) -> None:
    """Another one may be made the master at any moment: writes are refused until then."""
    with RedisServer(replicaof=f"127.0.0.1 {server.port}") as replica:
        async with RedisStore(replica.url) as store:
            with pytest.raises(StoreUnavailable):
                await store.create("a", StoredSession("{}", now_ms() + 3_600_000))


async def test_opening_leaves_no_key(server: RedisServer) -> None:
    """No visitor, and nobody who counts, sees that something was tried."""
    server.command("CONFIG", "RESETSTAT")
    async with RedisStore(as_user(server, server.url, "~sess:* +@all")):
        pass

    assert server.command("DBSIZE") == 0
    assert server.admin.info("commandstats")["cmdstat_set"]["calls"] >= 1
