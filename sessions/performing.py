"""Owns the performing of a plan: what is done to the store, and what its outcome means for the session.

Most commits are one create or one update. The store is asked at once then (`BegunCommit`), and an answer goes on in a
callback of the store's Future: no task has to be made that waits for it. A commit that cannot begin at once (another
one of its session has the turn), that is observed, or that does something else is a coroutine.
"""

import asyncio
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from typing import Any

from .observe import COOKIE_RENEWED, DROPPED, Commit
from .policy import Performed, Plan
from .queues import Queue
from .state import Row, SessionState
from .store import Outcome, StoredSession
from .timeout import Deadline
from .writes import Writes, performed

Settle = Callable[[Performed], None]
"""Hands over what became of a plan."""


class Performing:
    """Performs the plans of one manager."""

    def __init__(self, writes: Writes, deadline: Deadline) -> None:
        self._writes = writes
        self._reporter = writes.reporter
        self._deadline = deadline
        self._begins = not writes.is_blind and not writes.reporter.has_observers

    def perform(self, state: SessionState, plan: Plan) -> Awaitable[None]:
        """Do to the store what a plan of this step says. Raises at once what cannot be stored, and later StoreError."""
        record = None if plan.change in ("destroy", "touch") else state.to_store(state.encoded)
        settle = partial(self._settle, state, plan, state.cookie_value if plan.new_value else "")
        if record is not None and self._begins and self._writes.is_free(state.row):
            return BegunCommit(self._writes, self._deadline, state, record, settle)
        performing = self._perform(state, plan, record, settle)
        if self._reporter.has_observers:
            return self._reporter.timed(partial(Commit, plan.change), lambda _: "done", self._deadline.keep, performing)
        return self._deadline.keep(performing)

    async def _perform(self, state: SessionState, plan: Plan, record: StoredSession | None, settle: Settle) -> None:
        outcome: Performed = "saved"
        if plan.change == "touch":
            outcome = await self._writes.touch(state)
        elif record is None:
            await self._writes.end(state.row, state.others)
        else:
            outcome = await self._writes.write(state, record, state.row)
        settle(outcome)

    def _settle(self, state: SessionState, plan: Plan, value: str, outcome: Performed) -> None:
        if outcome == "saved":
            if plan.new_value and value == state.cookie_value:  # of parallel requests one has made it
                self._reporter.note(COOKIE_RENEWED, state.id)
        else:
            if plan.change in ("create", "update"):
                self.note_dropped(state)
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

    One of the two has to be done, once: an update has the turn of its session until then. `settle` is called with what
    became of it. The deadline is that of the whole commit, with all that follows a conflict.
    """

    __slots__ = ("_began", "_deadline", "_queue", "_record", "_row", "_settle", "_state", "_writes", "call")

    def __init__(
        self, writes: Writes, deadline: Deadline, state: SessionState, record: StoredSession, settle: Settle
    ) -> None:
        self._writes = writes
        self._deadline = deadline
        self._state = state
        self._record = record
        self._row: Row = state.row
        self._settle = settle
        call = deadline.keep(writes.ask(self._row, record))  # a store of ours hands back a Future
        self.call: asyncio.Future[Any] = call if type(call) is asyncio.Future else asyncio.ensure_future(call)
        """Done when the store has answered, or at the deadline."""
        self._began = self.call.get_loop().time()
        # it is taken behind the call: one that raises has no turn to give back
        self._queue: Queue | None = None if self._row.base is None else writes.queues.enter(self._row.id)

    def finish(self) -> Awaitable[None] | None:
        """Take over the store's answer. Returns what is to be awaited after a conflict; None: all is done.

        Raises what the store has raised.
        """
        outcome = self._created() if self._queue is None else self._updated(self._queue)
        if outcome is None:
            return self._deadline.keep_rest(self._began, self._go_on())
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
            outcome = await self._writes.create(self._state, self._record, self._row, is_taken=True)
        else:
            outcome = await self._writes.go_on(self._state, self._row, self._queue, self.call.result())
        self._settle(outcome)

    def __await__(self) -> Generator[Any, Any, None]:
        return self._wait().__await__()

    async def _wait(self) -> None:
        cancelled: asyncio.CancelledError | None = None
        try:
            await self.call
        except asyncio.CancelledError as error:  # who cancels the wait cancels the call, unless it has just been done
            cancelled = error
        except Exception:  # noqa: BLE001, S110 # `finish` raises it
            pass
        rest = self.finish()
        if rest is not None:
            await rest
        if cancelled is not None:
            raise cancelled
