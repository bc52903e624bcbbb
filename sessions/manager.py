"""Owns the trip of a session between a request and the store: `load` at its start, `commit` at its end.

`commit` asks the session for its facts, lets the policy decide, performs the plan, and hands the outcome back. What a
handler awaits in between (`save`, `rotate`, …) follows below. Ids come in verified; the cookie leaves by
`state.cookie_act`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from logging import DEBUG
from typing import Any, TypeVar

from .checked_store import checked
from .clock import Clock, now_ms
from .errors import NoSession, OptionsError, SessionError, StoreUnavailable
from .formats.signing import Signer
from .observe import CREATED, DESTROYED, RENEWED, UNKNOWN, note
from .options import SessionOptions
from .policy import Performed, Plan, decide
from .queues import CommitQueues
from .rotation import ID_TRIES, Rotation
from .session import Session
from .state import END_MESSAGES, Generate, SessionState
from .store import Outcome, Store, StoredSession, Update, is_ready, name_of, overwriting
from .timeout import Deadline
from .validation import secrets_of

Result = TypeVar("Result")


class SessionManager:
    """What an application's handlers share: a store, the options, a clock. The application's setting `sessions` has it.

    `clock` returns milliseconds since the epoch. Raises OptionsError if the store lacks a power that an option needs.
    """

    def __init__(self, store: Store, options: SessionOptions, *, clock: Clock = now_ms) -> None:
        self.store = store
        self.options = options
        self.clock = clock
        self.signer = Signer(options.keys)
        self.has_warned = False
        """Whether the log has said already why a Secure cookie was withheld."""
        self._store = checked(store)
        self._overwriting = overwriting(self._store) if options.conflict == "overwrite" else None
        if options.conflict == "overwrite" and self._overwriting is None:
            raise OptionsError(
                f'conflict: "overwrite" needs a store that writes blindly, and {name_of(store)} does not'
            )
        self._in_time = Deadline(options.store_timeout / 1000, name_of(store)).keep
        self._queues = CommitQueues(self._store)
        self._rotation = Rotation(self._store, self._queues, self._in_time, self._start)
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_ready(self) -> bool:
        """True if the store is up, as far as it knows without asking."""
        return is_ready(self._store)

    def use_secrets(self, secret: str | bytes | list[str | bytes] | tuple[str | bytes, ...]) -> None:
        """Sign and verify with other secrets from now on: the first signs, all verify. Raises OptionsError."""
        self.signer = Signer(secrets_of(secret))

    # ---------------------------------------------------------------- the trip

    async def load(self, sid: str, generate: Generate) -> SessionState:
        """Return the session of a verified id; for an unknown or an expired one a new session under a fresh id.

        Raises StoreError, and CorruptSession for a row that is no session.
        """
        if not self.is_ready:
            raise StoreUnavailable("the store is not ready")
        record = await self._in_time(self._store.get(sid))
        if record is not None:
            state = SessionState.loaded(self.options, self.clock, generate, sid, record)
            if not state.is_too_old:
                return state
            await self._in_time(self._store.destroy(sid))  # a Node server that has moved its expiry would still know it
        note(UNKNOWN, sid)
        return self.new(generate, sid)

    def commit(self, state: SessionState, *, ends: bool = True) -> Awaitable[None] | None:
        """Perform what the end of a request, or (`ends` False) the first bytes of a stream, ask for; None: nothing.

        Raises at once what the handler did wrong (DataError, HeadersSent, CorruptSession); the awaitable raises
        StoreError. Afterwards `state.cookie_act` says what the response does to the browser's cookie.
        """
        plan = decide(state.facts(), self.options, ends=ends)
        if plan.refuses:
            state.check_can_send()
        if plan.cookie == "send":
            state.cookie.check()  # before anything is stored that no browser could be told of
        if plan.renews:
            state.renew()
        if plan.change == "nothing":
            state.settle(plan, "saved")
            return None
        return self._in_time(self._perform(state, plan, None if plan.change == "destroy" else state.to_store()))

    async def _perform(self, state: SessionState, plan: Plan, record: StoredSession | None) -> None:
        outcome: Performed = "saved"
        if plan.change == "touch":
            outcome = await self._touch(state)
        elif record is None:
            await self._destroy(state.id)
        else:
            outcome = await self._write(state, record)
        state.settle(plan, outcome)

    def new(self, generate: Generate, sid: str | None = None) -> SessionState:
        """Return a new session, for a browser that has sent no id, or the id of a session that is gone."""
        return SessionState.new(self.options, self.clock, generate, sid)

    def face(self, state: SessionState) -> Session:
        """Return what a handler gets to see of a session."""
        return Session(state, self)

    # ---------------------------------------------------------------- the writes

    async def _write(self, state: SessionState, record: StoredSession) -> Performed:
        """Store the session as it was when `record` was made."""
        if self._overwriting is not None:
            state.saved(record, await self._overwriting.set(state.id, record))
            return "saved"
        return await (self._create(state, record) if state.base is None else self._update(state, record))

    async def _create(self, state: SessionState, record: StoredSession) -> Performed:
        for _ in range(ID_TRIES):
            made = await self._store.create(state.id, record)
            if made is not None:
                note(CREATED, state.id, DEBUG)
                state.saved(record, made)
                return "saved"
            if state.base is not None:  # a save() of the same request, beside this one, was first
                return await self._update(state, state.to_store())
            state.restart(keep=True)  # the id belongs to another visitor, and is never shared
        raise SessionError(f"genid returned an id that is taken, {ID_TRIES} times")

    async def _update(self, state: SessionState, record: StoredSession) -> Performed:
        sid = state.id
        base = _base(state)

        async def step(expected: StoredSession) -> Update:
            sent = record if expected is base else state.on(expected)
            update = await self._store.update(sid, sent, expected)
            if update.record is not None and update.outcome is Outcome.SAVED:
                state.saved(sent, update.record)
            return update

        return _performed(await self._queues.commit(sid, base, step))

    async def _touch(self, state: SessionState) -> Performed:
        async def step(expected: StoredSession) -> Update:
            update = await self._store.touch(state.id, state.expires_at(), expected)
            if update.outcome is Outcome.CONFLICT and not self.options.rolling:
                return update._replace(outcome=Outcome.SAVED)  # whoever changed the row has moved its expiry too
            if update.record is not None and update.outcome is Outcome.SAVED:
                state.touched(update.record)
            return update

        return _performed(await self._queues.until_agreed(_base(state), step))

    async def _destroy(self, sid: str) -> None:
        await self._store.destroy(sid)
        note(DESTROYED, sid)

    # ---------------------------------------------------------------- what a handler awaits

    async def save(self, state: SessionState) -> None:
        """Write the session now, whether or not it was changed. Its lifetime does not start again."""
        if state.end is not None:
            return
        if state.base is None:
            state.check_can_send()
        outcome = await self._in_time(self._write(state, state.to_store()))
        if outcome == "gone":
            state.over("gone")

    async def destroy(self, state: SessionState) -> None:
        """End the session at once, whatever the store answers, and delete its row."""
        state.over("destroyed")
        try:
            await self._in_time(self._destroy(state.id))
        except Exception:
            state.failed()
            raise

    async def regenerate(self, state: SessionState) -> None:
        """Delete the row, and go on as a new session once it is gone."""
        state.check_can_send()
        try:
            await self._in_time(self._store.destroy(state.id))
        except BaseException:
            if self.options.conflict != "overwrite":
                state.failed()
            raise
        note(RENEWED, state.id)
        state.restart(keep=False)

    async def rotate(self, state: SessionState) -> None:
        """Move the row to a new id, with what this request has changed, in one step of the store (rotation.py)."""
        await self._rotation.rotate(state)

    async def reload(self, state: SessionState) -> None:
        """Read the session again, and drop what was changed here."""
        record = await self._in_time(self._store.get(state.id))
        if record is None or state.is_too_old:
            raise SessionError("failed to load session")
        state.read(record)

    async def mutate(self, state: SessionState, change: Callable[[dict[str, Any]], Result]) -> Result:
        """Read, change and write as one step: compare and set, whatever `conflict` says."""
        if state.base is not None:
            return await self._in_time(self._mutate(state, state.base, change))
        state.check_can_send()  # nobody else knows the id yet
        before = state.data.current()
        try:
            result = change(state.values)
            await self._in_time(self._create(state, state.to_store()))
        except BaseException:
            state.data.restore(before)
            raise
        return result

    async def _mutate(
        self, state: SessionState, base: StoredSession, change: Callable[[dict[str, Any]], Result]
    ) -> Result:
        results: list[Result] = []

        async def step(expected: StoredSession) -> Update:
            state.on(expected)
            before = state.data.current()
            try:
                results[:] = [change(state.values)]
                sent = state.to_store()
                update = await self._store.update(state.id, sent, expected)
            except BaseException:
                state.data.restore(before)
                raise
            if update.record is not None and update.outcome is Outcome.SAVED:
                state.saved(sent, update.record)
            else:
                state.data.restore(before)
            return update

        if (await self._queues.commit(state.id, base, step)).outcome is Outcome.GONE:
            state.over("gone")
            raise NoSession(f"no session: {END_MESSAGES['gone']}")
        return results[0]

    # ---------------------------------------------------------------- work in the background

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps no strong reference to a task
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop the work in the background: before the store closes, after the last request."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def _base(state: SessionState) -> StoredSession:
    if state.base is None:
        raise SessionError("a session that is not stored has nothing to update")
    return state.base


def _performed(update: Update) -> Performed:
    return "gone" if update.outcome is Outcome.GONE else "saved"
