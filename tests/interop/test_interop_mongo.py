"""What is connect-mongo's own: its options, and what each of them does to a collection that Tornado shares.

What sessions have in common on every store is in test_interop.py.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stores.mongo_server import MongoServer, database

from .client import Visitor, control
from .conftest import OPTIONS, MakePair, Pair
from .processes import wait_until
from .test_interop import BOTH_WAYS

pytestmark = pytest.mark.parametrize("backend", ["mongodb"], indirect=True)

SECONDS = 30
HASHED = "store.options.transformId = (sid) => 'h' + sid.length + sid;"
WRAPPED = "store.options.transformId = (sid) => ({ sid });"
ENCODED = """store.cryptoAdapter = {
  encrypt: async (text) => Buffer.from(text).toString('base64'),
  decrypt: async (text) => Buffer.from(text, 'base64').toString(),
};"""


def options(**given: object) -> dict[str, str]:
    """The environment that has further options of connect-mongo."""
    return {"MONGO": json.dumps(given)}


def document(pair: Pair, sid: str | None) -> dict[str, Any]:
    """The document of an id, with all of its members."""
    return database(str(pair.mongodb)).sessions.find_one({"_id": sid}) or {}


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (options(stringify=False), "stringify"),
        (options(crypto={"secret": "of Node alone"}), "crypto"),
        (options(crypto={"secret": "of Node alone"}, stringify=False), "crypto"),
        ({"STORE_LINES": ENCODED}, "cryptoAdapter"),
        ({"STORE_LINES": "store.transformFunctions.serialize = (session) => 'n' + session.n;"}, "crypto"),
    ],
    ids=["stringify", "crypto", "crypto of objects", "cryptoAdapter", "serialize"],
)
def test_what_connect_mongo_encodes_is_refused_by_name(make_pair: MakePair, env: dict[str, str], words: str) -> None:
    """And stays as it is: the visitor does not get a new session, which would replace it."""
    pair = make_pair(**env)
    visitor = Visitor()
    made = visitor.post(pair.express, ("set", "n", 1))
    before = document(pair, made.sid)

    reply = visitor.post(pair.tornado, ("set", "n", 2))

    assert reply.status == 500
    assert reply.set_cookies == []
    (error,) = control(pair.tornado, "errors")
    assert "CorruptSession" in error
    assert words in error
    assert str(made.sid) not in error
    assert document(pair, made.sid) == before != {}
    pair.processes.pop("tornado").stop()  # which has a traceback of it


@pytest.mark.parametrize("touch_after", [0, 3_600])
def test_what_connect_mongo_notes_beside_a_session_stays(make_pair: MakePair, touch_after: int) -> None:
    """`timestamps` and `touchAfter`: no member of theirs is lost, and none becomes data."""
    pair = make_pair(tornado={"touchAfter": 0}, **options(timestamps=True, touchAfter=touch_after))
    visitor = Visitor()
    made = visitor.post(pair.express, ("set", "n", 1))
    before = document(pair, made.sid)
    noted = {"createdAt", "updatedAt"} | ({"lastModified"} if touch_after else set())

    read = visitor.post(pair.tornado, ("data",), ("set", "m", 2))
    after = document(pair, made.sid)
    again = visitor.post(pair.express, ("data",), ("set", "n", 3))

    assert noted <= before.keys()
    assert {name: after[name] for name in noted} == {name: before[name] for name in noted}
    assert read.results[0] == {"n": 1}
    assert {name: value for name, value in again.results[0].items() if name != "lastModified"} == {"n": 1, "m": 2}
    assert json.loads(document(pair, made.sid)["session"]).keys() == {"cookie", "n", "m"}
    assert control(pair.express, "errors") == []


@BOTH_WAYS
def test_touch_after_of_connect_mongo_and_a_visit_elsewhere(make_pair: MakePair, one: str, other: str) -> None:
    """Its touches are rare, ours count meanwhile, and the session lives as long as one of them has said."""
    pair = make_pair(tornado={"touchAfter": 0}, **options(touchAfter=3_600))
    visitor = Visitor()
    made = visitor.post(pair[one], ("set", "n", 1))
    sessions = database(str(pair.mongodb)).sessions
    first = document(pair, made.sid)["expires"]

    visitor.post(pair[other], ("data",))
    second = document(pair, made.sid)["expires"]
    visitor.post(pair[one], ("data",))

    assert second >= first
    assert (second > first) == (other == "tornado" or "lastModified" not in document(pair, made.sid))
    assert document(pair, made.sid)["expires"] >= second
    assert sessions.count_documents({}) == 1


@pytest.mark.parametrize(("lines", "found"), [(HASHED, 1), (WRAPPED, 0)], ids=["another text", "no text"])
def test_ids_that_are_transformed_are_known_to_node_alone(make_pair: MakePair, lines: str, found: int) -> None:
    """Tornado makes a session of its own. To end a user's it finds those that have a text as id."""
    pair = make_pair(tornado={"userKey": "passport.user", "nodePeer": True}, STORE_LINES=lines, SWEEP="1")
    visitor = Visitor()
    visitor.post(pair.express, ("login", "ada"), ("set", "n", 1))
    sessions = database(str(pair.mongodb)).sessions

    reply = visitor.post(pair.tornado, ("data",), ("set", "n", 2))

    assert reply.results[0] == {}
    assert sessions.count_documents({}) == 2
    assert visitor.post(pair.tornado, ("revoke_all", "ada")).results == [found]
    assert sessions.count_documents({}) == 2 - found
    assert control(pair.express, "errors") == []


class TestAutoRemove:
    """Who deletes what has expired."""

    def test_interval(self, make_pair: MakePair) -> None:
        """Node deletes what both have made, and leaves what lives."""
        pair = make_pair(**options(autoRemove="interval", autoRemoveInterval=0.002))  # in minutes
        short, long = (Visitor().post(pair.tornado, ("set", "n", 1), ("set_max_age", age)) for age in (500, 60_000))

        wait_until(lambda: not pair.has(short.sid), SECONDS)

        assert pair.has(long.sid)

    def test_disabled(self, make_pair: MakePair) -> None:
        """Tornado's sweeper does, as it does beside 'interval' where the server has no TTL index."""
        pair = make_pair(SWEEP="1", **options(autoRemove="disabled"))
        short, long = (Visitor().post(pair.express, ("set", "n", 1), ("set_max_age", age)) for age in (500, 60_000))

        wait_until(lambda: not pair.has(short.sid), SECONDS)

        assert pair.has(long.sid)

    def test_native(self, make_pair: MakePair) -> None:
        """Both have the TTL index. FerretDB refuses it: then connect-mongo cannot begin, and Tornado begins without."""
        pair = make_pair(**options(autoRemove="native"))

        there = Visitor().post(pair.express, ("set", "n", 1))
        here = Visitor().post(pair.tornado, ("set", "n", 1))

        refused = any("expireAfterSeconds" in error for error in control(pair.express, "errors"))
        assert refused == ("expireAfterSeconds" not in pair.indexes())
        assert pair.has(there.sid) == (not refused)
        assert pair.has(here.sid)


@pytest.fixture
def server() -> Iterator[MongoServer]:
    """A server on which a database may be named `test`."""
    with MongoServer() as server:
        yield server


@BOTH_WAYS
def test_a_url_without_a_database_means_the_same(
    server: MongoServer, tmp_path: Path, backend: str, one: str, other: str
) -> None:
    """For pymongo and for Node's driver: `test`."""
    assert backend == "mongodb"
    pair = Pair(tmp_path / "unused.db", mongodb=server.url)
    try:
        pair.start("express", OPTIONS)
        pair.start("tornado", OPTIONS)
        visitor = Visitor()
        visitor.post(pair[one], ("set", "n", 1))

        assert visitor.post(pair[other], ("data",)).results == [{"n": 1}]
    finally:
        pair.stop()
    assert server.admin.test.sessions.count_documents({}) == 1
