"""A session goes on under another id in MongoDB, in three steps: whatever comes between them, `old` never has the login."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import GONE, TAKEN, Outcome, StoredSession, Update
from sessions.stores.mongodb import MongoStore

from .mongo_server import MongoServer, database
from .support import collection, listed, mongo_url, mongodb, opened, until_works

HOUR = 3_600_000
ROUNDS = 60


def stored(data: str) -> StoredSession:
    """A record of a text that outlives the test."""
    return StoredSession(f'{{"n":"{data}"}}', now_ms() + HOUR)


OLD, NEW, NEWER, CLOSED = (stored(each) for each in ("old", "new", "newer", "closed"))


async def texts(store: MongoStore) -> dict[str, str]:
    """What lives, by id, in one word."""
    return {sid: record.data.split('"')[3] for sid, record in (await listed(store)).items()}


@pytest.fixture
def mongo(io_loop: IOLoop, tmp_path: Path) -> Iterator[MongoStore]:
    """A store in real time."""
    with opened(io_loop, mongodb(tmp_path)) as store:
        yield store


async def test_the_new_document_is_there_before_the_old_one_ends(
    mongo: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who looks for the sessions of a user meets one of them; a lost race takes the new one back."""
    await mongo.create("a", OLD)
    seen: list[dict[str, str]] = []
    perform = MongoStore._perform

    async def noting(store: MongoStore, job: Any) -> Any:
        seen.append(await texts(store))
        return await perform(store, job)

    monkeypatch.setattr(MongoStore, "_perform", noting)
    mongo._queue._perform = mongo._perform
    saved = await mongo.rename("a", "b", NEW, OLD, CLOSED)
    lost = await mongo.rename("a", "c", NEWER, OLD)

    assert (saved.outcome, lost.outcome) == (Outcome.SAVED, Outcome.CONFLICT)
    assert seen == [
        {"a": "old"},
        {"a": "old", "b": "new"},
        {"a": "closed", "b": "new"},
        {"a": "closed", "b": "new", "c": "newer"},
        {"a": "closed", "b": "new", "c": "newer"},
    ]
    assert await texts(mongo) == {"a": "closed", "b": "new"}


async def test_without_a_tombstone_the_old_document_is_deleted(mongo: MongoStore, tmp_path: Path) -> None:
    """And not left behind as an expired one: its text would be in the collection until it is swept."""
    await mongo.create("a", OLD)

    assert await mongo.rename("a", "b", NEW, OLD) == Update(Outcome.SAVED, NEW)
    documents = database(mongo_url())[collection(tmp_path)]
    assert [document["_id"] for document in documents.find()] == ["b"]


async def test_an_expired_document_under_the_new_id_is_replaced(mongo: MongoStore) -> None:
    """A living one makes the rename TAKEN."""
    await mongo.create("a", OLD)
    await mongo.create("b", stored("dead")._replace(expires_at=now_ms() - 1))
    await mongo.create("c", stored("another's"))

    assert await mongo.rename("a", "c", NEW, OLD) == TAKEN
    assert (await mongo.rename("a", "b", NEW, OLD)).outcome is Outcome.SAVED
    assert await texts(mongo) == {"b": "new", "c": "another's"}


async def test_of_two_renames_of_a_session_one_is_saved(mongo: MongoStore, tmp_path: Path) -> None:
    """Two stores at once, as two processes have them; the other's new document is not there."""
    async with mongodb(tmp_path) as other:
        for n in range(ROUNDS):
            closed = CLOSED if n % 2 else None
            await mongo.create(f"old {n}", OLD)
            calls = (store.rename(f"old {n}", f"{i} {n}", NEW, OLD, closed) for i, store in enumerate((mongo, other)))
            updates = await asyncio.gather(*calls)
            outcomes = [update.outcome for update in updates]
            (saved,) = (i for i, outcome in enumerate(outcomes) if outcome is Outcome.SAVED)

            assert outcomes[1 - saved] is (Outcome.CONFLICT if closed else Outcome.GONE)
            assert await mongo.get(f"{1 - saved} {n}") is None
            assert await mongo.get(f"{saved} {n}") == NEW


async def test_a_rename_and_an_update_that_meet_are_done_once(mongo: MongoStore, tmp_path: Path) -> None:
    """One of them is SAVED; what the other one would have written is nowhere."""
    async with mongodb(tmp_path) as other:
        for n in range(ROUNDS):
            await mongo.create(f"old {n}", OLD)
            renamed, updated = await asyncio.gather(
                mongo.rename(f"old {n}", f"new {n}", NEW, OLD), other.update(f"old {n}", NEWER, OLD)
            )
            left = [await mongo.get(sid) for sid in (f"old {n}", f"new {n}")]

            if renamed.outcome is Outcome.SAVED:
                assert (updated, left) == (GONE, [None, NEW])
            else:
                assert (renamed.outcome, updated.outcome) == (Outcome.CONFLICT, Outcome.SAVED)
                assert left == [NEWER, None]


async def test_no_increment_of_many_writers_is_lost(mongo: MongoStore, tmp_path: Path) -> None:
    """Compare-and-set by two stores: as many increments as were acknowledged."""
    await mongo.create("a", StoredSession("0", now_ms() + HOUR))

    async def increment(store: MongoStore) -> None:
        while True:
            row = await store.get("a")
            assert row is not None
            update = await store.update("a", StoredSession(f"{int(row.data) + 1}", row.expires_at), row)
            if update.outcome is Outcome.SAVED:
                return

    async with mongodb(tmp_path) as other:
        await asyncio.gather(*(increment(store) for store in (mongo, other) for _ in range(30)))

    found = await mongo.get("a")
    assert found is not None
    assert found.data == "60"


# ---------------------------------------------------------------- what is left of one that was cut


class Died(Exception):
    """Takes the place of a process's end."""


class DyingStore(MongoStore):
    """A store of a process that dies right before one of its steps, and so does none after it."""

    step = ""

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        if self.step == "take":
            raise Died
        return await super().update(sid, record, expected)

    async def destroy(self, sid: str) -> None:
        if self.step == "delete":
            raise Died
        await super().destroy(sid)


@pytest.mark.parametrize(("step", "there"), [("take", "old"), ("delete", "newer")])
async def test_a_process_that_dies_leaves_an_orphan(tmp_path: Path, step: str, there: str) -> None:
    """The session under the old id is as it was; the new document is one that nobody knows, and the only one."""
    async with DyingStore(mongo_url(), collection=collection(tmp_path)) as store:
        await store.create("a", stored(there))
        store.step = step
        with pytest.raises(Died):
            await store.rename("a", "b", NEW, OLD, CLOSED)

        assert await texts(store) == {"a": there, "b": "new"}


async def test_a_caller_that_is_cancelled_stops_no_step(tmp_path: Path) -> None:
    """The rename is done whole, also if the store is closed at once."""
    async with mongodb(tmp_path) as store:
        for n in range(20):
            await store.create(f"{n}", OLD)
            call = asyncio.ensure_future(store.rename(f"{n}", f"new {n}", NEW, OLD, CLOSED))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
    async with mongodb(tmp_path) as store:
        left = await texts(store)

    assert left == {f"{n}": "closed" for n in range(20)} | {f"new {n}": "new" for n in range(20)}


@pytest.mark.parametrize(
    ("command", "left"),
    [
        ("insert", [{"a": "old"}, {"a": "old", "b": "new"}]),
        ("update", [{"a": "old", "b": "new"}, {"a": "closed", "b": "new"}]),
    ],
)
async def test_a_step_of_unknown_outcome_deletes_nothing(command: str, left: list[dict[str, str]]) -> None:
    """The reply was lost, or never came: a 503, and the manager asks what became of it."""
    with MongoServer() as server:
        async with MongoStore(server.url, timeout=5_000) as store:
            for n, how in enumerate(({"closeConnection": True}, {"replyLost": True})):
                await store.clear()
                await store.create("a", OLD)
                server.fail(command, times=1, **how)
                with pytest.raises(StoreUnavailable):
                    await store.rename("a", "b", NEW, OLD, CLOSED)

                assert await until_works(lambda: texts(store), 60) == left[n]
