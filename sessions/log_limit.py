"""Owns a limit for a line of the log that visitors cause: the first of a minute are written, then how many more came.

After a change of the secret every visitor has a cookie that no secret has signed. This file must not know sessions.
"""

import asyncio
import logging
from contextvars import Context

log: logging.Logger = logging.getLogger("sessions")

PERIOD_SECONDS = 60.0
"""From a line until the next one: log collectors count by the minute."""


LINES = 5
"""Lines of a period that are written: enough to tie a few to their requests, too few to hide others."""


class LogLimit:
    """The lines of one event."""

    def __init__(self, event: str, seconds: float = PERIOD_SECONDS, lines: int = LINES) -> None:
        self._event = event
        self._seconds = seconds
        self._lines = lines
        self._written = 0
        self._left_out = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def takes(self) -> bool:
        """Return True if a line is to be written now, False if it is counted instead."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:  # an older loop has taken its timer with it
            self.close()
            self._loop = loop
        if self._timer is None:
            self._timer = loop.call_later(self._seconds, self.close, context=Context())  # of no request
            self._written = 0
        if self._written < self._lines:
            self._written += 1
            return True
        self._left_out += 1
        return False

    def close(self) -> None:
        """Write how many lines were left out; the next one is written again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._left_out:
            log.info("%s: %d more within %g s", self._event, self._left_out, self._seconds)
            self._left_out = 0
