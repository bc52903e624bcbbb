"""Owns work that no request waits for. It must not know what the work is."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Background:
    """Tasks that run until they are done, or until `close`."""

    def __init__(self) -> None:
        self.tasks: set[asyncio.Task[None]] = set()
        """Those that run."""

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Start a task."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)  # the loop itself keeps no strong reference to a task
        task.add_done_callback(self.tasks.discard)

    async def close(self) -> None:
        """Cancel what still runs, and wait until it has ended."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
