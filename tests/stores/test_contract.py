"""The contract of sessions/store.py (`sessions.testing`) on every store of this library, and on each behind a seal."""

from pathlib import Path

from sessions.store import Store
from sessions.stores.memory import MemoryStore
from sessions.stores.redis import RedisStore
from sessions.stores.sqlite import SQLiteStore
from sessions.testing import (
    AdminContract,
    OverwritingContract,
    PreparedContract,
    StoreContract,
    SweepableContract,
)

from .redis_server import shared_cluster, shared_server
from .support import Seal, postgres, prefix


class Sealed(StoreContract):
    """The store of the next class, behind a wrapper that never writes a text twice in the same way."""

    def make_store(self, place: Path) -> Store:
        return Seal(super().make_store(place))


class TestMemory(AdminContract, OverwritingContract, SweepableContract, StoreContract):
    def make_store(self, place: Path) -> Store:
        return MemoryStore(clock=self.clock)


class TestSealedMemory(Sealed, TestMemory):
    pass


class TestSQLite(AdminContract, OverwritingContract, PreparedContract, SweepableContract, StoreContract):
    shared = True

    def make_store(self, place: Path) -> Store:
        return SQLiteStore(place / "sessions.db", clock=self.clock)


class TestSealedSQLite(Sealed, TestSQLite):
    pass


class TestPostgres(AdminContract, OverwritingContract, PreparedContract, SweepableContract, StoreContract):
    shared = True

    def make_store(self, place: Path) -> Store:
        return postgres(place, clock=self.clock)


class TestSealedPostgres(Sealed, TestPostgres):
    pass


class TestRedis(AdminContract, OverwritingContract, PreparedContract, StoreContract):
    """Its keys live by the server's clock."""

    shared = True

    def make_store(self, place: Path) -> Store:
        return RedisStore(shared_server().url, prefix=prefix(place))


class TestSealedRedis(Sealed, TestRedis):
    pass


class TestRedisCluster(AdminContract, OverwritingContract, PreparedContract, StoreContract):
    shared = True

    def make_store(self, place: Path) -> Store:
        return RedisStore(shared_cluster().url, prefix=prefix(place))


class TestSealedRedisCluster(Sealed, TestRedisCluster):
    pass
