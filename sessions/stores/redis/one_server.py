"""Owns the way to one server: over TCP, TLS or a socket of the file system, or to the master that Sentinel names."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from redis.asyncio import (
    Connection,
    ConnectionPool,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import NoScriptError

from ..base import RETRY_SECONDS, CircuitBreaker
from .errors import DRIVER, is_away
from .scripts import Script
from .servers import SEND_ONCE, scan_command
from .url import Target

_FRESH_SECONDS = 0.5
"""How long a connection may rest before the next call looks whether the server has closed it meanwhile."""


class OneServer:
    """One server, or the master of a Sentinel service. `seconds` is the limit of a call."""

    def __init__(self, target: Target, seconds: float) -> None:
        self._sentinel = _sentinel(target, seconds) if target.kind else None
        self._pool = _pool(target, self._sentinel)
        self._connections: dict[Script | None, _KeptConnection] = {}
        """One for each script, so that a write that hangs holds up no read; None: for every other command."""
        self._seconds = seconds
        self._breaker = CircuitBreaker(RETRY_SECONDS)

    @property
    def ready(self) -> bool:
        """True if the server has not failed in the last second."""
        return self._breaker.allows

    async def open(self) -> None:
        """Connect. Raises what redis-py raises if nobody answers."""
        await self._ask(None, "PING")

    async def close(self) -> None:
        """Close every connection."""
        for connection in self._connections.values():
            await connection.close()
        await self._pool.disconnect()
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                await sentinel.aclose()

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> list[Any]:
        """Return the replies of a script: one call."""
        try:
            replies: list[Any] = await self._ask(script, "EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:  # nothing was done; from now on the server knows it
            replies = await self._ask(script, "EVAL", script.text, len(keys), *keys, *args)
        return replies

    async def send(self, *command: Any) -> Any:
        """Return the reply to a command."""
        return await self._ask(None, *command)

    def reconnect(self) -> None:
        """Connect again before the next call, so that Sentinel is asked for the master."""
        for connection in self._connections.values():
            connection.is_stale = True

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """Yield the keys that match a pattern, in pages."""
        cursor: Any = 0
        while True:
            cursor, keys = await self._ask(None, *scan_command(cursor, pattern))
            yield keys
            if not int(cursor):
                return

    async def _ask(self, script: Script | None, *command: Any) -> Any:
        connection = self._connections.get(script)
        if connection is None:
            connection = self._connections[script] = _KeptConnection(self._pool, self._seconds)
        try:
            reply = await connection.ask(*command)
        except NoScriptError:
            raise
        except DRIVER as error:
            if is_away(error):
                self._breaker.trip()
                self.reconnect()
            raise
        self._breaker.reset()
        return reply


class _KeptConnection:
    """One connection of a pool, kept between calls, for one call after another."""

    def __init__(self, pool: ConnectionPool, seconds: float) -> None:
        self.is_stale = False
        """True if the next call must connect again."""
        self._pool = pool
        self._seconds = seconds
        self._connection: Any = None
        self._used = 0.0  # on time.monotonic()
        self._turn = asyncio.Lock()

    async def ask(self, *command: Any) -> Any:
        """Return the reply to a command. Raises what redis-py raises, and TimeoutError."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    connection = await self._connected()
                    await connection.send_command(*command)
                    reply = await connection.read_response()
            except NoScriptError:
                raise
            except BaseException:
                await self._drop()
                raise
            self._used = time.monotonic()
            return reply

    async def close(self) -> None:
        """Close the connection when the call that is under way has ended."""
        async with self._turn:
            await self._drop()

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*DRIVER):
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _connected(self) -> Any:
        if self.is_stale:
            self.is_stale = False
            await self._drop()
        if self._connection is not None and time.monotonic() - self._used > _FRESH_SECONDS:
            connection, self._connection = self._connection, None
            await self._pool.release(connection)  # the pool gives only what is still connected
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call] # redis-py's
        return self._connection


def _pool(target: Target, sentinel: Sentinel | None) -> ConnectionPool:
    ways: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": None, **SEND_ONCE, **target.login}
    if sentinel is not None:
        kind = SentinelManagedSSLConnection if target.tls else SentinelManagedConnection
        return SentinelConnectionPool(target.service, sentinel, connection_class=kind, **ways)  # type: ignore[no-untyped-call] # redis-py's
    if not target.addresses:
        return ConnectionPool(connection_class=UnixDomainSocketConnection, **ways)
    ((host, port),) = target.addresses
    return ConnectionPool(connection_class=SSLConnection if target.tls else Connection, host=host, port=port, **ways)


def _sentinel(target: Target, seconds: float) -> Sentinel:
    each = seconds / (len(target.addresses) + 1)  # so that one that hangs leaves time to ask the others
    tls = {name: value for name, value in target.login.items() if name.startswith("ssl_")}
    ways = {**SEND_ONCE, "socket_timeout": each, "socket_connect_timeout": each, "ssl": target.tls, **tls}
    return Sentinel(target.addresses, sentinel_kwargs={**ways, **target.sentinel_login})  # type: ignore[no-untyped-call] # redis-py's
