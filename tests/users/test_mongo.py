"""How MongoDB finds a user: the member `user` of a document, what it misses, and a document that names another."""

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from stores.mongo_server import Mongod, database, shared_server
from stores.support import collection, mongo_url, mongodb

from sessions import StoredSession, now_ms
from sessions.errors import OptionsError
from sessions.store import Outcome
from sessions.stores.mongodb import MongoStore
from sessions.stores.mongodb import users as module
from sessions.user_text import user_in

from .managing import managing
from .odd import LOOK_ALIKES, USERS, odd_rows, of

PATH = ("user",)
HOUR = 3_600_000
FAR = datetime(2100, 1, 1, tzinfo=UTC)


@asynccontextmanager
async def opened(place: Path, *, node_peer: bool = False) -> AsyncIterator[MongoStore]:
    """Open a store, in which users are asked for."""
    store = mongodb(place)
    store.users.index(PATH, node_peer=node_peer)
    async with store:
        yield store


def of_user(user: str, life: int = HOUR) -> StoredSession:
    """A session as a manager writes it."""
    text = json.dumps({"cookie": {"path": "/"}, "__meta": {"user": user}, "user": user}, separators=(",", ":"))
    return StoredSession(text, now_ms() + life)


def documents(place: Path) -> Any:
    """The collection, as another client has it."""
    return database(mongo_url())[collection(place)]


def named(place: Path) -> dict[str, str | None]:
    """Whom each document names."""
    return {each["_id"]: each.get("user") for each in documents(place).find()}


async def found(store: MongoStore, user: str) -> set[str]:
    """The ids of a user's sessions."""
    return {sid for sid, record in await store.users.rows(user) if user_in(record.data, PATH) == user}


async def test_a_document_names_the_user_of_its_text(tmp_path: Path) -> None:
    """Each write keeps it; nobody's document has no such member, which the sparse index leaves out."""
    async with opened(tmp_path) as store:
        made = {sid: await store.create(sid, of_user("ada")) for sid in "abcd"}
        known = {sid: record for sid, record in made.items() if record is not None}
        await store.rename("a", "A", of_user("ada"), known["a"], StoredSession('{"cookie":{}}', now_ms() + HOUR))
        await store.update("b", of_user("bob"), known["b"])
        await store.touch("c", now_ms() + 2 * HOUR, known["c"])
        await store.set("d", StoredSession('{"cookie":{}}', now_ms() + HOUR))
        await store.create("e", StoredSession('{"cookie":{}}', now_ms() + HOUR))

    assert named(tmp_path) == {"A": "ada", "a": None, "b": "bob", "c": "ada", "d": None, "e": None}
    assert documents(tmp_path).count_documents({"user": {"$exists": True}}) == 3


async def test_without_a_user_key_a_document_stays_connect_mongos(tmp_path: Path) -> None:
    """Nothing is decoded, and nothing is added."""
    async with mongodb(tmp_path) as store:
        await store.create("a", of_user("ada"))

    assert documents(tmp_path).find_one().keys() == {"_id", "session", "expires"}


async def test_a_document_that_names_another_ends_nothing(tmp_path: Path) -> None:
    """Node has saved another user since, and leaves the member: the text decides."""
    async with opened(tmp_path) as store:
        await store.create("a", of_user("ada"))
        documents(tmp_path).update_one({"_id": "a"}, {"$set": {"session": '{"cookie":{},"user":"bob"}'}})

        assert await found(store, "ada") == set()
        assert await store.users.end("ada") == []
        assert await store.get("a") is not None


async def test_a_touch_does_not_name_a_user(tmp_path: Path) -> None:
    """It knows the text that was loaded, and not the one that is there by now."""
    async with opened(tmp_path) as store:
        end = now_ms() + HOUR
        made = await store.create("a", of_user("ada")._replace(expires_at=end))
        assert made is not None
        await store.update("a", of_user("bob")._replace(expires_at=end), made)

        assert (await store.touch("a", end + HOUR, made)).outcome is Outcome.SAVED
        assert await found(store, "bob") == {"a"}


async def test_odd_documents_of_node_are_found_and_ended_with_a_node_peer(tmp_path: Path) -> None:
    """They name nobody, so every document is looked at; one that cannot be read is nobody's."""
    async with opened(tmp_path, node_peer=True) as store:
        for sid, (text, _) in odd_rows().items():
            documents(tmp_path).insert_one({"_id": sid, "session": text, "expires": FAR})
        documents(tmp_path).insert_one({"_id": "no text", "session": {"user": "ada"}, "expires": FAR})
        sets = {user: await found(store, user) for user in (*USERS, *LOOK_ALIKES)}
        ended = {user: set(await store.users.end(user)) for user in (*LOOK_ALIKES, *USERS)}
    left = set(named(tmp_path))

    expected = {user: of(user) for user in (*USERS, *LOOK_ALIKES)}
    assert sets == expected
    assert ended == expected
    assert left == {sid for sid, (_, user) in odd_rows().items() if user is None} | {"no text"}


async def test_a_user_is_read_again_until_two_readings_find_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cursor may miss what moves while it reads: the first reading here misses everything."""
    async with opened(tmp_path) as store:
        await store.create("a", of_user("ada"))
        noted, readings = store.users._noted, 0

        async def missing(names: Any) -> Any:
            nonlocal readings
            readings += 1
            return {} if readings == 1 else await noted(names)

        monkeypatch.setattr(store.users, "_noted", missing)

        assert await store.users.end("ada") == ["a"]
        assert readings == 4  # nobody, one, nobody, nobody


async def test_the_index_is_made_while_there_are_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Else the log says once how it is made; FerretDB can have no sparse one, which it says too."""
    monkeypatch.setattr(module, "_MOST_INDEXED", 2)
    async with mongodb(tmp_path) as store:
        for sid in "abc":
            await store.create(sid, of_user("ada"))
    store.users.index(PATH)
    for _ in range(2):
        async with store:
            assert await found(store, "ada") == set()  # they were written before anybody asked for users

    warned = [each.getMessage() for each in caplog.records if each.levelno == logging.WARNING]
    assert len(warned) == 1
    assert "`sessions index` makes it" in warned[0]


async def test_the_index_can_be_made_and_made_again(tmp_path: Path) -> None:
    """On a collection of any size."""
    if not isinstance(shared_server(), Mongod):
        pytest.skip("FerretDB has no sparse index; MONGODB_URI names a mongod that has")
    async with mongodb(tmp_path) as store:
        await store.create("a", of_user("ada"))
        made = [
            await store.users.make_index(rebuild=rebuild, progress=lambda *_: None) for rebuild in (False, False, True)
        ]

    assert made == [True, False, True]
    assert [each["sparse"] for each in documents(tmp_path).list_indexes() if each["key"] == {"user": 1}] == [True]


async def test_a_limit_that_refuses_is_a_configuration_error(tmp_path: Path) -> None:
    """To count and to write is not one step there."""
    with pytest.raises(OptionsError, match="atLimit"):
        async with managing("mongodb", tmp_path, max_per_user=2, at_limit="refuse"):
            pass
