"""Owns the end of a process that has not closed its store: the driver's threads would keep the process alive for ever.

Python waits for such threads before it calls what `atexit` has registered. So a thread of our own, which Python waits
for as well, waits for the end of the main thread, and then closes what is open.
"""

import asyncio
import os
import threading
from typing import Protocol

PATIENCE = 1.0
"""Seconds to wait for each connection. The driver's thread has died if its loop ended before an answer of its."""


class Closable(Protocol):
    """What is closed at the end, on an event loop of its own."""

    async def close(self, patience: float | None = None) -> None:
        """Close it."""


_open: dict[Closable, threading.Thread] = {}
"""What is open, and the thread of its event loop. The driver's threads hold their connections just as long."""

_threads: list[threading.Thread] = []
"""The thread that waits, once there is something to close."""


def watch(closable: Closable) -> None:
    """Have something closed at the end of the process if it is still open then; `forget` it when it was closed."""
    _open[closable] = threading.current_thread()
    if not _threads:
        _threads.append(threading.Thread(target=_close_at_exit, name="closes SQLite files at exit", daemon=False))
        _threads[0].start()


def forget(closable: Closable) -> None:
    """Leave something alone that was closed."""
    _open.pop(closable, None)


def _close_at_exit() -> None:
    threading.main_thread().join()
    while _open:
        closable, thread = _open.popitem()
        if not thread.daemon:
            thread.join()  # it may serve on, although the main thread has ended
        asyncio.run(closable.close(PATIENCE))


def _begin_again() -> None:
    """A child process has neither the thread nor the files of its parent."""
    _open.clear()
    _threads.clear()


os.register_at_fork(after_in_child=_begin_again)
