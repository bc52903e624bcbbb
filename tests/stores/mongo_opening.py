"""Owns what the tests of MongoDB's URLs share: a password that no message may show, a store that works, one that is refused."""

import gc
import warnings
from typing import Any

import pytest
from clock import MINUTE

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.mongodb import MongoStore

LEAVES_SOCKETS = [
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.usefixtures("collected"),
]
"""pymongo 4.20 leaves a socket to the garbage collector if its connecting is cancelled, as when a client is closed."""

HUSH = "hush-and-more"
SECONDS = 20.0
"""Within which a busy machine gives up what it was to give up after a second."""


def record() -> StoredSession:
    """A session that lives."""
    return StoredSession('{"n":1}', now_ms() + MINUTE)


async def works(url: str, **options: Any) -> None:
    """Write and read a session. Raises StoreError."""
    async with MongoStore(url, **options) as store:
        written = record()
        assert await store.create("a", written) == written
        assert await store.get("a") == written
        await store.destroy("a")


async def refusal(url: str, **options: Any) -> str:
    """What a store says that cannot be opened, without a password."""
    with pytest.raises(StoreUnavailable) as caught:
        await MongoStore(url, **{"timeout": 2_000, **options}).__aenter__()
    said = str(caught.value)
    assert HUSH not in f"{said} {caught.value!r} {caught.value.__cause__!r}"
    del caught
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # pymongo leaves the socket of a handshake that it gives up
        gc.collect()
    assert said.startswith("mongodb at ")
    return said
