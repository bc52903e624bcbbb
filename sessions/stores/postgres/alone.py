"""Owns which writes share a batch and which go alone.

A rename goes alone, since its statement may share no transaction. So does a write that a batch could not do: its row
is bad, or another transaction has locked it. While such a call is under way, further calls for its ids go alone too, so
that no batch waits for their rows. This file must not know how a job is performed.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from ..batching import Batcher, Job

ALONE = object()
"""The outcome of a job in a batch that was rolled back: it may be right by itself."""


class Writes:
    """Takes the writes of a store.

    A call that goes alone runs in its caller's task. So a job that nobody waits for is not begun, and a statement ends
    when its caller's deadline has passed.
    """

    def __init__(self, batches: Batcher, perform: Callable[[Job], Awaitable[Any]]) -> None:
        self._batches = batches
        self._perform = perform
        self._alone: set[str] = set()

    async def add(self, job: Job) -> Any:
        """Perform a job. Returns its outcome."""
        if job.new is None and job.sid not in self._alone:
            outcome = await self._batches.add(job)
            if outcome is not ALONE:
                return outcome
        ids = {job.sid, job.new or job.sid} - self._alone
        self._alone |= ids
        try:
            return await self._perform(job)
        finally:
            self._alone -= ids
