"""MongoDB: each fault is made in a real server, if FerretDB can have it; of a healthy one nothing is said."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from stores.mongo_server import Mongod, MongoServer, database, shared_server
from stores.support import collection, mongo_url, mongodb

from sessions import now_ms
from sessions.findings import Finding
from sessions.store import StoredSession
from sessions.stores.mongodb import MongoStore, examination
from sessions.stores.mongodb.connection import Connection
from sessions.stores.mongodb.examination import Facts
from sessions.stores.mongodb.url import parse

from .asking import ASKED, HOUR, by_name, store

WITH_USERS = ASKED._replace(user_path=("user",))
FAR = datetime(2100, 1, 1, tzinfo=UTC)
TEXT = '{"cookie":{"path":"/"}}'


@pytest.fixture
def documents(tmp_path: Path) -> Any:
    """The collection of this test, as another client has it."""
    return database(mongo_url())[collection(tmp_path)]


async def found(place: Path, asked: Any = ASKED, more: str = "", **options: Any) -> dict[str, Finding]:
    """What is found of a collection, but that FerretDB has neither a TTL index nor a sparse one."""
    url = mongo_url() + (f"?{more}" if more else "")
    findings = await store(url, asked, collection=collection(place), **options)
    if not isinstance(shared_server(), Mongod):
        for name in ("store.expiry-index", "user-index.missing"):
            findings.pop(name, None)
    return findings


async def test_a_healthy_one_has_no_findings(tmp_path: Path) -> None:
    """Before a server has made it there is a note."""
    before = await found(tmp_path, WITH_USERS)
    async with mongodb(tmp_path) as served:
        await served.create("a", StoredSession(TEXT, now_ms() + HOUR))
        after = await found(tmp_path, WITH_USERS)

    assert {name: each.severity for name, each in before.items()} == {"mongodb.new": "note"}
    assert after == {}


async def test_nothing_is_made(tmp_path: Path) -> None:
    """No collection, no index, no document."""
    await found(tmp_path, WITH_USERS)

    assert collection(tmp_path) not in database(mongo_url()).list_collection_names()


async def test_a_server_without_its_indexes(tmp_path: Path, documents: Any) -> None:
    """As FerretDB is: a sweep reads all, and so does who looks for a user."""
    documents.insert_one({"_id": "a", "session": TEXT, "expires": FAR})
    findings = await store(mongo_url(), WITH_USERS, collection=collection(tmp_path))

    assert {name: each.severity for name, each in findings.items()} == {
        "store.expiry-index": "warning",
        "user-index.missing": "warning",
    }


async def test_a_collection_that_keeps_no_sessions(tmp_path: Path) -> None:
    """A server would not start."""
    database(mongo_url()).create_collection(collection(tmp_path), capped=True, size=100_000)
    findings = await found(tmp_path)

    assert set(findings) == {"mongodb.collection"}
    assert "it is capped" in findings["mongodb.collection"].problem


@pytest.mark.parametrize(("text", "word"), [({"cookie": {}}, "stringify"), ("MIIBOAQsQmFzZTY0", "crypto")])
async def test_documents_that_node_has_encoded(tmp_path: Path, documents: Any, text: Any, word: str) -> None:
    """The finding names connect-mongo's option."""
    documents.insert_one({"_id": "the-secret-id", "session": text, "expires": FAR})
    findings = await found(tmp_path)

    assert {name: each.severity for name, each in findings.items()} == {"mongodb.encoded": "fault"}
    assert word in findings["mongodb.encoded"].problem
    assert "the-secret-id" not in repr(findings)


async def test_ids_that_are_no_texts(tmp_path: Path, documents: Any) -> None:
    """connect-mongo's transformId makes them."""
    documents.insert_one({"_id": ObjectId(), "session": TEXT, "expires": FAR})

    assert {name: each.severity for name, each in (await found(tmp_path)).items()} == {"mongodb.transform-id": "fault"}


async def test_what_nobody_sweeps(tmp_path: Path, documents: Any) -> None:
    """A row that lies for an hour."""
    documents.insert_one({"_id": "a", "session": TEXT, "expires": datetime(2020, 1, 1, tzinfo=UTC)})
    findings = await found(tmp_path)

    assert set(findings) == {"store.backlog"}
    assert "1 expired sessions wait" in findings["store.backlog"].problem


async def test_a_write_that_one_server_confirms(tmp_path: Path, documents: Any) -> None:
    """The URL says w=1."""
    documents.insert_one({"_id": "a", "session": TEXT, "expires": FAR})

    findings = await found(tmp_path, more="w=1")

    assert {name: each.severity for name, each in findings.items()} == {"mongodb.write-concern": "warning"}


async def test_a_clock_that_is_off(tmp_path: Path, documents: Any) -> None:
    """Without a TTL index it decides nothing; with one a server ahead of us deletes sessions that live."""
    documents.insert_one({"_id": "a", "session": TEXT, "expires": FAR})
    findings = await found(tmp_path, ASKED._replace(clock=lambda: now_ms() - HOUR))
    deleting = by_name(examination.clock({"localTime": 2 * HOUR}, HOUR, "x", deletes=True))
    behind = by_name(examination.clock({"localTime": 0}, HOUR, "x", deletes=True))

    assert {name: each.severity for name, each in findings.items()} == {"clock.off": "warning"}
    assert "60 minutes ahead of this machine's" in findings["clock.off"].problem
    assert [each["clock.off"].severity for each in (deleting, behind)] == ["fault", "warning"]


@pytest.mark.parametrize(
    ("url", "others"),
    [
        ("mongodb://a:27018,[2001:db8::1],localhost,127.0.0.1/", "a, 2001:db8::1"),
        ("mongodb://[::1]:27018,%2Ftmp%2Fmongodb-27017.sock/", None),
        ("mongodb://a/?tls=true", None),
        ("mongodb+srv://a.example.org/", None),
        ("mongodb+srv://a.example.org/?tls=false", "a.example.org"),
    ],
)
def test_sessions_in_the_clear(url: str, others: str | None) -> None:
    """To another machine without TLS, which mongodb+srv:// asks for by itself."""
    findings = by_name(examination.in_the_clear(parse(url), "x"))

    assert set(findings) == (set() if others is None else {"store.clear-text"})
    if others is not None:
        assert f"go to {others} without TLS" in findings["store.clear-text"].problem


ROLE = {"resource": {"db": "sessions", "collection": ""}, "actions": ["find", "listIndexes", "insert", "update"]}


@pytest.mark.parametrize(
    ("privileges", "lacking"),
    [
        (None, None),  # nobody has to log in
        ([ROLE], "remove, createIndex"),
        (
            [ROLE, {"resource": {"db": "sessions", "collection": "sessions"}, "actions": ["remove", "createIndex"]}],
            None,
        ),
        ([ROLE, {"resource": {"db": "other", "collection": ""}, "actions": ["remove", "createIndex"]}], "remove"),
        ([{"resource": {"anyResource": True}, "actions": ["anyAction"]}], None),
        ([], "find, insert, update, remove, createIndex, listIndexes"),
    ],
)
def test_a_user_who_lacks_a_right(privileges: Any, lacking: str | None) -> None:
    """As `connectionStatus` has it, which FerretDB does not say."""
    connection = Connection(parse("mongodb://nowhere.invalid/sessions"), "sessions", 1_000)
    facts = Facts(None, may_list=True, indexes=[], samples=[], privileges=privileges)
    findings = by_name(examination.rights(facts, connection, "x"))

    assert set(findings) == (set() if lacking is None else {"mongodb.rights"})
    if lacking is not None:
        assert f"lacks {lacking}" in findings["mongodb.rights"].problem


async def test_one_who_may_not_ask_has_the_other_findings() -> None:
    """Each question that is refused is left out."""
    with MongoServer() as server:
        async with MongoStore(server.url) as served:
            await served.create("a", StoredSession(TEXT, now_ms() + HOUR))
        server.fail("listCollections", "listIndexes", "find", "connectionStatus", errorCode=13)
        findings = await store(server.url)

    assert set(findings) == {"store.expiry-index"}
