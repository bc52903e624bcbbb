"""Owns the way to MongoDB: one client, its settings, and the calls of requests, which spare a server that is away.

pymongo's public API only. It has one time limit for a whole call (`timeoutMS`), which the server gets too, so that it
gives up as well. It tries again what MongoDB makes safe to repeat: reads, and, on a replica set, a write of one
document, which the server knows by a number and performs once ("retryable writes").

pymongo looks for a server until the limit, also where nobody listens: in a replica set another one may take over. So
that not every visitor waits for as long while nobody is there, a call gets a shorter limit until one has succeeded.
"""

import logging
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import pymongo
from pymongo.errors import AutoReconnect, NetworkTimeout

from ..base import RETRY_SECONDS, CircuitBreaker
from .documents import CODEC
from .errors import DRIVER, is_away
from .url import Target

_COMMANDS = logging.getLogger("pymongo.command")
"""Where pymongo logs each command with its documents, at the level DEBUG."""

_AGAIN = 0.5
"""Seconds that a call may take if the one before has found nobody. A server that is slow has its whole time."""

Result = TypeVar("Result")


class Connection:
    """A client on the running event loop. `milliseconds` is the limit of a call."""

    def __init__(self, target: Target, collection: str, milliseconds: float) -> None:
        if _COMMANDS.level == logging.NOTSET:
            _COMMANDS.setLevel(logging.INFO)  # ids and sessions are in it; who sets DEBUG there has asked for it
        self.client: Any = target.client(milliseconds)
        self.database: Any = self.client.get_database(target.database, codec_options=CODEC)
        self.sessions: Any = self.database.get_collection(collection)
        self._limit = milliseconds / 1000
        self._breaker = CircuitBreaker(RETRY_SECONDS)
        self._error: Exception | None = None  # why the server is left alone

    @property
    def ready(self) -> bool:
        """True if the server has not failed in the last second."""
        return self._breaker.allows

    async def close(self) -> None:
        """Close the client."""
        await self.client.close()

    async def ask(self, call: Awaitable[Result]) -> Result:
        """Return the result of a request's call. Raises what pymongo raises, at once if the server has just failed."""
        found_nobody = self._error is not None and not isinstance(self._error, NetworkTimeout)
        limit = min(self._limit, _AGAIN) if found_nobody else self._limit
        if self._error is not None and not self._breaker.allows:
            call.close()  # type: ignore[attr-defined] # a coroutine, which is not begun
            raise self._error
        end = time.monotonic() + limit
        try:
            with pymongo.timeout(limit):
                result = await call
        except DRIVER as error:
            if is_away(error) or (isinstance(error, AutoReconnect) and time.monotonic() >= end):
                self._error = error
                self._breaker.trip()
            raise
        self._breaker.reset()
        self._error = None
        return result
