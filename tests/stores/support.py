"""Owns what the store tests share: the table of the stores, records, a seal, and another process's view of a file."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple
from zlib import crc32

from clock import MINUTE, SECOND, START, MovableClock
from pymongo.errors import CollectionInvalid
from tornado.ioloop import IOLoop

from sessions.clock import Clock, now_ms
from sessions.errors import CorruptSession, StoreError, StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.memory import MemoryStore
from sessions.stores.mongodb import MongoStore
from sessions.stores.postgres import PostgresStore
from sessions.stores.sqlite import SQLiteStore
from sessions.stores.wrappers import StoreWrapper

from . import mongo_server, postgres_server
from .postgres_time import timed
from .redis_time import redis_cluster_store, redis_store

LATER = START + MINUTE
OLD = StoredSession('{"n":1}', LATER)
NEW = StoredSession('{"n":2}', LATER + SECOND)
OTHER = StoredSession('{"n":3}', LATER + 2 * SECOND)


class Seal(StoreWrapper):
    """A wrapper that never writes a text twice in the same way, and binds it to its key."""

    def encode(self, key: str, record: StoredSession) -> StoredSession:
        return record._replace(data=json.dumps({"nonce": token_hex(8), "key": key, "text": record.data[::-1]}))

    def decode(self, key: str, record: StoredSession) -> StoredSession:
        sealed = json.loads(record.data)
        if sealed["key"] != key:
            raise CorruptSession("a text of another key")
        return record._replace(data=sealed["text"][::-1])


def prefix(folder: Path) -> str:
    """A prefix of Redis keys for each folder."""
    return f"session of {crc32(bytes(folder))}:"


def postgres(folder: Path, clock: MovableClock | None = None, settings: str = "", **options: Any) -> PostgresStore:
    """A store on the shared server, with a table for each folder; `settings` go into its URL.

    With a clock, the server's time is what that shows.
    """
    server = postgres_server.shared()
    url = server.url if clock is None else timed(server, server.url, clock)
    return PostgresStore(url + settings, table=f"session of {crc32(bytes(folder))}", **{"timeout": 30_000, **options})


PEERS_COLUMNS = "sid text PRIMARY KEY, sess jsonb NOT NULL, expire timestamptz NOT NULL"
"""As an ORM's schema may have them, not one as connect-pg-simple's own."""


def postgres_of_peers(folder: Path, clock: MovableClock | None = None, **options: Any) -> PostgresStore:
    """The same with such a table."""
    store = postgres(folder, clock, **options)
    postgres_server.shared().sql(f"CREATE TABLE IF NOT EXISTS {store._table.name} ({PEERS_COLUMNS})")
    return store


@cache
def mongo_url() -> str:
    return mongo_server.new_database()


def collection(folder: Path) -> str:
    """A collection of MongoDB for each folder."""
    return f"sessions of {crc32(bytes(folder))}"


def mongodb(folder: Path, clock: Clock = now_ms, **options: Any) -> MongoStore:
    """A store on the shared server, with a collection for each folder.

    A mongod would delete what has expired by its own clock: there the store makes no TTL index.
    """
    url, name = mongo_url(), collection(folder)
    store = MongoStore(url, collection=name, clock=clock, **{"timeout": 30_000, **options})
    if isinstance(mongo_server.shared_server(), mongo_server.Mongod):
        with suppress(CollectionInvalid):  # it is there
            mongo_server.database(url).create_collection(name)
        store.take_existing(reads=False)
    return store


class Entry(NamedTuple):
    """How a store is made in a folder; whether its data is shared between processes; whether it wants a sweeper."""

    make: Callable[[Path, MovableClock], Any]
    shared: bool
    sweeps: bool


STORES = {
    "memory": Entry(lambda _, clock: MemoryStore(clock=clock), shared=False, sweeps=True),
    "sqlite": Entry(lambda folder, clock: SQLiteStore(folder / "sessions.db", clock=clock), shared=True, sweeps=True),
    "postgres": Entry(postgres, shared=True, sweeps=True),
    "mongodb": Entry(mongodb, shared=True, sweeps=True),
    "redis": Entry(redis_store, shared=True, sweeps=False),
    "redis cluster": Entry(redis_cluster_store, shared=True, sweeps=False),
}
"""The stores of the model (test_model.py). Their time is exact: that of a Redis server follows the clock (redis_time.py)."""


@contextmanager
def opened(loop: IOLoop, store: Any) -> Iterator[Any]:
    """The store, open while the block runs on the loop."""
    wrapper = StoreWrapper(store)  # which opens a store that can be opened
    loop.run_sync(wrapper.__aenter__)
    try:
        yield store
    finally:
        loop.run_sync(partial(wrapper.__aexit__, None, None, None))


@contextmanager
def locked(database: Path) -> Iterator[sqlite3.Connection]:
    """Another process's write transaction, under way while the block runs."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other
        other.rollback()


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's power to write what is read-only; for all others it changes nothing."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        yield
    finally:
        os.seteuid(user)


def query(database: Path, sql: str, *parameters: Any) -> list[Any]:
    """What another process gets to see in the file, or does to it."""
    with closing(sqlite3.connect(database, isolation_level=None)) as other:
        return other.execute(sql, parameters).fetchall()


def node_writes(database: Path, *rows: tuple[Any, Any, Any]) -> None:
    """Write rows (sid, expired, sess) with the statement of the npm package connect-sqlite3."""
    with closing(sqlite3.connect(database)) as node, node:
        node.executemany("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?)", rows)


async def until(condition: Callable[[], object], seconds: float = 5) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 # the condition is a thread's or a process's, which set no event
            await asyncio.sleep(0.001)


async def until_works(call: Callable[[], Any], seconds: float = 5) -> Any:
    """The outcome of a call, tried again while the store is unavailable, as visitors do. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.01)


async def listed(store: Any) -> dict[str, StoredSession]:
    """What `all` yields."""
    return {sid: stored async for sid, stored in store.all()}


async def outcome(call: Any) -> Any:
    """What a call returns, or StoreError where it is refused."""
    try:
        return await call
    except StoreError:
        return StoreError
