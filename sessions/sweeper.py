"""Owns the deletion of expired sessions: when, how much at a time, and by which process.

One sweeper serves every store that does not drop expired sessions by itself. It must not know how a store keeps them.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Self

from .errors import OptionsError
from .observe import Observer, Reporter, Sweep
from .store import Store, Sweepable, sweepable
from .validation import is_lifetime, is_number, wrong

log: logging.Logger = logging.getLogger("sessions")

Sleep = Callable[[float], Awaitable[None]]

LEAP_SECONDS = 60
"""How far the wall clock may be set without a word: time servers slew, and correct some seconds at a time."""

MISTRUST_SECONDS = 600
"""How long a wall clock that has leapt sweeps nobody."""

BACKLOG_LIMIT = 10_000
"""How far the backlog is counted: a count of millions would cost more than the sweep it measures."""


@dataclass(frozen=True, kw_only=True)
class SweeperOptions:
    """The table [sweeper]: when to sweep, and how much at a time. `Sweeper` checks the values."""

    interval: float = 60_000
    """Milliseconds between two sweeps."""
    batch: int = 200
    """Sessions that one step deletes, at most."""
    pause: float = 10
    """Milliseconds between two steps, at the least."""
    jitter: float = 0.1
    """The share by which an interval is longer or shorter, from 0 to below 1."""


class Sweeper:
    """Sweeps a store every `interval` milliseconds in batches of at most `batch` sessions.

    Between two batches it pauses for as long as the last one took, at least `pause` milliseconds, so that it takes no
    more than half of the store's time. Every interval is up to `jitter` (a share of it) shorter or longer. A store that
    needs no sweeping is left alone. `async with Sweeper(store):` runs it; leaving stops it at once. `observer`, one or
    several, is called with a `Sweep` after each sweep of this process.
    """

    def __init__(
        self,
        store: Store,
        *,
        interval: float = SweeperOptions.interval,
        batch: int = SweeperOptions.batch,
        pause: float = SweeperOptions.pause,
        jitter: float = SweeperOptions.jitter,
        sleep: Sleep = asyncio.sleep,
        observer: Observer | Sequence[Observer] = (),
    ) -> None:
        for name, value, least in (("interval", interval, 1), ("pause", pause, 0), ("batch", batch, 1)):
            if not is_lifetime(value) or value < least:
                raise wrong(name, f"a number of at least {least}", value)
        if not is_number(jitter) or not 0 <= jitter < 1:
            raise wrong("jitter", "a share of the interval between 0 and 1", jitter)
        if not isinstance(batch, int):
            raise OptionsError(f"batch: expected a whole number, got {batch!r}")
        self._swept = sweepable(store)
        self._interval = interval / 1000
        self._batch = batch
        self._pause = pause / 1000
        self._jitter = jitter
        self._sleep = sleep
        self._reporter = Reporter(observer)
        self._task: asyncio.Task[None] | None = None
        self._wall = _wall()  # where the wall clock is against the monotonic one
        self._trusts_at = 0.0  # on time.monotonic(), after the wall clock has leapt
        self.errors: int = 0
        """Sweeps that failed since the start."""
        self.deleted: int = 0
        """Sessions deleted since the start."""

    async def __aenter__(self) -> Self:
        if self._swept is not None:
            self._task = asyncio.create_task(self._run(self._swept), name="session sweeper")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def sweep(self) -> int:
        """Delete all expired sessions. Returns how many that were; 0 if another process sweeps."""
        store = self._swept
        if store is None or not store.lead():
            return 0
        swept = 0
        while True:
            started = time.monotonic()
            deleted = await store.sweep(self._batch)
            swept += deleted
            self.deleted += deleted
            if deleted < self._batch:
                return swept
            await self._sleep(max(self._pause, time.monotonic() - started))

    async def backlog(self) -> int:
        """Return how many expired sessions wait to be swept, up to 10,000; 0 for a store that needs no sweeping."""
        return 0 if self._swept is None else await self._swept.backlog(BACKLOG_LIMIT)

    def _has_leapt(self) -> bool:
        """Return True if the wall clock has leapt against the monotonic one, so that nothing is to be swept by it.

        A virtual machine that wakes, or a wrong time server, would have every session deleted. It is trusted again when
        it is back, or has stayed where it is for some minutes.
        """
        leap, now = _wall() - self._wall, time.monotonic()
        if abs(leap) < LEAP_SECONDS:
            self._trusts_at = 0.0
            return False
        if not self._trusts_at:
            self._trusts_at = now + MISTRUST_SECONDS
            log.warning("the wall clock has leapt by %+.0f s: nothing is swept until it is back, or stays there", leap)
        if now < self._trusts_at:
            return True
        self._wall, self._trusts_at = self._wall + leap, 0.0
        return False

    async def _run(self, store: Sweepable) -> None:
        while True:
            await self._sleep(self._interval * random.uniform(1 - self._jitter, 1 + self._jitter))  # noqa: S311 # spread
            if self._has_leapt():
                continue
            started, before, errors, waiting = time.monotonic(), self.deleted, self.errors, 0
            try:
                if not store.lead():
                    continue
                waiting = await self.backlog()
                swept = await self.sweep() if waiting else 0
                if swept:
                    more = "at least " if waiting == BACKLOG_LIMIT else ""
                    log.info("swept %d expired sessions; the backlog was %s%d", swept, more, waiting)
            except Exception as error:  # noqa: BLE001 # the store's trouble is the requests' to report; the next sweep may do
                self.errors += 1
                log.warning("sweep failed (%d so far): %s", self.errors, error)
            seconds = time.monotonic() - started
            self._reporter.report(Sweep(waiting, self.deleted - before, self.errors > errors, seconds))


def _wall() -> float:
    return time.time() - time.monotonic()
