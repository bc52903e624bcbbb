"""Owns the writes of one manager: how a session's record is created, updated, touched and removed.

`conflict = "overwrite"` writes blindly, as Express does; everything else compares and merges. What a record means to us
(a tombstone, an end) is judged here and in the manager, never in a store.
"""

from collections.abc import Awaitable, Callable, Iterable
from logging import DEBUG
from typing import Any, TypeAlias

from .clock import Clock
from .ends import End, Ends
from .errors import OptionsError, SessionError
from .formats import json_text
from .meta import HOPS, closed_meta, is_closed
from .observe import CREATED, DESTROYED, REUSED, Reporter
from .options import SessionOptions
from .policy import Performed
from .queues import CommitQueues, Queue, Step
from .state import Row, SessionState
from .store import Outcome, Store, StoredSession, Update, by_key, key_of, name_of, overwriting
from .turns import Turns
from .user_text import user_in

ID_TRIES = 3
"""Ids that are made before a new session is given up because each was taken."""

NOTHING = StoredSession(json_text.join('{"originalMaxAge":0,"expires":null,"path":"/"}', json_text.EMPTY), 0)
"""The record that removes a session if it is unchanged: it has expired already, and it has no data."""

Create: TypeAlias = Callable[[str, StoredSession], Awaitable[StoredSession | None]]
"""Inserts a row, as a store's `create` does."""


class Writes:
    """The writes to one store."""

    def __init__(self, store: Store, options: SessionOptions, clock: Clock, reporter: Reporter) -> None:
        self.reporter: Reporter = reporter
        """Where the verbs report what happens to a session."""
        self._store = store
        self._options = options
        self._clock = clock
        self._overwriting = overwriting(store) if options.conflict == "overwrite" else None
        if options.conflict == "overwrite" and self._overwriting is None:
            raise OptionsError(f'conflict: "overwrite" needs a store that can write blindly, unlike {name_of(store)}')
        self.is_blind: bool = self._overwriting is not None
        """Whether nothing is compared: `conflict = "overwrite"`."""
        self.ends: Ends = Ends()
        """Where the verbs report which sessions end in this process."""
        self.queues: CommitQueues = CommitQueues(store, self.is_over)
        """The commits of each session, one at a time."""
        self.turns: Turns = Turns()
        """The work on large sessions, one at a time."""

    def is_free(self, row: Row) -> bool:
        """Return True if a write of a row need not wait: there is none yet, or no other commit has the turn."""
        return row.base is None or self.queues.is_free(row.id)

    def is_over(self, record: StoredSession) -> bool:
        """Return True for a tombstone: its session goes on under another id."""
        return is_closed(record, self._clock())

    async def write(self, state: SessionState, record: StoredSession, row: Row) -> Performed:
        """Store the session as it was when `record` was made, in the row that it had then."""
        if self._overwriting is not None:
            state.saved(record, await self._overwriting.set(row.id, record), row)
            return "saved"
        return await (self.create(state, record, row) if row.base is None else self._update(state, record, row))

    async def create(
        self,
        state: SessionState,
        record: StoredSession,
        row: Row,
        create: Create | None = None,
        *,
        is_taken: bool = False,
    ) -> Performed:
        """Insert a new session, under another id where its own is taken. Raises SessionError after three of them.

        `is_taken` says that the store was asked of the first one, and has it already.
        """
        create = create or self._store.create
        for number in range(ID_TRIES):
            made = None if is_taken and number == 0 else await create(row.id, record)
            if made is not None:
                self.created(state, record, made, row)
                return "saved"
            if row.base is not None:  # a save() of the same request, beside this one, was first
                return await self._update(state, state.to_store(), row)
            if row is not state.row:
                return "saved"  # the session goes on without it
            state.take_new_id()  # that one belongs to another visitor, and is never shared
            row.id = state.id
        raise SessionError(f"genid returned an id that is taken, {ID_TRIES} times")

    def created(self, state: SessionState, record: StoredSession, made: StoredSession, row: Row) -> None:
        """Take over a session that was inserted."""
        self.reporter.note(CREATED, row.id, DEBUG)
        state.saved(record, made, row)

    def ask(self, row: Row, record: StoredSession) -> Awaitable[Any]:
        """Ask the store to create a row or to update it. What is awaited has the result of that verb, and its error."""
        if row.base is None:
            return self._store.create(row.id, record)
        return self._store.update(row.id, record, row.base)

    async def go_on(self, state: SessionState, row: Row, queue: Queue, first: Update) -> Performed:
        """Go on, in its turn, with an update that has met a conflict at first."""
        return performed(await self.queues.go_on(row.id, queue, known(row), self._step_of(state, row), first))

    async def _update(self, state: SessionState, record: StoredSession, row: Row) -> Performed:
        base = known(row)
        return performed(await self.queues.commit(row.id, base, self._step_of(state, row, base, record)))

    def _step_of(
        self, state: SessionState, row: Row, base: StoredSession | None = None, record: StoredSession | None = None
    ) -> Step:
        """Return what tries an update: with `record` while `base` is there, else with what a merge makes."""

        async def step(expected: StoredSession) -> Update:
            if record is not None and expected is base:
                sent = record
            elif state.stays_in(row):
                sent = await self.turns.on(state, expected)
            else:
                return Update(Outcome.SAVED, expected)  # the verb behind this one takes the change along, or ends it
            update = await self._store.update(row.id, sent, expected)
            if update.record is not None and update.outcome is Outcome.SAVED:
                state.saved(sent, update.record, row)
            return update

        return step

    async def touch(self, state: SessionState) -> Performed:
        """Move the expiry of the row to that of the session."""

        async def step(expected: StoredSession) -> Update:
            update = await self._store.touch(state.row.id, state.expires_at(), expected)
            if update.record is None:
                return update
            if update.outcome is Outcome.SAVED:
                state.touched(update.record)
            elif not self._options.rolling and not self.is_over(update.record):
                return update._replace(outcome=Outcome.SAVED)  # whoever changed the row has moved its expiry too
            return update

        return performed(await self.queues.until_agreed(known(state.row), step))

    async def keep_alive(self, state: SessionState) -> Update:
        """Move the expiry of a socket's row, whatever the row holds by now. GONE: as `CommitQueues` has it."""

        async def step(expected: StoredSession) -> Update:
            update = await self._store.touch(state.row.id, state.expires_at(), expected)
            if update.record is not None and update.outcome is Outcome.SAVED and expected is state.base:
                state.touched(update.record)
            return update

        return await self.queues.until_agreed(known(state.row), step)

    # ---------------------------------------------------------------- an end

    async def reused(self, state: SessionState) -> None:
        """Report that a replaced value of a session's cookie came, and end the session as `reuse` says."""
        path = self._options.user_path
        user = None if path is None else user_in(state.data.text, path)
        self.reporter.note(REUSED, state.id, user=user)
        if self._options.reuse == "end":
            await self.end(state.row, ())

    async def end(self, row: Row, others: Iterable[str]) -> None:
        """End the session of a row, and those of the other verified ids in the request: a sign-out is the browser's."""
        self.tell(row.id)
        await self._remove(row.id, row.base)
        self.reporter.note(DESTROYED, row.id)
        for sid in others:
            found = await self._store.get(sid)
            if found is not None:
                self.tell(sid)
                await self._remove(sid, found)
                self.reporter.note(DESTROYED, sid)

    async def _remove(self, sid: str, base: StoredSession | None) -> None:
        """End the session of an id, and its successor if it goes on under another id by now.

        A blind delete would remove the tombstone only, and the session would live on.
        """
        if base is None or self._overwriting is not None:
            await self._store.destroy(sid)
            return
        store, key, expected = self._store, sid, base
        for _ in range(HOPS):
            if not self.is_over(expected):
                update = await self._replaced(store, key, expected, lambda _: NOTHING)
                if update.outcome is Outcome.SAVED:
                    await store.destroy(key)  # a Node server's touch would bring an expired row back
                if update.record is None:
                    return
                expected = update.record
            meta = closed_meta(expected) or {}
            await store.destroy(key)
            store, key = by_key(self._store), str(meta.get("next", ""))
            found = await store.get(key) if key else None
            if found is None:
                return
            self.ends.ended(key)
            expected = found

    async def close(self, sid: str, base: StoredSession, tombstone: Callable[[StoredSession], StoredSession]) -> None:
        """Replace the row of an id that its session leaves, whatever it holds by now, by a tombstone made for it."""
        await self._replaced(self._store, sid, base, tombstone)

    async def _replaced(
        self, store: Store, key: str, base: StoredSession, record: Callable[[StoredSession], StoredSession]
    ) -> Update:
        async def step(expected: StoredSession) -> Update:
            update = await store.update(key, record(expected), expected)
            return update._replace(record=None) if update.outcome is Outcome.SAVED else update

        return await self.queues.commit(key, base, step)

    def tell(self, sid: str, end: End = "ended") -> None:
        """Report that the session of an id ends in this process."""
        if self.ends.watcher is not None:
            self.ends.ended(self.key_of(sid), end)

    def key_of(self, sid: str) -> str:
        """Return the key of an id."""
        return key_of(self._store, sid)


def known(row: Row) -> StoredSession:
    """Return what is stored in a row. Raises SessionError where nothing is."""
    if row.base is None:
        raise SessionError("a session that is not stored has nothing to update")
    return row.base


def performed(update: Update) -> Performed:
    """Return what became of a write: gone with a record is a tombstone."""
    if update.outcome is not Outcome.GONE:
        return "saved"
    return "gone" if update.record is None else "closed"
