"""The contract of sessions/store.py, continued: calls that meet, two store objects on one data, and the swept part.

Every store of the table in conftest.py, none of them by name.
"""

import asyncio
import json
from typing import Any

from clock import MINUTE, SECOND, START, MovableClock

from sessions.store import Outcome, StoredSession, Update
from sessions.sweeper import Sweeper

from .support import LATER


def numbered(n: int) -> StoredSession:
    """The nth of many records that differ."""
    return StoredSession(json.dumps({"n": n}), LATER + n)


async def count_up(store: Any, sid: str) -> None:
    """Add one to the number in a session, as a request does: read, then compare and set until it is saved."""
    stored = await store.get(sid)
    while stored is not None:
        more = numbered(json.loads(stored.data)["n"] + 1)
        stored = (await store.update(sid, more, stored.data)).newer


class TestTogether:
    """Calls that are under way at the same time end as if one had been done after the other."""

    async def test_one_of_many_creates_wins(self, store: Any) -> None:
        """An id is given away once, and the row is the winner's."""
        made = await asyncio.gather(*(store.create("a", numbered(n)) for n in range(40)))

        assert made.count(True) == 1
        assert await store.get("a") == numbered(made.index(True))

    async def test_one_of_many_updates_is_saved(self, store: Any) -> None:
        """Of updates that expect the same text one is saved; each of the others gets its record."""
        await store.create("a", numbered(0))
        updates = await asyncio.gather(*(store.update("a", numbered(n), numbered(0).data) for n in range(1, 41)))
        winner = numbered(1 + updates.index(Update(Outcome.SAVED)))

        assert updates.count(Update(Outcome.SAVED)) == 1
        assert updates.count(Update(Outcome.CONFLICT, winner)) == 39
        assert await store.get("a") == winner

    async def test_no_increment_is_lost(self, store: Any) -> None:
        """Compare-and-set, tried again with the newer record, loses nothing."""
        await store.create("a", numbered(0))
        await asyncio.gather(*(count_up(store, "a") for _ in range(25)))

        assert await store.get("a") == numbered(25)

    async def test_a_destroy_among_updates_is_the_end(self, store: Any) -> None:
        """Whatever the order: one update may come before it, nothing stands after it."""
        await store.create("a", numbered(0))
        updates = [store.update("a", numbered(n), numbered(0).data) for n in range(1, 11)]
        *outcomes, _ = await asyncio.gather(*updates, store.destroy("a"))

        assert await store.get("a") is None
        assert outcomes.count(Update(Outcome.SAVED)) <= 1
        assert Update(Outcome.GONE) in outcomes or Update(Outcome.SAVED) in outcomes

    async def test_many_ids_do_not_meet(self, store: Any) -> None:
        """More calls than fit into one step, of every verb, on many ids: each has its own outcome."""
        ids = [f"id-{n}" for n in range(600)]
        old, new = numbered(1), numbered(2)

        assert set(await asyncio.gather(*(store.create(sid, old) for sid in ids))) == {True}
        verbs = [
            store.get,
            lambda sid: store.update(sid, new, old.data),
            lambda sid: store.touch(sid, LATER + 9, old.data),
            store.destroy,
            lambda sid: store.set(sid, new),
            lambda sid: store.create(sid, new),
        ]
        outcomes = await asyncio.gather(*(verbs[n % 6](sid) for n, sid in enumerate(ids)))

        assert outcomes == [old, Update(Outcome.SAVED), Outcome.SAVED, None, None, False] * 100
        left = [old, new, old._replace(expires_at=LATER + 9), None, new, old] * 100
        assert await asyncio.gather(*map(store.get, ids)) == left

    async def test_what_was_answered_is_seen(self, store: Any) -> None:
        """A read that begins after a write was answered sees it, among any number of others."""

        async def visit(sid: str) -> list[Any]:
            await store.create(sid, numbered(1))
            seen = [await store.get(sid)]
            await store.update(sid, numbered(2), numbered(1).data)
            seen.append(await store.get(sid))
            await store.destroy(sid)
            return [*seen, await store.get(sid)]

        visits = await asyncio.gather(*(visit(f"id-{n}") for n in range(60)))

        assert visits == [[numbered(1), numbered(2), None]] * 60

    async def test_a_cancelled_call_only_stops_waiting(self, store: Any) -> None:
        """Its neighbours are done, it is done as a whole or not at all, and the store serves on."""
        tasks = [asyncio.ensure_future(store.create(f"id-{n}", numbered(n))) for n in range(60)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)

        assert outcomes[1::2] == [True] * 30
        rows = {sid: stored async for sid, stored in store.all()}
        assert rows.items() <= {f"id-{n}": numbered(n) for n in range(60)}.items()
        assert {f"id-{n}" for n in range(1, 60, 2)} <= set(rows)

    async def test_a_call_cancelled_at_any_moment_leaves_a_store_that_works(self, store: Any) -> None:
        """However far a call has come when its caller goes."""
        for moment in range(12):
            task = asyncio.ensure_future(store.set("a", numbered(moment)))
            for _ in range(moment):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            await store.set("a", numbered(100))

            assert await store.get("a") == numbered(100)


class TestTwoStores:
    """Two store objects on the same data, as two processes have them."""

    async def test_what_one_has_written_the_other_reads(self, pair: tuple[Any, Any]) -> None:
        """There is no view of one's own."""
        one, two = pair
        await one.create("a", numbered(1))
        assert await two.get("a") == numbered(1)
        assert await two.update("a", numbered(2), numbered(1).data) == Update(Outcome.SAVED)
        assert await one.update("a", numbered(3), numbered(1).data) == Update(Outcome.CONFLICT, numbered(2))
        await one.destroy("a")
        assert await two.touch("a", LATER, numbered(2).data) is Outcome.GONE
        assert await two.create("a", numbered(4)) is True
        assert await one.create("a", numbered(5)) is False

    async def test_one_of_many_creates_wins(self, pair: tuple[Any, Any]) -> None:
        """An id is given away once, whoever asks."""
        made = await asyncio.gather(*(pair[n % 2].create("a", numbered(n)) for n in range(40)))

        assert made.count(True) == 1
        assert await pair[0].get("a") == await pair[1].get("a") == numbered(made.index(True))

    async def test_no_increment_is_lost(self, pair: tuple[Any, Any]) -> None:
        """Compare-and-set holds between processes."""
        await pair[0].create("a", numbered(0))
        await asyncio.gather(*(count_up(pair[n % 2], "a") for n in range(30)))

        assert await pair[0].get("a") == numbered(30)

    async def test_writers_wait_for_each_other(self, pair: tuple[Any, Any]) -> None:
        """Two busy writers do not make each other fail."""
        await asyncio.gather(*(pair[n % 2].set(f"id-{n % 50}-{n}", numbered(n)) for n in range(400)))

        assert await pair[0].length() == await pair[1].length() == 400


class TestSwept:
    """lead, sweep and backlog of a store that does not drop expired sessions by itself."""

    async def test_the_sweeper_finds_its_verbs(self, swept: Any, clock: MovableClock) -> None:
        """It keeps the protocol that the sweeper asks for."""
        await swept.create("a", numbered(0))
        clock.now = LATER
        sweeper = Sweeper(swept)

        assert await sweeper.backlog() == await sweeper.sweep() == 1

    async def test_deletes_what_has_expired_and_nothing_else(self, swept: Any, clock: MovableClock) -> None:
        """The living stay, the others are gone for good."""
        await swept.create("old", numbered(0))
        await swept.create("young", numbered(1))
        clock.now = LATER

        assert await swept.backlog(10) == 1
        assert await swept.sweep(10) == 1
        assert await swept.backlog(10) == 0
        clock.now = START
        assert await swept.get("old") is None
        assert await swept.get("young") == numbered(1)

    async def test_deletes_the_oldest_first_and_no_more_than_the_limit(self, swept: Any, clock: MovableClock) -> None:
        """What has waited longest goes first, in the order of expiry."""
        for n in (3, 1, 4, 0, 2):
            await swept.create(f"id-{n}", numbered(n))
        clock.now = LATER + SECOND

        assert await swept.sweep(2) == 2
        clock.now = START
        assert sorted([sid async for sid, _ in swept.all()]) == ["id-2", "id-3", "id-4"]
        clock.now = LATER + SECOND
        assert [await swept.sweep(2), await swept.sweep(2), await swept.sweep(2)] == [2, 1, 0]

    async def test_counts_the_backlog_up_to_the_limit(self, swept: Any, clock: MovableClock) -> None:
        """A count costs no more than what is asked for."""
        await asyncio.gather(*(swept.create(f"id-{n}", numbered(n)) for n in range(30)))
        assert await swept.backlog(20) == 0
        clock.now = LATER + SECOND

        assert await swept.backlog(20) == 20
        assert await swept.backlog(100) == 30

    async def test_every_verb_says_the_same_before_and_after(self, swept: Any, clock: MovableClock) -> None:
        """Whether an expired session was swept yet makes no difference to anybody."""

        async def answers() -> list[Any]:
            return [
                await swept.get("a"), await swept.update("a", numbered(9), numbered(0).data),
                await swept.touch("a", LATER + MINUTE, numbered(0).data), await swept.length(),
                [row async for row in swept.all()],
            ]  # fmt: skip

        await swept.create("a", numbered(0))
        clock.now = LATER
        before = await answers()
        await swept.sweep(10)

        assert before == await answers() == [None, Update(Outcome.GONE), Outcome.GONE, 0, []]

    async def test_a_session_that_was_prolonged_is_not_swept(self, swept: Any, clock: MovableClock) -> None:
        """A touch or a save takes a session out of the sweeper's way."""
        await asyncio.gather(*(swept.create(sid, numbered(0)) for sid in ("touched", "saved", "idle")))
        await swept.touch("touched", LATER + MINUTE, numbered(0).data)
        await swept.update("saved", numbered(0)._replace(expires_at=LATER + MINUTE), numbered(0).data)
        clock.now = LATER

        assert await swept.sweep(10) == 1
        assert sorted([sid async for sid, _ in swept.all()]) == ["saved", "touched"]

    async def test_sweeping_among_requests_disturbs_nobody(self, swept: Any, clock: MovableClock) -> None:
        """Of a sweep and a create of an expired id that meet, the new session survives."""
        ids = [f"id-{n}" for n in range(100)]
        await asyncio.gather(*(swept.create(sid, numbered(0)) for sid in ids))
        clock.now = LATER
        young = numbered(0)._replace(expires_at=LATER + MINUTE)
        creates = [swept.create(sid, young) for sid in ids]
        *made, _, _ = await asyncio.gather(*creates, swept.sweep(60), swept.sweep(60))

        assert made == [True] * 100
        assert await swept.length() == 100

    async def test_a_lone_store_leads(self, swept: Any) -> None:
        """Who is alone sweeps, and stays the one that does."""
        assert swept.lead() is True
        assert swept.lead() is True
