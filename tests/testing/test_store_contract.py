"""`StoreContract` finds the store that breaks it: each mistake by the test of that name; a good store passes."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Collection
from pathlib import Path
from typing import Any

import pytest

from sessions.store import GONE, TAKEN, Limit, Outcome, SignedIn, Store, StoredSession, Update
from sessions.stores.memory import MemoryStore
from sessions.testing import (
    AdminContract,
    Clock,
    OverwritingContract,
    PreparedContract,
    StoreContract,
    SweepableContract,
    UsersContract,
)


class AnonymousContract(AdminContract, OverwritingContract, SweepableContract, StoreContract):
    """The contract of a store of every power that memory has, but for the users."""

    kind: type[MemoryStore] = MemoryStore

    def make_store(self, place: Path) -> Store:
        return self.kind(clock=self.clock)


class MemoryContract(UsersContract, AnonymousContract):
    """The contract of a store of every power that memory has."""


# ---------------------------------------------------------------- good stores


class TestMemory(MemoryContract):
    pass


class TestMachinesClock(MemoryContract):
    """A store that goes by a clock that no test moves."""

    def make_store(self, place: Path) -> Store:
        return MemoryStore()


class Versions(MemoryStore):
    """Compares a version that each write makes new, as a database's row version is; and is prepared, which takes nothing."""

    _last = 0
    users = None  # type: ignore[assignment] # a power that is None is not offered

    def _stamped(self, record: StoredSession) -> StoredSession:
        Versions._last += 1
        return StoredSession(record.data, record.expires_at, Versions._last)

    def _refusal(self, sid: str, expected: StoredSession) -> Update | None:
        row = self._living(sid)
        if row is None:
            return GONE
        return None if row.version == expected.version else Update(Outcome.CONFLICT, row)

    def _put(self, sid: str, record: StoredSession) -> StoredSession:
        self._rows[sid] = record = self._stamped(record)
        return record

    @property
    def prepared(self) -> "Versions":
        return self

    def prepare(self) -> None:
        pass

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        return self._put(sid, record)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        return self._refusal(sid, expected) or Update(Outcome.SAVED, self._put(sid, record))

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        return await self.update(sid, expected._replace(expires_at=expires_at), expected)

    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        refusal = self._refusal(old, expected)
        if refusal is None and new in self._rows:
            refusal = TAKEN
        if refusal is not None:
            return refusal
        del self._rows[old]
        if tombstone is not None:
            self._put(old, tombstone)
        return Update(Outcome.SAVED, self._put(new, record))


class TestVersions(PreparedContract, AnonymousContract):
    """A version is opaque: any object with `==`."""

    kind = Versions


# ---------------------------------------------------------------- stores that break it


class GetsExpired(MemoryStore):
    async def get(self, sid: str) -> StoredSession | None:
        return self._rows.get(sid)


class EndsEarly(MemoryStore):
    async def get(self, sid: str) -> StoredSession | None:
        row = await super().get(sid)
        return row if row and row.expires_at > self._clock() + 1 else None


class Prolongs(MemoryStore):
    async def get(self, sid: str) -> StoredSession | None:
        row = await super().get(sid)
        if row is not None:
            self._rows[sid] = row._replace(expires_at=row.expires_at + 60_000)
        return row


class KeepsSeconds(MemoryStore):
    def _put(self, sid: str, record: StoredSession) -> StoredSession:
        return super()._put(sid, record._replace(expires_at=record.expires_at / 1000 * 1000))  # type: ignore[arg-type] # the mistake


class KeepsMinutes(MemoryStore):
    def _put(self, sid: str, record: StoredSession) -> StoredSession:
        return super()._put(sid, record._replace(expires_at=record.expires_at // 60_000 * 60_000 - 1_000))


class CreateOverwrites(MemoryStore):
    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return await self.set(sid, record)


class CreateSeesExpired(MemoryStore):
    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return None if sid in self._rows else await super().create(sid, record)


class UpdateIsBlind(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        row = await self.get(sid)
        return GONE if row is None else await super().update(sid, record, row)


class UpdateInserts(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        if await self.get(sid) is None:
            return Update(Outcome.SAVED, await self.set(sid, record))
        return await super().update(sid, record, expected)


class UpdateRevives(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        if sid in self._rows:
            self._rows[sid] = self._rows[sid]._replace(expires_at=2**53)
        return await super().update(sid, record, expected)


class UpdateIgnoresCase(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        row = await self.get(sid)
        near = row is not None and row.data.strip().lower() == expected.data.strip().lower()
        return await super().update(sid, record, row if near and row is not None else expected)


class UpdateRefusesExpired(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        return GONE if record.expires_at <= self._clock() else await super().update(sid, record, expected)


class UpdateInTwoSteps(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        row = await self.get(sid)
        await asyncio.sleep(0)
        if row is not None and row.data == expected.data:
            return Update(Outcome.SAVED, await self.set(sid, record))
        return await super().update(sid, record, expected)

    async def destroy(self, sid: str) -> None:  # at its turn, as the updates, and not at the call
        await super().destroy(sid)


class KeepsForeignVersions(Versions):
    def _stamped(self, record: StoredSession) -> StoredSession:
        return record if record.version is not None else super()._stamped(record)


class TouchWrites(MemoryStore):
    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        update = await super().touch(sid, expires_at, expected)
        if update.outcome is Outcome.SAVED:
            self._rows[sid] = StoredSession(expected.data, expires_at)
        return update


class TouchInserts(MemoryStore):
    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        return Update(Outcome.SAVED, await self.set(sid, StoredSession(expected.data, expires_at)))


class TouchHides(MemoryStore):
    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        update = await super().touch(sid, expires_at, expected)
        return update._replace(record=self._rows.get(sid))


class RenameCopies(MemoryStore):
    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        update = await super().rename(old, new, record, expected, tombstone)
        if update.outcome is Outcome.SAVED:
            self._rows.setdefault(old, expected)
        return update


class RenameOverwrites(MemoryStore):
    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        self._rows.pop(new, None)
        return await super().rename(old, new, record, expected, tombstone)


class RenameSaysTakenFirst(MemoryStore):
    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        return TAKEN if new in self._rows else await super().rename(old, new, record, expected, tombstone)


class RenameForgetsTombstone(MemoryStore):
    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        return await super().rename(old, new, record, expected)


class RenameInTwoSteps(MemoryStore):
    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        row = await self.get(old)
        if row is None or row.data != expected.data or new in self._rows:
            return await super().rename(old, new, record, expected, tombstone)
        made = await self.set(new, record)
        await asyncio.sleep(0)
        await self.destroy(old)
        return Update(Outcome.SAVED, made)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        return await super().update(sid, record, expected)  # at its turn, as the renames, and not at the call


class DestroyIsGreedy(MemoryStore):
    async def destroy(self, sid: str) -> None:
        await self.clear()


class DestroyRaises(MemoryStore):
    async def destroy(self, sid: str) -> None:
        del self._rows[sid]


class IdsIgnoreCase(MemoryStore):
    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return await super().create(sid.lower(), record)


class IdsAreCut(MemoryStore):
    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return await super().create(sid[:255], record)


class LongIdsAreCut(MemoryStore):
    async def get(self, sid: str) -> StoredSession | None:
        return await super().get(sid[:500])

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return await super().create(sid[:500], record)


class OddIdsAreReplaced(MemoryStore):
    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        return await self.set(sid.encode(errors="replace").decode().partition("\0")[0], record)


class TextsAreStripped(MemoryStore):
    def _put(self, sid: str, record: StoredSession) -> StoredSession:
        return super()._put(sid, record._replace(data=record.data.strip()))


class TextsAreCut(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        return await super().update(sid, record._replace(data=record.data.partition("\0")[0]), expected)


class RefusesWithAnother(MemoryStore):
    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        record.data.encode()
        return await super().update(sid, record, expected)


class LengthCountsExpired(MemoryStore):
    async def length(self) -> int:
        return len(self._rows)


class AllYieldsExpired(MemoryStore):
    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        for row in list(self._rows.items()):
            yield row


class AllEndsEarly(MemoryStore):
    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        for row in list(self._rows.items())[:500]:
            yield row


class AllIsDisturbed(MemoryStore):
    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        for row in self._rows.items():
            yield row


class ClearKeepsOne(MemoryStore):
    async def clear(self) -> None:
        self._rows.popitem()


class SetNeverReplaces(MemoryStore):
    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        return self._living(sid) or await super().set(sid, record)


class NeverLeads(MemoryStore):
    def lead(self) -> bool:
        return False


class SweepsWithoutLimit(MemoryStore):
    async def sweep(self, limit: int) -> int:
        return await super().sweep(10**9)


class SweepsTheYoungestFirst(MemoryStore):
    async def sweep(self, limit: int) -> int:
        expired = sorted(self._expired(), key=lambda sid: -self._rows[sid].expires_at)[:limit]
        for sid in expired:
            del self._rows[sid]
        return len(expired)


class SweepsTheLiving(MemoryStore):
    async def sweep(self, limit: int) -> int:
        self._rows.clear()
        return 1


class CountsWithoutLimit(MemoryStore):
    async def backlog(self, limit: int) -> int:
        return len(self._expired())


class EndsEverybody(MemoryStore):
    async def end(self, user: str, keys: Collection[str] | None = None, *rest: Any, **named: Any) -> list[str]:
        ended = [sid for sid in self._rows if sid != named.get("keep")]
        await self.clear()
        return ended


class EndsTheKept(MemoryStore):
    async def end(self, user: str, keys: Collection[str] | None = None, *rest: Any, **named: Any) -> list[str]:
        return await super().end(user, keys)


class EndsAnyKey(MemoryStore):
    async def end(self, user: str, keys: Collection[str] | None = None, *rest: Any, **named: Any) -> list[str]:
        ended = [sid for sid in keys or () if self._rows.pop(sid, None) is not None]
        return ended if keys is not None else await super().end(user, keys, *rest, **named)


class EndsWhatItSaw(MemoryStore):
    async def end(self, user: str, keys: Collection[str] | None = None, *rest: Any, **named: Any) -> list[str]:
        found = [sid for sid, _ in await self.rows(user)]
        await asyncio.sleep(0)
        return await super().end(user, found, *rest, **named)


class ForgetsAliases(MemoryStore):
    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        return await super().rows(user)


class CountsOneName(MemoryStore):
    async def sign_in(self, limit: Limit, new: str, record: StoredSession, *step: Any) -> SignedIn:
        return await super().sign_in(limit._replace(aliases=()), new, record, *step)


class LooksIntoMetaOnly(MemoryStore):
    def index(self, path: tuple[str, ...], *, node_peer: bool = False, in_meta: bool = False) -> None:
        super().index(("__meta", "user") if in_meta else path, node_peer=node_peer)


class FindsExpired(MemoryStore):
    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        return [(sid, self._rows[sid]) for name in (user, *aliases) for sid in self._sids(name)]


class SignsInBeyondTheLimit(MemoryStore):
    async def sign_in(self, limit: Limit, new: str, record: StoredSession, *step: Any) -> SignedIn:
        return await super().sign_in(limit._replace(most=10**6), new, record, *step)


class SignsInAfterCounting(MemoryStore):
    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        rows = await super().rows(user, aliases)
        await asyncio.sleep(0)
        return rows


BROKEN: list[tuple[type[MemoryStore], str]] = [
    (GetsExpired, "test_a_session_is_over_from_its_expiry_on"),
    (EndsEarly, "test_a_session_lives_until_its_last_millisecond"),
    (Prolongs, "test_get_does_not_prolong"),
    (KeepsSeconds, "test_an_expiry_is_an_integer"),
    (KeepsMinutes, "test_get_returns_what_was_created"),
    (CreateOverwrites, "test_create_never_overwrites"),
    (CreateOverwrites, "test_one_of_many_creates_wins"),
    (CreateSeesExpired, "test_create_replaces_an_expired_session"),
    (UpdateIsBlind, "test_update_of_a_changed_session_is_a_conflict"),
    (UpdateIsBlind, "test_update_with_an_expired_record_spares_a_changed_session"),
    (UpdateIsBlind, "test_update_of_a_new_session_under_the_id_is_a_conflict"),
    (UpdateInserts, "test_update_never_inserts"),
    (UpdateInserts, "test_update_of_a_destroyed_session_is_gone"),
    (UpdateRevives, "test_update_of_an_expired_session_is_gone"),
    (UpdateIgnoresCase, "test_update_tells_texts_that_are_almost_the_same"),
    (UpdateRefusesExpired, "test_update_with_an_expired_record_removes"),
    (UpdateInTwoSteps, "test_one_of_many_updates_is_saved"),
    (UpdateInTwoSteps, "test_no_increment_is_lost"),
    (UpdateInTwoSteps, "test_a_destroy_among_updates_is_the_end"),
    (KeepsForeignVersions, "test_the_version_of_a_record_to_write_is_ignored"),
    (TouchWrites, "test_touch_never_writes_the_text_that_was_loaded"),
    (TouchInserts, "test_touch_never_inserts"),
    (TouchInserts, "test_touch_of_an_expired_session_is_gone"),
    (TouchInserts, "test_touch_of_a_changed_session_is_a_conflict"),
    (TouchHides, "test_touch_does_not_hide_a_change_of_the_text"),
    (RenameCopies, "test_rename_moves_the_session"),
    (RenameCopies, "test_a_renamed_session_is_gone_from_its_old_id"),
    (RenameOverwrites, "test_rename_to_an_id_of_another_session_is_taken"),
    (RenameOverwrites, "test_of_a_create_and_a_rename_one_has_the_id"),
    (RenameSaysTakenFirst, "test_rename_says_gone_before_taken"),
    (RenameSaysTakenFirst, "test_rename_says_conflict_before_taken"),
    (RenameForgetsTombstone, "test_rename_leaves_a_tombstone"),
    (RenameForgetsTombstone, "test_one_of_many_renames_leaves_its_tombstone"),
    (RenameInTwoSteps, "test_one_of_many_renames_is_saved"),
    (RenameInTwoSteps, "test_of_renames_and_updates_one_is_saved"),
    (RenameInTwoSteps, "test_no_increment_is_lost_by_renames"),
    (RenameInTwoSteps, "test_a_rename_cancelled_at_any_moment_is_done_or_not"),
    (DestroyIsGreedy, "test_destroy_deletes_only_this_session"),
    (DestroyRaises, "test_destroy_of_an_unknown_id_is_no_error"),
    (IdsIgnoreCase, "test_every_id_is_its_own"),
    (IdsAreCut, "test_every_id_is_its_own"),
    (LongIdsAreCut, "test_a_long_id_is_kept_or_refused_and_never_shortened"),
    (OddIdsAreReplaced, "test_what_is_no_id_is_kept_or_refused_and_hits_no_other"),
    (TextsAreStripped, "test_a_text_comes_back_to_the_character"),
    (TextsAreCut, "test_an_odd_text_is_kept_whole_or_refused"),
    (RefusesWithAnother, "test_an_odd_text_is_kept_whole_or_refused"),
    (LengthCountsExpired, "test_length_counts_the_living"),
    (AllYieldsExpired, "test_all_yields_the_living_with_their_keys"),
    (AllEndsEarly, "test_all_yields_each_of_many_once"),
    (AllIsDisturbed, "test_all_goes_on_while_listed_sessions_are_destroyed"),
    (ClearKeepsOne, "test_clear_deletes_every_session"),
    (SetNeverReplaces, "test_set_replaces"),
    (NeverLeads, "test_a_lone_store_leads"),
    (SweepsWithoutLimit, "test_sweep_deletes_the_oldest_first_and_no_more_than_the_limit"),
    (SweepsTheYoungestFirst, "test_sweep_deletes_the_oldest_first_and_no_more_than_the_limit"),
    (SweepsTheLiving, "test_sweep_deletes_what_has_expired_and_nothing_else"),
    (CountsWithoutLimit, "test_backlog_is_counted_up_to_the_limit"),
    (EndsEverybody, "test_end_ends_all_of_the_user"),
    (EndsTheKept, "test_end_keeps_one"),
    (EndsAnyKey, "test_end_takes_some_keys"),
    (EndsWhatItSaw, "test_end_follows_what_moves"),
    (ForgetsAliases, "test_a_user_in_meta_is_found_if_that_is_asked"),
    (LooksIntoMetaOnly, "test_a_user_in_meta_is_found_if_that_is_asked"),
    (CountsOneName, "test_a_limit_counts_every_name"),
    (FindsExpired, "test_rows_follow_every_write"),
    (SignsInBeyondTheLimit, "test_a_sign_in_beyond_the_limit_ends_the_oldest"),
    (SignsInBeyondTheLimit, "test_a_sign_in_beyond_the_limit_is_refused"),
    (SignsInAfterCounting, "test_many_sign_ins_keep_the_limit"),
]


@pytest.mark.parametrize(("kind", "name"), BROKEN, ids=[f"{kind.__name__}-{name}" for kind, name in BROKEN])
def test_a_broken_store_fails(kind: type[MemoryStore], name: str, tmp_path: Path) -> None:
    """By an assertion, or by the store's own foreign error."""

    class Broken(MemoryContract):
        pass

    Broken.kind = kind

    with pytest.raises((AssertionError, KeyError, RuntimeError, TimeoutError, UnicodeEncodeError)):
        getattr(Broken(), name)(tmp_path)


def test_a_power_without_its_contract_fails(tmp_path: Path) -> None:
    """A power that is offered is a power that is tested."""

    class Forgetful(AdminContract, StoreContract):
        def make_store(self, place: Path) -> Store:
            return MemoryStore(clock=self.clock)

    with pytest.raises(AssertionError):
        Forgetful().test_the_powers_that_are_offered_are_tested(tmp_path)


def test_a_power_that_is_not_offered_fails(tmp_path: Path) -> None:
    """A contract that is listed is a power that is offered."""
    name = "test_the_powers_that_are_offered_are_tested"

    class Boastful(PreparedContract, MemoryContract):
        pass

    with pytest.raises(AssertionError):
        getattr(Boastful(), name)(tmp_path)
    with pytest.raises(AssertionError, match="does not offer prepared"):
        Boastful().test_a_prepared_store_works(tmp_path)


def test_a_contract_has_to_be_given_a_store(tmp_path: Path) -> None:
    """The one method to override."""
    with pytest.raises(NotImplementedError):
        StoreContract().test_get_returns_what_was_created(tmp_path)


def test_every_test_of_the_contract_is_plain_and_documented() -> None:
    """A function that is no coroutine function, with a sentence."""
    tests = {name: getattr(MemoryContract, name) for name in dir(MemoryContract) if name.startswith("test_")}

    assert len(tests) > 90
    assert [name for name, test in tests.items() if inspect.iscoroutinefunction(test) or not test.__doc__] == []
    assert [name for name in tests if len(name) > 70] == []


class TestClock:
    """A clock that does not move until the test moves it."""

    def test_it_begins_at_the_present_moment(self) -> None:
        """Or at one that is given."""
        given: Any = Clock(5)

        assert given() == given.now == 5
        assert Clock()() > 1_700_000_000_000

    def test_it_moves_only_when_it_is_moved(self) -> None:
        """Forward, and back."""
        clock = Clock(1_000)
        clock.advance(500)
        moved = clock()
        clock.advance(-700)

        assert [moved, clock(), clock()] == [1_500, 800, 800]
