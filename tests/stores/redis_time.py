"""Owns the time of Redis in the contract suite: the keys of a real server live by the suite's movable clock.

A Redis server expires keys by its own clock, which no test can move or stop. Two steps make the suite exact all the
same. The suite has no branch for them, and sees nothing that is rounded:

- One millisecond of the suite is a minute of the server (`MINUTE`). RedisStore gets lifetimes that are so much longer,
  and what comes back is counted in whole minutes, rounded up. So the suite does not see the real time between a write
  and a read, which is far less than a minute, and it does see a difference of one millisecond of its own.
- When the suite's clock was moved, the remaining life of every key is moved by as much, before the next verb, and a key
  with no life left is deleted. It is gone for good: a clock that is set back brings nothing back in Redis.

What is tested is RedisStore as it is: its scripts, its conversion from and to the milliseconds that are left, its batches.
The last hour before JavaScript's last date keeps its full grain, beyond what a double of Lua could hold otherwise.
"""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Self

from clock import HOUR, START, MovableClock

from sessions.store import StoredSession, Sweepable, Update, sweepable
from sessions.stores.base import Itself
from sessions.stores.redis import RedisStore

from .redis_server import RedisServer, shared_cluster, shared_server

MINUTE = 60_000
LAST = 8_640_000_000_000_000
"""JavaScript's last date."""

TOP = 2**52
"""The life of what ends then; Lua's numbers are exact up to twice as much."""


def life(expires_at: int, now: int) -> int:
    """How long a key lives on the server."""
    if expires_at >= LAST - HOUR:
        return TOP - (LAST - expires_at) * MINUTE
    left = (expires_at - now) * MINUTE
    assert left < TOP // 2, "no test has come so far yet"
    return left


def expiry(left: int, now: int) -> int:
    """The moment at which a key ends that has so long to live."""
    return LAST - (TOP - left) // MINUTE if left > TOP // 2 else now - (-left // MINUTE)


class Keys:
    """The keys of some servers, which follow a clock."""

    def __init__(self, servers: Iterable[RedisServer]) -> None:
        self._servers = list(servers)
        self._owner: Path | None = None
        self._now = START

    def belong_to(self, folder: Path, now: int) -> None:
        """Start over if another test has had them."""
        if folder != self._owner:
            self._owner, self._now = folder, now
            for server in self._servers:
                server.command("FLUSHALL")

    def follow(self, now: int) -> None:
        """Move every key's life by what the clock was moved."""
        if now == self._now:
            return
        for server in self._servers:
            names = list(server.admin.scan_iter(count=1_000))
            asked = server.admin.pipeline(transaction=False)
            for name in names:
                asked.pttl(name)
            moved = server.admin.pipeline(transaction=False)
            for name, left in zip(names, asked.execute(), strict=True):
                moved.pexpire(name, life(expiry(left, self._now), now))  # one that is over is deleted
            moved.execute()
        self._now = now


class SuiteStore:
    """A RedisStore in the suite's time. It is a store itself, and no wrapper: its records have no version."""

    admin = overwriting = Itself()

    def __init__(self, store: RedisStore, keys: Keys, clock: MovableClock) -> None:
        self._store = store
        self._keys = keys
        self._clock = clock

    @property
    def sweepable(self) -> Sweepable | None:
        return sweepable(self._store)

    @property
    def name(self) -> str:
        return self._store.name

    @property
    def ready(self) -> bool:
        return self._store.ready

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._store.__aexit__(*exc_info)

    async def get(self, sid: str) -> StoredSession | None:
        self._now()
        found = await self._store.get(sid)
        return None if found is None else self._here(found)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        made = await self._store.create(sid, self._there(record))
        return None if made is None else self._here(made)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        return self._update(await self._store.update(sid, self._there(record), expected))

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        return self._update(await self._store.touch(sid, self._moment_there(expires_at), expected))

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        there, closed = self._there(record), None if tombstone is None else self._there(tombstone)
        return self._update(await self._store.rename(old, new, there, expected, closed))

    async def destroy(self, sid: str) -> None:
        await self._store.destroy(sid)

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        return self._here(await self._store.set(sid, self._there(record)))

    async def length(self) -> int:
        self._now()
        return await self._store.length()

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        self._now()
        async for sid, record in self._store.all():
            yield sid, self._here(record)

    async def clear(self) -> None:
        await self._store.clear()

    def _now(self) -> int:
        now = self._clock()
        self._keys.follow(now)
        return now

    def _moment_there(self, expires_at: int) -> int:
        now = self._now()
        return now + life(expires_at, now)

    def _there(self, record: StoredSession) -> StoredSession:
        return record._replace(expires_at=self._moment_there(record.expires_at))

    def _here(self, record: StoredSession) -> StoredSession:
        now = self._clock()
        return record._replace(expires_at=expiry(record.expires_at - now, now))

    def _update(self, update: Update) -> Update:
        return update if update.record is None else update._replace(record=self._here(update.record))


_KEYS: dict[str, Keys] = {}


def redis_store(folder: Path, clock: MovableClock) -> SuiteStore:
    """A store on the shared server. Its keys belong to the folder: the stores of one test share them."""
    server = shared_server()
    return _store(server.url, [server], folder, clock)


def redis_cluster_store(folder: Path, clock: MovableClock) -> SuiteStore:
    """A store on the shared cluster, likewise."""
    cluster = shared_cluster()
    return _store(cluster.url, cluster.masters, folder, clock)


def _store(url: str, servers: list[RedisServer], folder: Path, clock: MovableClock) -> SuiteStore:
    keys = _KEYS.setdefault(url, Keys(servers))
    keys.belong_to(folder, clock())
    return SuiteStore(RedisStore(url, clock=clock), keys, clock)
