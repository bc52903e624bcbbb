"""Owns what a test can do to a store: hold a call at a gate, break it, silence it, count it.

A real store keeps the data; `StagedStore` wraps it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from client import SECONDS

from sessions import Store, StoredSession, StoreWrapper, Update

WRITES = ("create", "update", "set", "touch", "rename", "destroy")


class Gate:
    """A door that stays shut until it is opened for good. The test can wait until a task has come to it."""

    def __init__(self) -> None:
        self._arrivals = asyncio.Semaphore(0)
        self._opened = asyncio.Event()

    async def wait(self) -> None:
        """Stand before the door."""
        self._arrivals.release()
        await self._opened.wait()

    async def reached(self, times: int = 1) -> None:
        """Return once so many have come before it."""
        async with asyncio.timeout(SECONDS):
            for _ in range(times):
                await self._arrivals.acquire()

    def open(self) -> None:
        """Let all through, now and later."""
        self._opened.set()


class StagedStore(StoreWrapper):
    """A store that does what a test has arranged before, or instead of, what it is asked for."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.calls: list[str] = []
        """The verbs that were asked for, in their order."""
        self.sids: set[str] = set()
        """Every id that was ever named to it."""
        self.is_down = False
        self._under_way = 0
        self._idle = asyncio.Event()
        self._once: dict[str, list[Callable[[], Awaitable[object]]]] = {}
        self._always: dict[str, Callable[[], Awaitable[object]]] = {}
        self._after: dict[str, Exception] = {}
        self._delayed: dict[str, Gate] = {}

    # ---------------------------------------------------------------- what a test arranges

    def hold(self, *verbs: str) -> Gate:
        """Hold the next call of each of the verbs (of every write, if none is named) at a gate, before it is done."""
        gate = Gate()
        for verb in verbs or WRITES:
            self._once.setdefault(verb, []).append(gate.wait)
        return gate

    def fail(self, error: Exception, *verbs: str) -> None:
        """Answer the verbs (any write, if none is named) with an error from now on."""

        async def refuse() -> None:
            raise error

        self._always.update(dict.fromkeys(verbs or WRITES, refuse))

    def fail_once(self, error: Exception, verb: str, *, after: int = 0) -> None:
        """Answer one call of a verb with an error, behind so many that are done."""

        async def refuse() -> None:
            raise error

        async def let_pass() -> None:
            pass

        self._once.setdefault(verb, []).extend([*[let_pass] * after, refuse])

    def silence(self, *verbs: str) -> None:
        """Never answer the verbs (any write, if none is named) from now on."""
        self._always.update(dict.fromkeys(verbs or WRITES, _never))

    def lose(self, error: Exception, *verbs: str) -> None:
        """Do what the verbs ask for, and answer with an error, from now on: the reply is lost."""
        self._after.update(dict.fromkeys(verbs or WRITES, error))

    def delay(self, *verbs: str) -> Gate:
        """Do what the verbs ask for once the gate opens, whether or not their caller still waits."""
        gate = Gate()
        self._delayed.update(dict.fromkeys(verbs, gate))
        return gate

    def before(self, act: Callable[[], Awaitable[object]], *verbs: str) -> None:
        """Let something happen right before the verbs are done, from now on."""
        self._always.update(dict.fromkeys(verbs, act))

    def recover(self) -> None:
        """Be a good store again."""
        self._always.clear()
        self._after.clear()
        self._delayed.clear()
        self._once.clear()

    async def idle(self) -> None:
        """Return once no call is under way."""
        async with asyncio.timeout(SECONDS):
            while self._under_way:
                self._idle.clear()
                await self._idle.wait()

    def forget(self) -> None:
        """Forget the calls so far."""
        self.calls.clear()

    @property
    def writes(self) -> list[str]:
        """The verbs that write, as they were asked for."""
        return [verb for verb in self.calls if verb in WRITES]

    # ---------------------------------------------------------------- the contract

    async def _do(self, verb: str, sid: str, *args: Any) -> Any:
        self.calls.append(verb)
        self.sids.add(sid)
        self._under_way += 1
        try:
            await asyncio.sleep(0)  # memory, too, lets the loop go on, as every other store does
            if self._once.get(verb):
                await self._once[verb].pop(0)()
            if verb in self._always:
                await self._always[verb]()
            call = getattr(self.inner, verb)(sid, *args)
            if verb in self._delayed:
                call = asyncio.shield(asyncio.ensure_future(_behind(self._delayed[verb], call)))
            result = await call
            if verb in self._after:
                raise self._after[verb]
            return result
        finally:
            self._under_way -= 1
            self._idle.set()

    @property
    def ready(self) -> bool:
        return super().ready and not self.is_down

    async def get(self, sid: str) -> StoredSession | None:
        found: StoredSession | None = await self._do("get", sid)
        return found

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        made: StoredSession | None = await self._do("create", sid, record)
        return made

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        update: Update = await self._do("update", sid, record, expected)
        return update

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        made: StoredSession = await self._do("set", sid, record)
        return made

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        update: Update = await self._do("touch", sid, expires_at, expected)
        return update

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        self.sids.add(new)
        update: Update = await self._do("rename", old, new, record, expected, tombstone)
        return update

    async def destroy(self, sid: str) -> None:
        await self._do("destroy", sid)


async def _behind(gate: Gate, call: Awaitable[Any]) -> Any:
    await gate.wait()
    return await call


async def _never() -> None:
    await asyncio.get_running_loop().create_future()
