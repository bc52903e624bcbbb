"""Owns the stores that processes can share, by name: for `redis`, `postgres` and `mongodb` a real server is started. It knows no experiment."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from stores.mongo_server import MongoServer
from stores.postgres_server import Server as PostgresServer
from stores.redis_server import RedisServer

from .serving import SQLITE

SERVERS = {"redis": RedisServer, "postgres": PostgresServer, "mongodb": MongoServer}
ENGINES = (SQLITE, *SERVERS)
"""A new store that processes can share adds its name here."""

RESTARTING: dict[str, Callable[[], Any]] = {
    "redis": partial(RedisServer, appendonly="yes", appendfsync="always"),
    "postgres": PostgresServer,
    "mongodb": MongoServer,
}
"""Servers that can be killed and started again on what they have acknowledged."""


@contextmanager
def opened(store: str) -> Iterator[str]:
    """The URL of an empty store while the block runs, for a name in SERVERS; anything else is such a URL."""
    if store not in SERVERS:
        yield store
        return
    with SERVERS[store]() as server:
        yield server.url
