"""Owns the requests of the model of families: a handler that acts on its session, and notes what each verb promises."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sessions.errors import SessionError

from .promises import Cover, Generation, Write

if TYPE_CHECKING:
    from .family import World

GRACE = 30_000
KEYS = ("a", "b")

Action = tuple[str, str, bool]
"""A verb, the key that it is about, and whether the handler waits for it."""


class Request:
    """One request: a handler that performs some actions on the session of some ids, and the commit."""

    def __init__(self, world: "World", sids: list[str]) -> None:
        self.world = world
        self.sids = sids
        self.local: dict[str, Any] = {}
        """What the handler has changed and no call has surely stored."""
        self.ever: dict[str, list[Any]] = defaultdict(list)
        """All that it has assigned to a key since the load, stored or not; None for what it has deleted."""
        self.jumped = False
        """Whether a session's whole life has passed over it."""
        self.behind: list[asyncio.Task[None]] = []
        """The verbs that it has not awaited."""

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
            with suppress(SessionError):
                await self.perform(verb, key, waits=waits)
        await self.commit()
        await asyncio.gather(*self.behind, return_exceptions=True)
        for each in self.behind:
            error = each.exception()
            if error is not None and not isinstance(error, SessionError):
                raise error

    async def perform(self, verb: str, key: str, *, waits: bool) -> None:
        """One action of the handler."""
        self.act(verb, key)
        if verb in ("rotate", "regenerate"):
            await asyncio.gather(*self.behind, return_exceptions=True)
        if verb in ("save", "rotate", "regenerate", "destroy", "mutate", "reload"):
            done = getattr(self, verb)(key)
            if waits or verb in ("reload", "mutate"):  # what they change is known only when they are done
                await done
            else:
                self.behind.append(asyncio.ensure_future(done))

    # ---------------------------------------------------------------- changes

    def generation(self, sid: str) -> Generation:
        """The generation of the session as it is now."""
        return self.world.ids.get(sid, self.own)

    def mark(self) -> None:
        """Mark a new session, so that its move to a new id differs from a new beginning."""
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
        """Note that the changes may be stored from now on. Returns a function that notes whether they surely are."""
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
                self.attempt(self.generation(self.state.id))  # a verb that was not awaited may have stored the changes
                self.local.clear()
                self.ever.clear()
                self.loaded = dict(self.face)

        return wait()

    def destroy(self, _: str) -> Awaitable[None]:
        """The sign-out."""
        world, state, began, since = self.world, self.state, self.world.tick(), self.world.clock()
        sid, was_stored, was_closed = state.id, state.base is not None, state.end == "closed"
        was_over = state.end == "destroyed"  # by an earlier sign-out, which has removed the tombstone that led on
        ends = world.led_to(self.generation(sid), began)
        own = self.generation(sid)
        others = [world.ids[other] for other in state.others if other in world.ids]
        verb = self.face.destroy()

        def all_shaky() -> None:
            """What was begun under one of these ids meanwhile may have been ended too."""
            for each in (*ends, *(begun for one in (own, *others) for begun in one.everything_begun())):
                each.is_shaky = True

        async def wait() -> None:
            try:
                await verb
            finally:
                all_shaky()
            if not was_stored or was_over or self.jumped or (was_closed and world.clock() >= state.meta.closed_until):
                return
            cover = world.covers.get(sid)
            if cover is not None and cover.is_filled and since < cover.until <= world.clock():
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
            if old in world.left:  # a rotation has moved the session: a late request ends nothing under the new id
                before.is_shaky = True
                return
            before.dead_since = before.dead_since or world.tick()
            if was_known:
                before.next, before.has_left = (None if before.has_left else mine), True
                if self.generation(old) is before:
                    world.covers.setdefault(old, Cover(world.tick(), since + GRACE))

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
            world.leave(old, is_known=state.request_sid is not None)
        elif end in ("gone", "closed", "destroyed"):
            self.began_again()
        elif end is None:
            generation.is_unreached = True

        async def wait() -> None:
            is_sure = False
            try:
                await verb
                is_sure = was_stored and state.end is None and state.id == new
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
                world.covers.setdefault(old, Cover(world.tick(), since + GRACE))

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
