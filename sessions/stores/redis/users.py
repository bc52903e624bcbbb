"""Owns how Redis finds a user: a sorted set for each, which the script that writes a session keeps.

    key: "user-", the prefix and the user      member: a session's key      score: its expiry

The user of a session is the member `user` of its `__meta`, which the manager keeps, so that the text need not be
decoded for each write. A set only helps: a session that it lacks is entered when we next write it; the row decides.
What Node writes is in no set; with `node_peer` every key under the prefix is looked at too. In a cluster, where a
script has one slot, a session is entered right after it is written, before its writer has the answer.
"""

# ruff: noqa: SLF001 # it is a part of RedisStore in a file of its own

import asyncio
import logging
from collections.abc import Collection
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from ...errors import StoreError
from ...store import Limit, Outcome, SignedIn, StoredSession, Update
from ...user_text import UserPlace, surplus, user_in_meta
from ..batching import Batcher, Job
from ..users import as_update, end_each, living, sign_in_and_end
from .scripts import ENTER_ONE, IS_CHANGED, MEMBERS, of_users, within

log: logging.Logger = logging.getLogger("sessions")


class SignIn(Job):
    """The job to create or to rename a session, if the set of its user is as it was counted (`within`, scripts.py)."""

    __slots__ = ("within",)

    within: tuple[Any, ...]


class RedisUsers:
    """The power `users` of Redis."""

    by_meta: ClassVar[bool] = True

    def __init__(self, store: Any) -> None:
        self._store = store  # RedisStore, which imports this file
        self.place: UserPlace = UserPlace()
        """Where rows name the user."""
        self._has_sets = True
        self._walks = False  # whether every key is looked at
        self._is_told = False
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def refuses(self) -> bool:
        """True but for a cluster."""
        return bool(self._store._target.kind != "cluster")

    def index(self, path: tuple[str, ...], *, node_peer: bool = False, in_meta: bool = False) -> None:
        """Say under which keys of the data the user is, and whether rows are in no set because Node writes them."""
        self.place, self._walks = UserPlace(path, in_meta), node_peer

    async def look(self) -> None:
        """Try the commands on a set, if anybody asks for users: without the right to them all keys are looked at."""
        if self.place.path:
            words = await self._enter(self._set("?"), b"?", 1)
            self._has_sets = not words
            if words:
                self._tell(words)

    def _tell(self, words: str) -> None:
        if not self._is_told:
            self._is_told = True
            keys = self._set("*").decode()
            log.warning(
                "%s: has no index of the users (%s); it needs the commands of sorted sets on the keys %s; to find a"
                " user reads all",
                self._store.name, words, keys,
            )  # fmt: skip

    # ---------------------------------------------------------------- the verbs

    async def rows(self, user: str, aliases: Collection[str] = ()) -> list[tuple[str, StoredSession]]:
        """Return the living sessions that may be a user's."""
        names = (user, *aliases)
        sids = sorted(await self._sids(names) | await self._walked(names))
        found = await asyncio.gather(*map(self._store.get, sids))
        return [(sid, record) for sid, record in zip(sids, found, strict=True) if record is not None]

    async def end(
        self,
        user: str,
        keys: Collection[str] | None = None,
        keep: str | None = None,
        aliases: Collection[str] = (),
    ) -> list[str]:
        """Delete sessions of a user. Returns the ids of those that lived.

        A session may move between the reading of the set and that of the row. So the set is read again until each of
        its sessions was found to be over twice.
        """
        names = (user, *aliases)
        if keys is not None:
            return await end_each(self._store, [key for key in keys if key != keep], names, self.place)
        ended: list[str] = []
        while walked := await self._walked(names) - {keep}:
            ended += await end_each(self._store, walked, names, self.place)
        over: set[str] = set()
        while True:
            sids = list(await self._sids(names) - {keep})
            found = await asyncio.gather(*map(self._store.get, sids))
            living = {sid for sid, row in zip(sids, found, strict=True) if self._is(names, row)}
            if not living and over.issuperset(sids):
                return ended
            over |= set(sids) - living
            ended += await end_each(self._store, living, names, self.place)

    async def sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None = None,
        expected: StoredSession | None = None,
        tombstone: StoredSession | None = None,
    ) -> SignedIn:
        """Create a session of a user, or rename one, within a limit.

        On one server this is one step: it is done only if the set has the members that were counted, or they are
        counted again. In a cluster the session is written first, and then those end that are beyond the limit.
        """
        turn = self._turns.get(limit.user)
        if turn is None:
            turn = self._turns[limit.user] = asyncio.Lock()
        async with turn:  # so that in one process nobody counts in vain
            if self.refuses and self._has_sets:
                return await self._sign_in(limit, new, record, old, expected, tombstone)
            if limit.refuses and len([sid for sid, _ in await self._living(limit) if sid != old]) >= limit.most:
                return SignedIn(None, [])
            return await sign_in_and_end(self._store, self.place, limit, new, record, old, expected, tombstone)

    async def _sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None,
        expected: StoredSession | None,
        tombstone: StoredSession | None,
    ) -> SignedIn:
        store, user_set = self._store, self._set(user_in_meta(record.data) or limit.user)
        store._check(new, record, expected, tombstone)
        store._check(new if old is None else old)
        while True:
            members = await self._members(user_set)
            others = [(sid, text) for sid, text in await self._living(limit) if sid != old]
            if limit.refuses and len(others) >= limit.most:
                return SignedIn(None, [])
            ended = surplus(others, new, limit.most)
            job = SignIn.to_create_or_rename(new, record, old, expected, tombstone)
            job.within = within(user_set, members, [store._key(sid) for sid in ended])
            outcome = await store._writes.add(job)
            if outcome is IS_CHANGED:
                continue
            update = as_update(outcome)
            return SignedIn(update, ended if update.outcome is Outcome.SAVED else [])

    # ---------------------------------------------------------------- what goes with a write

    def before(self, job: Job) -> tuple[Any, ...]:
        """Return what WRITE gets before the arguments of a job."""
        counted: tuple[Any, ...] = job.within if type(job) is SignIn else ()
        return (*counted, *of_users(*self._moves(job)))

    async def enter(self, job: Job, now: int) -> None:
        """Do for a job that was done what the script does on one server: the sets are on other nodes."""
        entered, left = self._moves(job)
        key = self._store._key(job.new or job.sid)
        record = job.record
        life = (job.expires_at if record is None else record.expires_at) - now
        words = await self._enter(entered, key, life) if entered else ""
        if left and not words:
            words = await self._enter(left, self._store._key(job.sid), 0)
        if words:
            self._tell(words)

    def _moves(self, job: Job) -> tuple[bytes, bytes]:
        """Return the set of the user that a job writes into a session, and of the user before; b"" for none."""
        was = None if job.expected is None else user_in_meta(job.expected.data)
        writes = None if job.record is None else user_in_meta(job.record.data)
        becomes = was if job.verb == "touch" else writes
        stays = was == becomes and job.new is None
        return (b"" if becomes is None else self._set(becomes)), (b"" if was is None or stays else self._set(was))

    async def _enter(self, user_set: bytes, key: bytes, life: int) -> str:
        """Enter a key into a set, or take it out if it has no life left. Returns what is wrong, or ""."""
        try:
            with self._store.driver_errors():
                (reply,) = await self._store._opened().run(ENTER_ONE, [user_set], [key, life])
                if isinstance(reply, Exception):
                    raise reply
        except StoreError as error:
            return str(error)
        return str(reply, "utf-8", "replace")

    # ---------------------------------------------------------------- what is found

    def _set(self, user: str) -> bytes:
        prefix: bytes = self._store._prefix
        return b"user-" + prefix + user.encode()

    def _is(self, names: Collection[str], record: StoredSession | None) -> bool:
        return record is not None and self.place.user_in(record.data) in names

    async def _members(self, user_set: bytes) -> set[bytes]:
        with self._store.driver_errors():
            return set(await self._store._opened().send("ZRANGE", user_set, 0, -1))

    async def _sids(self, names: Collection[str]) -> set[str]:
        """Return the ids in the sets of a user."""
        if not self._has_sets:
            return set()
        prefix = len(self._store._prefix)
        sets = [self._set(name) for name in names]
        if len(sets) > 1 and self.refuses:
            with self._store.driver_errors():
                found = [await self._store._opened().run(MEMBERS, sets, [])]
        else:  # in a cluster a session is entered before it leaves, so who reads twice meets one that moves once
            found = [await self._members(each) for each in (sets if len(sets) == 1 else [*sets, *sets])]
        return {member[prefix:].decode() for members in found for member in members}

    async def _walked(self, names: Collection[str]) -> set[str]:
        """Return the ids of a user's sessions, of every key under the prefix, where sets do not have them all."""
        if self._has_sets and not self._walks:
            return set()
        return {sid async for sid, record in self._store.all() if self._is(names, record)}

    async def _living(self, limit: Limit) -> list[tuple[str, str]]:
        return await living(self._store, self.place, limit)


class Entering:
    """The queue of a cluster's node, behind which a session is entered in the set of its user."""

    def __init__(self, batches: Batcher, store: Any) -> None:
        self._batches = batches
        self._store = store  # RedisStore

    async def add(self, job: Job) -> Any:
        """Perform a job and enter its session, as a whole. Returns the job's outcome."""
        return await self._store._whole(self._perform(job))

    async def _perform(self, job: Job) -> Any:
        outcome = await self._batches.add(job)
        is_done = outcome.outcome is Outcome.SAVED if isinstance(outcome, Update) else outcome is not None
        if is_done or job.verb == "destroy":
            await self._store.users.enter(job, self._store._clock())
        return outcome
