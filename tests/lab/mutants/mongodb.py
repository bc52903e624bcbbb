"""Owns the mutants of the MongoDB store: filters of writes, the order of a rename, the start, users, URLs, an outage."""

import re
from collections.abc import Callable
from typing import Any

from .mutant import table

MUTANTS, breaks = table()

CONTRACT, RENAME = "stores/test_contract.py::TestMongo", "stores/test_mongo_rename.py"
URLS, CONNECTING = "stores/test_mongo_url.py", "stores/test_mongo_connecting.py"
OWN, USERS, FAULTS = "stores/test_mongo.py", "users/test_mongo.py", "stores/test_mongo_faults.py"
START = "stores/test_mongo_start.py"


def without(*names: str) -> Callable[[Any], Any]:
    """A filter that lacks some members."""

    def replacement(original: Any) -> Any:
        def where(*arguments: Any) -> Any:
            return {name: value for name, value in original(*arguments).items() if name not in names}

        return where

    return replacement


breaks(2, "an update in MongoDB compares nothing", RENAME, "stores.mongodb.store:unchanged")(without("session"))
breaks(3, "an update in MongoDB revives what has expired", CONTRACT, "stores.mongodb.store:unchanged")(without("$or"))
breaks(4, "a create in MongoDB overwrites", CONTRACT, "stores.mongodb.store:free")(without("$nor"))
breaks(5, "a touch in MongoDB compares nothing", CONTRACT, "stores.mongodb.store:untouched")(without("$or"))
breaks(2, "a document without expiry is over", OWN, "stores.mongodb.documents:living")(
    lambda original: lambda now: original(now)["$or"][1]
)


@breaks(
    3,
    "a rename in MongoDB leaves the old text in an expired document",
    RENAME,
    "stores.mongodb.store:MongoStore.remove",
)
def _(_original: Any) -> Any:
    async def remove(self: Any, sid: str, expected: Any) -> Any:
        return await self.update(sid, expected._replace(expires_at=0), expected)

    return remove


breaks(7, "a MongoDB with another unique index is asked for ever", OWN, "stores.mongodb.store:_SET_TRIES")(
    lambda _: 1_000_000
)


@breaks(6, "what connect-mongo has encrypted is data", OWN, "stores.mongodb.documents:is_session_text")
def _(_original: Any) -> Any:
    return lambda _text: True


@breaks(7, "a start in MongoDB tries nothing", FAULTS, "stores.mongodb.store:rehearse")
def _(_original: Any) -> Any:
    async def rehearse(*_: Any) -> None:
        pass

    return rehearse


@breaks(7, "writes to MongoDB go all at once", OWN, "stores.mongodb.writes:MOST")
def _(_original: Any) -> Any:
    return 1_000


@breaks(3, "a user of MongoDB is signed out after one reading", USERS, "stores.mongodb.users:_READINGS")
def _(_original: Any) -> Any:
    return 1


@breaks(3, "a document of MongoDB that names a user is the user's", USERS, "stores.mongodb.users:MongoUsers._is")
def _(_original: Any) -> Any:
    return lambda _self, _names, _record: True


@breaks(6, "an error of MongoDB shows the command", START, "stores.mongodb.errors:_code")
def _(_original: Any) -> Any:
    return str


breaks(1, "a write to MongoDB that nobody confirms is taken", URLS, "stores.mongodb.url:_options")(
    lambda original: lambda query: original(query.replace("w=0", "w=1"))
)
breaks(7, "each visitor waits for a MongoDB that is gone", CONNECTING, "stores.mongodb.connection:_AGAIN")(
    lambda _: 1_000.0
)


@breaks(7, "a MongoDB that is slow is given up", CONNECTING, "stores.mongodb.connection:NetworkTimeout")
def _(_original: Any) -> Any:
    return ArithmeticError  # which pymongo never raises


@breaks(7, "a password in an option of MongoDB is shown", "test_config.py", "validation:_PASSWORD")
def _(_original: Any) -> Any:
    return re.compile("(password=)[^&]*")
