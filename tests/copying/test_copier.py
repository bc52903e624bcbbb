"""One session at a time: what a pass does with it, by what has become of it on both sides."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from clock import MINUTE, SECOND, MovableClock
from stores.redis_server import shared_server
from stores.support import listed, postgres, postgres_of_peers, prefix

from sessions import now_ms
from sessions.copying import Copier, Journal, Tally
from sessions.copying.copier import PAGE
from sessions.copying.rules import Entry
from sessions.errors import OptionsError
from sessions.store import StoredSession
from sessions.stores.memory import MemoryStore
from sessions.stores.redis import RedisStore
from sessions.stores.sqlite import SQLiteStore
from sessions.stores.users import REMOVED
from sessions.stores.wrappers import StoreWrapper

LIFE = 10 * MINUTE


def text(value: object) -> str:
    return f'{{"cookie":{{"path":"/"}},"value":"{value}"}}'


class Move:
    """FROM, TO and the journal of a test."""

    def __init__(self, folder: Path, clock: MovableClock) -> None:
        self.clock = clock
        self.source: Any = MemoryStore(clock=clock)
        self.target: Any = MemoryStore(clock=clock)
        self.journal = folder / "journal.db"
        self.refused: list[str] = []

    @asynccontextmanager
    async def copier(self, **options: Any) -> AsyncIterator[Copier]:
        """A copy that has just been started."""
        async with Journal(self.journal, "from", "to") as journal:
            refused = lambda key, _error: self.refused.append(key)  # noqa: E731 # two words of it are of use
            yield Copier(self.source, self.target, journal, clock=self.clock, refused=refused, **options)

    async def run(self, **options: Any) -> Tally:
        """One pass of a new copy."""
        async with self.copier(**options) as copier:
            return await copier.run_pass()

    async def settle(self) -> None:
        """Say that the servers may change over."""
        async with Journal(self.journal, "from", "to") as journal:
            await journal.settle()

    async def put(self, sid: str, value: object = "a", life: int = LIFE) -> StoredSession:
        """A session at FROM."""
        record: StoredSession = await self.source.set(sid, StoredSession(text(value), self.clock() + life))
        return record

    async def there(self, sid: str) -> str | None:
        """What TO has."""
        found = await self.target.get(sid)
        return None if found is None else found.data


@pytest.fixture
def move(tmp_path: Path, clock: MovableClock) -> Move:
    """An empty FROM and an empty TO."""
    return Move(tmp_path, clock)


# ---------------------------------------------------------------- what FROM has


async def test_a_session_is_copied_with_its_expiry(move: Move) -> None:
    record = await move.put("one")

    tally = await move.run()

    assert (tally.created, await move.target.get("one")) == (1, record)


async def test_a_change_is_carried(move: Move) -> None:
    await move.put("one", "a")
    await move.run()
    await move.put("one", "b")

    tally = await move.run()

    assert (tally.updated, tally.changes, await move.there("one")) == (1, 1, text("b"))


async def test_an_expiry_alone_is_carried_and_is_no_change(move: Move) -> None:
    record = await move.put("one")
    await move.run()
    await move.source.touch("one", record.expires_at + MINUTE, record)

    tally = await move.run()

    assert (tally.touched, tally.changes) == (1, 0)
    assert (await move.target.get("one")).expires_at == record.expires_at + MINUTE


async def test_a_sign_out_is_carried(move: Move) -> None:
    await move.put("one")
    await move.run()
    await move.source.destroy("one")

    tally = await move.run()

    assert (tally.removed, await listed(move.target)) == (1, {})


async def test_what_expires_at_from_by_itself_ends_nobody_at_to(move: Move) -> None:
    """The visitor has come to TO, which has moved the expiry, and the text is as it was copied."""
    await move.put("one")
    await move.run()
    await move.target.touch("one", move.clock() + 3 * LIFE, await move.target.get("one"))
    move.clock.forward(2 * LIFE)

    await move.run()

    assert await move.there("one") == text("a")


async def test_nothing_is_done_twice(move: Move) -> None:
    await move.put("one")
    await move.run()

    tally = await move.run()

    assert (tally.read, tally.changes, tally.touched, tally.kept) == (1, 0, 0, 0)


async def test_a_session_that_comes_back_at_from_is_copied_again(move: Move) -> None:
    """As a rename of unknown outcome goes the way back: it was the copy that removed it."""
    await move.put("one")
    await move.run()
    await move.source.destroy("one")
    await move.run()
    await move.put("one")

    await move.run()

    assert await move.there("one") == text("a")


async def test_a_session_that_was_used_on_at_from_does_not_end_between_passes(move: Move) -> None:
    """TO was not aware of it, so the copy there has expired; nobody has ended it."""
    record = await move.put("one")
    await move.run()
    await move.source.touch("one", record.expires_at + LIFE, record)
    move.clock.forward(LIFE)

    await move.run()

    assert await move.there("one") == text("a")


@pytest.mark.parametrize("in_use", [False, True])
async def test_what_expires_at_to_before_the_servers_change_over_has_not_ended(*, in_use: bool, move: Move) -> None:
    """The servers stay at FROM for hours after the copy has said that they may change over, and it runs once more."""
    record = await move.put("one")
    await move.run()
    await move.settle()
    await move.source.touch("one", record.expires_at + LIFE, record)
    move.clock.forward(LIFE)

    await move.run(in_use=in_use)

    assert await move.there("one") == (None if in_use else text("a"))


# ---------------------------------------------------------------- new ids


def tombstone(clock: MovableClock, successor: str) -> StoredSession:
    closed = clock() + 30 * SECOND
    return StoredSession(f'{{"cookie":{{"path":"/"}},"__meta":{{"closed":{closed},"next":"{successor}"}}}}', closed)


async def test_a_new_id_is_copied_and_the_old_one_goes(move: Move) -> None:
    record = await move.put("old")
    await move.run()
    await move.source.rename("old", "new", record, record, tombstone(move.clock, "new"))

    await move.run()

    assert set(await listed(move.target)) == {"new"}


class Renaming(MemoryStore):
    """A store in which a session takes a new id when the list of all has just passed by that one."""

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        yield "b", self._rows["b"]
        await self.rename("z", "a", self._rows["z"], self._rows["z"], self.tombstone)
        if self.tombstone is not None:
            yield "z", self.tombstone

    tombstone: StoredSession | None


@pytest.mark.parametrize("has_tombstone", [True, False])
async def test_a_new_id_is_found_that_came_behind_the_reading(*, has_tombstone: bool, move: Move) -> None:
    """By the tombstone; without one a later pass finds it."""
    move.source = Renaming(clock=move.clock)
    move.source.tombstone = tombstone(move.clock, "a") if has_tombstone else None
    await move.put("b")
    await move.put("z")

    await move.run()

    assert set(await listed(move.target)) == ({"a", "b"} if has_tombstone else {"b"})


class Slow(StoreWrapper):
    """TO, which takes its time; and time goes on."""

    clock: MovableClock

    async def create(self, *given: Any) -> Any:
        self.clock.forward(1)
        await asyncio.sleep(0.05)
        return await self.inner.create(*given)


async def test_a_new_id_may_be_met_twice_at_once(move: Move) -> None:
    """By the way from the former id on one page, and on the next page, which is written beside that one."""
    await move.run()
    await move.settle()
    record = await move.put("old")
    for n in range(PAGE - 1):
        await move.put(f"{n}")
    await move.source.rename("old", "new", record, record, tombstone(move.clock, "new"))
    move.target = Slow(move.target)
    move.target.clock = move.clock

    tally = await move.run()

    assert (tally.read, tally.kept, await move.there("new")) == (PAGE, 0, text("a"))


class Late(MemoryStore):
    """A store of which the list misses a session that is there."""

    misses = ""

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        async for sid, record in super().all():
            if sid != self.misses:
                yield sid, record


async def test_what_the_list_misses_is_asked_for_before_it_is_removed(move: Move) -> None:
    move.source = Late(clock=move.clock)
    await move.put("one", "a")
    await move.run()
    move.source.misses = "one"
    await move.put("one", "b")

    tally = await move.run()

    assert (tally.read, await move.there("one")) == (1, text("b"))


async def test_the_way_from_a_former_id_leads_to_what_the_list_misses(move: Move) -> None:
    move.source = Late(clock=move.clock)
    record = await move.put("old")
    await move.run()
    await move.source.rename("old", "new", record, record, tombstone(move.clock, "new"))
    move.source.misses = "new"

    await move.run()

    assert set(await listed(move.target)) == {"new"}


# ---------------------------------------------------------------- what TO has


async def test_what_is_newer_at_to_stays(move: Move) -> None:
    await move.put("one", "a")
    await move.run()
    await move.target.set("one", StoredSession(text("newer"), move.clock() + LIFE))
    await move.put("one", "b")

    tally = await move.run()

    assert (tally.kept, tally.changes, await move.there("one")) == (1, 0, text("newer"))


async def test_what_is_newer_at_to_outlives_from(move: Move) -> None:
    await move.put("one", "a")
    await move.run()
    await move.target.set("one", StoredSession(text("newer"), move.clock() + LIFE))
    await move.source.destroy("one")

    await move.run()

    assert await move.there("one") == text("newer")


async def test_what_ended_at_to_is_never_written_again(move: Move) -> None:
    await move.put("one", "a")
    await move.run()
    await move.target.destroy("one")

    for value in "bcd":
        await move.put("one", value)
        await move.run()
        move.clock.forward(LIFE // 2)

    assert await move.there("one") is None


async def test_a_change_ends_no_earlier_than_a_visitor_at_to_was_promised(move: Move) -> None:
    await move.put("one", "a")
    await move.run()
    await move.target.touch("one", move.clock() + 3 * LIFE, await move.target.get("one"))
    await move.put("one", "b")

    await move.run()

    assert (await move.there("one"), (await move.target.get("one")).expires_at) == (text("b"), move.clock() + 3 * LIFE)


async def test_what_was_at_to_before_the_copy_stays(move: Move) -> None:
    await move.target.set("one", StoredSession(text("before"), move.clock() + LIFE))
    await move.put("one", "a")

    await move.run()
    await move.put("one", "b")
    await move.run()

    assert await move.there("one") == text("before")


async def test_what_is_the_same_at_to_is_taken_over(move: Move) -> None:
    """Say, because the journal was lost."""
    await move.put("one", "a")
    await move.run()
    move.journal.unlink()
    await move.run()
    await move.put("one", "b")

    await move.run()

    assert await move.there("one") == text("b")


class Racing(StoreWrapper):
    """TO, where a visitor is quicker than the copy by one call."""

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Any:
        found = await self.inner.get(sid)
        if found is not None and record is not REMOVED:
            await self.inner.update(sid, StoredSession(text("quicker"), found.expires_at), found)
        elif found is not None:
            await self.inner.update(sid, StoredSession(text("back"), found.expires_at), found)
        return await self.inner.update(sid, record, expected)


async def test_a_visitor_may_be_quicker_than_a_change(move: Move) -> None:
    move.target = Racing(move.target)
    await move.put("one", "a")
    await move.run()
    await move.put("one", "b")

    tally = await move.run()

    assert (tally.kept, await move.there("one")) == (1, text("quicker"))


async def test_a_visitor_may_be_quicker_than_a_removal(move: Move) -> None:
    move.target = Racing(move.target)
    await move.put("one", "a")
    await move.run()
    await move.source.destroy("one")

    tally = await move.run()

    assert (tally.kept, await move.there("one")) == (1, text("back"))


# ---------------------------------------------------------------- while servers use TO


class Stopping(StoreWrapper):
    """TO, at which the copy is stopped after so many writes."""

    writes = 0
    most = 99

    async def create(self, *given: Any) -> Any:
        return await self._counted(self.inner.create, *given)

    async def update(self, *given: Any) -> Any:
        return await self._counted(self.inner.update, *given)

    async def _counted(self, verb: Any, *given: Any) -> Any:
        made = await verb(*given)
        self.writes += 1
        if self.writes == self.most:
            raise KeyError
        return made


@pytest.mark.parametrize("most", [1, 2])
async def test_a_copy_that_is_stopped_signs_nobody_in_again(move: Move, most: int) -> None:
    """It has just written a session, or its place, and has not noted that. The visitor comes and signs out."""
    await move.run()
    await move.settle()
    await move.put("one")
    to = move.target
    move.target = Stopping(to)
    move.target.most = most
    with pytest.raises(KeyError):
        await move.run()
    was_session = await to.get("one") == await move.source.get("one")
    await to.destroy("one")

    move.target = to
    await move.run()

    assert was_session == (most == 2)
    assert (await move.there("one") is None) == was_session


async def test_a_place_is_nobody_s_session(move: Move) -> None:
    """What is there for the moment is a tombstone, and the session after it."""
    await move.run()
    await move.settle()
    await move.put("one")
    seen: list[str] = []
    to = move.target

    class Seeing(StoreWrapper):
        async def update(self, *given: Any) -> Any:
            seen.append((await to.get("one")).data)
            return await to.update(*given)

    move.target = Seeing(to)
    tally = await move.run()

    assert [f'"closed":{move.clock() + MINUTE}' in each for each in seen] == [True]
    assert (tally.created, tally.updated, await to.get("one")) == (1, 0, await move.source.get("one"))


# ---------------------------------------------------------------- the stores


async def test_a_set_of_redis_finds_the_user_of_a_session_from_elsewhere(move: Move, tmp_path: Path) -> None:
    """SQLite finds the user in the data; Redis needs it in `__meta`, or a revocation would miss the session."""
    move.clock.now = now_ms()
    user = '{"cookie":{"path":"/"},"passport":{"user":"ada"}}'
    path = ("passport", "user")
    store = RedisStore(shared_server().url, prefix=prefix(tmp_path))
    store.users.index(path)
    async with store:
        move.target = store
        await move.source.set("one", StoredSession(user, move.clock() + LIFE))
        await move.run(user_path=path)

        ended = await store.users.end("ada")
        again = await move.run(user_path=path)

    assert (ended, again.changes) == (["one"], 0)


async def test_a_table_of_jsonb_holds_the_same_sessions(move: Move, tmp_path: Path) -> None:
    """It spells a text in its own way, and a change is a change of the value."""
    move.clock.now = now_ms()
    async with postgres_of_peers(tmp_path) as move.target:
        await move.put("one", "a")
        await move.run()
        await move.put("one", "b")
        tally = await move.run()
        async with move.copier() as copier:
            sums = await copier.compare()

    assert (tally.updated, sums.is_equal) == (1, True)


async def test_what_to_cannot_keep_is_named_and_holds_up_nobody(move: Move, tmp_path: Path) -> None:
    move.clock.now = now_ms()
    async with postgres(tmp_path) as move.target:
        await move.put("one")
        await move.source.set("two", StoredSession("no JSON", move.clock() + LIFE))
        tally = await move.run()
        again = await move.run()

        assert (tally.created, tally.refused, again.refused, again.changes) == (1, 1, 1, 0)
        assert (move.refused, await move.there("one")) == (["two", "two"], text("a"))


async def test_a_store_that_cannot_list_its_sessions_is_no_from(move: Move) -> None:
    move.source.__class__ = type("Bare", (MemoryStore,), {"admin": None})

    with pytest.raises(OptionsError, match="cannot list its sessions"):
        await move.run()


# ---------------------------------------------------------------- the sums


async def test_the_sums_of_the_same_sessions_are_equal(move: Move) -> None:
    for n in range(5):
        await move.put(f"{n}", n)
    await move.run()

    async with move.copier() as copier:
        sums = await copier.compare()

    assert (sums.is_equal, sums.source, sums.target, sums.same) == (True, 5, 5, 5)


async def test_each_difference_has_its_reason(move: Move) -> None:
    for n in range(9):
        await move.put(f"{n}", n)
    await move.run()
    await move.target.set("0", StoredSession(text("newer"), move.clock() + LIFE))
    await move.target.destroy("1")
    await move.put("2", "changed since")
    await move.put("made since")
    await move.target.set("made there", StoredSession(text("x"), move.clock() + LIFE))
    await move.source.destroy("3")
    await move.source.destroy("4")
    await move.target.set("4", StoredSession(text("newer"), move.clock() + LIFE))

    async with move.copier() as copier:
        sums = await copier.compare()

    assert not sums.is_equal
    assert (sums.source, sums.target, sums.same) == (8, 9, 4)
    assert (sums.newer, sums.ended, sums.left, sums.made, sums.only_there) == (1, 1, 3, 1, 1)


async def test_a_former_id_counts_on_neither_side(move: Move) -> None:
    record = await move.put("old")
    await move.source.rename("old", "new", record, record, tombstone(move.clock, "new"))
    await move.target.set("other", tombstone(move.clock, "elsewhere"))
    await move.run()

    async with move.copier() as copier:
        sums = await copier.compare()

    assert (sums.is_equal, sums.source) == (True, 1)


# ---------------------------------------------------------------- the journal


async def test_nobody_else_can_read_the_journal(move: Move) -> None:
    """It holds ids."""
    async with move.copier() as copier:
        await move.put("one")
        await copier.run_pass()

        modes = {file.name: file.stat().st_mode & 0o777 for file in move.journal.parent.glob("journal.db*")}

    assert set(modes.values()) == {0o600}


async def test_a_journal_is_of_one_copy(move: Move) -> None:
    await move.run()

    with pytest.raises(OptionsError, match="is of the copy from from to to"):
        async with Journal(move.journal, "from", "another"):
            pass


async def test_two_copies_do_not_share_a_journal(move: Move) -> None:
    async with move.copier():
        with pytest.raises(OptionsError, match="another copy uses it"):
            await move.run()


async def test_a_journal_that_is_closed_waits_for_what_was_cancelled(move: Move) -> None:
    """As Ctrl-C does it."""
    entries = [Entry(n, f"{n}", 0) for n in range(1, 20_001)]
    async with Journal(move.journal, "from", "to") as journal:
        storing = asyncio.create_task(journal.begin(entries))
        await asyncio.sleep(0.01)
        storing.cancel()

    async with Journal(move.journal, "from", "to") as journal:
        assert sum([len(page) async for page in journal.all()]) in {0, len(entries)}


async def test_a_database_of_sessions_is_no_journal(move: Move, sqlite_file: Path) -> None:
    move.journal = sqlite_file

    with pytest.raises(OptionsError, match="is a database, and no journal of a copy"):
        await move.run()


async def test_a_text_is_no_journal(move: Move) -> None:
    move.journal.write_text("a text that is longer than the head of a database is, and is none of SQLite's" * 9)

    with pytest.raises(OptionsError, match="is no journal of a copy"):
        await move.run()


async def test_a_journal_needs_a_folder(move: Move) -> None:
    move.journal = move.journal.parent / "nowhere" / "journal.db"

    with pytest.raises(OptionsError, match="No such file or directory"):
        await move.run()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Path:
    """A store's file."""
    SQLiteStore(tmp_path / "sessions.db").prepare()
    return tmp_path / "sessions.db"
