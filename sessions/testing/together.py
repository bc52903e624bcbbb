"""Owns the contract of calls that meet: they end as if one had come after the other, on one store object or two."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from ..store import Outcome, Store, StoredSession, Update
from .suite import (
    LONG,
    Stores,
    Suite,
    assert_conflict,
    assert_gone,
    assert_record,
    assert_saved,
    assert_taken,
    create,
    on_store,
    on_two_stores,
)


class TogetherContract(Suite):
    """Every verb is one step, and a caller that is cancelled only stops waiting."""

    @on_two_stores
    async def test_what_one_has_written_the_other_reads(self, stores: Stores) -> None:
        """A record that one store returned is good as the expected one of the other."""
        one, two = stores
        made = await create(one, "a", self.record(1))
        assert_record(await two.get("a"), self.record(1))
        changed = assert_saved(await two.update("a", self.record(2), made), self.record(2))
        assert_conflict(await one.update("a", self.record(3), made), self.record(2))
        assert await one.create("a", self.record(3)) is None
        moved = assert_saved(await one.rename("a", "b", self.record(4), changed), self.record(4))

        assert_gone(await two.update("a", self.record(5), changed))
        assert_saved(await two.touch("b", self.record(4, 2 * LONG).expires_at, moved), self.record(4, 2 * LONG))
        await one.destroy("b")
        assert await two.get("b") is None

    @on_two_stores
    async def test_one_of_many_creates_wins(self, stores: Stores) -> None:
        """An id is given away once, and the session is the winner's."""
        made = await asyncio.gather(*(stores[n % 2].create("a", self.record(n)) for n in range(30)))
        winners = [record for record in made if record is not None]

        assert len(winners) == 1
        assert_record(await stores[0].get("a"), self.record(made.index(winners[0])))

    @on_two_stores
    async def test_one_of_many_updates_is_saved(self, stores: Stores) -> None:
        """Of updates that expect the same record one is SAVED; each of the others gets its record."""
        made = await create(stores[0], "a", self.record(0))
        updates = await asyncio.gather(*(stores[n % 2].update("a", self.record(n), made) for n in range(1, 31)))
        winner = self.record(1 + only_saved(updates))

        for update in updates:
            assert update.outcome in (Outcome.SAVED, Outcome.CONFLICT)
            assert_record(update.record, winner)
        assert_record(await stores[1].get("a"), winner)

    @on_two_stores
    async def test_one_of_many_renames_is_saved(self, stores: Stores) -> None:
        """The session has one new id afterwards; the others are as free as they were."""
        made = await create(stores[0], "a", self.record(0))
        renames = await asyncio.gather(
            *(stores[n % 2].rename("a", f"new {n}", self.record(n), made) for n in range(20))
        )
        winner = only_saved(renames)

        assert {rename.outcome for rename in renames} == {Outcome.SAVED, Outcome.GONE}
        assert await stores[0].get("a") is None
        left = await asyncio.gather(*(stores[0].get(f"new {n}") for n in range(20)))
        assert [n for n, record in enumerate(left) if record is not None] == [winner]
        assert_record(left[winner], self.record(winner))

    @on_two_stores
    async def test_one_of_many_renames_leaves_its_tombstone(self, stores: Stores) -> None:
        """The others find that tombstone."""
        made = await create(stores[0], "a", self.record(0))
        renames = await asyncio.gather(
            *(stores[n % 2].rename("a", f"new {n}", self.record(n), made, self.record(100 + n)) for n in range(20))
        )
        winner = only_saved(renames)

        for n in set(range(20)) - {winner}:
            assert_conflict(renames[n], self.record(100 + winner))
            assert await stores[0].get(f"new {n}") is None
        assert_record(await stores[1].get("a"), self.record(100 + winner))

    @on_two_stores
    async def test_one_of_many_renames_to_one_id_is_saved(self, stores: Stores) -> None:
        """The others are TAKEN, and their sessions stay where they are."""
        made = [await create(stores[0], f"old {n}", self.record(n)) for n in range(20)]
        renames = await asyncio.gather(
            *(stores[n % 2].rename(f"old {n}", "new", self.record(100 + n), made[n]) for n in range(20))
        )
        winner = only_saved(renames)

        for n in set(range(20)) - {winner}:
            assert_taken(renames[n])
            assert_record(await stores[0].get(f"old {n}"), self.record(n))
        assert_record(await stores[1].get("new"), self.record(100 + winner))
        assert await stores[0].get(f"old {winner}") is None

    @on_two_stores
    async def test_of_renames_and_updates_one_is_saved(self, stores: Stores) -> None:
        """No update is lost by a rename, and none reaches the session under its new id."""
        made = await create(stores[0], "a", self.record(0))
        calls = [
            store.rename("a", f"new {n}", self.record(n), made)
            if n % 3 == 0
            else store.update("a", self.record(n), made)
            for n, store in enumerate(stores * 10)
        ]
        winner = only_saved(await asyncio.gather(*calls))

        left = await living(stores[1], "a", *(f"new {n}" for n in range(20)))
        assert left == {f"new {winner}" if winner % 3 == 0 else "a": self.record(winner).data}

    @on_two_stores
    async def test_of_a_create_and_a_rename_one_has_the_id(self, stores: Stores) -> None:
        """Whoever comes second changes nothing."""
        for n in range(10):
            made = await create(stores[0], f"old {n}", self.record(1))
            renaming = stores[0].rename(f"old {n}", f"new {n}", self.record(2), made)
            creating = stores[1].create(f"new {n}", self.record(3))
            if n % 2 == 0:
                rename, created = await asyncio.gather(renaming, creating)
            else:
                created, rename = await asyncio.gather(creating, renaming)

            left = await living(stores[0], f"old {n}", f"new {n}")
            if created is None:
                assert_saved(rename, self.record(2))
                assert left == {f"new {n}": self.record(2).data}
            else:
                assert_taken(rename)
                assert left == {f"old {n}": self.record(1).data, f"new {n}": self.record(3).data}

    @on_two_stores
    async def test_no_increment_is_lost(self, stores: Stores) -> None:
        """Compare-and-set, tried again with the newer record, loses nothing."""
        await create(stores[0], "a", self.record(0))
        await asyncio.gather(*(self.count_up(stores[n % 2], "a") for n in range(24)))

        assert_record(await stores[0].get("a"), self.record(24))

    @on_two_stores
    async def test_no_increment_is_lost_by_renames(self, stores: Stores) -> None:
        """A counter that moves from id to id counts every turn."""
        await create(stores[0], "id 0", self.record(0))
        turns = asyncio.gather(*(self.count_up(stores[0], "id 0") for _ in range(8)))
        moved = 0
        for _ in range(20):
            await asyncio.sleep(0)
            moved += await self.move(stores[1], f"id {moved}", f"id {moved + 1}")
        counted = sum(await turns)

        left = await living(stores[0], *(f"id {n}" for n in range(moved + 1)))
        assert left == {f"id {moved}": self.record(counted + moved).data}

    @on_two_stores
    async def test_a_destroy_among_updates_is_the_end(self, stores: Stores) -> None:
        """One update may come before it; nothing is there after it."""
        made = await create(stores[0], "a", self.record(0))
        updates = [stores[n % 2].update("a", self.record(n), made) for n in range(1, 11)]
        outcomes, _ = await asyncio.gather(asyncio.gather(*updates), stores[0].destroy("a"))

        assert await stores[1].get("a") is None
        assert sum(update.outcome is Outcome.SAVED for update in outcomes) <= 1

    @on_two_stores
    async def test_what_was_answered_is_seen(self, stores: Stores) -> None:
        """A read that begins after a write was answered sees it, among any number of others."""

        async def visit(n: int, reader: Store, writer: Store) -> None:
            made = await create(writer, f"{n}", self.record(1))
            assert_record(await reader.get(f"{n}"), self.record(1))
            await writer.update(f"{n}", self.record(2), made)
            assert_record(await reader.get(f"{n}"), self.record(2))
            await writer.destroy(f"{n}")
            assert await reader.get(f"{n}") is None

        await asyncio.gather(*(visit(n, *stores) for n in range(40)))

        assert await stores[0].get("1") is None

    @on_two_stores
    async def test_calls_on_many_ids_do_not_meet(self, stores: Stores) -> None:
        """Many calls at once, of every verb: each has its own outcome."""
        made = await asyncio.gather(*(create(stores[n % 2], f"{n}", self.record(n)) for n in range(self.many)))

        def call(n: int, store: Store) -> Awaitable[Any]:
            verbs: list[Callable[[], Awaitable[Any]]] = [
                lambda: store.get(f"{n}"),
                lambda: store.update(f"{n}", self.record(-n), made[n]),
                lambda: store.touch(f"{n}", self.record(n, 2 * LONG).expires_at, made[n]),
                lambda: store.rename(f"{n}", f"new {n}", self.record(-n), made[n]),
                lambda: store.destroy(f"{n}"),
                lambda: store.create(f"{n}", self.record(-n)),
            ]
            return verbs[n % 6]()

        answers = await asyncio.gather(*(call(n, stores[n % 2]) for n in range(self.many)))

        for n in range(0, self.many, 6):
            got, updated, touched, renamed, destroyed, created = answers[n : n + 6]
            assert_record(got, self.record(n))
            assert_saved(updated, self.record(-n - 1))
            assert_saved(touched, self.record(n + 2, 2 * LONG))
            assert_saved(renamed, self.record(-n - 3))
            assert (destroyed, created) == (None, None)
        left = {f"{n}" if n % 6 != 3 else f"new {n}": n for n in range(self.many) if n % 6 != 4}
        changed = {sid: self.record(-n if n % 6 in (1, 3) else n).data for sid, n in left.items()}
        assert await living(stores[0], *map(str, range(self.many)), *(f"new {n}" for n in range(self.many))) == changed

    # ---------------------------------------------------------------- callers that are cancelled

    @on_store
    async def test_a_cancelled_call_does_not_disturb_its_neighbours(self, store: Store) -> None:
        """They are done, and it is done as a whole or not at all."""
        tasks = [asyncio.ensure_future(store.create(f"{n}", self.record(n))) for n in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)

        for n in range(1, 60, 2):
            assert_record(tasks[n].result(), self.record(n))
        left = await living(store, *map(str, range(60)))
        assert left.items() <= {f"{n}": self.record(n).data for n in range(60)}.items()
        assert {f"{n}" for n in range(1, 60, 2)} <= set(left)

    @on_store
    async def test_a_call_cancelled_at_any_moment_leaves_a_store_that_works(self, store: Store) -> None:
        """However far a call has come, its step is done whole or not at all, and the id is not locked."""
        for moment in range(12):
            sid = f"{moment}"
            made = await create(store, sid, self.record(0))
            await cancelled(store.update(sid, self.record(1), made), after=moment)
            outcome, record = await store.update(sid, self.record(2), made)

            wanted = {Outcome.SAVED: self.record(2), Outcome.CONFLICT: self.record(1)}[outcome]
            assert_record(record, wanted)

    @on_store
    async def test_a_rename_cancelled_at_any_moment_is_done_or_not(self, store: Store) -> None:
        """The session ends up under one of its two ids, with the record of that id."""
        for moment in range(12):
            old, new = f"old {moment}", f"new {moment}"
            made = await create(store, old, self.record(1))
            await cancelled(store.rename(old, new, self.record(2), made), after=moment)
            ends = ({old: self.record(1).data}, {new: self.record(2).data})
            left = await living(store, old, new)
            async with asyncio.timeout(5):
                while left not in ends:  # the two reads are not one step, and the rename may be under way
                    await asyncio.sleep(0.001)
                    left = await living(store, old, new)

            assert left in ends

    # ---------------------------------------------------------------- what a visitor does

    async def count_up(self, store: Store, sid: str) -> int:
        """Add one to the number in a session, tried again with each newer record. Returns 0 if the session is gone."""
        record = await store.get(sid)
        for _ in range(1_000):
            await asyncio.sleep(0)  # a request does something between its read and its write
            if record is None:
                return 0
            outcome, record = await store.update(sid, self.next_after(record), record)
            if outcome is Outcome.SAVED:
                return 1
        raise AssertionError("an update is a conflict for ever")

    async def move(self, store: Store, old: str, new: str) -> int:
        """Rename a session and add one to its number. Returns 0 if it was changed meanwhile."""
        record = await store.get(old)
        assert record is not None, "a session is lost"
        rename = await store.rename(old, new, self.next_after(record), record)
        return int(rename.outcome is Outcome.SAVED)

    def next_after(self, record: StoredSession) -> StoredSession:
        """Return the record with the next number."""
        return self.record(json.loads(record.data)["n"] + 1)


def only_saved(updates: list[Update]) -> int:
    """Assert that one of some writes was SAVED; return its number."""
    saved = [n for n, update in enumerate(updates) if update.outcome is Outcome.SAVED]
    assert len(saved) == 1, f"expected one SAVED, got {len(saved)}"
    return saved[0]


async def living(store: Store, *sids: str) -> dict[str, str]:
    """Return the texts of those ids that have a session."""
    found = await asyncio.gather(*map(store.get, sids))
    return {sid: record.data for sid, record in zip(sids, found, strict=True) if record is not None}


async def cancelled(call: Awaitable[object], after: int) -> None:
    """Start a call, and cancel it after so many turns of the event loop."""
    task = asyncio.ensure_future(call)
    for _ in range(after):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
