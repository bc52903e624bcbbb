"""The MongoDB of the tests: what the other tests take for granted of it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pymongo
import pytest
from interop.processes import wait_until
from pymongo.errors import AutoReconnect, NotPrimaryError, OperationFailure, ServerSelectionTimeoutError, WriteError

from .certificates import Authority
from .mongo_server import HOST, MILLISECONDS, SECONDS, Client, MongoServer, client, database, new_database


@pytest.fixture
def server() -> Iterator[MongoServer]:
    """One that a test may harm."""
    with MongoServer() as server:
        yield server


def test_a_filtered_update_is_atomic() -> None:
    """As MongoDB's are: of those who have seen the same value one wins, so that no increment is lost."""
    counters = database(new_database()).counters
    counters.insert_one({"_id": 1, "n": 0})

    def increment() -> None:
        done = 0
        while not done:
            seen = counters.find_one({"_id": 1}) or {}
            done = counters.update_one(seen, {"$set": {"n": seen["n"] + 1}}).modified_count

    with ThreadPoolExecutor(6) as pool:
        for each in [pool.submit(increment) for _ in range(60)]:
            each.result()

    assert counters.find_one() == {"_id": 1, "n": 60}


def test_what_was_answered_outlives_a_kill(server: MongoServer) -> None:
    """On the same port, too."""
    server.admin.db.things.insert_one({"_id": 1})
    before = server.address

    server.kill()
    server.start()

    assert server.address == before
    assert server.admin.db.things.find_one() == {"_id": 1}


def test_connections_are_cut_and_made_again(server: MongoServer) -> None:
    """Also one on which a command is under way."""
    server.fail("find", times=1, blockConnection=True, blockTimeMS=MILLISECONDS)
    with client(server.url_of(retryReads="false")) as other, ThreadPoolExecutor() as pool:
        asked = pool.submit(other.db.things.find_one)

        def cut() -> bool:
            server.hang_up()
            return asked.done()

        wait_until(cut, SECONDS)

        def answers() -> bool:
            """No find asks: a cut before the first find would have left the waiting to this one."""
            with suppress(AutoReconnect):  # the last cut may come late
                return other.db.things.estimated_document_count() == 0
            return False

        assert isinstance(asked.exception(), AutoReconnect)
        wait_until(answers, SECONDS)


def test_a_full_disk_is_the_error_of_a_command(server: MongoServer) -> None:
    """And nothing after it."""
    things = server.admin.db.things
    things.insert_one({"_id": 0})
    server.fill_disk()

    with pytest.raises((WriteError, OperationFailure)):
        things.insert_one({"_id": 1, "text": "x" * 10_000})
    found = things.find_one()
    server.empty_disk()
    things.insert_one({"_id": 1})

    assert found == {"_id": 0}
    assert things.count_documents({}) == 2


def test_commands_fail_as_a_test_says(server: MongoServer) -> None:
    """By an error, by a lost connection, and by a lost reply to what was done."""
    things = server.admin.db.things
    things.insert_one({"_id": 1, "n": 0})
    server.fail("update", times=1, errorCode=10107)
    with pytest.raises(NotPrimaryError):
        things.update_one({"_id": 1}, {"$inc": {"n": 1}})
    server.fail("find", times=2, closeConnection=True)  # one more would be asked again
    with pytest.raises(AutoReconnect):
        things.find_one()
    server.fail("update", times=1, replyLost=True)
    with pytest.raises(AutoReconnect):
        things.update_one({"_id": 1}, {"$inc": {"n": 10}})
    server.fail()

    assert things.find_one() == {"_id": 1, "n": 10}


def test_it_asks_for_a_login() -> None:
    """By SCRAM-SHA-256."""
    with MongoServer(user="me", password="a: b/ü") as server:
        server.admin.db.things.insert_one({"_id": 1})
        nobody, wrong = (client(f"mongodb://{login}{server.address}/") for login in ("", "me:wrong@"))

        with pytest.raises(OperationFailure, match="requires authentication"):
            nobody.db.things.find_one()
        with pytest.raises(OperationFailure, match="Authentication failed"):
            wrong.db.things.find_one()

        nobody.close()
        wrong.close()


def test_it_speaks_tls(tmp_path: Path) -> None:
    """To who trusts its authority."""
    authority = Authority(tmp_path)
    with MongoServer(certificate=authority.issue("127.0.0.1"), authority=authority.file) as server:
        server.admin.db.things.insert_one({"_id": 1})
        other: Client = pymongo.MongoClient(server.address, tls=True, serverSelectionTimeoutMS=500)

        with other, pytest.raises(ServerSelectionTimeoutError, match="CERTIFICATE_VERIFY_FAILED"):
            other.db.things.find_one()


def test_it_is_the_primary_of_a_replica_set() -> None:
    """If it is to be one."""
    with MongoServer(replica_set="rs0") as server:
        server.admin.db.things.insert_one({"_id": 1})
        other: Client = pymongo.MongoClient(server.address, replicaSet="other", serverSelectionTimeoutMS=500)

        assert server.admin.primary == (HOST, server.port)
        with other, pytest.raises(ServerSelectionTimeoutError):
            other.db.things.find_one()
