"""The contract of sessions/store.py (`sessions.testing`) on every store of this library, and on each behind a seal."""

from pathlib import Path

from sessions.at_rest.hashed_ids import HashedIds
from sessions.at_rest.sealed_store import SealedStore
from sessions.store import Store, StoredSession
from sessions.stores.memory import MemoryStore
from sessions.stores.redis import RedisStore
from sessions.stores.sqlite import SQLiteStore
from sessions.testing import (
    AdminContract,
    OverwritingContract,
    PreparedContract,
    StoreContract,
    SweepableContract,
    UsersContract,
)
from sessions.testing.suite import LONG

from .redis_server import shared_cluster, shared_server
from .support import mongodb, postgres, postgres_of_peers, prefix


class Sealed(UsersContract, StoreContract):
    """The store of the next class, sealed."""

    def make_store(self, place: Path) -> Store:
        return SealedStore(super().make_store(place), {"new": b"n" * 32, "old": b"o" * 32})


class Hashed(UsersContract, StoreContract):
    """The store of the next class, with hashed ids, beside rows that are under older ones."""

    def make_store(self, place: Path) -> Store:
        return HashedIds(super().make_store(place), {"new": b"n" * 32, "old": b"o" * 32})


class Memory(AdminContract, OverwritingContract, SweepableContract, StoreContract):
    def make_store(self, place: Path) -> Store:
        return MemoryStore(clock=self.clock)


class TestMemory(UsersContract, Memory):
    pass


class TestSealedMemory(Sealed, Memory):
    pass


class TestHashedMemory(Hashed, Memory):
    pass


class TestHashedAndSealedMemory(Hashed, Sealed, Memory):
    pass


class SQLite(AdminContract, OverwritingContract, PreparedContract, SweepableContract, StoreContract):
    shared = True

    def make_store(self, place: Path) -> Store:
        return SQLiteStore(place / "sessions.db", clock=self.clock)


class TestSQLite(UsersContract, SQLite):
    pass


class TestSealedSQLite(Sealed, SQLite):
    pass


class TestHashedAndSealedSQLite(Hashed, Sealed, SQLite):
    pass


class Postgres(AdminContract, OverwritingContract, PreparedContract, SweepableContract, StoreContract):
    """What has expired is by the server's clock."""

    shared = True

    def make_store(self, place: Path) -> Store:
        return postgres(place)


class TestPostgres(UsersContract, Postgres):
    pass


class TestSealedPostgres(Sealed, Postgres):
    pass


class TestHashedAndSealedPostgres(Hashed, Sealed, Postgres):
    pass


class PostgresOfPeers(Postgres):
    """A table as the schemas of some ORMs have it: its `jsonb` keeps a value, and records have a version."""

    def make_store(self, place: Path) -> Store:
        return postgres_of_peers(place)


class TestSealedPostgresOfPeers(Sealed, PostgresOfPeers):
    """A seal keeps the text of a session in a string, which such a table leaves as it is."""


class TestPostgresOfPeers(UsersContract, PostgresOfPeers):
    """All but that a text comes back to the character (test_postgres_tables.py has what is true in its place)."""

    def record(self, n: int, life: int = LONG) -> StoredSession:
        return StoredSession(f'{{"n": {n}}}', self.clock() + life)  # as jsonb spells it

    test_a_text_comes_back_to_the_character = None  # type: ignore[assignment] # see above
    test_an_odd_text_is_kept_whole_or_refused = None  # type: ignore[assignment] # it is kept as its value, or refused
    test_update_tells_texts_that_are_almost_the_same = None  # type: ignore[assignment] # of equal values it does not


class Redis(AdminContract, OverwritingContract, PreparedContract, StoreContract):
    """Its keys live by the server's clock."""

    shared = True

    def make_store(self, place: Path) -> Store:
        return RedisStore(shared_server().url, prefix=prefix(place))


class TestRedis(UsersContract, Redis):
    pass


class TestSealedRedis(Sealed, Redis):
    pass


class TestHashedAndSealedRedis(Hashed, Sealed, Redis):
    pass


class RedisCluster(AdminContract, OverwritingContract, PreparedContract, StoreContract):
    shared = True

    def make_store(self, place: Path) -> Store:
        return RedisStore(shared_cluster().url, prefix=prefix(place), timeout=30_000)  # a busy machine's 300 calls


class TestRedisCluster(UsersContract, RedisCluster):
    pass


class TestSealedRedisCluster(Sealed, RedisCluster):
    pass


class TestHashedAndSealedRedisCluster(Hashed, Sealed, RedisCluster):
    pass


class Mongo(AdminContract, OverwritingContract, PreparedContract, SweepableContract, StoreContract):
    shared = True
    many = 60  # FerretDB reads the whole collection for each filter

    def make_store(self, place: Path) -> Store:
        return mongodb(place, self.clock)


class TestMongo(UsersContract, Mongo):
    pass


class TestHashedAndSealedMongo(Hashed, Sealed, Mongo):
    pass
