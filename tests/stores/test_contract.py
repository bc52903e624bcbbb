"""The contract of sessions/store.py, sentence by sentence, for every store in the table of conftest.py.

Ids and texts (test_contract_text.py), and what calls do to each other (test_contract_together.py), go on with it. No store is named here: one that needs a branch in this file does not keep the contract.
"""

import asyncio
from typing import Any

from clock import START, MovableClock

from sessions.store import Outcome, StoredSession, Update

from .support import LATER, NEW, OLD, OTHER, listed


class TestGet:
    """get(sid): the session of an id, None where there is none."""

    async def test_returns_what_was_stored(self, store: Any) -> None:
        """A session is read back as it was written."""
        await store.create("a", OLD)

        assert await store.get("a") == OLD

    async def test_none_for_an_unknown_id(self, store: Any) -> None:
        """A missing id is no error."""
        assert await store.get("nobody") is None

    async def test_lives_until_the_last_millisecond(self, store: Any, clock: MovableClock) -> None:
        """A session ends at its expiry, not before it and not after it."""
        await store.create("a", OLD)

        clock.now = LATER - 1
        assert await store.get("a") == OLD
        clock.now = LATER
        assert await store.get("a") is None

    async def test_expiry_is_an_integer(self, store: Any) -> None:
        """The expiry comes back as whole milliseconds, whatever the driver makes of numbers."""
        await store.create("a", OLD)

        stored = await store.get("a")
        assert type(stored.expires_at) is int

    async def test_never_writes(self, store: Any, clock: MovableClock) -> None:
        """Reading a session does not prolong it."""
        await store.create("a", OLD)
        clock.now = LATER - 1
        await store.get("a")
        clock.now = LATER

        assert await store.get("a") is None


class TestCreate:
    """create(sid, stored): inserts, never overwrites."""

    async def test_inserts(self, store: Any) -> None:
        """A free id is taken."""
        assert await store.create("a", OLD) is True
        assert await store.get("a") == OLD

    async def test_never_overwrites(self, store: Any) -> None:
        """A living session keeps its id."""
        await store.create("a", OLD)

        assert await store.create("a", NEW) is False
        assert await store.get("a") == OLD

    async def test_takes_the_id_of_an_expired_session(self, store: Any, clock: MovableClock) -> None:
        """An expired session that was not swept yet counts as none."""
        await store.create("a", OLD)
        clock.now = LATER

        assert await store.create("a", NEW) is True
        assert await store.get("a") == NEW

    async def test_takes_the_id_of_a_destroyed_session(self, store: Any) -> None:
        """A destroyed id is free."""
        await store.create("a", OLD)
        await store.destroy("a")

        assert await store.create("a", NEW) is True

    async def test_of_an_expired_record_leaves_nothing_alive(self, store: Any) -> None:
        """A session that is created with an expiry in the past is there for nobody."""
        assert await store.create("a", OLD._replace(expires_at=START)) is True
        assert await store.get("a") is None


class TestUpdate:
    """update(sid, stored, expected): replaces what still holds the expected text, never inserts."""

    async def test_replaces_text_and_expiry(self, store: Any) -> None:
        """A session that nobody changed meanwhile is replaced."""
        await store.create("a", OLD)

        assert await store.update("a", NEW, OLD.data) == Update(Outcome.SAVED)
        assert await store.get("a") == NEW

    async def test_never_inserts(self, store: Any) -> None:
        """An id that has no session is GONE and stays without."""
        assert await store.update("a", NEW, OLD.data) == Update(Outcome.GONE)
        assert await store.get("a") is None

    async def test_a_destroyed_session_is_gone(self, store: Any) -> None:
        """A slow request does not bring a destroyed session back."""
        await store.create("a", OLD)
        await store.destroy("a")

        assert await store.update("a", NEW, OLD.data) == Update(Outcome.GONE)
        assert await store.length() == 0

    async def test_an_expired_session_is_gone(self, store: Any, clock: MovableClock) -> None:
        """A slow request does not bring an expired session back, swept or not."""
        await store.create("a", OLD)
        clock.now = LATER

        assert await store.update("a", NEW, OLD.data) == Update(Outcome.GONE)
        assert await store.get("a") is None

    async def test_a_conflict_changes_nothing_and_returns_the_newer_record(self, store: Any) -> None:
        """Who comes second learns what stands there, to merge with it."""
        await store.create("a", OLD)
        await store.update("a", NEW, OLD.data)

        assert await store.update("a", OTHER, OLD.data) == Update(Outcome.CONFLICT, NEW)
        assert await store.get("a") == NEW

    async def test_a_conflict_with_the_very_text_it_brings_is_one(self, store: Any) -> None:
        """Another's session that happens to hold our text is not our save: its expiry is not ours."""
        await store.create("a", OLD)

        assert await store.update("a", OLD._replace(expires_at=LATER + 5), "other") == Update(Outcome.CONFLICT, OLD)
        assert await store.get("a") == OLD

    async def test_the_same_text_moves_the_expiry(self, store: Any) -> None:
        """A save that leaves the text as it was still counts as one."""
        await store.create("a", OLD)

        assert await store.update("a", NEW._replace(data=OLD.data), OLD.data) == Update(Outcome.SAVED)
        assert await store.get("a") == StoredSession(OLD.data, NEW.expires_at)

    async def test_compares_the_text_exactly(self, store: Any) -> None:
        """Text that means the same is not the same: comparing is not the store's business."""
        await store.create("a", StoredSession('{"n": 1}', LATER))

        for close in ('{"n":1}', '{"n": 1} ', '{"N": 1}', '{"n": 1.0}', ""):
            assert (await store.update("a", NEW, close)).outcome is Outcome.CONFLICT, close


class TestSet:
    """set(sid, stored): inserts or replaces, whatever is there."""

    async def test_inserts(self, store: Any) -> None:
        """A free id is taken."""
        assert await store.set("a", OLD) is None
        assert await store.get("a") == OLD

    async def test_replaces(self, store: Any) -> None:
        """A living session is replaced without a question."""
        await store.create("a", OLD)
        await store.set("a", NEW)

        assert await store.get("a") == NEW

    async def test_replaces_an_expired_session(self, store: Any, clock: MovableClock) -> None:
        """An expired session is replaced by a living one."""
        await store.create("a", OLD)
        clock.now = LATER
        await store.set("a", NEW)

        assert await store.get("a") == NEW


class TestTouch:
    """touch(sid, expires_at, expected): moves the expiry, never inserts, never writes the text."""

    async def test_moves_the_expiry_alone(self, store: Any) -> None:
        """The session lives longer, with the text it had."""
        await store.create("a", OLD)

        assert await store.touch("a", NEW.expires_at, OLD.data) is Outcome.SAVED
        assert await store.get("a") == StoredSession(OLD.data, NEW.expires_at)

    async def test_never_inserts(self, store: Any) -> None:
        """An id that has no session is GONE and stays without."""
        assert await store.touch("a", NEW.expires_at, OLD.data) is Outcome.GONE
        assert await store.get("a") is None

    async def test_an_expired_session_is_gone(self, store: Any, clock: MovableClock) -> None:
        """A touch that comes too late does not bring a session back."""
        await store.create("a", OLD)
        clock.now = LATER

        assert await store.touch("a", NEW.expires_at, OLD.data) is Outcome.GONE
        assert await store.get("a") is None

    async def test_a_conflict_changes_nothing(self, store: Any) -> None:
        """A session that was changed meanwhile was just saved: its expiry stays."""
        await store.create("a", NEW)

        assert await store.touch("a", OTHER.expires_at, OLD.data) is Outcome.CONFLICT
        assert await store.get("a") == NEW

    async def test_a_conflict_with_the_very_expiry_it_brings_is_one(self, store: Any) -> None:
        """Another's save in the same millisecond does not confirm our touch."""
        await store.create("a", NEW)

        assert await store.touch("a", NEW.expires_at, OLD.data) is Outcome.CONFLICT

    async def test_may_move_the_expiry_back(self, store: Any) -> None:
        """A shorter lifetime is as good as a longer one."""
        await store.create("a", NEW)

        assert await store.touch("a", LATER, NEW.data) is Outcome.SAVED
        assert await store.get("a") == StoredSession(NEW.data, LATER)


class TestDestroy:
    """destroy(sid): deletes, silent where there is nothing."""

    async def test_deletes_only_this_session(self, store: Any) -> None:
        """The others stay."""
        await store.create("a", OLD)
        await store.create("b", NEW)
        await store.destroy("a")

        assert await listed(store) == {"b": NEW}

    async def test_silent_where_there_is_none(self, store: Any) -> None:
        """An id without a session is no error."""
        assert await store.destroy("nobody") is None


class TestAdministration:
    """length, all, clear and ready."""

    async def test_an_open_store_is_ready(self, store: Any) -> None:
        """What is open is up."""
        assert store.ready is True

    async def test_length_counts_the_living(self, store: Any, clock: MovableClock) -> None:
        """An expired session does not count, swept or not."""
        assert await store.length() == 0
        await store.create("a", OLD)
        await store.create("b", NEW)
        assert await store.length() == 2
        clock.now = LATER
        assert await store.length() == 1

    async def test_all_yields_the_living(self, store: Any, clock: MovableClock) -> None:
        """An expired session is not listed, swept or not."""
        await store.create("a", OLD)
        await store.create("b", NEW)
        clock.now = LATER

        assert await listed(store) == {"b": NEW}

    async def test_all_yields_each_of_many_once(self, store: Any) -> None:
        """Listing goes through as many pages as there are."""
        many = {f"id-{n}": StoredSession(f'{{"n":{n}}}', LATER + n) for n in range(2_501)}
        await asyncio.gather(*(store.set(sid, stored) for sid, stored in many.items()))
        rows = [row async for row in store.all()]

        assert len(rows) == len(many)
        assert dict(rows) == many

    async def test_all_goes_on_while_what_it_has_listed_is_destroyed(self, store: Any) -> None:
        """Deleting as one lists loses no session that stays."""
        ids = [f"id-{n}" for n in range(1_200)]
        await asyncio.gather(*(store.set(sid, OLD) for sid in ids))
        seen = []
        async for sid, _ in store.all():
            seen.append(sid)
            if len(seen) % 100 == 0:
                await store.destroy(sid)

        assert sorted(seen) == sorted(ids)
        assert await store.length() == 1_188

    async def test_all_may_be_left_early(self, store: Any) -> None:
        """Who has seen enough leaves, and the store serves on."""
        await asyncio.gather(*(store.set(f"id-{n}", OLD) for n in range(1_200)))
        async for _ in store.all():
            break

        assert await store.length() == 1_200

    async def test_clear_deletes_every_session(self, store: Any) -> None:
        """An emptied store is as good as new."""
        await store.create("a", OLD)
        await store.create("b", NEW)

        assert await store.clear() is None
        assert await store.length() == 0
        assert await store.create("a", NEW) is True
