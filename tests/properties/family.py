"""Owns the model of families: what each id of a sign-in may give, after the verbs that requests have called.

A *generation* is the data of one sign-in under all ids that it goes through by `rotate()`; `regenerate()` begins another
one, to which the old id leads. The model never reads the store to excuse what it finds there: what it demands follows
from the verbs that have returned. Where a verb has failed, or time has passed over a request, it demands less.
"""

import asyncio
import json
from collections import defaultdict
from itertools import count
from typing import Any

from clock import DAY, MovableClock

from sessions import CookieOptions, Session, SessionManager, SessionOptions, StoredSession
from sessions.stored_cookie import StoredCookie

from .held import HeldStore
from .promises import Cover, Generation, Write
from .visits import GRACE, KEYS, Action, Request

OPTIONS = SessionOptions(secret="cat", grace=GRACE, store_timeout=1e9)
COOKIE = CookieOptions()


class World:
    """Browsers, a Node server, and one manager on a store that makes its calls wait."""

    def __init__(self, store: Any, clock: MovableClock) -> None:
        self.clock = clock
        self.inner = store
        self.store = HeldStore(store)
        self.manager = SessionManager(self.store, OPTIONS, clock=clock)
        self.looker = SessionManager(store, OPTIONS, clock=clock)
        self.ids: dict[str, Generation] = {}
        self.covers: dict[str, Cover] = {}
        self.left: set[str] = set()
        """The ids of which a rotation has begun."""
        self.unknown: set[str] = set()
        """Those of `left` that no browser can know. If a reply of the store is late, a row may stay there until it expires."""
        self.sent: list[str] = []
        """The ids that browsers have."""
        self.errors: list[str] = []
        self.requests: set[Request] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.node: tuple[str, StoredSession] | None = None
        self._ticks, self._made = count(1), count(1)

    def tick(self) -> int:
        """The next number: a moment, or a value that nobody else has."""
        return next(self._ticks)

    def generate(self) -> tuple[str, StoredCookie]:
        """A new id and its cookie."""
        return f"id{next(self._made)}", StoredCookie.new(COOKIE, self.clock, is_secure=lambda: False)

    def leave(self, sid: str, *, is_known: bool) -> None:
        """Note that a rotation of an id has begun, and whether a browser can know the id."""
        self.left.add(sid)
        if not is_known:
            self.unknown.add(sid)

    def led_to(self, generation: Generation | None, now: int) -> list[Generation]:
        """Return a generation, and of those that its tombstones lead to the ones that were surely stored before `now`."""
        found: list[Generation] = []
        while generation is not None and generation not in found:
            if not found or (generation.stored_since < now and not generation.is_unreached):
                found.append(generation)
            generation = generation.next
        return found

    def check_living(self, sid: str, began: int) -> None:
        """Note an error if an id gives a session that has surely ended, or a tombstone has to be there."""
        generation = self.ids.get(sid)
        if generation is None or generation.is_blurred:
            return
        if generation.dead_since is not None and generation.dead_since < began:
            self.errors.append(f"{sid} gives a session after its end")
        cover = self.covers.get(sid)
        if cover is not None and cover.since < began and (not cover.is_filled or self.clock() < cover.until):
            self.errors.append(f"{sid} is a tombstone, and gives a session")

    # ---------------------------------------------------------------- what happens

    def request(self, sids: list[str], actions: list[Action]) -> None:
        """A request begins."""
        self.tasks.add(asyncio.get_running_loop().create_task(Request(self, sids).run(actions)))

    async def node_loads(self, sid: str) -> None:
        """A Node server reads a row, whole."""
        row = await self.inner.get(sid)
        self.node = None if row is None else (sid, row)

    async def node_saves(self) -> None:
        """It writes the row that it has read, with a change, over whatever is there."""
        assert self.node is not None
        sid, row = self.node
        data = json.loads(row.data)
        data["a"] = self.tick()
        is_tombstone = "closed" in data.get("__meta", {})
        before = self.ids.get(sid)
        made = Generation(data.setdefault("mark", self.tick()), is_sure=not is_tombstone, stored_since=self.tick())
        for key in KEYS:
            made.writes[key] = [Write(data.get(key), self.tick(), self.tick(), True)]
        made.counted = [data.get("n", 0)] * 2
        made.is_blurred = is_busy = bool(self.requests or self.store.waiting or self.manager.background.tasks)
        cover = self.covers.pop(sid, None)
        if before is not None:
            before.begun.append(made)
            made.begun = before.begun  # shared: a login that is under way on `before` replaces this row
            if is_busy:
                before.is_blurred = True
            if is_tombstone:
                until = int(data["__meta"]["closed"])
                self.covers[sid] = Cover(self.tick(), until, is_filled=True)
                if self.clock() < until:
                    made.next = before if cover is not None and before.dead_since is None else before.next
            elif cover is None:
                before.is_shaky, before.next = True, made
            else:
                before.is_shaky = True
        self.ids[sid] = made
        await self.inner.set(sid, StoredSession(json.dumps(data, separators=(",", ":")), self.clock() + DAY))

    async def node_touches(self, sid: str) -> None:
        """It moves the expiry of a row, whatever the row is."""
        row = await self.inner.get(sid)
        if row is not None:
            await self.inner.touch(sid, self.clock() + DAY, row)

    def time_goes_by(self, milliseconds: int) -> None:
        """The clock moves. After a day nothing lives."""
        self.clock.advance(milliseconds)
        if milliseconds > DAY:
            for request in self.requests:
                request.jumped = True
            for generation in self.ids.values():
                if generation.is_sure and not generation.is_shaky:
                    generation.dead_since = generation.dead_since or self.tick()
                generation.is_shaky = True

    async def step(self, number: int, how: str) -> None:
        """Let one call of the store go on."""
        if self.store.waiting:
            await self.store.step(number, how, self._cut)
        await self.quiet()

    def _cut(self, task: asyncio.Task[Any]) -> bool:
        """Have the deadline of a task come."""
        deadline = self.manager._in_time.__self__  # type: ignore[attr-defined] # the bound method of a Deadline
        if task not in deadline._ends or task in deadline._late:
            return False
        deadline._late.add(task)
        task.cancel()
        return True

    async def quiet(self) -> None:
        """Wait until every task waits for a call of the store."""
        ready = vars(asyncio.get_running_loop())["_ready"]
        await asyncio.sleep(0)
        for _ in range(10_000):
            if not ready:
                return
            await asyncio.sleep(0)

    # ---------------------------------------------------------------- the end of a moment

    async def drain(self) -> None:
        """Let everything end, and compare."""
        await self.quiet()
        looks = 0
        for _ in range(3_000):
            works = {task for task in self.tasks if not task.done()}
            late = [n for n, call in enumerate(self.store.waiting) if call.is_late]
            if not works and not self.store.waiting and not self.manager.background.tasks:
                break
            if not works and not late:
                looks += 1
                if looks > 12:
                    await self.manager.close()  # the undo of a rotation has looked often enough since then
                    self.store.waiting.clear()
                    break
            if not self.store.waiting and works:
                break
            await self.step(late[0] if late and not works else 0, "go")
        hung = {task for task in self.tasks if not task.done()}
        for task in hung:
            task.cancel()
        for task in self.tasks - hung:
            task.result()
        self.tasks.clear()
        assert not hung, "a request hangs"
        await self.check()

    async def check(self) -> None:
        """Compare what each id gives with what was promised."""
        living: dict[Generation, list[str]] = defaultdict(list)
        began = self.tick()
        for sid, generation in self.ids.items():
            state = await self.looker.load([sid], self.generate)
            if state.base is not None and state.end is None:
                self.check_living(sid, began)
                living[generation].append(sid)
                self._check_data(sid, generation, self.looker.face(state))
            elif (
                (cover := self.covers.get(sid)) is not None
                and self.clock() < cover.until
                and self._must_live(generation)
                and state.end != "closed"
            ):
                self.errors.append(f"{sid} is a tombstone, and says {state.end}")
        for generation in set(self.ids.values()):
            if generation.is_blurred:
                continue
            if len(set(living[generation]) - self.unknown) > 1:
                self.errors.append(f"{living[generation]} live at once")
            if self._must_live(generation) and not living[generation] and not self._is_filled(generation):
                self.errors.append(f"the session of {[sid for sid in self.ids if self.ids[sid] is generation]} is lost")
        assert not self.errors, self.errors

    def _must_live(self, generation: Generation) -> bool:
        return (
            generation.is_sure
            and generation.dead_since is None
            and not generation.is_shaky
            and not generation.is_blurred
        )

    def _is_filled(self, generation: Generation) -> bool:
        return any(self.ids[sid] is generation and cover.is_filled for sid, cover in self.covers.items())

    def _check_data(self, sid: str, generation: Generation, face: Session) -> None:
        if generation.is_blurred:
            return
        for key in KEYS:
            if face.get(key) not in generation.allowed(key):
                self.errors.append(f"{sid} has {key}={face.get(key)}, and not one of {generation.allowed(key)}")
        low, high = generation.counted
        if not low <= face.get("n", 0) <= high:
            self.errors.append(f"{sid} has counted {face.get('n', 0)}, and not {low} to {high}")
