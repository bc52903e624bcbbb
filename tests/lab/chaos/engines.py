"""Owns the stores that processes can share, by name: for `redis` and `postgres` a real server is started. It knows no experiment."""

from collections.abc import Iterator
from contextlib import contextmanager

from stores.postgres_server import Server as PostgresServer
from stores.redis_server import RedisServer

from .serving import SQLITE

SERVERS = {"redis": RedisServer, "postgres": PostgresServer}
ENGINES = (SQLITE, *SERVERS)
"""A new store that processes can share adds its name here."""


@contextmanager
def opened(store: str) -> Iterator[str]:
    """The URL of an empty store while the block runs, for a name in SERVERS; anything else is such a URL."""
    if store not in SERVERS:
        yield store
        return
    with SERVERS[store]() as server:
        yield server.url
