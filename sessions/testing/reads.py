"""Owns the contract of `get`, `create` and `destroy`, one call after another."""

from ..store import Store, is_ready
from .suite import LONG, SOON, Suite, assert_conflict, assert_record, assert_saved, create, on_store


class GetContract(Suite):
    """`get`: the record of an id, or None."""

    @on_store
    async def test_an_open_store_is_ready(self, store: Store) -> None:
        """A store that is open is up, and so is one that does not say."""
        assert is_ready(store) is True

    @on_store
    async def test_get_returns_what_was_created(self, store: Store) -> None:
        """A session is read as it was written."""
        await create(store, "a", self.record(1))

        assert_record(await store.get("a"), self.record(1))

    @on_store
    async def test_get_of_an_unknown_id_is_none(self, store: Store) -> None:
        """A missing id is not an error."""
        assert await store.get("nobody") is None

    @on_store
    async def test_a_session_lives_until_its_last_millisecond(self, store: Store) -> None:
        """It does not end before its expiry."""
        await create(store, "a", self.record(1))
        self.clock.advance(LONG - 1)

        assert await store.get("a") is not None

    @on_store
    async def test_a_session_is_over_from_its_expiry_on(self, store: Store) -> None:
        """The millisecond of the expiry does not belong to its life."""
        await store.create("a", self.record(1, SOON))
        await self.pass_time(SOON)

        assert await store.get("a") is None

    @on_store
    async def test_get_does_not_prolong(self, store: Store) -> None:
        """Reading a session leaves its expiry."""
        await store.create("a", self.record(1, SOON))
        await store.get("a")
        await self.pass_time(SOON)

        assert await store.get("a") is None

    @on_store
    async def test_an_expiry_is_an_integer(self, store: Store) -> None:
        """The expiry comes back as whole milliseconds, whatever a driver makes of numbers."""
        made = await create(store, "a", self.record(1))
        loaded = assert_record(await store.get("a"), self.record(1))

        assert [type(made.expires_at), type(loaded.expires_at)] == [int, int]

    @on_store
    async def test_two_loads_of_an_unchanged_session_are_the_same(self, store: Store) -> None:
        """`same_as` says so, of what was returned by a write as well."""
        made = await create(store, "a", self.record(1))
        first = assert_record(await store.get("a"), made)
        second = assert_record(await store.get("a"), made)

        assert first.same_as(second)
        assert made.same_as(first)

    @on_store
    async def test_a_changed_session_is_not_the_same(self, store: Store) -> None:
        """`same_as` tells a record from the one before a change of the text."""
        made = await create(store, "a", self.record(1))
        changed = assert_saved(await store.update("a", self.record(2), made), self.record(2))

        assert not changed.same_as(made)
        assert not assert_record(await store.get("a"), changed).same_as(made)


class CreateContract(Suite):
    """`create`: inserts, and never overwrites."""

    @on_store
    async def test_create_returns_a_record_for_the_next_update(self, store: Store) -> None:
        """The record is good as the expected one: no read is needed."""
        made = await create(store, "a", self.record(1))

        assert_saved(await store.update("a", self.record(2), made), self.record(2))

    @on_store
    async def test_create_never_overwrites(self, store: Store) -> None:
        """A living session keeps its id."""
        await create(store, "a", self.record(1))

        assert await store.create("a", self.record(2)) is None
        assert_record(await store.get("a"), self.record(1))

    @on_store
    async def test_create_replaces_an_expired_session(self, store: Store) -> None:
        """An expired session is not in the way, swept or not."""
        await store.create("a", self.record(1, SOON))
        await self.pass_time(SOON)

        await create(store, "a", self.record(2))
        assert_record(await store.get("a"), self.record(2))

    @on_store
    async def test_create_takes_the_id_of_a_destroyed_session(self, store: Store) -> None:
        """A destroyed id is free."""
        await create(store, "a", self.record(1))
        await store.destroy("a")

        await create(store, "a", self.record(2))

    @on_store
    async def test_create_of_an_expired_record_is_no_error(self, store: Store) -> None:
        """Nobody can read it, and its id is free."""
        expired = await store.create("a", self.record(1, 0))

        assert expired is not None
        assert await store.get("a") is None
        await create(store, "a", self.record(2))

    @on_store
    async def test_the_version_of_a_record_to_write_is_ignored(self, store: Store) -> None:
        """A record that is made of a loaded one by another text is a new record."""
        made = await create(store, "a", self.record(1))
        changed = made._replace(data=self.record(2).data)
        saved = assert_saved(await store.update("a", changed, made), changed)
        copied = await create(store, "b", saved)

        assert_conflict(await store.update("a", self.record(3), made), changed)
        assert_saved(await store.update("a", self.record(3), saved), self.record(3))
        assert_saved(await store.update("b", self.record(3), copied), self.record(3))


class DestroyContract(Suite):
    """`destroy`: deletes, and is silent if there is nothing."""

    @on_store
    async def test_destroy_deletes_only_this_session(self, store: Store) -> None:
        """The others stay."""
        await create(store, "a", self.record(1))
        await create(store, "b", self.record(2))
        await store.destroy("a")

        assert await store.get("a") is None
        assert_record(await store.get("b"), self.record(2))

    @on_store
    async def test_destroy_of_an_unknown_id_is_no_error(self, store: Store) -> None:
        """Nor is a second one of the same id."""
        await create(store, "a", self.record(1))
        await store.destroy("nobody")
        await store.destroy("a")
        await store.destroy("a")

        assert await store.get("a") is None
