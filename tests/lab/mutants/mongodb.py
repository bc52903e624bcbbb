"""Owns the mutants of the MongoDB store: the filters of its writes, what it reads, its URLs, and a server that is away."""

import re
from typing import Any

from .mutant import always, table

MUTANTS, breaks = table()

CONTRACT, URLS = "stores/test_contract.py", "stores/test_mongo_url.py"
DOCUMENTS = "stores.mongodb.documents"


@breaks(2, "an update in MongoDB compares nothing", CONTRACT, f"{DOCUMENTS}:unchanged")
def _(original: Any) -> Any:
    return lambda *given: {name: each for name, each in original(*given).items() if name != "session"}


@breaks(3, "an update in MongoDB takes what has expired", CONTRACT, f"{DOCUMENTS}:unchanged")
def _(original: Any) -> Any:
    return lambda *given: {name: each for name, each in original(*given).items() if name != "$or"}


@breaks(3, "a touch in MongoDB compares nothing", CONTRACT, f"{DOCUMENTS}:untouched")
def _(_original: Any) -> Any:
    return lambda sid, *_: {"_id": sid}


@breaks(4, "a create in MongoDB overwrites", CONTRACT, f"{DOCUMENTS}:free")
def _(_original: Any) -> Any:
    return lambda sid, _now: {"_id": sid}


@breaks(6, "the sweep in MongoDB takes what lives", CONTRACT, f"{DOCUMENTS}:expired")
def _(_original: Any) -> Any:
    return lambda _now: {"expires": {"$exists": True}}


breaks(4, "what connect-mongo has encrypted is read as a session", "stores/test_mongo.py", f"{DOCUMENTS}:is_session_text")(
    always(True)
)  # fmt: skip
breaks(1, "a write that nobody confirms is taken", URLS, "stores.mongodb.url:_options")(
    lambda original: lambda query: original(query.replace("w=0", "w=1"))
)
breaks(7, "each visitor waits for a MongoDB that is gone", URLS, "stores.mongodb.connection:_AGAIN")(lambda _: 1_000.0)


@breaks(7, "a MongoDB that is slow is given up", URLS, "stores.mongodb.connection:NetworkTimeout")
def _(_original: Any) -> Any:
    return ArithmeticError  # which pymongo never raises


@breaks(7, "a password is shown that is no login's", "test_config.py", "validation:_PASSWORD")
def _(_original: Any) -> Any:
    return re.compile("(password=)[^&]*")
