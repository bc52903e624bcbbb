"""Owns the verbs of a handler: each acts on the session object at once, and on the store soon.

A verb that is called does to the object what can be done without the store, and raises the caller's own errors there.
The rest is a task, and the tasks of one session run one after the other (pending.py).
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Literal, TypeVar

from .errors import NoSession, SessionError
from .formats.signing import Signer
from .login import Login
from .pending import Verb
from .policy import no_session
from .rotation import Rotation
from .sign_ins import SignIns
from .state import Row, SessionState
from .store import Outcome, Store, StoredSession, Update
from .timeout import InTime
from .turns import decode_if_large
from .writes import Writes, known, performed

Result = TypeVar("Result")
ENDED_HERE = ("destroyed", "unset")
"""Ends that a handler has asked for."""


class SessionVerbs:
    """What `self.session` does, for the sessions of one manager."""

    def __init__(self, store: Store, writes: Writes, rotation: Rotation, sign_ins: SignIns, in_time: InTime) -> None:
        self._store = store
        self._writes = writes
        self._rotation = rotation
        self._sign_ins = sign_ins
        self._in_time = in_time
        self._running: set[asyncio.Task[Any]] = set()

    def _start(self, state: SessionState, work: Coroutine[Any, Any, Result]) -> Verb[Result]:
        verb = state.verbs().start(state.fingerprint, work)
        self._running.add(verb.task)
        verb.task.add_done_callback(self._running.discard)
        return verb

    async def settled(self) -> None:
        """Wait for the verbs of all sessions that are under way."""
        while self._running:
            await asyncio.wait(self._running)

    def save(self, state: SessionState) -> Verb[None]:
        """Write the session as it is now, whether or not it was changed. On a WebSocket its lifetime starts again.

        Raises NoSession if the session is over, and HeadersSent if it is new and its cookie cannot be sent any more.
        """
        self._check_lives(state)
        if state.end is None and state.base is None and not state.renamed:
            state.check_can_send()
        if state.is_socket:
            state.cookie.touch()
        row, record = state.row, None if state.end is not None else state.to_store()

        async def work() -> None:
            if record is None or _is_superseded(state, row):
                return
            if state.end is not None:
                self._check_lives(state)
                return
            outcome = await self._in_time(self._writes.write(state, record, row))
            if outcome in ("gone", "closed"):
                self._found_over(state, row, outcome)
                self._check_lives(state)

        return self._start(state, work())

    def destroy(self, state: SessionState) -> Verb[None]:
        """End the session at once, whatever the store answers, and delete its row: in this browser for good."""
        row, others = state.row, state.others
        state.over("destroyed")
        self._writes.tell(row.id)

        async def work() -> None:
            try:
                await self._in_time(self._writes.end(row, others))
            except BaseException:
                state.failed()
                raise

        return self._start(state, work())

    def regenerate(self, state: SessionState) -> Verb[None]:
        """Go on as a new session under a new id, and end the row of the old one."""
        state.check_can_send()
        return self._start(state, self._rotation.regenerate(state))

    def rotate(self, state: SessionState) -> Verb[None]:
        """Go on under a new id with the same data, and move the row there."""
        state.check_can_send()
        if state.end is None:
            state.to_store()  # raises the handler's own errors at the call
        return self._start(state, self._rotation.rotate(state))

    def sign_in(self, state: SessionState, login: Login, signer: Signer) -> Verb[None]:
        """Go on under a new id as the session of a user."""
        self._sign_ins.path()
        state.check_can_send()
        return self._start(state, self._sign_ins.sign_in(state, login, signer))

    def confirm(self, state: SessionState, stamp: str | None) -> Verb[None]:
        """Go on under a new id, signed in now."""
        state.check_can_send()
        return self._start(state, self._sign_ins.confirm(state, stamp))

    def sign_out(self, state: SessionState, *, everywhere: bool) -> Verb[None]:
        """End the session, or every session of its user."""
        return self._start(state, self._sign_ins.sign_out(state, everywhere=everywhere))

    def reload(self, state: SessionState) -> Verb[None]:
        """Read the session again when its turn comes, and drop what was changed here."""
        row = state.row

        async def work() -> None:
            if row is not state.row or state.end in ENDED_HERE:
                return
            record = await self._in_time(self._store.get(row.id))
            if record is not None:
                await self._writes.turns.take(record.data)
            if record is None or state.is_too_old or state.end == "closed" or self._writes.is_over(record):
                error = SessionError if row.base is None else partial(NoSession, is_over=True)
                raise error("failed to load session")  # Express's words
            state.read(record)
            decode_if_large(state)

        return self._start(state, work())

    def mutate(self, state: SessionState, change: Callable[[dict[str, Any]], Result]) -> Verb[Result]:
        """Read, change and write as one step when its turn comes: compare and set, whatever `conflict` says.

        Raises TypeError if `change` is a coroutine function.
        """
        if inspect.iscoroutinefunction(change):
            raise TypeError("mutate() takes a plain function: it may run again, and nothing may come in between")
        self._check_lives(state)
        if state.base is None:
            state.check_can_send()
        row, data = state.row, state.data

        async def work() -> Result:
            if _is_superseded(state, row):
                return _changed(change, data.values)
            self._check_lives(state)
            if row.base is not None:
                return await self._in_time(self._mutate(state, row, change))  # type: ignore[no-any-return] # Result
            before = state.data.current()  # nobody else knows the id yet
            try:
                result = _changed(change, state.values)
                await self._in_time(self._writes.create(state, state.to_store(), row))
            except BaseException:
                state.data.restore(before)
                raise
            return result

        return self._start(state, work())

    async def _mutate(self, state: SessionState, row: Row, change: Callable[[dict[str, Any]], Result]) -> Result:
        results: list[Result] = []
        data = state.data

        async def step(expected: StoredSession) -> Update:
            if _is_superseded(state, row):
                results[:] = [_changed(change, data.values)]
                return Update(Outcome.SAVED, expected)
            await self._writes.turns.on(state, expected)
            await self._writes.turns.take(expected.data, is_next=True)
            if state.is_socket:
                state.cookie.touch()
            before = state.data.current()
            try:
                results[:] = [_changed(change, state.values)]
                sent = state.to_store()
                update = await self._store.update(row.id, sent, expected)
            except BaseException:
                state.data.restore(before)
                raise
            if update.record is not None and update.outcome is Outcome.SAVED:
                state.saved(sent, update.record, row)
            else:
                state.data.restore(before)
            return update

        outcome = performed(await self._writes.queues.commit(row.id, known(row), step))
        if outcome in ("gone", "closed"):
            self._found_over(state, row, outcome)
            self._check_lives(state, strict=True)
        return results[0]

    def _found_over(self, state: SessionState, row: Row, outcome: Literal["gone", "closed"]) -> None:
        """Note what a write has found. Of a tombstone the watch learns by itself whether a socket goes on with it."""
        state.over(outcome)
        if outcome == "gone":
            self._writes.tell(row.id)

    def _check_lives(self, state: SessionState, *, strict: bool = False) -> None:
        """Raise NoSession if the session is over; Express's save() of one is silent."""
        if state.end is not None and (strict or not self._writes.is_blind):
            raise no_session(state.end)


def _is_superseded(state: SessionState, row: Row) -> bool:
    """Return True if a verb that was called later takes along what is to be written to a row, or ends it."""
    return state.end in ENDED_HERE or not state.stays_in(row)


def _changed(change: Callable[[dict[str, Any]], Result], values: dict[str, Any]) -> Result:
    result = change(values)
    if inspect.isawaitable(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError("mutate() takes a plain function, and this one has returned an awaitable")
    return result
