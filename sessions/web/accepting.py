"""Owns a pause in `accept()`: a process that has no descriptors left lets new connections wait in the kernel.

Tornado asks again at once, for ever, with a traceback each time. This file must not know what is served.
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

log: logging.Logger = logging.getLogger("sessions")

EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""The errors of accept() that pass when somebody closes what they hold (accept(2))."""

PAUSE_SECONDS = 1.0
"""Until the next try. Clients wait meanwhile; the kernel keeps as many as the backlog of the socket."""

AT_ONCE = 128
"""Connections that are taken before the loop goes on: Tornado's number (netutil.py, add_accept_handler)."""


class PausingAcceptor:
    """Takes the connections of a listening socket, with pauses while there are no descriptors, and says so once."""

    def __init__(self, listening: socket.socket, callback: Callable[[socket.socket, Any], None]) -> None:
        self._listening = listening
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._resuming: asyncio.TimerHandle | None = None
        self._is_stopped = False
        self._has_warned = False
        self._start()

    def stop(self) -> None:
        """Take no more. The socket stays open."""
        self._is_stopped = True
        self._loop.remove_reader(self._listening)
        if self._resuming is not None:
            self._resuming.cancel()

    def _start(self) -> None:
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, address = self._listening.accept()
            except BlockingIOError:
                self._has_warned = False  # all that waited were taken: the next time is another
                return
            except ConnectionAbortedError:
                continue  # the client has left the queue
            except OSError as error:
                if error.errno not in EXHAUSTED:
                    raise
                self._pause(error)
                return
            self._callback(connection, address)
            if self._is_stopped:
                return

    def _pause(self, error: OSError) -> None:
        if not self._has_warned:
            log.warning("new connections have to wait until others are closed: %s", error.strerror)
            self._has_warned = True
        self._loop.remove_reader(self._listening)
        self._resuming = self._loop.call_later(PAUSE_SECONDS, self._start)
