"""Owns the store in Redis or Valkey, as the npm package connect-redis lays it out.

    key: the prefix and the id      value: JSON text      the key's own expiry is the session's

What waits together is one call of one script (scripts.py): so compare-and-set is atomic, and a busy server
shares its trips. In a cluster, whose scripts take keys of one slot only, the calls are made side by side instead. Plain
commands and Lua are all that is asked of the server, which Redis from 6.0 on and Valkey have alike.

Redis expires by its own clock, so a life is given and read as the milliseconds that are left, from and to this host's
clock. Hosts whose clocks differ agree on the moment at which a session ends; each tells it by its own clock. This store
therefore needs no sweeper. This file must not know what is in the text, and leaves redis-py to servers.py.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any, Self

from ...clock import Clock, now_ms
from ...errors import StoreError, StoreUnavailable
from ...options import is_number, wrong
from ...store import GONE, SAVED, Outcome, StoredSession, Update
from ..batching import Batcher, Job
from .scripts import READ, WRITE
from .servers import Servers, connect
from .url import parse

_NEVER = 365 * 86_400_000
"""Milliseconds from now at which a session ends whose key has no expiry, as connect-redis writes with `disableTTL`."""

_OUTCOMES: dict[str, tuple[Any, Any]] = {
    "create": (False, True),
    "update": (GONE, SAVED),
    "set": (None, None),
    "touch": (Outcome.GONE, Outcome.SAVED),
    "destroy": (None, None),
}
"""What a write means to its caller that was not done, and one that was."""


class RedisStore:
    """Keeps sessions in Redis or Valkey: one server, the master that Sentinel names, or a cluster.

    `url` is described in url.py. `prefix` stands before the id in every key. `timeout` is how many milliseconds a
    call may take, connecting included; it is to be below the session's `storeTimeout`. `clock` returns milliseconds
    since the epoch.
    """

    def __init__(self, url: str, *, prefix: str = "sess:", timeout: float = 3_000, clock: Clock = now_ms) -> None:
        if not isinstance(prefix, str) or _encoded(prefix) is None:
            raise wrong("prefix", "a text", prefix)
        if not is_number(timeout) or timeout <= 0:
            raise wrong("timeout", "a number of milliseconds above 0", timeout)
        self._target = parse(url)
        self.place = self._target.place
        """Where the server is, as errors name it."""
        self._prefix = prefix.encode()
        self._seconds = timeout / 1000
        self._clock = clock
        self._servers: Servers | None = None
        self._reads: dict[str, Batcher] = {}
        self._writes: dict[str, Batcher] = {}

    # ---------------------------------------------------------------- the contract

    @property
    def ready(self) -> bool:
        """Whether the server is up, or worth another try."""
        return self._servers is not None and self._servers.ready

    def prepare(self) -> None:
        """See that the server answers, and leave nothing open: for before a fork. Raises StoreError."""

        async def prepare() -> None:
            async with self:
                pass

        asyncio.run(prepare())

    async def __aenter__(self) -> Self:
        servers = connect(self._target, self._seconds)
        try:
            await servers.open()
        except BaseException:
            await servers.close()
            raise
        self._servers = servers
        return self

    async def __aexit__(self, *_: object) -> None:
        for batcher in (*self._writes.values(), *self._reads.values()):
            await batcher.close()
        servers, self._servers = self._servers, None
        if servers is not None:
            await servers.close()

    async def get(self, sid: str) -> StoredSession | None:
        """The session of an id; None where there is none or it has expired."""
        name = _encoded(sid)
        if name is None:
            return None
        key = self._prefix + name
        found: StoredSession | None = await self._batcher(self._reads, key).add("get", sid, key)
        return found

    async def create(self, sid: str, stored: StoredSession) -> bool:
        """Insert a new session; False where a live one has the id."""
        made: bool = await self._add("create", sid, stored.expires_at, stored.data)
        return made

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Replace a session whose text is still `expected`."""
        update: Update = await self._add("update", sid, stored.expires_at, stored.data, expected)
        return update

    async def set(self, sid: str, stored: StoredSession) -> None:
        """Insert or replace."""
        await self._add("set", sid, stored.expires_at, stored.data)

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """Move the expiry of a session whose text is still `expected`."""
        outcome: Outcome = await self._add("touch", sid, expires_at, "", expected)
        return outcome

    async def destroy(self, sid: str) -> None:
        """Delete a session; silent where there is none."""
        if _encoded(sid) is not None:
            await self._add("destroy", sid, 0)

    async def length(self) -> int:
        """How many sessions live. Reads every key's name."""
        count = 0
        async for page in self._pages():
            count += len(page)
        return count

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Every living session with its id, in no order."""
        async for page in self._pages():
            for sid, stored in zip(page, await asyncio.gather(*map(self.get, page)), strict=True):
                if stored is not None:
                    yield sid, stored

    async def clear(self) -> None:
        """Delete every session under the prefix."""
        async for page in self._pages():
            await asyncio.gather(*map(self.destroy, page))

    # ---------------------------------------------------------------- the two kinds of batches

    def _batcher(self, batchers: dict[str, Batcher], key: bytes) -> Batcher:
        lane = self._opened().lane(key)
        batcher = batchers.get(lane)
        if batcher is None:
            reads = batchers is self._reads
            batcher = batchers[lane] = Batcher(self._read if reads else self._write, once=not reads)
        return batcher

    def _add(self, verb: str, sid: str, expires_at: int, data: str = "", expected: str = "") -> "asyncio.Future[Any]":
        name, new, old = _encoded(sid), _encoded(data), _encoded(expected)
        if name is None or new is None or old is None:
            raise StoreError(f"{self.place}: an id or a text beyond UTF-8 cannot be stored")
        key = self._prefix + name
        return self._batcher(self._writes, key).add(verb, sid, (key, expires_at, new, old))

    async def _read(self, jobs: list[Job]) -> None:
        """One call for all."""
        now = self._clock()  # before the call: so that no life is told longer than it is
        replies = await self._opened().run(READ, [job.row for job in jobs], ())
        for job, reply in zip(jobs, replies, strict=True):
            try:
                job.resolve(self._record(reply, now) if reply else None)
            except StoreError as error:
                job.fail(error)

    async def _write(self, jobs: list[Job]) -> None:
        """One call for all."""
        now = self._clock()
        keys: list[bytes] = []
        args: list[Any] = []
        for job in jobs:
            key, expires_at, new, old = job.row
            keys.append(key)
            args += (job.verb, expires_at - now, new, old)
        replies = await self._opened().run(WRITE, keys, args)
        for job, reply in zip(jobs, replies, strict=True):
            try:
                job.resolve(self._outcome(job.verb, reply, now))
            except StoreError as error:
                job.fail(error)

    def _outcome(self, verb: str, reply: Any, now: int) -> Any:
        if isinstance(reply, int):
            return _OUTCOMES[verb][reply]
        newer = self._record(reply, now)
        if newer is None:
            return _OUTCOMES[verb][0]
        return Update(Outcome.CONFLICT, newer) if verb == "update" else Outcome.CONFLICT

    def _record(self, reply: Any, now: int) -> StoredSession | None:
        """What a script has found. A text that is not UTF-8 is no session, which its reader will say."""
        if isinstance(reply, Exception):
            raise reply if isinstance(reply, StoreError) else StoreError(f"{self.place}: {reply}") from reply
        if len(reply) == 1:
            raise self._opened().refusal(reply[0])
        raw, left = reply
        if left == 0:
            return None
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = ""
        return StoredSession(text, now + (left if left > 0 else _NEVER))

    # ---------------------------------------------------------------- the servers

    def _opened(self) -> Servers:
        if self._servers is None:
            raise StoreUnavailable(f"{self.place}: the store is closed")
        return self._servers

    async def _pages(self) -> AsyncIterator[list[str]]:
        """The ids of all sessions, each once. Redis may tell a key twice, and so they are remembered."""
        seen: set[bytes] = set()
        async for keys in self._opened().scan(_escaped(self._prefix) + b"*"):
            new = set(keys) - seen
            seen |= new
            yield [key.removeprefix(self._prefix).decode() for key in new if _is_text(key)]


def _encoded(text: str) -> bytes | None:
    """A text in UTF-8; None where it cannot be, for a lone surrogate."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _escaped(prefix: bytes) -> bytes:
    """The prefix as a pattern that matches nothing else."""
    return re.sub(rb"[\\*?\[\]]", rb"\\\g<0>", prefix)
