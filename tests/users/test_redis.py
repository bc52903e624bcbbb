"""How Redis finds a user: the sets that its scripts keep, what they miss, and a user who may not keep them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from stores.redis_server import shared_cluster, shared_server
from stores.support import prefix, until

from sessions import StoredSession, now_ms
from sessions.store import Outcome
from sessions.stores.redis import RedisStore
from sessions.testing.together import cancelled
from sessions.user_text import user_in

from .odd import LOOK_ALIKES, USERS, odd_rows, of

PATH = ("user",)
HOUR = 3_600_000

SERVERS: dict[str, Callable[[], str]] = {"server": lambda: shared_server().url, "cluster": lambda: shared_cluster().url}
each_way = pytest.mark.parametrize("way", SERVERS)


@asynccontextmanager
async def opened(
    way: str, place: Path, *, node_peer: bool = False, url: str | None = None
) -> AsyncIterator[RedisStore]:
    """Open a store, in which users are asked for."""
    store = RedisStore(url or SERVERS[way](), prefix=prefix(place), timeout=30_000)
    store.users.index(PATH, node_peer=node_peer)
    async with store:
        yield store


def of_user(user: str, life: int = HOUR) -> StoredSession:
    """A session as a manager writes it."""
    meta = {"user": user}
    text = json.dumps({"cookie": {"path": "/"}, "__meta": meta, "user": user}, separators=(",", ":"))
    return StoredSession(text, now_ms() + life)


async def members(store: RedisStore, user: str) -> set[str]:
    """What is in the set of a user."""
    return await store.users._sids([user])


async def found(store: RedisStore, user: str) -> set[str]:
    """The ids of a user's sessions."""
    return {sid for sid, record in await store.users.rows(user) if user_in(record.data, PATH) == user}


@each_way
async def test_a_set_holds_what_lives(way: str, tmp_path: Path) -> None:
    """A session enters it when it is written, and leaves when it is moved, ended or another's."""
    async with opened(way, tmp_path) as store:
        made = {sid: await store.create(sid, of_user("ada")) for sid in "abcdef"}
        known = {sid: record for sid, record in made.items() if record is not None}
        await store.rename("a", "A", of_user("ada"), known["a"], StoredSession('{"cookie":{}}', now_ms() + HOUR))
        await store.rename("b", "B", of_user("ada"), known["b"])
        await store.destroy("c")
        await store.update("d", of_user("bob"), known["d"])
        await store.update("e", known["e"]._replace(expires_at=0), known["e"])
        sets = [await members(store, user) for user in ("ada", "bob", "eve")]
        await store.users.end("ada")
        left = await members(store, "ada")

    assert sets == [{"A", "B", "f"}, {"d"}, set()]
    assert left == set()


@each_way
async def test_a_touch_moves_the_entry_with_the_session(way: str, tmp_path: Path) -> None:
    """And the set lives as long as the last of its sessions."""
    async with opened(way, tmp_path) as store:
        for sid in "ab":
            made = await store.create(sid, of_user("ada", 1_500))
            assert made is not None
            if sid == "a":
                touched = await store.touch(sid, now_ms() + HOUR, made)
                assert touched.outcome is Outcome.SAVED
        await asyncio.sleep(1.6)  # the server's own time
        late = [await found(store, "ada"), await members(store, "ada")]
        await store.create("c", of_user("ada"))
        later = await members(store, "ada")

    assert late == [{"a"}, {"a", "b"}]
    assert later == {"a", "c"}


@each_way
async def test_what_a_cancelled_caller_has_stored_is_in_the_set(way: str, tmp_path: Path) -> None:
    """Of a cluster too, where that is a second step: or it would outlive the end of its user's sessions."""
    async with opened(way, tmp_path) as store:
        for moment in range(12):
            made = await store.create(f"old {moment}", StoredSession('{"cookie":{}}', now_ms() + HOUR))
            assert made is not None
            await cancelled(store.update(f"old {moment}", of_user("ada"), made), after=moment)
            await cancelled(store.create(f"new {moment}", of_user("ada")), after=moment)
    async with opened(way, tmp_path) as store:  # the one before was closed when all was done
        stored = {sid async for sid, record in store.all() if user_in(record.data, PATH) == "ada"}
        entered = await members(store, "ada")

    assert {sid.split()[0] for sid in stored} == {"old", "new"}  # how many of them depends on the machine
    assert entered == stored


async def test_a_set_ends_with_its_last_session(tmp_path: Path) -> None:
    """A user who is gone leaves nothing in the server."""
    async with opened("server", tmp_path) as store:
        await store.create("a", of_user("ada", 200))
        key = store.users._set("ada")
        before = shared_server().command("EXISTS", key)
        await until(lambda: not shared_server().command("EXISTS", key))

    assert before == 1


async def test_the_sets_are_no_sessions(tmp_path: Path) -> None:
    """They lie outside the prefix: neither Node nor `clear` sees them."""
    async with opened("server", tmp_path) as store:
        await store.create("a", of_user("ada"))
        keys = shared_server().command("KEYS", "*")

        assert await store.length() == 1
        assert [sid async for sid, _ in store.all()] == ["a"]
        assert not any(key.startswith(store._prefix) for key in keys if key.endswith(b"ada"))


@each_way
async def test_odd_rows_of_node_are_found_and_ended_with_a_node_peer(way: str, tmp_path: Path) -> None:
    """They are in no set, so every key is looked at."""
    async with opened(way, tmp_path, node_peer=True) as store:
        for sid, (text, _) in odd_rows().items():  # a text without __meta, as Node's
            await store.set(sid, StoredSession(text, now_ms() + HOUR))
        sets = {user: await found(store, user) for user in (*USERS, *LOOK_ALIKES)}
        ended = {user: set(await store.users.end(user)) for user in (*LOOK_ALIKES, *USERS)}
        left = {sid async for sid, _ in store.all()}

    expected = {user: of(user) for user in (*USERS, *LOOK_ALIKES)}
    assert sets == expected
    assert ended == expected
    assert left == {sid for sid, (_, user) in odd_rows().items() if user is None}


async def test_a_set_that_names_a_session_of_another_ends_nothing(tmp_path: Path) -> None:
    """The row decides."""
    async with opened("server", tmp_path) as store:
        stale = '{"cookie":{},"__meta":{"user":"ada"},"user":"bob"}'
        await store.create("a", StoredSession(stale, now_ms() + HOUR))

        assert await members(store, "ada") == {"a"}
        assert await store.users.end("ada") == []
        assert await store.get("a") is not None


async def test_a_user_who_may_keep_no_sets_goes_on_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An old deployment's user has the keys of the sessions alone: every key is looked at, which the log says once."""
    server = shared_server()
    server.command("ACL", "SETUSER", "old", "on", "nopass", "~session*", "+@all")
    try:
        url = server.url.replace("redis://", "redis://old:any@")
        async with opened("server", tmp_path, url=url) as store:
            made = await store.create("a", of_user("ada"))
            assert made is not None
            await store.rename("a", "b", of_user("ada"), made)
            await store.create("c", of_user("bob"))
            rows = await found(store, "ada")
            ended = await store.users.end("ada")
    finally:
        server.command("ACL", "DELUSER", "old")

    assert [rows, ended] == [{"b"}, ["b"]]
    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "has no index of the users" in warned[0]


async def test_who_asks_for_no_users_sends_what_was_sent_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write has no argument more, and no set is made."""
    sent: list[Any] = []
    store = RedisStore(shared_server().url, prefix=prefix(tmp_path))
    async with store:
        servers = store._opened()
        run = servers.run

        async def noting(script: Any, keys: Any, args: Any) -> Any:
            sent.append((len(keys), list(args)))
            return await run(script, keys, args)

        monkeypatch.setattr(servers, "run", noting)
        await store.create("a", of_user("ada"))
        await store.destroy("a")

    assert [(keys, args[0], len(args)) for keys, args in sent] == [(1, "create", 4), (1, "destroy", 4)]
