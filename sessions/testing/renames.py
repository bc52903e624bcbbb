"""Owns the contract of `rename`, one call after another."""

from ..store import Outcome, Store
from .suite import (
    LONG,
    SOON,
    Suite,
    assert_conflict,
    assert_gone,
    assert_record,
    assert_saved,
    assert_taken,
    create,
    on_store,
)


class RenameContract(Suite):
    """`rename`: a session goes on under a new id with a new record."""

    @on_store
    async def test_rename_moves_the_session(self, store: Store) -> None:
        """The new record is under the new id, and nothing is under the old one."""
        made = await create(store, "old", self.record(1))

        assert_saved(await store.rename("old", "new", self.record(2, 2 * LONG), made), self.record(2, 2 * LONG))
        assert_record(await store.get("new"), self.record(2, 2 * LONG))
        assert await store.get("old") is None

    @on_store
    async def test_rename_may_keep_the_text(self, store: Store) -> None:
        """A new id alone is a rename as well."""
        made = await create(store, "old", self.record(1))

        assert_saved(await store.rename("old", "new", made, made), self.record(1))
        assert_record(await store.get("new"), self.record(1))

    @on_store
    async def test_rename_returns_a_record_for_the_next_write(self, store: Store) -> None:
        """A rename and an update follow a rename without a read between them."""
        made = await create(store, "a", self.record(1))
        once = assert_saved(await store.rename("a", "b", self.record(2), made), self.record(2))
        twice = assert_saved(await store.rename("b", "c", self.record(3), once), self.record(3))

        assert_saved(await store.update("c", self.record(4), twice), self.record(4))

    @on_store
    async def test_rename_takes_a_record_that_was_loaded(self, store: Store) -> None:
        """What `get` returns is good as the expected one."""
        await create(store, "old", self.record(1))
        loaded = assert_record(await store.get("old"), self.record(1))

        assert_saved(await store.rename("old", "new", self.record(2), loaded), self.record(2))

    @on_store
    async def test_rename_frees_the_old_id(self, store: Store) -> None:
        """A new session may have it, and the renamed one is not touched by that."""
        made = await create(store, "old", self.record(1))
        await store.rename("old", "new", self.record(2), made)

        await create(store, "old", self.record(3))
        assert_record(await store.get("new"), self.record(2))

    @on_store
    async def test_a_renamed_session_is_gone_from_its_old_id(self, store: Store) -> None:
        """A slow request with the old id writes nothing."""
        made = await create(store, "old", self.record(1))
        await store.rename("old", "new", self.record(2), made)

        assert_gone(await store.update("old", self.record(3), made))
        assert_gone(await store.touch("old", self.record(3).expires_at, made))
        assert_gone(await store.rename("old", "other", self.record(3), made))
        assert await store.get("other") is None

    @on_store
    async def test_rename_of_an_unknown_id_is_gone(self, store: Store) -> None:
        """It inserts nothing."""
        other = await create(store, "other", self.record(1))

        assert_gone(await store.rename("old", "new", self.record(2), other))
        assert await store.get("new") is None

    @on_store
    async def test_rename_of_an_expired_session_is_gone(self, store: Store) -> None:
        """A rename does not bring a session back, swept or not."""
        made = await store.create("old", self.record(1, SOON))
        assert made is not None
        await self.pass_time(SOON)

        assert_gone(await store.rename("old", "new", self.record(2), made))
        assert await store.get("new") is None
        assert await store.get("old") is None

    @on_store
    async def test_rename_of_a_changed_session_is_a_conflict(self, store: Store) -> None:
        """It changes nothing and brings the newer record, which is good as the expected one."""
        made = await create(store, "old", self.record(1))
        await store.update("old", self.record(2), made)
        newer = assert_conflict(await store.rename("old", "new", self.record(3), made), self.record(2))

        assert await store.get("new") is None
        assert_record(await store.get("old"), self.record(2))
        assert_saved(await store.rename("old", "new", self.record(3), newer), self.record(3))

    @on_store
    async def test_rename_to_an_id_of_another_session_is_taken(self, store: Store) -> None:
        """It changes neither of the two, and leaves no tombstone."""
        made = await create(store, "old", self.record(1))
        await create(store, "new", self.record(2))

        assert_taken(await store.rename("old", "new", self.record(3), made, self.record(4)))
        assert_record(await store.get("old"), self.record(1))
        assert_record(await store.get("new"), self.record(2))
        assert_saved(await store.rename("old", "newer", self.record(3), made), self.record(3))

    @on_store
    async def test_rename_to_an_id_of_an_expired_session_is_all_or_nothing(self, store: Store) -> None:
        """A store that still has the expired row may say TAKEN."""
        made = await create(store, "old", self.record(1))
        await store.create("new", self.record(2, SOON))
        await self.pass_time(SOON)
        outcome, _ = await store.rename("old", "new", self.record(3), made)

        left = {Outcome.SAVED: (None, self.record(3)), Outcome.TAKEN: (self.record(1), None)}[outcome]
        seen = (await store.get("old"), await store.get("new"))
        assert [record and record.data for record in seen] == [record and record.data for record in left]

    @on_store
    async def test_rename_says_gone_before_taken(self, store: Store) -> None:
        """That the session is over counts more than that the new id is taken."""
        made = await create(store, "old", self.record(1))
        await create(store, "new", self.record(2))
        await store.destroy("old")

        assert_gone(await store.rename("old", "new", self.record(3), made))
        assert_record(await store.get("new"), self.record(2))

    @on_store
    async def test_rename_says_conflict_before_taken(self, store: Store) -> None:
        """That the session was changed counts more than that the new id is taken."""
        made = await create(store, "old", self.record(1))
        await create(store, "new", self.record(2))
        await store.update("old", self.record(3), made)

        assert_conflict(await store.rename("old", "new", self.record(4), made), self.record(3))
        assert_record(await store.get("new"), self.record(2))

    @on_store
    async def test_rename_leaves_a_tombstone(self, store: Store) -> None:
        """The old id has it in the same step."""
        made = await create(store, "old", self.record(1))
        renamed = await store.rename("old", "new", self.record(2), made, self.record(3, 2 * LONG))

        assert_saved(renamed, self.record(2))
        assert_record(await store.get("old"), self.record(3, 2 * LONG))
        assert_record(await store.get("new"), self.record(2))

    @on_store
    async def test_a_tombstone_is_an_ordinary_record(self, store: Store) -> None:
        """It keeps its id, conflicts with what was there, is updated, renamed and destroyed as any other."""
        made = await create(store, "old", self.record(1))
        await store.rename("old", "new", self.record(2), made, self.record(3))

        assert await store.create("old", self.record(4)) is None
        tombstone = assert_conflict(await store.update("old", self.record(4), made), self.record(3))
        updated = assert_saved(await store.update("old", self.record(5), tombstone), self.record(5))
        assert_saved(await store.rename("old", "older", self.record(6), updated), self.record(6))
        await store.destroy("older")
        assert await store.get("older") is None
        assert_record(await store.get("new"), self.record(2))

    @on_store
    async def test_a_tombstone_expires(self, store: Store) -> None:
        """The session that was renamed outlives it."""
        made = await create(store, "old", self.record(1))
        await store.rename("old", "new", self.record(2), made, self.record(3, SOON))
        await self.pass_time(SOON)

        assert await store.get("old") is None
        assert_record(await store.get("new"), self.record(2, LONG - SOON))
