"""Owns the model check of whole requests: some of them in flight at once, a clock and a sweeper, in every order of store calls.

Each call of the store waits until the machine lets one of them go on, so the steps of requests interleave as hypothesis
likes, inside `rotate()` and between a conflict and its second try as well. Two managers stand for two processes. What the
store holds after each step is compared with the model. It must not know which store it is.
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

from clock import START, MovableClock
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from stores.support import STORES
from trips.staged import StagedStore

from sessions import CookieOptions, NoSession, Session, SessionManager, SessionOptions, StoredSession, queues
from sessions.meta import closed_meta
from sessions.state import SessionState
from sessions.store import Outcome
from sessions.stored_cookie import StoredCookie
from sessions.writes import NOTHING

TURNS = 30
"""Of the loop after a call, until its request is at the next one, waits for its turn, or has ended."""

MAX_AGE = 1_000
MISSING = object()
OPEN = (None, "gone", "closed")
"""The ends of a session that a handler may still look at."""

VERBS = ("save", "destroy", "regenerate", "rotate", "mutate")
ACTS: st.SearchStrategy[list[tuple[str, str]]] = st.one_of(
    st.just([]),
    st.lists(
        st.one_of(
            st.tuples(st.sampled_from(["set", "delete"]), st.sampled_from("abc")),
            st.tuples(st.sampled_from(["mutate", "save", "set", "touch", *VERBS, "unset"]), st.just("c")),
        ),
        max_size=3,
    ),
)
"""What a handler does, one after another."""


class Model:
    """What is stored: data by id. `create` and `rename` give an id a row, once; `destroy`, `rename` or its time ends it.

    An id that a session has left may hold a tombstone, until the moment that it says.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self.clock = clock
        self.rows: dict[str, dict[str, Any]] = {}
        self.expires: dict[str, int] = {}
        self.ended: set[str] = set()
        self.closed: dict[str, int] = {}
        """The tombstones: until when they are there."""

    def end(self, sid: str, tombstone: StoredSession | None = None) -> None:
        """For good."""
        self.rows.pop(sid, None)
        self.closed.pop(sid, None)
        self.ended.add(sid)
        if tombstone is not None:
            self.closed[sid] = tombstone.expires_at

    def compare(self, living: dict[str, StoredSession]) -> None:
        """Raise AssertionError where the store holds anything else."""
        closed = {sid: row.expires_at for sid, row in living.items() if closed_meta(row) is not None}
        assert closed == {sid: end for sid, end in self.closed.items() if end > self.clock()}
        living = {sid: row for sid, row in living.items() if sid not in closed}
        assert not living.keys() & self.ended, "a session that had ended came back"
        for sid in self.rows.keys() - living.keys():
            assert self.expires[sid] <= self.clock(), "a session was lost"
            self.end(sid)
        assert {sid: _data(row) for sid, row in living.items()} == self.rows
        assert {sid: row.expires_at for sid, row in living.items()} == {sid: self.expires[sid] for sid in living}


def _data(row: StoredSession) -> dict[str, Any]:
    return {key: value for key, value in json.loads(row.data).items() if key != "cookie"}


class Request:
    """A request: what it does at the moment, what its session was last known to hold, and what it means to change."""

    def __init__(self) -> None:
        self.task: asyncio.Future[None] | None = None
        self.does = ""
        self.did: set[str] = set()
        self.base: dict[str, Any] = {}
        self.changes: dict[str, Any] = {}
        self.assigned: set[str] = set()
        """The keys that it has set itself."""
        self.unsure: set[str] = set()
        """Keys that somebody else has deleted since: to delete them as well may mean before them or after them."""
        self.calls = 0
        """Of the store, by what it does at the moment."""

    def view(self) -> dict[str, Any]:
        """What its session holds."""
        return _merged(self.base, self.changes)

    def stored(self, row: dict[str, Any]) -> dict[str, Any]:
        """Note what was stored, which is its new beginning."""
        self.base, self.changes, self.unsure = dict(row), {}, set()
        return row

    def goes_on_alone(self, session: Session) -> None:
        """Note that its row is gone, or closed, and that it goes on as a new session with what it has set itself."""
        assert session.keys() <= self.assigned, "a new session holds what another request has stored"
        self.stored({})
        self.changes = dict(session)


def _merged(row: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in (row | changes).items() if value is not MISSING}


REQUEST: ContextVar[Request] = ContextVar("request")
"""The request that calls the store: a verb is a task of its own."""


class Call:
    """A call of the store that waits to be let go on."""

    def __init__(self) -> None:
        self.turn = asyncio.Event()
        self.done = asyncio.Event()


class SteppedStore(StagedStore):
    """A store in which each call waits until its turn, and is noted in the moment in which it is done."""

    def __init__(self, inner: Any, note: Callable[..., None]) -> None:
        super().__init__(inner)
        self.note = note
        self.waiting: list[Call] = []
        self.waits = True

    def let_go(self) -> None:
        """Make no call wait from now on."""
        self.waits = False
        for call in self.waiting:
            call.turn.set()

    async def _do(self, verb: str, sid: str, *args: Any) -> Any:
        self.sids.add(sid)
        call = Call()
        if self.waits:
            self.waiting.append(call)
            await call.turn.wait()
        try:
            outcome = await getattr(self.inner, verb)(sid, *args)
            self.note(verb, sid, args, outcome)
        finally:
            call.done.set()
        return outcome


class Requests(RuleBasedStateMachine):
    """Requests on one store, one call of the store after another."""

    def __init__(
        self, store: Any, clock: MovableClock, run: Callable[[Any], Any], *, sweeps: bool, **options: Any
    ) -> None:
        super().__init__()
        clock.now = START
        self.inner, self.clock, self.run, self.sweeps, self.fixed = store, clock, run, sweeps, options
        self.store = SteppedStore(store, self.note)
        self.model = Model(clock)
        self.requests: list[Request] = []
        self.cookies: list[str] = []
        """The ids that a browser may send: every one that was ever set."""
        self.numbers = iter(range(1, 10**6))
        run(store.clear())

    @initialize(
        rolling=st.booleans(),
        resave=st.booleans(),
        after=st.sampled_from([None, 0]),
        unset=st.booleans(),
        grace=st.sampled_from([0, MAX_AGE // 2, MAX_AGE, 30 * MAX_AGE]),
    )
    def configure(self, rolling: bool, resave: bool, after: int | None, unset: bool, grace: int) -> None:
        """Two processes with the same options, and a visitor who has a session already."""
        given = {"rolling": rolling, "resave": resave, "touch_after": after, "grace": grace, **self.fixed}
        self.cookie = CookieOptions(max_age=MAX_AGE)
        options = SessionOptions(
            secret="of the model check, and as long as it should be",
            cookie=self.cookie,
            unset="destroy" if unset else "keep",
            store_timeout=10**8,
            **given,
        )
        self.managers = [SessionManager(self.store, options, clock=self.clock) for _ in range(2)]
        self.arrive(0, 0, [("set", "a"), ("set", "b")])
        self.go_on(0)

    # ---------------------------------------------------------------- what may happen

    @rule(manager=st.integers(0, 1), cookie=st.integers(0, 9), acts=ACTS)
    def arrive(self, manager: int, cookie: int, acts: list[tuple[str, str]]) -> None:
        """A request comes, most often with one of the cookies there are, and goes as far as its first call of the store."""
        sid = [None, "nobody's"][cookie] if cookie < 2 else self.cookies[cookie % len(self.cookies)]
        request = Request()

        async def begin() -> None:
            request.task = asyncio.ensure_future(self.trip(request, self.managers[manager], sid, acts))
            self.requests.append(request)
            await _turns()

        self.run(begin())
        self.look()

    @precondition(lambda self: self.store.waiting)
    @rule(which=st.integers(0, 9))
    def go_on(self, which: int) -> None:
        """The store does one of the calls that wait, and its request goes on to its next call, or to its end."""
        call = self.store.waiting.pop(which % len(self.store.waiting))

        async def go() -> None:
            call.turn.set()
            await call.done.wait()
            await _turns()

        self.run(go())
        self.look()

    @precondition(lambda self: self.store.waiting)
    @rule(which=st.integers(0, 9))
    def go_on_more(self, which: int) -> None:
        """The same: most of a history is this."""
        self.go_on(which)

    @rule(step=st.sampled_from([1, 60, MAX_AGE // 2, MAX_AGE]), limit=st.integers(0, 3))
    def time_goes_by(self, step: int, limit: int) -> None:
        """And the sweeper takes away some of what has expired."""
        self.clock.forward(step)
        self.look()
        if limit and self.sweeps:
            self.run(self.inner.sweep(limit))
            self.look()

    def teardown(self) -> None:
        """All that is under way ends."""
        try:
            while self.store.waiting:
                self.go_on(0)
            assert all(request.task is not None and request.task.done() for request in self.requests), "a request hangs"
        finally:
            self.store.let_go()  # if something went wrong: what waits here would go on in the next history
            self.run(_ended(request.task for request in self.requests))

    # ---------------------------------------------------------------- how it happens

    async def trip(
        self, request: Request, manager: SessionManager, sid: str | None, acts: list[tuple[str, str]]
    ) -> None:
        """A request from its load to its commit, as the mixin makes it."""
        REQUEST.set(request)
        request.does = "load"
        state = manager.new(self.generate) if sid is None else await manager.load([sid], self.generate)
        session = manager.face(state)
        for what, key in acts:
            if state.end is None:
                assert dict(session) == request.view()
            if state.end in OPEN:
                request.does = what
                await self.act(request, session, state, what, key)
        request.does, request.calls = "commit", 0
        if (commit := manager.commit(state)) is not None:
            await commit
        if state.end in ("gone", "closed"):
            assert state.cookie_act == "keep"
        elif state.cookie_act == "clear":
            assert request.did & {"unset", "destroy"}
        elif state.cookie_act == "send":
            is_over = self.model.expires.get(state.id, 0) <= self.clock()  # the cookie is, too: the browser drops it
            assert state.id in self.model.rows or is_over or not request.calls, "a cookie for a session that is gone"
            self.cookies.append(state.id)

    async def act(self, request: Request, session: Session, state: SessionState, what: str, key: str) -> None:
        """What a handler does."""
        request.did.add(what)
        match what:
            case "set":
                session[key] = request.changes[key] = next(self.numbers)  # a value that nobody else has
                request.assigned.add(key)
            case "delete" if key in session:
                del session[key]
                request.assigned.discard(key)
                request.changes.pop(key, None)
                request.changes |= {key: MISSING} if key in request.base else {}
            case "unset" if state.end is None:
                state.over("unset")
            case "touch":
                session.touch()
            case _ if what in VERBS:
                await self.verb(request, session, state, what)

    async def verb(self, request: Request, session: Session, state: SessionState, what: str) -> None:
        """What a handler awaits."""
        old, had_row = session.id, state.end is not None or state.base is not None
        try:
            await getattr(session, what)(*[_increment] if what == "mutate" else [])
        except NoSession:
            assert what in {"mutate", "save"}
            assert state.end in ("gone", "closed")
        if what == "regenerate":
            request.stored({})
            request.assigned.clear()
        if what == "rotate" and had_row and state.base is None:
            request.goes_on_alone(session)
        if what in {"regenerate", "rotate"}:
            assert state.end is None
            assert session.id != old
            assert old not in self.model.rows

    def generate(self) -> tuple[str, StoredCookie]:
        """A fresh id and a cookie."""
        return f"id-{next(self.numbers)}", StoredCookie.new(self.cookie, self.clock, is_secure=lambda: False)

    def note(self, verb: str, sid: str, args: tuple[Any, ...], outcome: Any) -> None:
        """What a call of the store means in the model."""
        request = REQUEST.get()
        request.calls += 1
        rows, expires = self.model.rows, self.model.expires
        adds = {"n": rows.get(sid, request.view()).get("n", 0) + 1} if request.does == "mutate" else {}
        match verb, outcome:
            case "get", _ if request.does == "load":
                request.stored(rows.get(sid, {}))
            case "destroy", _:
                self.model.end(sid)
            case "create" | "set", StoredSession():
                rows[sid] = request.stored(request.view() | adds)
                expires[sid] = args[0].expires_at
            case "update", (Outcome.SAVED, _) if closed_meta(args[0]) is not None:
                self.model.end(sid, args[0])
            case "update", (Outcome.SAVED, _) if args[0] == NOTHING:
                self.model.end(sid)
            case "update", (Outcome.SAVED, _):
                rows[sid] = self.merge(request, rows[sid], args[0]) | adds
                request.stored(rows[sid])
                expires[sid] = args[0].expires_at
            case "touch", (Outcome.SAVED, _):
                expires[sid] = args[0]
            case "rename", (Outcome.SAVED, _):
                new, record, _, tombstone = args
                rows[new] = request.stored(self.merge(request, rows[sid], record))
                expires[new] = record.expires_at
                self.model.end(sid, tombstone)

    def merge(self, request: Request, row: dict[str, Any], written: StoredSession) -> dict[str, Any]:
        """A row with the changes of a request, which is what it has written."""
        deleted = {key for key, value in request.changes.items() if value is MISSING}
        for each in self.requests:
            each.unsure |= deleted if each is not request else set()
        data = _data(written)
        request.changes |= {key: data.get(key, MISSING) for key in deleted & request.unsure}
        return _merged(row, request.changes)

    def look(self) -> None:
        """Nothing has gone wrong in a request, and the store holds what the model holds."""
        for request in self.requests:
            if request.task is not None and request.task.done():
                request.task.result()

        async def living() -> dict[str, StoredSession]:
            return {sid: row async for sid, row in self.inner.all()}

        self.model.compare(self.run(living()))


def _increment(data: dict[str, Any]) -> None:
    data["n"] = data.get("n", 0) + 1


async def _ended(tasks: Iterable[asyncio.Future[None] | None]) -> None:
    """Wait for tasks, and cancel those that hang."""
    with suppress(TimeoutError):
        async with asyncio.timeout(10):
            await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)


async def _turns() -> None:
    for _ in range(TURNS):
        await asyncio.sleep(0)


@contextmanager
def without_pauses() -> Iterator[None]:
    """No pause between two tries of a commit: it goes by the machine's clock, and the order of events by ours."""
    pause, queues.PAUSE = queues.PAUSE, 0
    try:
        yield
    finally:
        queues.PAUSE = pause


@contextmanager
def running() -> Iterator[Callable[[Any], Any]]:
    """What runs a coroutine, on a loop of its own."""
    with asyncio.Runner() as runner:
        yield runner.get_loop().run_until_complete


def check(name: str, folder: Path, *, histories: int, steps: int, shrink: bool = True, **options: Any) -> None:
    """Try histories on a store of tests/stores/support.py. Raises what goes wrong."""
    clock = MovableClock()
    tried = settings(
        deadline=None,
        database=None,
        max_examples=histories,
        stateful_step_count=steps,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink] if shrink else [Phase.generate],
    )
    with running() as run, without_pauses():
        make, _, sweeps = STORES[name]
        store = make(folder, clock)
        run(store.__aenter__())
        try:
            machine: Any = partial(
                Requests, store, clock, run, sweeps=sweeps, **options
            )  # typed as a class, called as one
            run_state_machine_as_test(machine, settings=tried)
        finally:
            run(store.__aexit__(None, None, None))
