"""Owns the store in Redis or Valkey, as the npm package connect-redis lays it out.

    key: the prefix and the id      value: JSON text      the key's own expiry is the session's

What waits together is one call of one script (scripts.py): so compare-and-set is atomic, and a busy server shares its
trips. In a cluster, where scripts take keys of one slot only, the calls are made side by side instead, and a `rename`
takes three steps (`rename_in_steps`). Plain commands and Lua are all that is asked of the server; Redis from 6.0 on and
Valkey have these alike.

Redis expires by its own clock, so a life is given and read as the milliseconds that are left, from and to this
host's clock. Hosts with different clocks agree on the moment at which a session ends; each tells it by its own
clock. This store therefore needs no sweeper. This file must not know what is in the text, and leaves redis-py to
the files beside it.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Coroutine
from functools import partial
from secrets import token_urlsafe
from typing import Any, ClassVar, Self

from ...clock import Clock, now_ms
from ...errors import StoreError, StoreUnavailable
from ...store import GONE, TAKEN, Outcome, StoredSession, Update
from ...validation import is_number, wrong
from ..base import Itself, Queue, StoreBase, rename_in_steps
from ..batching import Batcher, Job, Read
from ..tables import RedisOptions
from .cluster import Cluster
from .errors import DRIVER, refused, translated
from .one_server import OneServer
from .rehearsal import rehearse
from .scripts import DONE, IS_CHANGED, IS_TAKEN, MISSING, READ, WRITE, arguments
from .servers import Servers
from .url import parse
from .users import Entering, RedisUsers

_NEVER = 365 * 86_400_000
"""Milliseconds from now at which a session ends that has a key without expiry, as connect-redis writes it with
`disableTTL`."""

_SAVED = Outcome.SAVED  # Python 3.11 takes its time to look a member up


class RedisStore(StoreBase):
    """Keeps sessions in Redis or Valkey: one server, the master that Sentinel names, or a cluster.

    `url` is described in url.py. `prefix` is before the id in every key. `colon_ids` True says that ids may hold a
    colon: without it `length`, `all` and `clear` leave such keys to a longer prefix that begins with this one, as
    `sess:admin:` does with `sess:`. `timeout` is how many milliseconds a call may take, connecting included; it must
    be below the session's `storeTimeout`. `clock` returns milliseconds since the epoch. Raises OptionsError for any of
    them that is wrong.
    """

    driver: ClassVar[tuple[type[Exception], ...]] = DRIVER
    prepared: ClassVar[Itself] = Itself()
    admin: ClassVar[Itself] = Itself()
    overwriting: ClassVar[Itself] = Itself()
    existing: ClassVar[Itself] = Itself()

    def __init__(
        self,
        url: str,
        *,
        prefix: str = RedisOptions.prefix,
        colon_ids: bool = RedisOptions.colon_ids,
        timeout: float = RedisOptions.timeout,
        clock: Clock = now_ms,
    ) -> None:
        if not isinstance(prefix, str) or not self.can_store(prefix):
            raise wrong("prefix", "a text", prefix)
        if not isinstance(colon_ids, bool):
            raise wrong("colonIds", "true or false", colon_ids)
        if not is_number(timeout) or timeout <= 0:
            raise wrong("timeout", "a number of milliseconds above 0", timeout)
        self._target = parse(url)
        super().__init__(self._target.place)
        self._prefix = prefix.encode()
        self._colon_ids = colon_ids
        self._seconds = timeout / 1000
        self._clock = clock
        self._servers: Servers | None = None
        self._cluster: Cluster | None = None  # the servers, if they are one
        self._readers: dict[str, Batcher] = defaultdict(
            partial(Batcher, self._read, once=False, reports=self._read_reports)
        )
        self._writers: dict[str, Batcher] = defaultdict(
            partial(Batcher, self._write, once=True, reports=self._write_reports)
        )
        """By the node of a cluster, so that a node that hangs holds up no other."""
        self._reads_only = False
        self._under_way: set[asyncio.Task[Any]] = set()  # what takes several steps
        self.users: RedisUsers = RedisUsers(self)

    # ---------------------------------------------------------------- the powers

    def take_existing(self, *, reads: bool) -> None:
        """Say, with `reads`, that nothing is written, so that no right to write is asked for. Redis makes nothing."""
        self._reads_only = reads

    async def length(self) -> int:
        """Return how many sessions live. Reads the name of every key."""
        return sum([len(page) async for page in self._pages()])

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its id, in no order."""
        async for page in self._pages():
            for sid, record in zip(page, await asyncio.gather(*map(self.get, page)), strict=True):
                if record is not None:
                    yield sid, record

    async def clear(self) -> None:
        """Delete every session under the prefix."""
        async for page in self._pages():
            await asyncio.gather(*map(self.destroy, page))

    # ---------------------------------------------------------------- open and closed

    @property
    def ready(self) -> bool:
        """True if the store is open, and the server is up or worth another try."""
        return self._servers is not None and self._servers.ready

    async def __aenter__(self) -> Self:
        cluster = Cluster(self._target, self._seconds) if self._target.kind == "cluster" else None
        servers = OneServer(self._target, self._seconds) if cluster is None else cluster
        try:
            with self.driver_errors():
                await servers.open()
            # a cluster's node that was taken for a server refuses keys of two slots
            sids = [token_urlsafe() for _ in range(2 if cluster is None else 1)]
            if not self._reads_only:
                await rehearse(servers, self.name, [self._key(sid) for sid in sids], self._prefix.decode())
        except BaseException:
            await servers.close()
            raise
        self._servers, self._cluster = servers, cluster
        self.is_open: bool = True
        if not self._reads_only:
            await self.users.look()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._under_way:
            await asyncio.wait(self._under_way)
        for batcher in (self._writes, self._reads, *self._writers.values(), *self._readers.values()):
            await batcher.close()
        self.is_open = False
        servers, self._servers, self._cluster = self._servers, None, None
        if servers is not None:
            await servers.close()

    # ---------------------------------------------------------------- the verbs as jobs

    def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Awaitable[Update]:
        """Move a session that is still the expected one to a new id: in one step, or, in a cluster, in three."""
        if self._cluster is None:
            return super().rename(old, new, record, expected, tombstone)
        return self._rename_in_cluster(old, new, record, expected, tombstone)

    async def _rename_in_cluster(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None
    ) -> Update:
        self._check(old, record, expected, tombstone)
        self._check(new)
        update: Update = await self._whole(rename_in_steps(self, old, new, record, expected, tombstone))
        return update

    def destroy(self, sid: str) -> Awaitable[None]:
        """Delete a session; an id that has none is not an error."""
        return self._destroy_of_user(sid) if self.users.place.path else super().destroy(sid)

    async def _destroy_of_user(self, sid: str) -> None:
        """Delete a session, and its id in the set of its user."""
        found = await self.get(sid)
        if self.can_store(sid):
            await self._writer(sid).add(Job("destroy", sid, None, found))

    async def _whole(self, steps: Coroutine[Any, Any, Any]) -> Any:
        """Take several steps, of which a caller that is cancelled here stops none. Returns what they return."""
        task = asyncio.create_task(steps)
        self._under_way.add(task)
        task.add_done_callback(self._done)
        await asyncio.wait({task})
        return task.result()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # it has been seen: a caller that was cancelled does not look

    async def _read(self, jobs: list[Read]) -> None:
        """Read all in one call, or in several if their texts are long."""
        while jobs:
            now = self._clock()  # before the call: so that no life is reported longer than it is
            with self.driver_errors():
                replies = await self._opened().run(READ, [self._key(job.sid) for job in jobs], ())
            for job, reply in zip(jobs, replies, strict=False):  # READ may end early
                try:
                    job.resolve(self._found(reply, now) if reply else None)
                except StoreError as error:
                    job.fail(error)
            jobs = jobs[len(replies) :]

    async def _write(self, jobs: list[Job]) -> None:
        """Write all in one call."""
        now = self._clock()
        keys: list[bytes] = []
        args: list[Any] = []
        for job in jobs:
            keys.append(self._key(job.sid))
            if job.new is not None:
                keys.append(self._key(job.new))
            if self.users.place.path and self._cluster is None:
                args += self.users.before(job)
            args += arguments(job, now)
        with self.driver_errors():
            replies = await self._opened().run(WRITE, keys, args)
        for job, reply in zip(jobs, replies, strict=True):
            try:
                job.resolve(self._outcome(job, reply, now))
            except StoreError as error:
                job.fail(error)

    def _outcome(self, job: Job, reply: Any, now: int) -> Any:
        """Return what the verb of a job returns."""
        if reply == DONE:
            return _saved(job)
        if reply == IS_TAKEN:
            return TAKEN
        if reply == IS_CHANGED:
            return IS_CHANGED
        newer = None if reply == MISSING else self._found(reply, now)
        if newer is not None:
            return Update(Outcome.CONFLICT, newer)
        return None if job.verb == "create" else GONE

    def _found(self, reply: Any, now: int) -> StoredSession | None:
        """Return what a script has found. A text that is not UTF-8 comes back empty: its reader finds it corrupt."""
        if isinstance(reply, Exception):
            with self.driver_errors():
                raise reply
        if len(reply) == 1:
            raise self._refused(reply[0])
        raw, left = reply
        if left == 0:
            return None
        try:
            text = raw.decode()
        except UnicodeDecodeError:
            text = ""
        return StoredSession(text, now + (left if left > 0 else _NEVER))

    # ---------------------------------------------------------------- the servers

    def _key(self, sid: str) -> bytes:
        return self._prefix + sid.encode()

    def _reader(self, sid: str) -> Batcher:
        return self._reads if self._cluster is None else self._readers[self._cluster.node_of(self._key(sid))]

    def _writer(self, sid: str) -> Queue:
        if self._cluster is None:
            return self._writes
        batches = self._writers[self._cluster.node_of(self._key(sid))]
        return Entering(batches, self) if self.users.place.path else batches

    def _opened(self) -> Servers:
        self.check_open()
        return self._servers  # type: ignore[return-value] # an open store has them

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of redis-py's."""
        return translated(self.name, error)

    def _refused(self, text: bytes) -> StoreError:
        error = refused(self.name, text.decode(errors="replace"))
        if isinstance(error, StoreUnavailable):
            self._opened().reconnect()  # the server may have become a replica, and another one the master
        return error

    async def _pages(self) -> AsyncIterator[list[str]]:
        """Yield the ids of all sessions, each once: Redis may list a key twice, so they are remembered."""
        seen: set[bytes] = set()
        with self.driver_errors():
            async for keys in self._opened().scan(_escaped(self._prefix) + b"*"):
                new = set(keys) - seen
                seen |= new
                yield [sid for key in new if (sid := self._id_of(key)) is not None]

    def _id_of(self, key: bytes) -> str | None:
        """Return the id of a key, or None if the key is not UTF-8, or another prefix's."""
        rest = key.removeprefix(self._prefix)
        if b":" in rest and not self._colon_ids:
            return None
        try:
            return rest.decode()
        except UnicodeDecodeError:
            return None


def _saved(job: Job) -> Any:
    """Return what the verb of a job returns if it was done."""
    record, expected = job.record, job.expected
    if record is None:
        return None if expected is None else Update(_SAVED, StoredSession(expected.data, job.expires_at))
    if record.version is not None:
        record = record._replace(version=None)  # it was another store's
    return record if expected is None else Update(_SAVED, record)


def _escaped(prefix: bytes) -> bytes:
    """Return the prefix as a pattern that matches nothing else."""
    return re.sub(rb"[\\*?\[\]]", rb"\\\g<0>", prefix)
