"""Owns the model of families: what the ids of a sign-in may give, by what requests have been promised about them.

A *generation* is the data of one sign-in under all ids that it goes through by `rotate()`; `regenerate()` begins another
one, to which the old id leads. The model never reads the store to excuse what it finds there: what it demands follows
from the verbs that have returned. Where a verb has failed, or time has passed over a request, it demands less.
"""

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from clock import DAY, MovableClock

from sessions import CookieOptions, Session, SessionManager, SessionOptions, StoredSession
from sessions.errors import SessionError
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie

from .held import HeldStore

GRACE = 30_000
KEYS = ("a", "b")
OPTIONS = SessionOptions(secret="cat", grace=GRACE, store_timeout=1e9)
COOKIE = CookieOptions()

Action = tuple[str, str, bool]
"""A verb, the key that it is about, and whether the handler waits for it."""


@dataclass
class Write:
    """A value that may be under a key (None: no value), from when, and since when for sure."""

    value: Any
    start: int
    end: float = math.inf
    is_sure: bool = False


@dataclass(eq=False)
class Generation:
    """What is promised about the data of one sign-in."""

    mark: int
    writes: dict[str, list[Write]] = field(default_factory=lambda: defaultdict(lambda: [Write(None, 0, 0, True)]))
    counted: list[int] = field(default_factory=lambda: [0, 0])
    """Increments by `mutate`: those that are sure, and all."""
    dead_since: int | None = None
    is_sure: bool = False
    """Whether a session of it was surely stored."""
    stored_since: float = math.inf
    is_shaky: bool = False
    """Whether it may have ended: a sign-out without an answer, an expiry."""
    is_blurred: bool = False
    """Whether Node has written over it while requests were under way: nothing is demanded."""
    is_unreached: bool = False
    """Whether its id was renewed before it was stored: the tombstone of the id before leads to none."""
    next: "Generation | None" = None
    """Where the tombstone of its last id leads."""
    begun: "list[Generation]" = field(default_factory=list)
    """Those that a login under one of its ids has begun, or tried to."""

    def everything_begun(self) -> "set[Generation]":
        """Itself, and all that came of it."""
        return {self}.union(*(each.everything_begun() for each in self.begun))

    def allowed(self, key: str) -> list[Any]:
        """What may be under a key now."""
        writes = self.writes[key]
        return [each.value for each in writes if not any(other.is_sure and other.start > each.end for other in writes)]


@dataclass
class Cover:
    """A tombstone: the earliest moment at which it may end, and whether Node has filled it."""

    until: int
    is_filled: bool = False


class Request:
    """One request: a handler that performs some actions on the session of some ids, and the commit."""

    def __init__(self, world: "World", sids: list[str]) -> None:
        self.world = world
        self.sids = sids
        self.local: dict[str, Any] = {}
        """What the handler has changed and no call has surely stored."""
        self.ever: dict[str, list[Any]] = defaultdict(list)
        self.jumped = False
        self.behind: list[asyncio.Task[None]] = []

    async def run(self, actions: list[Action]) -> None:
        """From the load to the commit."""
        world = self.world
        world.requests.add(self)
        try:
            await self._run(actions)
        finally:
            world.requests.discard(self)

    async def _run(self, actions: list[Action]) -> None:
        world, began = self.world, self.world.tick()
        try:
            self.state = (
                await world.manager.load(self.sids, world.generate) if self.sids else world.manager.new(world.generate)
            )
        except SessionError:
            return
        self.face = world.manager.face(self.state)
        self.own = Generation(world.tick())
        sid, state = self.state.id, self.state
        lives = state.base is not None and state.end is None
        if lives:
            world.check_living(sid, began)
        if state.base is None:
            self.mark()
        self.loaded = dict(self.face) if state.end is None else {}
        for verb, key, waits in actions:
            try:
                self.act(verb, key)
                if verb in ("rotate", "regenerate"):
                    await asyncio.gather(*self.behind, return_exceptions=True)
                if verb in ("save", "rotate", "regenerate", "destroy", "mutate", "reload"):
                    done = getattr(self, verb)(key)
                    if waits or verb in ("reload", "mutate"):  # they act when they are done
                        await done
                    else:
                        self.behind.append(asyncio.ensure_future(done))
            except SessionError:
                pass
        await self.commit()
        await asyncio.gather(*self.behind, return_exceptions=True)
        for each in self.behind:
            error = each.exception()
            if error is not None and not isinstance(error, SessionError):
                raise error

    # ---------------------------------------------------------------- changes

    def generation(self, sid: str) -> Generation:
        """The generation of the session as it is now."""
        return self.world.ids.get(sid, self.own)

    def mark(self) -> None:
        """Mark a new session, by which its move under a new id is told from a new beginning."""
        self.face["mark"] = self.own.mark

    def put(self, values: Any, key: str) -> None:
        """Assign a value that nobody else assigns."""
        values[key] = self.local[key] = self.world.tick()
        self.ever[key].append(values[key])

    def act(self, verb: str, key: str) -> None:
        """What a handler does without a verb."""
        if self.state.end is not None:
            return
        if verb == "set":
            self.put(self.face, key)
        elif verb == "delete" and key in self.loaded and key in self.face and key not in self.ever:
            del self.face[key]
            self.local[key] = None
            self.ever[key].append(None)
        elif verb == "touch":
            self.face.touch()

    def attempt(self, generation: Generation) -> Callable[[bool], None]:
        """Note that what was changed may be stored from now on; what is returned notes whether it surely was."""
        written = {key: Write(value, self.world.tick()) for key, value in self.local.items()}
        for key, write in written.items():
            generation.writes[key].append(write)
        jumped = self.jumped

        def done(is_sure: bool) -> None:
            sid = self.state.id
            now = self.world.tick()
            current = self.generation(sid)
            if current is not generation:
                for key, write in written.items():
                    current.writes[key].append(Write(write.value, write.start))
                return
            if not is_sure:
                return
            for key, write in written.items():
                write.is_sure, write.end = True, now
                if self.local.get(key) == write.value and key in self.local:
                    del self.local[key]
            if self.jumped and not jumped:
                generation.is_shaky = True

        return done

    def stored(self, sid: str, generation: Generation) -> None:
        """Note that a session is surely stored."""
        self.world.ids.setdefault(sid, generation)
        generation.is_sure = True
        generation.stored_since = min(generation.stored_since, self.world.tick())
        if self.jumped:
            generation.is_shaky = True

    # ---------------------------------------------------------------- verbs

    def save(self, _: str) -> Awaitable[None]:
        """`save()`."""
        sid, generation = self.state.id, self.generation(self.state.id)
        done, verb = self.attempt(generation), self.face.save()

        async def wait() -> None:
            is_sure = False
            try:
                await verb
                is_sure = self.state.end is None
            finally:
                done(is_sure)
            if is_sure and self.state.id == sid:
                self.stored(sid, generation)

        return wait()

    def mutate(self, key: str) -> Awaitable[None]:
        """`mutate()`, which counts."""
        generation = self.generation(self.state.id)
        was_local = dict(self.local)
        value = self.world.tick()
        sid = self.state.id

        def change(values: dict[str, Any]) -> None:
            values[key] = value
            values["n"] = values.get("n", 0) + 1

        verb = self.face.mutate(change)
        self.local[key] = value
        self.ever[key].append(value)
        self.ever["n"].append(None)
        done = self.attempt(generation)
        generation.counted[1] += 1

        async def wait() -> None:
            is_sure = False
            try:
                await verb
                is_sure = self.state.end is None
            finally:
                done(is_sure)
                current = self.generation(self.state.id)
                if current is not generation:
                    current.counted[1] += 1
                elif is_sure:
                    generation.counted[0] += 1
                if not is_sure and self.local.get(key) == value:
                    self.local.pop(key)
                    if key in was_local:
                        self.local[key] = was_local[key]
            if is_sure and self.state.id == sid:
                self.stored(sid, generation)

        return wait()

    def reload(self, _: str) -> Awaitable[None]:
        """`reload()`."""
        verb = self.face.reload()

        async def wait() -> None:
            await verb
            if self.state.end is None:
                self.attempt(self.generation(self.state.id))  # a verb before it may have stored that
                self.local.clear()
                self.ever.clear()
                self.loaded = dict(self.face)

        return wait()

    def destroy(self, _: str) -> Awaitable[None]:
        """The sign-out."""
        world, state, began, since = self.world, self.state, self.world.tick(), self.world.clock()
        sid, was_stored, was_closed = state.id, state.base is not None, state.end == "closed"
        ends = world.led_to(self.generation(sid), began)
        own = self.generation(sid)
        others = [world.ids[other] for other in state.others if other in world.ids]
        verb = self.face.destroy()

        async def wait() -> None:
            try:
                await verb
            except BaseException:
                for each in (*ends, *others, *own.everything_begun()):
                    each.is_shaky = True
                raise
            for each in (*others, *own.everything_begun()):
                each.is_shaky = True  # what was begun meanwhile may have been ended too
            if not was_stored:
                for each in ends:
                    each.is_shaky = True
                return
            cover = world.covers.get(sid)
            if was_closed and world.clock() >= state.meta.closed_until:
                for each in ends:
                    each.is_shaky = True
                return
            if self.jumped or (cover is not None and cover.is_filled and since < cover.until <= world.clock()):
                for each in ends:
                    each.is_shaky = True
                return
            for each in ends:
                each.dead_since = each.dead_since or world.tick()

        return wait()

    def regenerate(self, _: str) -> Awaitable[None]:
        """A login that begins a new session."""
        world, state, since = self.world, self.state, self.world.clock()
        old, was_stored, was_known, was_closed = state.id, state.base is not None, state.is_known, state.end == "closed"
        before, local, ever, loaded, own = self.generation(old), self.local, self.ever, self.loaded, self.own
        verb = self.face.regenerate()
        self.own, self.local, self.ever, self.loaded = Generation(world.tick()), {}, defaultdict(list), {}
        mine = self.own
        before.begun.append(mine)
        self.mark()

        async def wait() -> None:
            try:
                await verb
            except BaseException:
                self.own, self.local, self.ever, self.loaded = own, local, ever, loaded
                before.is_shaky = True
                raise
            if not was_stored or was_closed:
                return
            if old in world.left:  # by a rotation at the same time: a late request ends nothing under another id
                before.is_shaky = True
                return
            before.dead_since = before.dead_since or world.tick()
            if was_known:
                before.next = mine
                if self.generation(old) is before:
                    world.covers.setdefault(old, Cover(since + GRACE))

        return wait()

    def rotate(self, _: str) -> Awaitable[None]:
        """A login that keeps the data."""
        world, state, since = self.world, self.state, self.world.clock()
        old, was_stored, was_known, end = state.id, state.base is not None, state.is_known, state.end
        generation = self.generation(old)
        done = self.attempt(generation)
        verb = self.face.rotate()
        new = state.id
        if was_stored and end is None:
            world.ids[new] = generation
            world.left.add(old)
        elif end in ("gone", "closed", "destroyed"):
            self.began_again()
        elif end is None:
            generation.is_unreached = True

        async def wait() -> None:
            is_sure = False
            try:
                await verb
                is_sure = was_stored and state.end is None and self.face.get("mark") == generation.mark
            finally:
                if was_stored and end is None:
                    if world.ids.get(old, generation) is not generation:
                        world.ids[new].is_blurred = True
                    done(is_sure)
            if not was_stored or end is not None or state.end is not None:
                return
            if not is_sure:
                self.began_again()
            elif was_known:
                world.covers.setdefault(old, Cover(since + GRACE))

        return wait()

    def began_again(self) -> None:
        """A session that was gone goes on as a new one, with only what this request itself has assigned."""
        self.own = Generation(self.world.tick())
        for key in KEYS:
            value = self.face.get(key)
            if value is not None and value not in self.ever[key]:
                self.world.errors.append(f"a new beginning holds {key}={value}, which this request has not assigned")
            self.own.writes[key].append(Write(value, 0))
        self.own.counted[1] = self.face.get("n", 0)
        self.local = {key: self.face[key] for key in KEYS if key in self.face}
        self.mark()

    async def commit(self) -> None:
        """The end of the request."""
        state, world = self.state, self.world
        sid, generation = state.id, self.generation(state.id)
        done = self.attempt(generation)
        is_sure = False
        try:
            work = world.manager.commit(state)
            if work is not None:
                await work
            is_sure = state.end is None
        except SessionError:
            state.failed()
        finally:
            if state.id == sid or self.generation(state.id) is generation:
                done(is_sure)
        if is_sure and state.base is not None:
            now = self.generation(state.id)
            if now is generation or state.id not in world.ids:
                self.stored(state.id, now)
        if state.cookie_act == "send" and state.id not in world.sent:
            world.sent.append(state.id)


class World:
    """Browsers, a Node server, and one manager on a store whose calls wait."""

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

    def led_to(self, generation: Generation | None, now: int) -> list[Generation]:
        """A generation and those that its tombstones lead to, as far as they were surely stored before a moment."""
        found: list[Generation] = []
        while generation is not None and generation not in found:
            if not found or (generation.stored_since < now and not generation.is_unreached):
                found.append(generation)
            generation = generation.next
        return found

    def check_living(self, sid: str, began: int) -> None:
        """Note a session that must not live."""
        generation = self.ids.get(sid)
        if generation is None or generation.is_blurred:
            return
        if generation.dead_since is not None and generation.dead_since < began:
            self.errors.append(f"{sid} gives a session after its end")
        cover = self.covers.get(sid)
        if cover is not None and (not cover.is_filled or self.clock() < cover.until):
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
        made.is_blurred = bool(self.requests)
        cover = self.covers.pop(sid, None)
        if before is not None:
            if self.requests:
                before.is_blurred = True
            if is_tombstone:
                until = int(data["__meta"]["closed"])
                self.covers[sid] = Cover(until, is_filled=True)
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
            if not works and not self.store.waiting and not self.manager._tasks:
                break
            if not works and not late:
                looks += 1
                if looks > 12:
                    await self.manager.close()  # it has looked often enough after the last step came
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
            if len(living[generation]) > 1:
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


__all__ = ["KEYS", "SessionState", "World"]
