"""Owns the contract of `update` and `touch`, one call after another."""

from ..store import Outcome, Store
from .suite import LONG, SOON, Suite, assert_conflict, assert_gone, assert_record, assert_saved, create, on_store


class UpdateContract(Suite):
    """`update`: replaces what is still the expected record, and never inserts."""

    @on_store
    async def test_update_replaces_text_and_expiry(self, store: Store) -> None:
        """A session that is unchanged is replaced."""
        made = await create(store, "a", self.record(1))
        newer = self.record(2, 2 * LONG)

        assert_saved(await store.update("a", newer, made), newer)
        assert_record(await store.get("a"), newer)

    @on_store
    async def test_update_returns_a_record_for_the_next_update(self, store: Store) -> None:
        """One write follows another without a read between them."""
        last = await create(store, "a", self.record(0))
        for n in range(1, 5):
            last = assert_saved(await store.update("a", self.record(n), last), self.record(n))

        assert_record(await store.get("a"), self.record(4))

    @on_store
    async def test_update_takes_a_record_that_was_loaded(self, store: Store) -> None:
        """What `get` returns is good as the expected one."""
        await create(store, "a", self.record(1))
        loaded = assert_record(await store.get("a"), self.record(1))

        assert_saved(await store.update("a", self.record(2), loaded), self.record(2))

    @on_store
    async def test_update_never_inserts(self, store: Store) -> None:
        """An id that has no session is GONE and stays without one."""
        other = await create(store, "b", self.record(1))

        assert_gone(await store.update("a", self.record(2), other))
        assert await store.get("a") is None

    @on_store
    async def test_update_of_a_destroyed_session_is_gone(self, store: Store) -> None:
        """A slow request does not bring a destroyed session back."""
        made = await create(store, "a", self.record(1))
        await store.destroy("a")

        assert_gone(await store.update("a", self.record(2), made))
        assert await store.get("a") is None

    @on_store
    async def test_update_of_an_expired_session_is_gone(self, store: Store) -> None:
        """A slow request does not bring an expired session back, swept or not."""
        made = await store.create("a", self.record(1, SOON))
        assert made is not None
        await self.pass_time(SOON)

        assert_gone(await store.update("a", self.record(2), made))
        assert await store.get("a") is None

    @on_store
    async def test_update_of_a_changed_session_is_a_conflict(self, store: Store) -> None:
        """It changes nothing and brings the newer record, which is good as the expected one."""
        made = await create(store, "a", self.record(1))
        await store.update("a", self.record(2), made)
        newer = assert_conflict(await store.update("a", self.record(3), made), self.record(2))

        assert_record(await store.get("a"), self.record(2))
        assert_saved(await store.update("a", self.record(3), newer), self.record(3))

    @on_store
    async def test_update_of_a_new_session_under_the_id_is_a_conflict(self, store: Store) -> None:
        """A session that was destroyed and created again is another one."""
        made = await create(store, "a", self.record(1))
        await store.destroy("a")
        await create(store, "a", self.record(2))

        assert_conflict(await store.update("a", self.record(3), made), self.record(2))
        assert_record(await store.get("a"), self.record(2))

    @on_store
    async def test_update_tells_texts_that_are_almost_the_same(self, store: Store) -> None:
        """Neither case nor a space nor the way a number is written is overlooked."""
        for n, near in enumerate(('{"N":1}', '{"n":1} ', '{"n": 1}', '{"n":1.0}', '{"n":"1"}', "1")):
            made = await create(store, f"a{n}", self.record(1))
            close = made._replace(data=near)
            await store.update(f"a{n}", close, made)

            assert_conflict(await store.update(f"a{n}", self.record(2), made), close)

    @on_store
    async def test_update_with_the_same_text_moves_the_expiry(self, store: Store) -> None:
        """A save that leaves the text counts as one."""
        made = await create(store, "a", self.record(1))

        assert_saved(await store.update("a", self.record(1, 2 * LONG), made), self.record(1, 2 * LONG))
        assert_record(await store.get("a"), self.record(1, 2 * LONG))

    @on_store
    async def test_update_of_a_touched_session_is_saved_or_a_conflict(self, store: Store) -> None:
        """Only the expiry was moved: a store sees it or does not."""
        made = await create(store, "a", self.record(1))
        await store.touch("a", self.record(1, 2 * LONG).expires_at, made)
        outcome, record = await store.update("a", self.record(2), made)

        wanted = {Outcome.SAVED: self.record(2), Outcome.CONFLICT: self.record(1, 2 * LONG)}[outcome]
        assert_record(record, wanted)
        assert_record(await store.get("a"), wanted)

    @on_store
    async def test_update_with_an_expired_record_removes(self, store: Store) -> None:
        """A session that is still the expected one is removed, and its id is free."""
        made = await create(store, "a", self.record(1))
        removal = await store.update("a", self.record(1, 0), made)

        assert removal.outcome is Outcome.SAVED
        assert await store.get("a") is None
        await create(store, "a", self.record(2))

    @on_store
    async def test_update_with_an_expired_record_spares_a_changed_session(self, store: Store) -> None:
        """A removal is a compare-and-set as well."""
        made = await create(store, "a", self.record(1))
        await store.update("a", self.record(2), made)

        assert_conflict(await store.update("a", self.record(1, 0), made), self.record(2))
        assert_record(await store.get("a"), self.record(2))


class TouchContract(Suite):
    """`touch`: moves the expiry of what is still the expected record, and never inserts."""

    def until(self, life: int) -> int:
        """Return the moment so many milliseconds from now."""
        return self.clock() + life

    @on_store
    async def test_touch_moves_the_expiry_alone(self, store: Store) -> None:
        """The session lives longer with the text that it has."""
        made = await create(store, "a", self.record(1))

        assert_saved(await store.touch("a", self.until(2 * LONG), made), self.record(1, 2 * LONG))
        assert_record(await store.get("a"), self.record(1, 2 * LONG))

    @on_store
    async def test_touch_may_move_the_expiry_back(self, store: Store) -> None:
        """A shorter life is as good as a longer one."""
        made = await create(store, "a", self.record(1))
        await store.touch("a", self.until(SOON), made)
        await self.pass_time(SOON)

        assert await store.get("a") is None

    @on_store
    async def test_touch_returns_a_record_for_the_next_write(self, store: Store) -> None:
        """A touch and an update follow a touch without a read between them."""
        made = await create(store, "a", self.record(1))
        once = assert_saved(await store.touch("a", self.until(2 * LONG), made), self.record(1, 2 * LONG))
        twice = assert_saved(await store.touch("a", self.until(3 * LONG), once), self.record(1, 3 * LONG))

        assert_saved(await store.update("a", self.record(2), twice), self.record(2))

    @on_store
    async def test_touch_never_inserts(self, store: Store) -> None:
        """An id that has no session is GONE and stays without one."""
        other = await create(store, "b", self.record(1))

        assert_gone(await store.touch("a", self.until(2 * LONG), other))
        assert await store.get("a") is None

    @on_store
    async def test_touch_of_a_destroyed_session_is_gone(self, store: Store) -> None:
        """A slow request does not bring a destroyed session back."""
        made = await create(store, "a", self.record(1))
        await store.destroy("a")

        assert_gone(await store.touch("a", self.until(2 * LONG), made))
        assert await store.get("a") is None

    @on_store
    async def test_touch_of_an_expired_session_is_gone(self, store: Store) -> None:
        """A touch that comes too late does not bring a session back."""
        made = await store.create("a", self.record(1, SOON))
        assert made is not None
        await self.pass_time(SOON)

        assert_gone(await store.touch("a", self.until(LONG), made))
        assert await store.get("a") is None

    @on_store
    async def test_touch_of_a_changed_session_is_a_conflict(self, store: Store) -> None:
        """A session with a changed text and expiry stays, and its record is good as the expected one."""
        made = await create(store, "a", self.record(1))
        await store.update("a", self.record(2, 2 * LONG), made)
        newer = assert_conflict(await store.touch("a", self.until(3 * LONG), made), self.record(2, 2 * LONG))

        assert_record(await store.get("a"), self.record(2, 2 * LONG))
        assert_saved(await store.touch("a", self.until(3 * LONG), newer), self.record(2, 3 * LONG))

    @on_store
    async def test_touch_never_writes_the_text_that_was_loaded(self, store: Store) -> None:
        """A session with a changed text alone keeps the newer text, whatever the outcome."""
        made = await create(store, "a", self.record(1))
        await store.update("a", self.record(2), made)
        outcome, _ = await store.touch("a", self.until(2 * LONG), made)

        wanted = {Outcome.SAVED: self.record(2, 2 * LONG), Outcome.CONFLICT: self.record(2)}[outcome]
        assert_record(await store.get("a"), wanted)

    @on_store
    async def test_touch_does_not_hide_a_change_of_the_text(self, store: Store) -> None:
        """An update by the record that came back is a conflict if the text was changed before the touch."""
        made = await create(store, "a", self.record(1))
        await store.update("a", self.record(2), made)
        outcome, record = await store.touch("a", self.until(2 * LONG), made)
        known = {Outcome.SAVED: record, Outcome.CONFLICT: made}[outcome]
        assert known is not None

        assert (await store.update("a", self.record(3), known)).outcome is Outcome.CONFLICT

    @on_store
    async def test_touch_of_a_touched_session_moves_it_or_is_a_conflict(self, store: Store) -> None:
        """Only the expiry was moved: a store sees it or does not."""
        made = await create(store, "a", self.record(1))
        await store.touch("a", self.until(2 * LONG), made)
        outcome, _ = await store.touch("a", self.until(3 * LONG), made)

        life = {Outcome.SAVED: 3 * LONG, Outcome.CONFLICT: 2 * LONG}[outcome]
        assert_record(await store.get("a"), self.record(1, life))
