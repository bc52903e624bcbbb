"""Owns the model of a move: visitors at two stores, a copy that can be killed at each step, and what must be true then.

A visitor changes, touches, moves to a new id and signs out, first at FROM and, once the servers change over, at TO.
A step is a write of the copy at TO, or a transaction of its journal. It is killed before a step or after it.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from clock import MINUTE, SECOND, MovableClock

from sessions.copying import Copier, Journal
from sessions.copying.rules import TOLERANCE_MS
from sessions.copying.texts import digest_of, is_tombstone
from sessions.store import StoredSession
from sessions.stores.memory import MemoryStore
from sessions.stores.wrappers import StoreWrapper

LIFE = 10 * MINUTE
GRACE = 30 * SECOND


class Killed(Exception):
    """The copy has ended, without a chance to do anything more."""


class Steps:
    """Counts the steps of a copy, and kills it at one of them; `between` is called before each."""

    def __init__(self, between: Callable[[], Awaitable[None]], kill_at: int | None) -> None:
        self.done = 0
        self._between = between
        self._kill_at = kill_at
        self._is_dead = False

    async def step(self, work: Callable[[], Awaitable[Any]]) -> Any:
        """Do one step: two numbers, the first to be killed at before it, the second after it."""
        self.check()
        await self._between()
        self._reach()
        result = await work()
        self._reach()
        return result

    def check(self) -> None:
        """Raise Killed in a copy that was killed: also what it does side by side ends."""
        if self._is_dead:
            raise Killed

    def _reach(self) -> None:
        self.check()
        self.done += 1
        if self.done == self._kill_at:
            self._is_dead = True
            raise Killed


class Watched(StoreWrapper):
    """TO, as the copy writes it."""

    def __init__(self, inner: Any, steps: Steps) -> None:
        super().__init__(inner)
        self.steps = steps

    async def create(self, *given: Any) -> Any:
        return await self.steps.step(lambda: self.inner.create(*given))

    async def update(self, *given: Any) -> Any:
        return await self.steps.step(lambda: self.inner.update(*given))

    async def touch(self, *given: Any) -> Any:
        return await self.steps.step(lambda: self.inner.touch(*given))

    async def destroy(self, *given: Any) -> Any:
        return await self.steps.step(lambda: self.inner.destroy(*given))


class WatchedJournal(Journal):
    """A journal, each of its transactions a step."""

    steps: Steps

    async def begin(self, *given: Any) -> None:
        await self.steps.step(lambda: super(WatchedJournal, self).begin(*given))

    async def settle(self) -> None:
        await self.steps.step(super().settle)


class Visitor:
    """A browser with one session, and what is true of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ids: list[str] = []
        """The ids that it had, the last one included."""
        self.writes = 0
        self.is_out = False
        """It has signed out."""
        self.is_over = False
        """It has come to TO."""
        self.text = ""
        """What it has stored last, at either store."""

    @property
    def sid(self) -> str:
        return self.ids[-1]

    def new_text(self) -> str:
        self.writes += 1
        self.text = f'{{"cookie":{{"path":"/"}},"visitor":{self.number},"writes":{self.writes}}}'
        return self.text

    def new_id(self) -> str:
        self.ids.append(f"visitor {self.number} id {len(self.ids)}")
        return self.sid


class Move:
    """One move of some visitors' sessions."""

    def __init__(self, seed: int, journal: Path, visitors: int = 5) -> None:
        self.random = random.Random(seed)
        self.clock = MovableClock()
        self.source = MemoryStore(clock=self.clock)
        self.target = MemoryStore(clock=self.clock)
        self.journal = journal
        self.visitors = [Visitor(number) for number in range(visitors)]
        self.has_changed_over = False
        self.busy = 0.3
        """How often a visitor acts between two steps."""
        self.steps = 0

    async def begin(self) -> None:
        """Sign everybody in at FROM."""
        for visitor in self.visitors:
            await self.source.create(visitor.new_id(), self._record(visitor.new_text()))

    # ---------------------------------------------------------------- the visitors

    async def between(self) -> None:
        """Let somebody act, or not."""
        if self.random.random() < self.busy:
            await self.act()

    async def act(self) -> None:
        """Let one visitor do something."""
        self.clock.forward(self.random.randrange(50))
        visitor = self.random.choice(self.visitors)
        if visitor.is_out:
            return
        if self.has_changed_over and not visitor.is_over and self.random.random() < 0.5:
            visitor.is_over = await self._is_at(self.target, visitor)
        store = self.target if visitor.is_over else self.source
        row = await store.get(visitor.sid)
        if row is None or is_tombstone(row, self.clock()):
            return
        await self.random.choice([self._change, self._change, self._touch, self._rename, self._sign_out])(
            store, visitor, row
        )

    async def _change(self, store: Any, visitor: Visitor, row: StoredSession) -> None:
        await store.update(visitor.sid, self._record(visitor.new_text()), row)

    async def _touch(self, store: Any, visitor: Visitor, row: StoredSession) -> None:
        await store.touch(visitor.sid, self.clock() + LIFE, row)

    async def _rename(self, store: Any, visitor: Visitor, row: StoredSession) -> None:
        old = visitor.sid
        closed = self.clock() + GRACE
        meta = f'{{"cookie":{{"path":"/"}},"__meta":{{"closed":{closed},"next":"{visitor.new_id()}"}}}}'
        leaves = StoredSession(meta, closed) if self.random.random() < 0.5 else None
        await store.rename(old, visitor.sid, self._record(visitor.new_text()), row, leaves)

    async def _sign_out(self, store: Any, visitor: Visitor, _row: StoredSession) -> None:
        visitor.is_out = True
        await store.destroy(visitor.sid)

    async def _is_at(self, store: MemoryStore, visitor: Visitor) -> bool:
        """True if a visitor who comes to a store finds the session there."""
        row = await store.get(visitor.sid)
        return row is not None and not is_tombstone(row, self.clock())

    def _record(self, text: str) -> StoredSession:
        return StoredSession(text, self.clock() + LIFE)

    # ---------------------------------------------------------------- the copy

    async def copy(self, kill_at: int | None = None, *, is_last: bool = False) -> bool:
        """Run the copy as the command does. Returns False if it was killed."""
        steps = Steps(self.between, kill_at)
        try:
            async with WatchedJournal(self.journal, "from", "to") as journal:
                journal.steps = steps
                copier = Copier(self.source, Watched(self.target, steps), journal, clock=self.clock)
                tally = await copier.run_pass()
                while not is_last and not tally.is_settled:
                    tally = await copier.run_pass()
                if not is_last:
                    await journal.settle()
        except Killed:
            return False
        finally:
            self.steps += steps.done
        return True

    async def run(self, kills: list[int]) -> None:
        """Move everybody, with the copy killed at these steps, each counted from where it began again."""
        await self.begin()
        for is_last in (False, True):
            while not await self.copy(kills.pop(0) if kills else None, is_last=is_last):
                for _ in range(self.random.randrange(4)):
                    await self.act()
                if not kills:
                    self.busy /= 2  # so that it comes to an end
            self.has_changed_over = True
            for _ in range(6):
                await self.act()
        self.busy = 0
        assert await self.copy(is_last=True)

    async def problems(self) -> list[str]:
        """Return what is not as it was promised."""
        found: list[str] = []
        for visitor in self.visitors:
            *former, sid = visitor.ids
            rows = [await self.target.get(old) for old in former]
            if any(row is not None and not is_tombstone(row, self.clock()) for row in rows):
                found.append(f"{visitor.number} has a session under a former id")
            row = await self.target.get(sid)
            if row is not None and is_tombstone(row, self.clock()):
                row = None
            if visitor.is_out and row is not None:
                found.append(f"{visitor.number} was signed in again")
            if not visitor.is_out and row is None:
                found.append(f"{visitor.number} was signed out")
            if not visitor.is_out and row is not None:
                if digest_of(row.data) != digest_of(visitor.text):
                    found.append(f"{visitor.number} has lost a change")
                here = await self.source.get(sid)
                if here is not None and row.expires_at < here.expires_at - TOLERANCE_MS:
                    found.append(f"{visitor.number} ends too early")
        return found


async def problems(seed: int, folder: Path, kills: list[int]) -> tuple[list[str], int]:
    """Return what a move with these kills has broken, and how many steps it had."""
    journal = folder / f"journal {seed} {kills}"
    move = Move(seed, journal)
    try:
        await move.run(list(kills))
        return await move.problems(), move.steps
    finally:
        for file in folder.glob(f"{journal.name}*"):
            with suppress(FileNotFoundError):
                file.unlink()
