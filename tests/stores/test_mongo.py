"""MongoDB's own: the document of connect-mongo, what Node has in it, sizes, batches, what has expired."""

import asyncio
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from bson.datetime_ms import DatetimeMS
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import CorruptSession, SessionError, StoreError
from sessions.store import GONE, Outcome, StoredSession
from sessions.stores.mongodb import MongoStore
from sessions.stores.mongodb.connection import Connection
from sessions.stores.mongodb.start import is_expiry_index
from sessions.stores.mongodb.writes import MOST

from .mongo_server import Mongod, database, shared_server
from .support import collection, listed, mongo_url, mongodb, opened

HOUR = 3_600_000
TEXT = '{"cookie":{"path":"/"},"n":1}'
NODE = {"lastModified": datetime(2020, 1, 1, tzinfo=UTC), "createdAt": datetime(2019, 1, 1, tzinfo=UTC)}
"""What connect-mongo has in a document with its options touchAfter and timestamps."""


def stored(data: str = TEXT, life: int = HOUR) -> StoredSession:
    """A record that lives so long."""
    return StoredSession(data, now_ms() + life)


@pytest.fixture
def documents(tmp_path: Path) -> Any:
    """The collection of this test, as another client has it."""
    return database(mongo_url())[collection(tmp_path)]


@pytest.fixture
def mongo(io_loop: IOLoop, tmp_path: Path) -> Iterator[MongoStore]:
    """A store on it."""
    with opened(io_loop, mongodb(tmp_path)) as store:
        yield store


# ---------------------------------------------------------------- the document


async def test_a_document_is_connect_mongos(mongo: MongoStore, documents: Any) -> None:
    """The id, the text and the end as a date; nothing else."""
    record = stored()
    await mongo.create("a", record)

    (document,) = documents.find()
    assert document.keys() == {"_id", "session", "expires"}
    assert (document["_id"], document["session"]) == ("a", TEXT)
    assert document["expires"] == datetime.fromtimestamp(record.expires_at / 1000, UTC)


async def test_what_node_notes_in_a_document_stays(mongo: MongoStore, documents: Any) -> None:
    """`lastModified` of touchAfter, and what timestamps adds: every write of ours leaves it."""
    end = stored()
    documents.insert_one({"_id": "a", "session": TEXT, "expires": DatetimeMS(end.expires_at), **NODE})
    found = await mongo.get("a")
    assert found == end
    updated = await mongo.update("a", stored('{"n":2}'), found)
    assert updated.record is not None
    await mongo.touch("a", end.expires_at + HOUR, updated.record)
    await mongo.set("a", stored('{"n":3}'))

    (document,) = documents.find()
    assert {name: document[name] for name in NODE} == NODE
    assert document["session"] == '{"n":3}'


async def test_a_document_without_expiry_lives(mongo: MongoStore, documents: Any) -> None:
    """As in connect-mongo; a touch gives it an end, an update too."""
    documents.insert_many({"_id": sid, "session": TEXT} for sid in "abc")
    found = await mongo.get("a")
    assert found is not None
    touched = await mongo.touch("a", now_ms() + HOUR, found)
    updated = await mongo.update("b", stored('{"n":2}'), found)

    assert [touched.outcome, updated.outcome] == [Outcome.SAVED] * 2
    assert await mongo.create("c", stored()) is None
    assert found.expires_at > now_ms() + 300 * 24 * HOUR
    assert await mongo.length() == 3
    assert [document["_id"] for document in documents.find({"expires": {"$exists": True}})] == ["a", "b"]


@pytest.mark.parametrize("expires", [None, "2100-01-01T00:00:00.000Z", 4_102_444_800_000, 4e12])
async def test_an_expiry_that_is_no_date_is_over(mongo: MongoStore, documents: Any, expires: object) -> None:
    """connect-mongo does not find such a document either; a new session replaces it."""
    documents.insert_one({"_id": "a", "session": TEXT, "expires": expires})

    assert await mongo.get("a") is None
    assert await mongo.update("a", stored(), stored()) == GONE
    assert await listed(mongo) == {}
    assert await mongo.create("a", stored('{"n":2}')) is not None
    assert documents.find_one()["session"] == '{"n":2}'


async def test_another_unique_index_ends_a_set(mongo: MongoStore, documents: Any) -> None:
    """It is refused in the end, also by a server that does not say which index is in the way; nothing is changed."""
    documents.create_index("session", unique=True)
    await mongo.set("a", stored())
    refused = await asyncio.wait_for(_error(mongo.set("b", stored())), 30)

    assert type(refused) is StoreError
    assert "(code 11000)" in str(refused)
    assert [*await listed(mongo)] == ["a"]


ENCODED = {
    "stringify": {"cookie": {"path": "/"}, "n": 1},
    "crypto": "MIIBOAQsQmFzZTY0IG9mIGtydXB0ZWlu",
    "cryptoAdapter": "9kq1Pcwm3QJmMvN0bXuGk0cmRyMjA3ZQ==",
}
"""What connect-mongo writes with these options."""


@pytest.mark.parametrize("option", ENCODED)
async def test_what_node_encodes_is_refused_by_its_option(mongo: MongoStore, documents: Any, option: str) -> None:
    """The row is left as it is, its neighbours are read, and it can be ended."""
    documents.insert_one({"_id": "a", "session": ENCODED[option], "expires": datetime(2100, 1, 1, tzinfo=UTC)})
    await mongo.create("b", stored())
    refused, found = await asyncio.gather(_error(mongo.get("a")), mongo.get("b"))
    others = [await _error(call) for call in (mongo.update("a", stored(), stored()), listed(mongo))]

    assert [type(each) for each in (refused, *others)] == [CorruptSession] * 3
    assert all(option in str(each) for each in (refused, *others))
    assert found is not None
    assert documents.find_one({"_id": "a"})["session"] == ENCODED[option]
    await mongo.destroy("a")
    assert [*await listed(mongo)] == ["b"]


async def test_an_id_that_is_no_text_is_nobodys(mongo: MongoStore, documents: Any) -> None:
    """connect-mongo's transformId may make one; a list leaves it out, and a sweep takes it with the others."""
    ids = [ObjectId(), ObjectId()]
    for sid, year in zip(ids, (2100, 2000), strict=True):
        documents.insert_one({"_id": sid, "session": TEXT, "expires": datetime(year, 1, 1, tzinfo=UTC)})
    await mongo.create("a", stored())

    assert [*await listed(mongo)] == ["a"]
    assert await mongo.sweep(10) == 1
    await mongo.clear()
    assert [document["_id"] for document in documents.find()] == ids[:1]


async def test_a_date_beyond_pythons_is_kept(mongo: MongoStore, documents: Any) -> None:
    """Node writes dates up to the year 275,760."""
    last = 8_640_000_000_000_000
    documents.insert_one({"_id": "a", "session": TEXT, "expires": DatetimeMS(last)})
    found = await mongo.get("a")

    assert found == StoredSession(TEXT, last)
    assert (await mongo.touch("a", last - 1, found)).outcome is Outcome.SAVED
    assert await mongo.get("a") == StoredSession(TEXT, last - 1)


# ---------------------------------------------------------------- sizes


async def test_what_a_document_cannot_hold_is_refused(mongo: MongoStore) -> None:
    """16 MB, and in an update together with the text that is expected; the session stays, and others are served."""
    big, bigger = (stored('{"a":"' + "x" * size + '"}') for size in (9_000_000, 17_000_000))
    made = await mongo.create("a", big)
    assert made is not None
    calls = (mongo.update("a", big, made), mongo.create("b", bigger))
    refused = [await _error(call) for call in calls]

    assert [type(each) for each in refused] == [StoreError] * 2
    assert all("larger than MongoDB takes" in str(each) for each in refused)
    assert (await mongo.get("a") or stored()).data == big.data
    assert (await mongo.update("a", stored(), made)).outcome is Outcome.SAVED


async def test_a_number_beyond_a_date_is_refused(mongo: MongoStore) -> None:
    """BSON has 64 bits for it."""
    made = await mongo.create("a", stored())
    assert made is not None

    with pytest.raises(StoreError):
        await mongo.touch("a", 2**63, made)
    assert await mongo.get("a") == made


# ---------------------------------------------------------------- calls


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many calls of requests were made, and how many at once."""
    counts = {"made": 0, "now": 0, "most": 0}
    ask = Connection.ask

    async def counting(self: Connection, call: Any) -> Any:
        counts["made"] += 1
        counts["now"] += 1
        counts["most"] = max(counts["most"], counts["now"])
        try:
            return await ask(self, call)
        finally:
            counts["now"] -= 1

    monkeypatch.setattr(Connection, "ask", counting)
    return counts


async def test_reads_that_wait_together_are_one_call(mongo: MongoStore, calls: dict[str, int]) -> None:
    """Each gets its own session, or none."""
    rows = {f"{n}": stored(f'{{"n":{n}}}') for n in range(200)}
    await asyncio.gather(*(mongo.create(sid, record) for sid, record in rows.items()))
    calls["made"] = 0
    first, *found = await asyncio.gather(*map(mongo.get, ["first", *rows, "nobody", "7"]))

    assert calls["made"] == 1
    assert first is None
    assert found == [*rows.values(), None, rows["7"]]


async def test_writes_go_side_by_side_and_not_all_at_once(mongo: MongoStore, calls: dict[str, int]) -> None:
    """Each is a command of its own."""
    await asyncio.gather(*(mongo.create(f"{n}", stored()) for n in range(50)))

    assert (calls["made"], calls["most"]) == (50, MOST)


async def test_a_write_that_nobody_waits_for_is_not_begun(mongo: MongoStore) -> None:
    """Its caller has given up before its turn came: it is not done later either."""
    writes = [asyncio.ensure_future(mongo.create(f"{n}", stored())) for n in range(MOST + 5)]
    await asyncio.sleep(0)
    for write in writes[MOST:]:
        write.cancel()
    await asyncio.wait(writes)

    assert await mongo.length() == MOST


async def test_commands_do_not_appear_in_a_log(
    mongo: MongoStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pymongo logs ids and sessions at DEBUG, unless that was asked for by the name of its logger."""
    caplog.set_level(logging.DEBUG)
    await mongo.create("the-secret-id", stored())
    await mongo.get("the-secret-id")

    assert "the-secret-id" not in caplog.text
    assert '"n":1' not in caplog.text


# ---------------------------------------------------------------- what has expired


async def test_a_server_with_a_ttl_index_is_not_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The index is connect-mongo's; a server that has none keeps what has expired until it is swept, and gets no other."""
    async with MongoStore(mongo_url(), collection=collection(tmp_path)) as store:
        indexes = [*database(mongo_url())[collection(tmp_path)].list_indexes()]
    ours = [index for index in indexes if index["key"] == {"expires": 1}]

    assert (store.sweepable is None, store.lead()) == (bool(ours), not ours)
    if isinstance(shared_server(), Mongod):
        assert [(index["name"], index["expireAfterSeconds"]) for index in ours] == [("expires_1", 0)]
    else:
        assert ours == []


def test_an_index_is_a_ttl_index_by_its_option() -> None:
    """On `expires` alone, with any time to live."""
    key = {"expires": 1}
    found = [{"key": key}, {"key": key, "expireAfterSeconds": 60}, {"key": {"at": 1}, "expireAfterSeconds": 0}]

    assert [is_expiry_index(index) for index in found] == [False, True, False]


async def test_two_sweeps_delete_each_document_once(mongo: MongoStore, tmp_path: Path) -> None:
    """Both may lead: there is no lock, and none is needed."""
    await asyncio.gather(*(mongo.create(f"{n}", stored(life=-n)) for n in range(1, 101)))
    async with mongodb(tmp_path) as other:
        swept = [*await asyncio.gather(mongo.sweep(60), other.sweep(60), mongo.sweep(60)), await other.sweep(100)]

    assert sum(swept) == 100
    assert await mongo.backlog(10) == 0


async def _error(call: Any) -> SessionError | None:
    """What a call raises."""
    try:
        await call
    except SessionError as error:
        return error
    return None
