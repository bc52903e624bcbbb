"""Owns the trip of a session between a request and the store: `load` at its start, `commit` at its end.

`commit` asks the session for its facts, lets the policy decide, performs the plan, and hands the outcome back. How a
record is written is in writes.py, what a handler calls in between is in verbs.py. The ids that come in are verified;
`state.cookie_act` says what the response does to the cookie.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any

from .background import Background
from .checked_store import check_at_rest, checked
from .clock import Clock, now_ms
from .ends import Ends
from .errors import StoreError, StoreUnavailable
from .formats import json_text
from .formats.signing import Signer
from .log_limit import LogLimit
from .login import Login, Stamp, User, is_stamp, stamp_text, user_of
from .observe import (
    AMBIGUOUS,
    REVOKED,
    TAMPERED,
    UNKNOWN,
    Load,
    Observer,
    Reporter,
    SessionEvent,
    StoreReady,
)
from .observed_store import observed
from .options import SessionOptions
from .pending import Verb
from .performing import Performing
from .policy import NOTHING, Facts, Plan, decide, no_session
from .progress import Generate, no_new_id
from .renewal import NO_TAG, NO_TAGS, TagsOf
from .rotation import Rotation
from .session import Session
from .sign_ins import SignIns
from .state import SessionState
from .store import Store, StoredSession, by_key, is_ready, name_of
from .timeout import Deadline
from .turns import LARGE, decode_if_large, is_large
from .users import SessionInfo, UserSessions, checked_user
from .validation import secrets_of
from .verbs import SessionVerbs
from .writes import Writes, performed


class SessionManager:
    """Gives the handlers of an application their sessions, by a store, the options and a clock: the setting `sessions`.

    `clock` returns milliseconds since the epoch. `observer`, one or several, is called with what happens to sessions
    and their store (observe/events.py). Raises OptionsError if the store lacks a power that an option needs.
    """

    def __init__(
        self,
        store: Store,
        options: SessionOptions,
        *,
        clock: Clock = now_ms,
        observer: Observer | Sequence[Observer] = (),
    ) -> None:
        check_at_rest(store, options)
        self.store: Store = store
        self.options: SessionOptions = options
        self.clock: Clock = clock
        self.signer: Signer = Signer(options.keys)
        self.warned: set[str] = set()
        """What the log has said once and does not repeat."""
        self.tampered: LogLimit = LogLimit(TAMPERED)
        """Lets so many lines of that event into the log: every visitor can cause it, as often as they like."""
        self.reporter: Reporter = Reporter(observer)
        """Where an event goes to the log and to the observers."""
        self.background: Background = Background()
        """Tasks that no request waits for."""
        self._store = observed(checked(store), self.reporter)
        deadline = Deadline(options.store_timeout / 1000, name_of(store))
        self._in_time = deadline.keep
        self._writes = Writes(self._store, options, clock, self.reporter)
        self._users = UserSessions(self._store, options, clock, self._writes.ends)
        self._plans: dict[tuple[Facts, bool], Plan] = {}  # that were decided: a few dozen
        self._noted_path = self._users.noted_path
        self._performing = Performing(self._writes, deadline)
        rotation = Rotation(self._store, self._writes, clock, options.grace_ms, self._in_time, self.background.start)
        sign_ins = SignIns(self._store, self._writes, rotation, options, self._in_time, self.revoke_all)
        self._verbs = SessionVerbs(self._store, self._writes, rotation, sign_ins, self._in_time)
        if options.user_path is not None:
            with contextlib.suppress(RuntimeError):  # no loop runs yet, so no store is open, and it looks when it is
                asyncio.get_running_loop()
                self.background.start(self._users.ask_once())

    @property
    def is_ready(self) -> bool:
        """True if the store is up, as far as it knows without asking."""
        return is_ready(self._store)

    async def check_store(self) -> bool:
        """Ask the store for a session that nobody has. Returns True if it answers; False if it is away, or too slow."""
        is_ready = self.is_ready
        try:
            if is_ready:
                await self._in_time(self._store.get("?"))
        except StoreError:
            is_ready = False
        self.reporter.report(StoreReady(is_ready))
        return is_ready

    def use_secrets(self, secret: str | bytes | list[str | bytes] | tuple[str | bytes, ...]) -> None:
        """Sign and verify with other secrets from now on: the first signs, all verify. Raises OptionsError."""
        self.signer = Signer(secrets_of(secret))

    # ---------------------------------------------------------------- the trip

    def load(
        self, sids: Sequence[str], generate: Generate, tags: TagsOf = NO_TAGS, waited: float = 0
    ) -> Awaitable[SessionState]:
        """Return the session of the first verified id that has a living one, else a new session under a fresh id.

        A replaced one of its `tags` gets none, as it was `waited` milliseconds ago, when the request began. What is
        awaited raises StoreError, and CorruptSession for a bad row.
        """
        if self.reporter.reports_loads:
            return self.reporter.timed(Load, SessionState.load_outcome, self._load, sids, generate, tags, waited)
        return self._load(sids, generate, tags, waited)

    async def _load(self, sids: Sequence[str], generate: Generate, tags: TagsOf, waited: float) -> SessionState:
        store = self._store
        if not is_ready(store):
            raise StoreUnavailable("the store is not ready")
        is_one = len(sids) == 1
        asked: Awaitable[Any] = (
            store.get(sids[0]) if is_one else asyncio.gather(*map(store.get, sids))
        )  # in one step, if it batches
        answer = await self._in_time(asked)
        found: SessionState | None = None
        replaced: tuple[str, ...] = ()
        for sid, record in zip(sids, (answer,) if is_one else answer, strict=True):
            if record is None:
                continue
            waits = len(record.data) >= LARGE
            state = await self._in_turn(sid, record, generate) if waits else self._loaded(sid, record, generate)
            if state.end == "gone":
                await self._forget(sid, record)
            elif not state.present(tags.get(sid, NO_TAG), waited):
                replaced += (sid,)
                await self._in_time(self._writes.reused(state))
            elif found is None or (found.end is not None and state.end is None):
                found = state
            elif state.end is None:
                self.reporter.note(AMBIGUOUS, sid)
        if found is None:
            if not replaced:
                self.reporter.note(UNKNOWN, sids[0])
            return self.new(generate, sids[0])
        return found if is_one else found.with_others(sids, replaced)

    def commit(self, state: SessionState, *, ends: bool = True) -> Awaitable[None] | None:
        """Write what the session has changed to the store. Returns None if that is nothing.

        `ends` is False for the first bytes of a stream. Raises at once what the handler did wrong (DataError,
        HeadersSent, CorruptSession), which the awaitable raises for a large session; it raises StoreError too.
        Afterwards `state.cookie_act` says what the response does to the browser's cookie.
        """
        if state.pending is not None:
            return self._commit_behind(state, ends=ends)
        if is_large(state) and not (self._writes.turns.is_mine() and state.data.is_untouched):
            return self._commit_in_turn(state, ends=ends)
        return self._commit(state, ends=ends)

    def _commit(self, state: SessionState, *, ends: bool) -> Awaitable[None] | None:
        facts = state.facts()
        plan = self._plans.get((facts, ends))
        if plan is None:
            plan = self._plans[facts, ends] = decide(facts, self.options, ends=ends)
        if plan is not NOTHING:
            if plan.refuses:
                state.check_can_send()
            if plan.cookie == "send":
                state.cookie.check()  # before anything is stored that no browser would know
            if plan.renews:
                state.renew()
            if plan.new_value:
                state.take_new_value()
            if plan.change != "nothing":
                return self._performing.perform(state, plan)
        state.settle(plan, "saved")
        if state.end in ("gone", "closed") and state.is_changed:
            self._performing.note_dropped(state)
        return None

    async def _commit_behind(self, state: SessionState, *, ends: bool) -> None:
        """Commit when the verbs that the handler has called are done. Raises a failure that nobody has seen."""
        await state.verbs().settled()
        commit = self.commit(state, ends=ends)
        if commit is not None:
            await commit

    async def _commit_in_turn(self, state: SessionState, *, ends: bool) -> None:
        await self._writes.turns.take(state.data.text)
        commit = self._commit(state, ends=ends)
        if commit is not None:
            await commit

    def _loaded(self, sid: str, record: StoredSession, generate: Generate) -> SessionState:
        """Return the session of a record, judged, for a handler."""
        state = self.judged(sid, record, generate)
        if self._noted_path is not None and state.end is None:
            state.look_for_user(self._noted_path)
        return state

    async def _in_turn(self, sid: str, record: StoredSession, generate: Generate) -> SessionState:
        """Return the same of a record that may be large, in its turn."""
        await self._writes.turns.take(record.data)
        state = self._loaded(sid, record, generate)
        decode_if_large(state)
        return state

    async def _forget(self, sid: str, record: StoredSession) -> None:
        """Remove the row of a session of which nothing is left, unless it is a tombstone."""
        if not self._writes.is_over(record):
            await self._in_time(self._store.destroy(sid))  # a Node server that moved its expiry would still know it

    def judged(self, sid: str, record: StoredSession, generate: Generate) -> SessionState:
        """Return the session of a record. Its `end` says whether it lives: the one rule, for a request and a socket.

        closed: the record is a tombstone that counts. gone: nothing is left of it. Raises CorruptSession.
        """
        state = SessionState.loaded(self.options, self.clock, generate, sid, record)
        if state.meta.row and self._writes.is_over(record):
            state.data.read(json_text.EMPTY)
            state.over("closed" if state.meta.closed_until > self.clock() else "gone")
        elif state.is_too_old:
            state.over("gone")
        return state

    def new(self, generate: Generate, sid: str | None = None) -> SessionState:
        """Return a new session, for a browser that has sent no id, or the id of a session that is gone."""
        state = SessionState.new(self.options, self.clock, generate, sid)
        if self._noted_path is not None:
            state.noted_path = self._noted_path
        return state

    def face(self, state: SessionState) -> Session:
        """Return the `Session` that a handler uses."""
        return Session(state, self._verbs)

    # ---------------------------------------------------------------- the user of a session

    def user_of(self, state: SessionState) -> User | None:
        """Return the user of a session, as its data has it; None for nobody. Raises CorruptSession."""
        if state.end is not None and state.end != "failed":
            return None
        return user_of(state.values, self.options.user_path) if state.is_readable else None

    def sign_in(self, state: SessionState, login: Login) -> Verb[None]:
        """Go on under a new id as the session of a user: `SessionMixin.sign_in`."""
        checked_user(login.user)
        return self._verbs.sign_in(state, login, self.signer)

    def confirm(self, state: SessionState, stamp: Stamp | None = None) -> Verb[None]:
        """Go on under a new id, signed in now: `SessionMixin.confirm`."""
        return self._verbs.confirm(state, None if stamp is None else stamp_text(self.signer, stamp))

    def sign_out(self, state: SessionState, *, everywhere: bool) -> Verb[None]:
        """End a session, or every session of its user: `SessionMixin.sign_out`."""
        return self._verbs.sign_out(state, everywhere=everywhere)

    async def keep_if_stamped(self, state: SessionState, stamp: Stamp | None) -> bool:
        """Return True if a session has this stamp, or gets it now; end the session if it has another one.

        None says that there is no such user. Raises StoreError, and CorruptSession if `__meta` is not ours.
        """
        kept = state.meta.get("stamp")
        if stamp is not None and (kept is None or is_stamp(self.signer, stamp, kept)):
            text = stamp_text(self.signer, stamp)
            if text != kept:  # by an older secret, which may go
                state.set_meta(stamp=text)
            return True
        await self._verbs.sign_out(state, everywhere=False)
        return False

    # ---------------------------------------------------------------- the sessions of a user

    async def sessions_of(self, user: str | int, current: Session | None = None) -> list[SessionInfo]:
        """Return the sessions of a user, the last sign-in first; `current` is marked in it.

        Raises DataError for what is no user, OptionsError without `userKey`, and StoreError.
        """
        return await self._users.listed(user, current)

    async def revoke(self, user: str | int, handle: str) -> int:
        """End the session of a user that has a handle of `sessions_of`. Returns how many ended: 0 if it is over.

        Another user's handle ends nothing. Raises as `sessions_of` does.
        """
        ended = await self._users.revoke(user, handle)
        if ended:
            self.reporter.report(SessionEvent(REVOKED, str(user), handle[:8]))
        return ended

    async def revoke_all(self, user: str | int, keep: Session | None = None) -> int:
        """End all sessions of a user, but for one to keep. Returns how many ended.

        No session lives afterwards if its sign-in was answered before the call. A request to Express that is under way
        can bring its own session back, and so can `conflict = "overwrite"`. Raises as `sessions_of` does.
        """
        ended = await self._users.revoke_all(user, keep)
        if ended:
            self.reporter.report(SessionEvent(REVOKED, str(user), None))
        return ended

    # ---------------------------------------------------------------- outside a request

    @contextlib.asynccontextmanager
    async def open(self, sid: str) -> AsyncIterator[Session]:
        """Open a session by its bare id, outside a request: `async with manager.open(sid) as session`.

        `sid` comes from `session.id`, never from a visitor. What was changed is committed at the end; an exception
        commits nothing. The lifetime does not start again, and no new id can be made. Raises NoSession if the session
        is gone, before or meanwhile, and StoreError.
        """
        record = await self._in_time(self._store.get(sid))
        if record is None:
            raise no_session("gone")
        state = await self._in_turn(sid, record, no_new_id)
        if state.end == "gone":
            await self._forget(sid, record)
        if state.end is not None:
            raise no_session(state.end)
        state.seal()
        yield self.face(state)
        if state.pending is not None:
            await state.verbs().settled()
        await self._writes.turns.take(state.data.text)
        if state.is_dirty():
            outcome = await self._in_time(self._writes.write(state, state.to_store(), state.row))
            if outcome in ("gone", "closed"):
                raise no_session(outcome)

    # ---------------------------------------------------------------- sockets, for watch.py

    @property
    def ends(self) -> Ends:
        """Where the verbs report which sessions end in this process."""
        return self._writes.ends

    def key_of(self, sid: str) -> str:
        """Return the key of an id: what the store has as its id."""
        return self._writes.key_of(sid)

    async def rows(self, keys: Sequence[str]) -> list[StoredSession | BaseException | None]:
        """Return the rows under some keys, in their order, with what failed in the place of a row.

        Raises StoreUnavailable if the store is down.
        """
        if not self.is_ready:
            raise StoreUnavailable("the store is not ready")
        get = by_key(self._store).get
        return await self._in_time(asyncio.gather(*map(get, keys), return_exceptions=True))

    async def row_of(self, sid: str) -> StoredSession | None:
        """Return the row of an id, by whatever hash it is stored. Raises StoreError, and CorruptSession."""
        return await self._in_time(self._store.get(sid))

    async def keep_alive(self, state: SessionState) -> int:
        """Start the lifetime of a stored session again. Returns its new end; 0 if it is over. Raises StoreError."""
        state.cookie.touch()
        update = await self._in_time(self._writes.keep_alive(state))
        outcome = performed(update)
        if outcome in ("gone", "closed"):
            state.over(outcome)
            if outcome == "gone":
                self._writes.tell(state.row.id)
            return 0
        return state.expires_at() if update.record is None else update.record.expires_at

    # ---------------------------------------------------------------- the end

    async def close(self) -> None:
        """Wait for the verbs under way, and stop the work in the background. Call it before the store closes."""
        if self.ends.watcher is not None:
            self.ends.watcher.close()
        await self._verbs.settled()
        self.tampered.close()
        await self.background.close()
