"""MongoDB's own: what is looked at when a store is opened, and what an error says."""

import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import AutoReconnect, DocumentTooLarge, OperationFailure, ServerSelectionTimeoutError
from tornado.ioloop import IOLoop

from sessions import now_ms
from sessions.errors import OptionsError, StoreError, StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.mongodb import MongoStore
from sessions.stores.mongodb.errors import translated
from sessions.stores.mongodb.start import wrong_collection

from .mongo_server import database
from .support import collection, mongo_url, mongodb, opened


@pytest.fixture
def documents(tmp_path: Path) -> Any:
    """The collection of this test, as another client has it."""
    return database(mongo_url())[collection(tmp_path)]


@pytest.fixture
def mongo(io_loop: IOLoop, tmp_path: Path) -> Iterator[MongoStore]:
    """A store on it."""
    with opened(io_loop, mongodb(tmp_path)) as store:
        yield store


async def test_only_what_is_there_is_opened(tmp_path: Path, documents: Any) -> None:
    """For an operator: a wrong name is an error, and nothing is made."""
    store = MongoStore(mongo_url(), collection=f"{collection(tmp_path)} of nobody")
    store.take_existing(reads=False)

    with pytest.raises(StoreError, match="of nobody: is not there"):
        await store.__aenter__()

    assert store.is_open is False
    assert database(mongo_url()).list_collection_names(filter={"name": f"{documents.name} of nobody"}) == []


async def test_who_only_reads_writes_nothing(
    mongo: MongoStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No rehearsal, no index."""
    await mongo.create("a", StoredSession('{"n":1}', now_ms() + 3_600_000))
    written: list[str] = []
    monkeypatch.setattr("sessions.stores.mongodb.store.rehearse", lambda *_: written.append("rehearsed"))
    reading = mongodb(tmp_path)
    reading.take_existing(reads=True)
    async with reading:
        assert await reading.get("a") is not None

    assert written == []


async def test_a_capped_collection_is_refused(tmp_path: Path) -> None:
    """It would delete living sessions when it is full."""
    database(mongo_url()).create_collection(collection(tmp_path), capped=True, size=100_000)

    with pytest.raises(StoreError, match="no collection of sessions: it is capped"):
        await mongodb(tmp_path).__aenter__()


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({"type": "view", "options": {"viewOn": "x"}}, "it is a view"),
        ({"type": "timeseries"}, "it is a timeseries"),
        ({"options": {"collation": {"locale": "en", "strength": 2}}}, "its collation is en, by which"),
        ({"options": {"collation": {"locale": "simple"}}}, ""),
        ({"type": "collection", "options": {}, "info": {"readOnly": False}}, ""),
    ],
)
def test_a_collection_that_keeps_no_sessions_is_named(found: Any, words: str) -> None:
    """As `listCollections` has it; ids are equal only if they are the same."""
    problem = wrong_collection(found)

    assert problem.startswith(words)
    assert bool(problem) == bool(words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"collection": ""}, "collection: expected a name"),
        ({"collection": "system.users"}, "collection: expected a name"),
        ({"collection": "a$b"}, "collection: expected a name"),
        ({"collection": "x" * 121}, "collection: expected a name"),
        ({"collection": 1}, "collection: expected a name"),
        ({"timeout": 0}, "timeout: expected a number of milliseconds"),
        ({"timeout": True}, "timeout: expected a number of milliseconds"),
    ],
)
def test_a_wrong_option_is_named(options: Any, words: str) -> None:
    """When the store is made."""
    with pytest.raises(OptionsError, match=f"^{words}"):
        MongoStore("mongodb://nowhere.invalid", **options)


COMMAND = "not authorized on sessions to execute command { find: 'sessions', filter: { _id: 'the-secret-id' } }"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (OperationFailure(COMMAND, 13, {"codeName": "Unauthorized", "errmsg": COMMAND}), StoreError, "readWrite"),
        (OperationFailure(COMMAND, 121, {"errInfo": {"failingDocumentId": "the-secret-id"}}), StoreError, "code 121"),
        (OperationFailure(COMMAND, 50, {"codeName": "MaxTimeMSExpired"}), StoreUnavailable, "MaxTimeMSExpired"),
        (OperationFailure(COMMAND, 999_999, {}), StoreUnavailable, "code 999999"),
        (OperationFailure(COMMAND, 10334, {"codeName": "BSONObjectTooLarge"}), StoreError, "larger than MongoDB takes"),
        (DocumentTooLarge("update command document too large"), StoreError, "larger than MongoDB takes"),
        (
            ServerSelectionTimeoutError("h:1: refused (configured timeouts: …), Timeout: 3s"),
            StoreUnavailable,
            "h:1: refused",
        ),
        (ServerSelectionTimeoutError("No servers found yet, Timeout: 3s"), StoreUnavailable, "speak TLS"),
        (AutoReconnect("connection closed"), StoreUnavailable, "connection closed"),
        (OSError("broken"), StoreUnavailable, "broken"),
    ],
)
def test_an_error_says_what_failed_and_shows_no_document(error: Exception, kind: type, words: str) -> None:
    """Neither in its words nor in the traceback of its cause."""
    ours = translated("mongodb at h/sessions.sessions", error)
    try:
        raise ours from error
    except StoreError as raised:
        shown = "".join(traceback.format_exception(raised))

    assert type(ours) is kind
    assert words in str(ours)
    assert "the-secret-id" not in shown
