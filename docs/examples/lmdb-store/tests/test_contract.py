"""The published contract, and the contracts of the store's powers."""

from pathlib import Path

from lmdb_store import LmdbStore

from sessions.testing import AdminContract, OverwritingContract, StoreContract, SweepableContract


class TestLmdbStore(SweepableContract, AdminContract, OverwritingContract, StoreContract):
    """All that `pytest` needs to try them."""

    shared = True

    def make_store(self, place: Path) -> LmdbStore:
        return LmdbStore(f"lmdb:{place}/sessions", sync=False, clock=self.clock)
