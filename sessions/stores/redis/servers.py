"""Owns the way to Redis: connections to one server, to the master that Sentinel names, or to every master of a cluster.

redis-py's public API only. Nothing is tried again: a write whose reply was lost may have taken effect, and would be
done twice. One time limit holds for a whole call, connecting included, which costs less than redis-py's own for every
socket operation; a connection whose call was cut short is closed, so its late reply reaches nobody. What a script does
is not known here.
"""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, Protocol

from redis.asyncio import (
    Connection,
    ConnectionPool,
    RedisCluster,
    SentinelConnectionPool,
    SentinelManagedConnection,
    SentinelManagedSSLConnection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisClusterException, RedisError, ResponseError

from ...errors import StoreError, StoreUnavailable
from .scripts import Script
from .url import Target

DRIVER = (RedisError, RedisClusterException, OSError, ValueError)
"""What redis-py raises: ValueError for what it cannot make sense of. TimeoutError, ours, is an OSError."""

_FRESH = 0.5
"""Seconds for which a connection is used again without a look whether the server has closed it meanwhile."""

_RETRY_SECONDS = 1.0

_NODE_RETRY = 0.25
"""Seconds for which a node of a cluster that did not answer is left alone; the other nodes are asked all the same."""

_NODE_CALLS = 16
"""How many calls one node is asked at a time, each on a connection of its own."""

_PAGE = 500

_NEVER_AGAIN: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "protocol": 2}


class Servers(Protocol):
    """One server, or as many as there are."""

    @property
    def ready(self) -> bool:
        """Whether somebody answers, or it is time to try again."""

    def lane(self, key: bytes) -> str:
        """Which server keeps a key; calls of different lanes need not wait for each other."""

    async def open(self) -> None:
        """Raise StoreError where nobody answers."""

    async def close(self) -> None:
        """Close every connection."""

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> list[Any]:
        """The replies of a script for keys of one lane. A StoreError may stand in the place of one of them."""

    def refusal(self, text: bytes) -> StoreError:
        """The error for a command of a script that the server has refused in these words."""

    def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        """The keys of all servers that match a pattern and hold a string, in pages; a key may come twice."""


def connect(target: Target, seconds: float) -> Servers:
    """The way to what a URL names; nothing is opened yet."""
    return _Cluster(target, seconds) if target.kind == "cluster" else _Server(target, seconds)


# -------------------------------------------------------------------- one server


class _Server:
    def __init__(self, target: Target, seconds: float) -> None:
        self._place = target.place
        self._sentinel = _sentinel(target, seconds) if target.kind else None
        self._pool = _pool(target, self._sentinel)
        self._lines: dict[Script | None, _Line] = {}  # one for each script: a write that hangs holds up no read
        self._seconds = seconds
        self._retry_at = 0.0  # on time.monotonic(), after nobody has answered

    @property
    def ready(self) -> bool:
        return time.monotonic() >= self._retry_at

    def lane(self, _key: bytes) -> str:
        return ""

    async def open(self) -> None:
        await self._ask(None, "PING")

    async def close(self) -> None:
        for line in self._lines.values():
            await line.close()
        await self._pool.disconnect()
        if self._sentinel is not None:
            for sentinel in self._sentinel.sentinels:
                await sentinel.aclose()

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> list[Any]:
        try:
            replies: list[Any] = await self._ask(script, "EVALSHA", script.sha, len(keys), *keys, *args)
        except NoScriptError:  # nothing was done; from now on the server knows it
            replies = await self._ask(script, "EVAL", script.text, len(keys), *keys, *args)
        return replies

    def refusal(self, text: bytes) -> StoreError:
        error = refused(self._place, text.decode(errors="replace"))
        if isinstance(error, StoreUnavailable):
            self._doubt()  # a master that has become a replica, say: another one may have taken its place
        return error

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        cursor: Any = 0
        while True:
            cursor, keys = await self._ask(None, *_scan(cursor, pattern))
            yield keys
            if not int(cursor):
                return

    def _doubt(self) -> None:
        for line in self._lines.values():
            line.doubt()

    async def _ask(self, script: Script | None, *command: Any) -> Any:
        line = self._lines.get(script)
        if line is None:
            line = self._lines[script] = _Line(self._pool, self._seconds)
        try:
            reply = await line.ask(*command)
        except NoScriptError:
            raise
        except DRIVER as error:
            if is_away(error):
                self._retry_at = time.monotonic() + _RETRY_SECONDS
                self._doubt()
            raise translated(self._place, error) from error
        self._retry_at = 0.0
        return reply


class _Line:
    """One connection of a pool, kept between calls, for one call after another."""

    def __init__(self, pool: ConnectionPool, seconds: float) -> None:
        self._pool = pool
        self._seconds = seconds
        self._connection: Any = None
        self._used = 0.0
        self._is_doubtful = False
        self._turn = asyncio.Lock()

    async def ask(self, *command: Any) -> Any:
        """The reply to a command. Raises what redis-py raises, and TimeoutError."""
        async with self._turn:
            try:
                async with asyncio.timeout(self._seconds):
                    connection = await self._connected()
                    await connection.send_command(*command)
                    reply = await connection.read_response()
            except NoScriptError:
                raise
            except BaseException:
                await self.drop()
                raise
            self._used = time.monotonic()
            return reply

    async def drop(self) -> None:
        """Close the connection; the next call looks anew where the server is."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(*DRIVER):
                await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    def doubt(self) -> None:
        """See to it that the next call looks anew."""
        self._is_doubtful = True

    async def close(self) -> None:
        async with self._turn:
            await self.drop()

    async def _connected(self) -> Any:
        if self._is_doubtful:
            self._is_doubtful = False
            await self.drop()
        if self._connection is not None and time.monotonic() - self._used > _FRESH:
            connection, self._connection = self._connection, None
            await self._pool.release(connection)  # the pool hands out only what is still connected
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call] # redis-py's
        return self._connection


def _pool(target: Target, sentinel: Sentinel | None) -> ConnectionPool:
    ways: dict[str, Any] = {"socket_timeout": None, "socket_connect_timeout": None, **_NEVER_AGAIN, **target.login}
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
    ways = {**_NEVER_AGAIN, "socket_timeout": each, "socket_connect_timeout": each, "ssl": target.tls, **tls}
    return Sentinel(target.addresses, sentinel_kwargs={**ways, **target.sentinel_login})  # type: ignore[no-untyped-call] # redis-py's


# -------------------------------------------------------------------- a cluster


class _Cluster:
    """Each key is a call of its own: a script's keys must share a slot, and a pipeline takes no EVALSHA."""

    def __init__(self, target: Target, seconds: float) -> None:
        self._place = target.place
        self._client = RedisCluster(
            startup_nodes=[ClusterNode(*address) for address in target.addresses],
            socket_timeout=0.8 * seconds,  # before ours: so that redis-py learns of it, and asks who the masters are
            socket_connect_timeout=0.8 * seconds,
            require_full_coverage=False,  # while some slots have no master the others are served
            reinitialize_steps=0,  # a slot that has moved is learnt by itself; to start anew would cut other calls off
            max_connections=2 * _NODE_CALLS,
            ssl=target.tls,
            **_NEVER_AGAIN,
            **target.login,
        )
        self._seconds = seconds
        self._left_alone: dict[str, tuple[float, StoreError]] = {}
        self._places: dict[str, asyncio.Semaphore] = {}

    @property
    def ready(self) -> bool:
        now = time.monotonic()
        return not self._left_alone or any(
            self._left_alone.get(str(node.name), (0.0,))[0] <= now for node in self._client.get_primaries()
        )

    def lane(self, key: bytes) -> str:
        try:
            node = self._client.get_node_from_key(key)  # type: ignore[arg-type] # bytes do as well
        except DRIVER as error:
            raise translated(self._place, error) from error
        return "" if node is None else str(node.name)

    async def open(self) -> None:
        await self._in_time(self._client.initialize())

    async def close(self) -> None:
        await self._client.aclose()

    async def run(self, script: Script, keys: Sequence[bytes], args: Sequence[Any]) -> list[Any]:
        each = len(args) // len(keys)
        rows = [args[n * each : (n + 1) * each] for n in range(len(keys))]
        calls = (self._one(script, key, row) for key, row in zip(keys, rows, strict=True))
        return await asyncio.gather(*calls, return_exceptions=True)

    def refusal(self, text: bytes) -> StoreError:
        return refused(self._place, text.decode(errors="replace"))

    async def scan(self, pattern: bytes) -> AsyncIterator[list[bytes]]:
        for node in self._client.get_primaries():
            cursor: Any = 0
            while True:
                command = _scan(cursor, pattern)
                cursors, keys = await self._in_time(self._client.execute_command(*command, target_nodes=node))
                yield keys
                (cursor,) = cursors.values()
                if not cursor:
                    break

    async def _one(self, script: Script, key: bytes, args: Sequence[Any]) -> Any:
        lane = self.lane(key)
        async with self._places.setdefault(lane, asyncio.Semaphore(_NODE_CALLS)):
            until, known = self._left_alone.get(lane, (0.0, None))
            if known is not None and time.monotonic() < until:
                raise StoreUnavailable(str(known)) from known
            try:
                (reply,) = await self._in_time(self._evaluate(script, key, args))
            except StoreError as error:
                if error.__cause__ is not None and is_away(error.__cause__):
                    self._left_alone[lane] = (time.monotonic() + _NODE_RETRY, error)
                raise
            self._left_alone.pop(lane, None)
            return reply

    async def _evaluate(self, script: Script, key: bytes, args: Sequence[Any]) -> Any:
        try:
            return await self._client.execute_command("EVALSHA", script.sha, 1, key, *args)
        except NoScriptError:
            return await self._client.execute_command("EVAL", script.text, 1, key, *args)

    async def _in_time(self, call: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self._seconds):
                return await call
        except DRIVER as error:
            raise translated(self._place, error) from error


def _scan(cursor: Any, pattern: bytes) -> tuple[Any, ...]:
    return ("SCAN", cursor, "MATCH", pattern, "COUNT", _PAGE, "TYPE", "string")


# -------------------------------------------------------------------- errors

_TROUBLE = {
    "LOADING", "BUSY", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN", "READONLY", "OOM", "MISCONF", "NOREPLICAS", "NOAUTH",
    "WRONGPASS", "UNBLOCKED",
}  # fmt: skip
"""The codes of refusals that may pass: the server's state is at fault, not the command."""

_AWAY = {"BUSY", "MASTERDOWN", "CLUSTERDOWN"}
"""Those of them that meet every command."""

_ELSEWHERE = {"MOVED", "ASK", "CROSSSLOT"}
_CODE = re.compile(r"(?:@user_script: ?\d+: )?-?([A-Z]{2,}) ")  # Redis 6.2 says first where in the script it happened


def refused(place: str, text: str) -> StoreError:
    """The error for what a server has said in words."""
    found = _CODE.match(text)
    code = found[1] if found else ""
    said = text[found.start(1) :] if found else text
    said = said.partition(", with args")[0]  # an id would follow
    if code in _ELSEWHERE:
        return StoreError(f"{place}: is a node of a cluster: the store's URL is to begin with redis+cluster://")
    return (StoreUnavailable if code in _TROUBLE else StoreError)(f"{place}: {said}")


def translated(place: str, error: Exception) -> StoreError:
    """A driver's error as ours."""
    if isinstance(error, ResponseError):
        return refused(place, _words(error))
    if isinstance(error, TimeoutError):  # the built-in one: redis-py's own is none
        return StoreUnavailable(f"{place}: did not answer in time")
    return StoreUnavailable(f"{place}: {error}")


def is_away(error: BaseException) -> bool:
    """Whether it is no use to ask the next question at once."""
    return not isinstance(error, ResponseError) or _words(error).partition(" ")[0] in _AWAY


def _words(error: ResponseError) -> str:
    """What the server said, with the code that redis-py has made a class of and taken away."""
    text = str(error)
    code = _CODES.get(type(error).__name__, "")
    return text if not code or text.startswith(code) else f"{code} {text}"


_CODES = {
    "ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN", "TryAgainError": "TRYAGAIN", "MovedError": "MOVED", "AskError": "ASK",
    "ClusterCrossSlotError": "CROSSSLOT", "NoPermissionError": "NOPERM",
}  # fmt: skip
