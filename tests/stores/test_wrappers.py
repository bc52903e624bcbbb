"""StoreWrapper: a store in front of another is a store of the same powers, however many stand in a row."""

from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sessions.errors import CorruptSession, SessionError
from sessions.store import (
    Outcome,
    Store,
    StoredSession,
    Update,
    admin,
    by_key,
    is_ready,
    key_of,
    name_of,
    overwriting,
    prepared,
    sweepable,
)
from sessions.stores.memory import MemoryStore
from sessions.stores.sqlite import SQLiteStore
from sessions.stores.wrappers import StoreWrapper
from sessions.testing import AdminContract, OverwritingContract, StoreContract, SweepableContract

from .support import LATER, NEW, OLD, Seal


class SixVerbs:
    """A store with the six verbs and nothing else."""

    def __init__(self, store: MemoryStore) -> None:
        self.get, self.create, self.update = store.get, store.create, store.update
        self.touch, self.rename, self.destroy = store.touch, store.rename, store.destroy


class Hashed(StoreWrapper):
    """A wrapper that hashes the ids before the store inside sees them."""

    def key_of(self, sid: str) -> str:
        return super().key_of(sha256(sid.encode("utf-8", "surrogatepass")).hexdigest())

    @property
    def by_key(self) -> Store:
        return by_key(self.inner)

    async def get(self, sid: str) -> StoredSession | None:
        return await super().get(self.key_of(sid))

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return await super().create(self.key_of(sid), record)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        return await super().update(self.key_of(sid), record, expected)

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        return await super().touch(self.key_of(sid), expires_at, expected)

    async def rename(self, old: str, new: str, *records: Any) -> Update:
        return await super().rename(self.key_of(old), self.key_of(new), *records)

    async def destroy(self, sid: str) -> None:
        await super().destroy(self.key_of(sid))

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        return await super().set(self.key_of(sid), record)


# ---------------------------------------------------------------- the whole contract through several wrappers


class WrappedContract(AdminContract, OverwritingContract, SweepableContract, StoreContract):
    """The contract of a store of every power."""


class TestSealInAPlainWrapper(WrappedContract):
    def make_store(self, place: Path) -> Store:
        return StoreWrapper(Seal(MemoryStore(clock=self.clock)))


class TestSealInASeal(WrappedContract):
    def make_store(self, place: Path) -> Store:
        return Seal(StoreWrapper(Seal(StoreWrapper(MemoryStore(clock=self.clock)))))


class TestHashedIdsInASeal(WrappedContract):
    def make_store(self, place: Path) -> Store:
        return Seal(Hashed(MemoryStore(clock=self.clock)))


class TestSealInHashedIds(WrappedContract):
    def make_store(self, place: Path) -> Store:
        return Hashed(Seal(MemoryStore(clock=self.clock)))


class TestWrapperOfSixVerbs(StoreContract):
    """No power is offered that the store inside lacks."""

    def make_store(self, place: Path) -> Store:
        return Seal(StoreWrapper(SixVerbs(MemoryStore(clock=self.clock))))


# ---------------------------------------------------------------- powers


class TestPowers:
    """What the store inside offers is offered, on every Python."""

    @pytest.mark.parametrize("wrap", [StoreWrapper, Seal, Hashed])
    def test_the_powers_of_the_store_inside_are_offered(self, wrap: type[StoreWrapper], tmp_path: Path) -> None:
        """Those that speak of records by the wrapper, the others by the store itself."""
        inner = SQLiteStore(tmp_path / "sessions.db")
        store = wrap(StoreWrapper(inner))

        assert (sweepable(store), prepared(store)) == (inner.sweepable, inner.prepared)
        assert (admin(store), overwriting(store)) == (store, store)

    @pytest.mark.parametrize("wrap", [StoreWrapper, Seal, Hashed])
    async def test_a_power_that_the_store_inside_lacks_is_not_offered(self, wrap: type[StoreWrapper]) -> None:
        """A call of its verb all the same is an error that names the store and the power."""
        store = wrap(SixVerbs(MemoryStore()))

        assert [power(store) for power in (sweepable, prepared, admin, overwriting)] == [None] * 4
        for call in (store.length(), store.clear(), store.set("a", OLD), anext(store.all())):
            with pytest.raises(SessionError, match=r"^SixVerbs: lacks the power '(admin|overwriting)'$"):
                await call

    def test_a_power_is_asked_for_each_time(self) -> None:
        """A store inside that loses a power, as a wrapper may that is reconfigured, loses it outside too."""
        inner = StoreWrapper(MemoryStore())
        store = StoreWrapper(inner)
        before = admin(store)
        inner.inner = SixVerbs(MemoryStore())

        assert before is store
        assert admin(store) is None


class TestState:
    """Whether it is up, what it is called, and who opens it."""

    async def test_the_store_inside_is_opened_and_closed(self, tmp_path: Path) -> None:
        """A wrapper is up while the store inside is."""
        store = Seal(StoreWrapper(SQLiteStore(tmp_path / "sessions.db")))
        before = is_ready(store)
        async with store as opened:
            during = is_ready(store)

        assert opened is store
        assert [before, during, is_ready(store)] == [False, True, False]

    async def test_a_store_that_cannot_be_opened_is_up(self) -> None:
        """`async with` and `ready` are optional."""
        async with StoreWrapper(SixVerbs(MemoryStore())) as store:
            assert is_ready(store)

    def test_messages_name_the_store_inside(self, tmp_path: Path) -> None:
        """Not the wrapper, which no configuration names."""
        inner = SQLiteStore(tmp_path / "sessions.db")

        assert name_of(Seal(StoreWrapper(inner))) == name_of(inner)
        assert name_of(StoreWrapper(SixVerbs(MemoryStore()))) == "SixVerbs"


# ---------------------------------------------------------------- records and keys


class TestRecords:
    """A record of a wrapper has the record of the store inside as its version."""

    async def test_a_nonce_makes_no_conflict(self) -> None:
        """The same text sealed twice differs in the store, and is the expected one all the same."""
        inner = MemoryStore(clock=lambda: 0)
        store = Seal(inner)
        made = await store.create("a", OLD)
        assert made is not None
        first = await inner.get("a")
        saved = await store.update("a", OLD, made)
        second = await inner.get("a")

        assert saved.outcome is Outcome.SAVED
        assert first is not None
        assert second is not None
        assert first.data != second.data

    async def test_same_as_compares_what_the_innermost_store_compares(self) -> None:
        """Two loads of one row are the same; a text that was sealed again is another row."""
        store = Seal(StoreWrapper(Seal(MemoryStore(clock=lambda: 0))))
        made = await store.create("a", OLD)
        loaded = await store.get("a")
        assert made is not None
        assert loaded is not None
        again = (await store.update("a", OLD, loaded)).record
        assert again is not None

        assert made.same_as(loaded)
        assert again.data == loaded.data
        assert not again.same_as(loaded)
        assert not loaded.same_as(OLD)
        assert not OLD.same_as(loaded)

    async def test_what_was_written_is_not_decoded_again(self) -> None:
        """Only what comes from the store is: a load, a conflict, a touch, a listing."""
        decoded: list[str] = []

        class Counting(Seal):
            def decode(self, key: str, record: StoredSession) -> StoredSession:
                decoded.append(key)
                return super().decode(key, record)

        store = Counting(MemoryStore(clock=lambda: 0))
        made = await store.create("a", OLD)
        assert made is not None
        saved = (await store.update("a", NEW, made)).record
        assert saved is not None
        await store.rename("a", "b", OLD, saved, NEW)
        await store.set("b", NEW)
        writes = list(decoded)
        conflict = await store.update("b", OLD, saved)

        assert writes == []
        assert conflict.record is not None
        assert (conflict.record.data, decoded) == (NEW.data, ["b"])

    async def test_an_expiry_that_the_store_inside_has_changed_is_seen(self) -> None:
        """What comes back is what it has now."""

        class Short(StoreWrapper):
            async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
                return await super().create(sid, record._replace(expires_at=LATER - 1))

        made = await Seal(Short(MemoryStore(clock=lambda: 0))).create("a", OLD)

        assert made is not None
        assert (made.data, made.expires_at) == (OLD.data, LATER - 1)

    async def test_a_text_that_cannot_be_decoded_is_corrupt_and_stays(self) -> None:
        """A row of another key, say: the error leaves the verb, the row is as it was."""
        inner = MemoryStore(clock=lambda: 0)
        store = Seal(inner)
        await store.create("a", OLD)
        sealed = await inner.get("a")
        assert sealed is not None
        await inner.create("b", sealed)

        with pytest.raises(CorruptSession):
            await store.get("b")
        assert await inner.get("b") == sealed


class TestKeys:
    """A key is the id in the innermost store."""

    def test_a_key_is_what_the_innermost_store_has(self) -> None:
        """Through any number of wrappers; a store that does not hash says the id."""
        inner = MemoryStore()
        hashed = Hashed(inner)

        assert [key_of(store, "a") for store in (inner, StoreWrapper(inner), Seal(StoreWrapper(inner)))] == ["a"] * 3
        assert key_of(StoreWrapper(Seal(hashed)), "a") == key_of(hashed, "a") == sha256(b"a").hexdigest()

    async def test_a_text_is_bound_to_its_key(self) -> None:
        """A seal in front of hashed ids is given the key, as it is where the ids are hashed in front of it."""
        inner = MemoryStore(clock=lambda: 0)
        one, two = Seal(Hashed(inner)), Hashed(Seal(inner))
        await one.create("a", OLD)
        seen = await two.get("a")

        assert seen is not None
        assert seen.data == OLD.data

    def test_a_store_that_does_not_hash_takes_keys_itself(self) -> None:
        """No copy is needed."""
        store = Seal(StoreWrapper(MemoryStore()))

        assert by_key(store) is store

    @pytest.mark.parametrize("order", [(Seal, Hashed), (Hashed, Seal), (StoreWrapper, Seal, Hashed, StoreWrapper)])
    async def test_by_key_reads_what_was_written_by_id(self, order: tuple[type[StoreWrapper], ...]) -> None:
        """The same text, by the same seal, and it takes records of the store that takes ids."""
        store: Any = MemoryStore(clock=lambda: 0)
        for wrap in reversed(order):
            store = wrap(store)
        made = await store.create("a", OLD)
        key = key_of(store, "a")
        found = await by_key(store).get(key)

        assert found is not None
        assert (found.data, found.same_as(made)) == (OLD.data, True)
        assert await keys(store) == [key]
        assert (await by_key(store).update(key, NEW, made)).outcome is Outcome.SAVED
        assert await by_key(by_key(store)).get(key) is not None


async def keys(store: Any) -> list[str]:
    """The keys that `all` yields."""
    rows: AsyncIterator[tuple[str, StoredSession]] = store.all()
    return [key async for key, _ in rows]
