"""Owns the model of a move: a copy that can be killed at each step, and visitors who act between two steps.

A step is a write of the copy at TO, or a transaction of its journal. It is killed before a step or after it.
"""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from clock import MovableClock

from sessions.copying import Copier, Journal
from sessions.stores.memory import MemoryStore
from sessions.stores.wrappers import StoreWrapper

from .visitors import Visitors

VISITORS = 5


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
        self._check()
        await self._between()
        self._reach()
        result = await work()
        self._reach()
        return result

    def _check(self) -> None:
        """Raise Killed in a copy that was killed: what it does side by side ends too."""
        if self._is_dead:
            raise Killed

    def _reach(self) -> None:
        self._check()
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


class Move:
    """One move of some visitors' sessions."""

    def __init__(self, seed: int, journal: Path) -> None:
        self.clock = MovableClock()
        self.source = MemoryStore(clock=self.clock)
        self.target = MemoryStore(clock=self.clock)
        self.visitors = Visitors(self.source, self.target, self.clock, VISITORS, seed)
        self.journal = journal
        self.busy = 0.3
        """How often a visitor acts between two steps."""
        self.steps = 0

    async def between(self) -> None:
        """Let somebody act, or not."""
        if self.visitors.random.random() < self.busy:
            await self.act()

    async def act(self) -> None:
        """Let somebody act."""
        self.clock.forward(self.visitors.random.randrange(50))
        await self.visitors.act()

    async def copy(self, kill_at: int | None = None, *, is_last: bool = False) -> bool:
        """Run the copy as the command does. Returns False if it was killed."""
        steps = Steps(self.between, kill_at)
        try:
            async with WatchedJournal(self.journal, "from", "to") as journal:
                journal.steps = steps
                copier = Copier(self.source, Watched(self.target, steps), journal, in_use=is_last, clock=self.clock)
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

    async def run(self, kills: list[int]) -> list[str]:
        """Move everybody, with the copy killed at these steps, each counted from where it began again.

        Returns what is not as it was promised.
        """
        await self.visitors.begin()
        for is_last in (False, True):
            while not await self.copy(kills.pop(0) if kills else None, is_last=is_last):
                for _ in range(self.visitors.random.randrange(4)):
                    await self.act()
                if not kills:
                    self.busy /= 2  # so that it comes to an end
            self.visitors.may_come_over = True
            for _ in range(6):
                await self.act()
        self.visitors.must_come_over = True
        assert await self.copy(is_last=True)
        return await self.visitors.problems()


async def problems(seed: int, journal: Path, kills: list[int]) -> tuple[list[str], int]:
    """Return what a move with these kills has broken, and how many steps it had."""
    move = Move(seed, journal)
    return await move.run(list(kills)), move.steps
