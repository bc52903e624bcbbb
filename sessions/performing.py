"""Owns the performing of a plan: what is done to the store, and what its outcome means for the session.

Most commits are one create or one update, of which the store is asked at once (`BegunCommit`), so that nobody has to
wait for it in a task.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

from .observe import COOKIE_RENEWED, DROPPED, Commit
from .policy import Performed, Plan
from .queues import Queue
from .state import Row, SessionState
from .store import Outcome, StoredSession
from .timeout import InTime
from .writes import Writes, performed


class Performing:
    """Performs the plans of one manager."""

    def __init__(self, writes: Writes, in_time: InTime) -> None:
        self._writes = writes
        self._reporter = writes.reporter
        self._in_time = in_time

    def perform(self, state: SessionState, plan: Plan) -> Awaitable[None]:
        """Do to the store what a plan says. Raises at once what cannot be stored; what is awaited raises StoreError."""
        record = None if plan.change in ("destroy", "touch") else state.to_store()
        settle = partial(self._settle, state, plan, state.cookie_value if plan.new_value else "")
        if record is not None and not self._writes.is_blind and not self._reporter.has_observers:
            queue = None if state.base is None else self._writes.queues.enter(state.row.id)
            if queue is not None or state.base is None:
                return BegunCommit(self._writes, self._in_time, state, record, queue, settle)
        performing = self._perform(state, plan, record, settle)
        if self._reporter.has_observers:
            return self._reporter.timed(partial(Commit, plan.change), lambda _: "done", self._in_time, performing)
        return self._in_time(performing)

    async def _perform(
        self, state: SessionState, plan: Plan, record: StoredSession | None, settle: Callable[[Performed], None]
    ) -> None:
        outcome: Performed = "saved"
        if plan.change == "touch":
            outcome = await self._writes.touch(state)
        elif record is None:
            await self._writes.end(state.row, state.others)
        else:
            outcome = await self._writes.write(state, record, state.row)
        settle(outcome)

    def _settle(self, state: SessionState, plan: Plan, value: str, outcome: Performed) -> None:
        if plan.change in ("create", "update") and outcome in ("gone", "closed"):
            self.note_dropped(state)
        elif plan.new_value and value == state.cookie_value:  # of parallel requests one has made it
            self._reporter.note(COOKIE_RENEWED, state.id)
        if outcome == "gone":
            self._writes.tell(state.row.id)
        state.settle(plan, outcome)

    def note_dropped(self, state: SessionState) -> None:
        """Report that a change was dropped, once for each id of the session: a stream commits twice."""
        if state.dropped_id != state.id:
            state.dropped_id = state.id
            self._reporter.note(DROPPED, state.id)


class BegunCommit:
    """A create or an update of which the store was asked. Await it, or call `finish` when `call` is done.

    `queue` is that of an update, which has the turn there. `settle` is called once, with what became of it.
    """

    __slots__ = ("_in_time", "_queue", "_record", "_row", "_settle", "_state", "_writes", "call")

    def __init__(
        self,
        writes: Writes,
        in_time: InTime,
        state: SessionState,
        record: StoredSession,
        queue: Queue | None,
        settle: Callable[[Performed], None],
    ) -> None:
        self._writes = writes
        self._in_time = in_time
        self._state = state
        self._record = record
        self._row: Row = state.row
        self._queue = queue
        self._settle = settle
        self.call: asyncio.Future[Any] = asyncio.ensure_future(
            in_time(writes.ask(self._row, record))  # a store of ours hands back a Future, which stays what it is
        )
        """Done when the store has answered."""

    def finish(self) -> Awaitable[None] | None:
        """Take over the store's answer. Returns what is to be awaited after a conflict; None: all is done.

        Raises what the store has raised.
        """
        outcome = self._created() if self._queue is None else self._updated(self._queue)
        if outcome is None:
            return self._in_time(self._go_on())
        self._settle(outcome)
        return None

    def _created(self) -> Performed | None:
        made = self.call.result()
        if made is None:
            return None
        self._writes.created(self._state, self._record, made, self._row)
        return "saved"

    def _updated(self, queue: Queue) -> Performed | None:
        update = None
        try:
            update = self.call.result()
            if update.outcome is Outcome.SAVED:
                queue.newest = update.record
                self._state.saved(self._record, update.record, self._row)
        finally:
            if update is None or update.outcome is not Outcome.CONFLICT:
                self._writes.queues.leave(self._row.id, queue)
        return None if update.outcome is Outcome.CONFLICT else performed(update)

    async def _go_on(self) -> None:
        """Go on after a conflict, or under another id."""
        if self._queue is None:
            outcome = await self._writes.create(self._state, self._record, self._row)
        else:
            outcome = await self._writes.go_on(self._state, self._record, self._row, self._queue, self.call.result())
        self._settle(outcome)

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        with suppress(Exception, asyncio.CancelledError):  # who cancels the wait cancels the call, and `finish` says so
            await self.call
        rest = self.finish()
        if rest is not None:
            await rest
