"""Owns the order of commits: in one process the commits of a session come one at a time, and conflicts have an end.

Each commit leaves the record that it wrote to the next, which merges on it at once instead of meeting a conflict in the
store. So conflicts come from other processes only.
"""

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable

from .errors import StoreError
from .store import Outcome, Store, StoredSession, Update, name_of

Step = Callable[[StoredSession], Awaitable[Update]]
"""Tries a write on the record that is expected in the store."""

TRIES = 100
"""Writes of one commit that may meet a conflict, before the store is said never to agree."""

PAUSE = 0.05
"""Seconds of the longest pause between two of them. A pause lets other requests go on, and spreads the processes."""


class Queue:
    """The commits of one session that wait, and the record that the last one wrote."""

    __slots__ = ("newest", "waiting")

    def __init__(self) -> None:
        self.newest: StoredSession | None = None
        self.waiting: deque[asyncio.Future[None]] = deque()


class CommitQueues:
    """The queues of one process on one store, by session id.

    `is_over` says of a record that its session goes on elsewhere (a tombstone): such a record is never merged on.
    """

    def __init__(self, store: Store, is_over: Callable[[StoredSession], bool]) -> None:
        self._store = store
        self._is_over = is_over
        self._queues: dict[str, Queue] = {}

    async def commit(self, sid: str, base: StoredSession, step: Step) -> Update:
        """Try a write when it is its turn: first on the record that the commit before it has left, else on `base`.

        Returns GONE with the record if that is a tombstone.
        """
        queue = self._queues.get(sid)
        if queue is None:
            queue = self.enter(sid)
        else:
            await self._turn(sid, queue)
        newest = queue.newest
        expected = base if newest is None or newest.same_as(base) else newest
        return await self.go_on(sid, queue, expected, step)

    def is_free(self, sid: str) -> bool:
        """Return True if nobody has the turn."""
        return sid not in self._queues

    def enter(self, sid: str) -> Queue:
        """Take the turn, which nobody has. Whoever has had it has to `leave`."""
        queue = self._queues[sid] = Queue()
        return queue

    async def go_on(
        self, sid: str, queue: Queue, expected: StoredSession, step: Step, first: Update | None = None
    ) -> Update:
        """Try a write in its turn, and give the turn to the next. `first` is what became of the first try."""
        try:
            if queue.newest is not None and self._is_over(queue.newest):
                return Update(Outcome.GONE, queue.newest)
            update = await self.until_agreed(expected, step, first)
            if update.outcome is Outcome.SAVED:
                queue.newest = update.record
            return update
        finally:
            self.leave(sid, queue)

    async def until_agreed(self, expected: StoredSession, step: Step, first: Update | None = None) -> Update:
        """Try a write until the store agrees on what it expects. Raises StoreError when it never does."""
        for number in range(TRIES):
            update = await step(expected) if first is None else first
            first = None
            if update.outcome is not Outcome.CONFLICT or update.record is None:
                return update
            if self._is_over(update.record):
                return Update(Outcome.GONE, update.record)
            expected = update.record
            await asyncio.sleep(random.uniform(0, min(PAUSE, number / 1000)))  # noqa: S311 # it spreads the tries
        raise StoreError(f"{name_of(self._store)}: met a conflict {TRIES} times; nothing was saved")

    async def _turn(self, sid: str, queue: Queue) -> None:
        """Wait for the turn. Whoever has had it has to leave."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(sid, queue)  # the turn came together with the cancellation
            raise

    def leave(self, sid: str, queue: Queue) -> None:
        """Give the turn to the next commit."""
        while queue.waiting:
            turn = queue.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        del self._queues[sid]
