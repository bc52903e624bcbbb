"""A session goes on under another id in Redis: one script of two keys on one server, three steps in a cluster."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import pytest
from redis.crc import key_slot
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import StoreError, StoreUnavailable
from sessions.store import GONE, TAKEN, Outcome, StoredSession, Update
from sessions.stores.redis import RedisStore

from .redis_server import SLOTS, RedisCluster, RedisServer, shared_cluster, shared_server
from .support import listed, opened

HOUR = 3_600_000
SLACK = 20_000
"""Milliseconds that a test may take, on a machine that is busy with something else."""

ROUNDS = 300

PATIENCE = 2_500
"""Milliseconds after which a node counts as hanging: enough for a busy machine to open a cluster."""


class Place:
    """One server, or the masters of a cluster."""

    def __init__(self, url: str, servers: list[RedisServer]) -> None:
        self.url = url
        self.servers = servers
        for server in servers:
            server.command("FLUSHALL")

    def owner(self, sid: str) -> RedisServer:
        """The server that keeps an id."""
        masters = len(self.servers)
        slot = key_slot(f"sess:{sid}".encode())
        return next(server for n, server in enumerate(self.servers, 1) if slot < SLOTS * n // masters)

    def on(self, sid: str, *words: Any) -> Any:
        """What the server that keeps an id answers to a command."""
        return self.owner(sid).command(*words)

    def text(self, sid: str) -> bytes | None:
        """What is kept under an id."""
        found: bytes | None = self.on(sid, "GET", f"sess:{sid}")
        return found

    def life(self, sid: str) -> int:
        """How many milliseconds an id has left."""
        left: int = self.on(sid, "PTTL", f"sess:{sid}")
        return left

    def elsewhere(self, old: str) -> str:
        """An id that another server keeps, or, where there is only one, any other id."""
        ids = (f"new-{n}" for n in count())
        return next(sid for sid in ids if len(self.servers) == 1 or self.owner(sid) is not self.owner(old))


def one_server() -> Place:
    server = shared_server()
    return Place(server.url, [server])


def cluster() -> Place:
    cluster = shared_cluster()
    return Place(cluster.url, cluster.masters)


@pytest.fixture(params=[one_server, cluster])
def place(request: pytest.FixtureRequest) -> Place:
    """One server, and a cluster, both empty."""
    place: Place = request.param()
    return place


@pytest.fixture
def redis(io_loop: IOLoop, place: Place) -> Iterator[RedisStore]:
    """A store on it, in real time."""
    with opened(io_loop, RedisStore(place.url)) as store:
        yield store


@pytest.fixture
def pair(io_loop: IOLoop, place: Place) -> Iterator[tuple[RedisStore, RedisStore]]:
    """Two stores on it, as two processes have them."""
    with ExitStack() as stack:
        one, two = (stack.enter_context(opened(io_loop, RedisStore(place.url))) for _ in range(2))
        yield one, two


def ahead(data: str, milliseconds: int = HOUR) -> StoredSession:
    """A record that lives so long from now."""
    return StoredSession(data, now_ms() + milliseconds)


OLD = ahead("old")
"""What is expected: a store compares its text only."""


# ---------------------------------------------------------------- the rules


async def test_a_session_goes_on_under_its_new_id(redis: RedisStore, place: Place) -> None:
    """With the new record, and with its life; the old id is free."""
    old, new = "a", place.elsewhere("a")
    await redis.create(old, OLD)
    record = ahead("new", 2 * HOUR)

    assert await redis.rename(old, new, record, OLD) == Update(Outcome.SAVED, record)

    assert place.text(new) == b"new"
    assert 2 * HOUR - SLACK < place.life(new) <= 2 * HOUR
    assert place.text(old) is None


async def test_a_tombstone_stays_with_its_text_and_its_life(redis: RedisStore, place: Place) -> None:
    """It is an ordinary record under the old id."""
    old, new = "a", place.elsewhere("a")
    await redis.create(old, OLD)

    update = await redis.rename(old, new, ahead("new"), OLD, ahead("closed", HOUR // 2))

    assert update.outcome is Outcome.SAVED
    assert place.text(old) == b"closed"
    assert HOUR // 2 - SLACK < place.life(old) <= HOUR // 2
    assert place.text(new) == b"new"


@pytest.mark.parametrize("life", [0, -1, -HOUR])
async def test_what_has_no_life_left_is_not_stored(place: Place, life: int) -> None:
    """Neither a record nor a tombstone; the rename is done all the same."""
    now = now_ms()
    one, two, dead = place.elsewhere("a"), place.elsewhere("b"), StoredSession("dead", now + life)
    async with RedisStore(place.url, clock=lambda: now) as frozen:
        for sid in ("a", "b"):
            await frozen.create(sid, OLD)

        assert await frozen.rename("a", one, dead, OLD) == Update(Outcome.SAVED, dead)
        assert (await frozen.rename("b", two, ahead("new"), OLD, dead)).outcome is Outcome.SAVED

    assert [place.text(sid) for sid in ("a", one, "b")] == [None, None if one != two else b"new", None]
    assert place.text(two) == b"new"


async def test_a_session_that_was_changed_is_a_conflict(redis: RedisStore, place: Place) -> None:
    """The newer record comes back with its end, and nothing is changed."""
    old, new = "a", place.elsewhere("a")
    await redis.create(old, ahead("newer"))

    outcome, newer = await redis.rename(old, new, ahead("new"), OLD, ahead("closed"))

    assert (outcome, newer and newer.data) == (Outcome.CONFLICT, "newer")
    assert newer is not None
    assert newer.expires_at == pytest.approx(now_ms() + HOUR, abs=SLACK)
    assert (place.text(old), place.text(new)) == (b"newer", None)


async def test_a_session_that_is_away_is_gone(redis: RedisStore, place: Place) -> None:
    """No new row is left, and no tombstone."""
    old, new = "a", place.elsewhere("a")

    assert await redis.rename(old, new, ahead("new"), OLD, ahead("closed")) == GONE

    assert (place.text(old), place.text(new)) == (None, None)


async def test_an_id_that_has_a_session_is_taken(redis: RedisStore, place: Place) -> None:
    """Both rows stay as they are."""
    old, new = "a", place.elsewhere("a")
    await redis.create(old, OLD)
    await redis.create(new, ahead("another's"))

    assert await redis.rename(old, new, ahead("new"), OLD, ahead("closed")) == TAKEN

    assert (place.text(old), place.text(new)) == (b"old", b"another's")


async def test_an_id_is_not_free_for_itself(redis: RedisStore, place: Place) -> None:
    """A rename to the same id is TAKEN."""
    await redis.create("a", OLD)

    assert await redis.rename("a", "a", ahead("new"), OLD) == TAKEN

    assert place.text("a") == b"old"


async def test_conflict_and_gone_come_before_taken(redis: RedisStore, place: Place) -> None:
    """The old id is looked at first: only a session that is as expected learns that the new id is taken."""
    new = place.elsewhere("a")
    await redis.create(new, ahead("another's"))
    await redis.create("a", ahead("newer"))

    assert (await redis.rename("a", new, ahead("new"), OLD)).outcome is Outcome.CONFLICT
    assert await redis.rename("nobody", new, ahead("new"), OLD) == GONE

    assert (place.text("a"), place.text(new)) == (b"newer", b"another's")


async def test_a_new_id_of_another_type_is_taken(redis: RedisStore, place: Place) -> None:
    """Whatever is there is not overwritten."""
    new = place.elsewhere("a")
    place.on(new, "HSET", f"sess:{new}", "field", "1")
    await redis.create("a", OLD)

    assert await redis.rename("a", new, ahead("new"), OLD) == TAKEN

    assert place.text("a") == b"old"
    assert place.on(new, "HGET", f"sess:{new}", "field") == b"1"


# ---------------------------------------------------------------- side by side


@pytest.mark.parametrize("closed", [None, "closed"])
async def test_one_of_two_renames_of_an_id_is_saved(
    pair: tuple[RedisStore, RedisStore], place: Place, closed: str | None
) -> None:
    """Two stores at once: the other one gets CONFLICT or GONE, and its new row is not there."""
    for n in range(ROUNDS):
        tombstone = None if closed is None else ahead(closed)
        await pair[n % 2].create(f"old-{n}", OLD)

        updates = await asyncio.gather(
            *(store.rename(f"old-{n}", f"new-{n}-{i}", ahead(f"{i}"), OLD, tombstone) for i, store in enumerate(pair))
        )

        saved = [i for i, update in enumerate(updates) if update.outcome is Outcome.SAVED]
        assert len(saved) == 1
        lost = updates[1 - saved[0]]
        assert lost == GONE if closed is None else lost.record is not None and lost.record.data == closed
        assert place.text(f"new-{n}-{saved[0]}") == str(saved[0]).encode()
        assert place.text(f"new-{n}-{1 - saved[0]}") is None
        assert place.text(f"old-{n}") == (None if closed is None else b"closed")


async def test_one_of_two_renames_to_an_id_is_saved(pair: tuple[RedisStore, RedisStore], place: Place) -> None:
    """The other one is TAKEN, and its session stays where it was."""
    for n in range(ROUNDS):
        await asyncio.gather(*(pair[0].create(f"{i}-{n}", OLD) for i in range(2)))

        updates = await asyncio.gather(
            *(store.rename(f"{i}-{n}", f"new-{n}", ahead(f"{i}"), OLD) for i, store in enumerate(pair))
        )

        saved = [i for i, update in enumerate(updates) if update.outcome is Outcome.SAVED]
        assert len(saved) == 1
        assert updates[1 - saved[0]] == TAKEN
        assert place.text(f"new-{n}") == str(saved[0]).encode()
        assert [place.text(f"{i}-{n}") for i in range(2)] == [None if i in saved else b"old" for i in range(2)]


async def test_renames_and_updates_that_meet_are_done_once(pair: tuple[RedisStore, RedisStore], place: Place) -> None:
    """Of an update and a rename of one record one is SAVED; what the other one would have written is nowhere."""
    for n in range(ROUNDS):
        await pair[0].create(f"old-{n}", OLD)

        renamed, updated = await asyncio.gather(
            pair[0].rename(f"old-{n}", f"new-{n}", ahead("renamed"), OLD),
            pair[1].update(f"old-{n}", ahead("updated"), OLD),
        )

        texts = (place.text(f"old-{n}"), place.text(f"new-{n}"))
        if renamed.outcome is Outcome.SAVED:
            assert (updated, texts) == (GONE, (None, b"renamed"))
        else:
            assert (renamed.outcome, updated.outcome) == (Outcome.CONFLICT, Outcome.SAVED)
            assert texts == (b"updated", None)


# ---------------------------------------------------------------- one server


@pytest.fixture
def single(io_loop: IOLoop) -> Iterator[tuple[RedisStore, Place]]:
    """A store on one server."""
    place = one_server()
    with opened(io_loop, RedisStore(place.url)) as store:
        yield store, place


async def test_renames_that_wait_together_are_one_call(single: tuple[RedisStore, Place]) -> None:
    """With the other writes, in one script; each job has its own outcome."""
    redis, place = single
    await asyncio.gather(*(redis.create(f"{n}", OLD) for n in range(40)))
    place.servers[0].command("CONFIG", "RESETSTAT")
    record = ahead("new")

    renamed, touched, made, removed = await asyncio.gather(
        asyncio.gather(*(redis.rename(f"{n}", f"new-{n}", record, OLD, ahead(f"closed {n}")) for n in range(20))),
        asyncio.gather(*(redis.touch(f"{n}", record.expires_at, OLD) for n in range(20, 30))),
        redis.create("made", record),
        asyncio.gather(*(redis.destroy(f"{n}") for n in range(30, 40))),
    )

    assert place.servers[0].admin.info("commandstats")["cmdstat_evalsha"]["calls"] == 1
    assert renamed == [Update(Outcome.SAVED, record)] * 20
    assert touched == [Update(Outcome.SAVED, OLD._replace(expires_at=record.expires_at))] * 10
    assert made == record
    assert removed == [None] * 10
    texts = {sid: row.data for sid, row in (await listed(redis)).items()}
    assert texts == {
        **{f"{n}": f"closed {n}" for n in range(20)},
        **{f"new-{n}": "new" for n in range(20)},
        **{f"{n}": "old" for n in range(20, 30)},
        "made": "new",
    }


async def test_a_chain_of_renames_goes_in_order(single: tuple[RedisStore, Place]) -> None:
    """Of jobs that share an id, old or new, the later waits for the next call."""
    redis, place = single
    await redis.create("a", OLD)
    one, two, three = ahead("one"), ahead("two"), ahead("three")

    updates = await asyncio.gather(
        redis.rename("a", "b", one, OLD),
        redis.rename("b", "c", two, one),
        redis.update("c", three, two),
        redis.create("a", one),
    )

    assert updates == [Update(Outcome.SAVED, one), Update(Outcome.SAVED, two), Update(Outcome.SAVED, three), one]
    assert [place.text(sid) for sid in "abc"] == [b"one", None, b"three"]


async def test_an_old_id_of_another_type_fails_its_own_rename_only(single: tuple[RedisStore, Place]) -> None:
    """In words that name no id."""
    redis, place = single
    place.on("", "HSET", "sess:secret-id", "field", "1")
    await redis.create("a", OLD)

    calls = (redis.rename(old, new, ahead("new"), OLD) for old, new in (("secret-id", "b"), ("a", "c")))
    refused, renamed = await asyncio.gather(*calls, return_exceptions=True)

    assert type(refused) is StoreError
    assert "WRONGTYPE" in str(refused)
    assert "secret" not in str(refused)
    assert isinstance(renamed, Update)
    assert renamed.outcome is Outcome.SAVED
    assert place.text("b") is None


@pytest.mark.parametrize("closed", [None, ahead("closed", HOUR // 2)])
async def test_a_full_server_leaves_the_old_session_whole(closed: StoredSession | None) -> None:
    """With maxmemory and noeviction: a 503, no new row, no tombstone; with room the same rename is SAVED."""
    with RedisServer(maxmemory_policy="noeviction") as server:
        async with RedisStore(server.url) as redis:
            await redis.create("a", OLD)
            server.command("CONFIG", "SET", "maxmemory", "1kb")

            with pytest.raises(StoreUnavailable, match="OOM"):
                await redis.rename("a", "b", ahead("new"), OLD, closed)

            assert server.command("KEYS", "*") == [b"sess:a"]
            assert server.command("GET", "sess:a") == b"old"
            assert server.command("PTTL", "sess:a") > HOUR // 2
            server.command("CONFIG", "SET", "maxmemory", "0")
            assert (await redis.rename("a", "b", ahead("new"), OLD, closed)).outcome is Outcome.SAVED


# ---------------------------------------------------------------- a cluster: its rename has three steps


@pytest.fixture
def harmed() -> Iterator[Place]:
    """A cluster of the test's own, to be harmed."""
    with RedisCluster() as cluster:
        yield Place(cluster.url, cluster.masters)


class Died(Exception):
    """Takes the place of a process's end."""


class DyingStore(RedisStore):
    """A store of a process that dies right before one of its steps, and so does none after it."""

    def __init__(self, url: str, step: str) -> None:
        super().__init__(url)
        self._step = step

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        if self._step == "take":
            raise Died
        return await super().update(sid, record, expected)

    async def destroy(self, sid: str) -> None:
        if self._step == "delete":
            raise Died
        await super().destroy(sid)


async def test_a_rename_cut_before_it_takes_the_old_row_leaves_an_orphan() -> None:
    """The old session is as it was; the new row is one that nobody knows, and the only one."""
    place = cluster()
    new = place.elsewhere("a")
    async with DyingStore(place.url, "take") as redis:
        await redis.create("a", OLD)
        with pytest.raises(Died):
            await redis.rename("a", new, ahead("new"), OLD, ahead("closed"))

        assert {sid: row.data for sid, row in (await listed(redis)).items()} == {"a": "old", new: "new"}


async def test_a_rename_cut_before_it_deletes_the_new_row_leaves_an_orphan() -> None:
    """Another request was first: its session is as it was, and the new row is one that nobody knows."""
    place = cluster()
    new = place.elsewhere("a")
    async with DyingStore(place.url, "delete") as redis:
        await redis.create("a", ahead("newer"))
        with pytest.raises(Died):
            await redis.rename("a", new, ahead("new"), OLD, ahead("closed"))

        assert {sid: row.data for sid, row in (await listed(redis)).items()} == {"a": "newer", new: "new"}


async def test_a_node_that_hangs_in_a_rename_never_puts_the_new_data_under_the_old_id(harmed: Place) -> None:
    """Its outcome is unknown: the old id has the old text or the tombstone, and at most one new row is there."""
    new = harmed.elsewhere("a")
    async with RedisStore(harmed.url, timeout=PATIENCE) as redis:
        await redis.create("a", OLD)
        harmed.owner("a").pause()
        try:
            with pytest.raises(StoreUnavailable):
                await redis.rename("a", new, ahead("new"), OLD, ahead("closed"))
            assert harmed.text(new) == b"new"
        finally:
            harmed.owner("a").go_on()

        assert harmed.text("a") in (b"old", b"closed")  # the command may have waited in the node's buffer
        assert harmed.text(new) == b"new"


async def test_a_node_that_hangs_before_a_rename_changes_nothing(harmed: Place) -> None:
    """The new id's node does not answer: the old session goes on, and has no tombstone."""
    new = harmed.elsewhere("a")
    async with RedisStore(harmed.url, timeout=PATIENCE) as redis:
        await redis.create("a", OLD)
        harmed.owner(new).pause()
        try:
            with pytest.raises(StoreUnavailable):
                await redis.rename("a", new, ahead("new"), OLD, ahead("closed"))
        finally:
            harmed.owner(new).go_on()

        assert harmed.text("a") == b"old"
        assert harmed.text(new) in (None, b"new")  # the command may have waited in the node's buffer


async def test_a_full_node_leaves_the_old_session_whole(harmed: Place) -> None:
    """It has no room for the new row: a 503, and nothing is changed."""
    new = harmed.elsewhere("a")
    async with RedisStore(harmed.url) as redis:
        await redis.create("a", OLD)
        harmed.on(new, "CONFIG", "SET", "maxmemory", "1kb")

        with pytest.raises(StoreUnavailable, match="OOM"):
            await redis.rename("a", new, ahead("new"), OLD, ahead("closed"))

        assert (harmed.text("a"), harmed.text(new)) == (b"old", None)


async def test_a_caller_that_is_cancelled_stops_no_step() -> None:
    """The rename is done whole, also if the store is closed at once; a later error of it is nobody's."""
    place = cluster()
    async with RedisStore(place.url) as redis:
        for n in range(20):
            await redis.create(f"{n}", OLD)
            call = asyncio.ensure_future(redis.rename(f"{n}", f"new-{n}", ahead("new"), OLD, ahead("closed")))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    assert [(place.text(f"{n}"), place.text(f"new-{n}")) for n in range(20)] == [(b"closed", b"new")] * 20
