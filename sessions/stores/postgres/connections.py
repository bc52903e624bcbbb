"""Owns the connections to a PostgreSQL server: their settings, their limits of time, and their end.

It must not know what a statement does. One connection reads and one writes, so that neither waits for the other; what
may take longer (a row that somebody has locked, a sweep, a count) shares the rest.
"""

import asyncio
import select
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

from ...errors import OptionsError
from ..base import RETRY_SECONDS, CircuitBreaker
from .errors import DRIVER, has_met_another
from .url import ServerURL

UPKEEP = 60_000
"""Milliseconds that a count or a step of a deletion may take: no request waits for it."""

_BRIEF = 200
"""Milliseconds that a batch waits for a row that another transaction has locked; then each row is tried alone."""

_GRACE = 0.5
"""Seconds that the client is more patient than the server: its refusal says more and leaves the connection whole."""

_STOP = 0.25
"""Seconds that a statement which the client gives up has to stop, before its caller has the failure."""

_AT_ONCE = 250
"""Milliseconds that a statement may wait for a connection and still have the connection's own limits, within _GRACE."""

_TRIES = 5
"""How often a statement is tried that PostgreSQL rolls back to end a deadlock: renames that cross may meet again."""

Result = TypeVar("Result")


class _TooLate(TimeoutError):
    """The time of a statement has passed before it was sent."""


@dataclass(frozen=True)
class PoolSettings:
    """How the server is reached. `timeout` in milliseconds; `statement_cache` 0 is for PgBouncer."""

    target: ServerURL
    pool: int
    timeout: int
    statement_cache: int


class _Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """A connection that notices its end before it is used."""

    __slots__ = ("_incoming",)

    def __init__(self, protocol: Any, transport: Any, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        self._incoming = select.poll() if hasattr(select, "poll") else None  # Windows has none, and does without
        if self._incoming is not None:
            self._incoming.register(transport.get_extra_info("socket"), select.POLLIN)

    def has_ended(self) -> bool:
        """True if the server has ended the connection, also if the driver does not know yet.

        What there is to read on a connection that has asked nothing is the server's last words, or the end. A statement
        sent behind them would have an outcome that nobody knows, though it is never begun.
        """
        return self.is_closed() or (self._incoming is not None and bool(self._incoming.poll(0)))


class Connections:
    """The connections of one process, at most `pool`, made when they are needed and again if they were lost."""

    reading: asyncpg.Pool
    writing: asyncpg.Pool
    waiting: asyncpg.Pool

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._shared = settings.statement_cache == 0
        self._breaker = CircuitBreaker()
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """True if the server was reached when that was last tried, or a second has passed since."""
        return self._breaker.allows

    async def open(self) -> None:
        """Make the pools. Nothing is connected yet."""
        self.reading = await self._pool(1, _half(self._settings.timeout))
        self.writing = await self._pool(1, _BRIEF)
        self.waiting = await self._pool(self._settings.pool - 2, _half(self._settings.timeout))

    async def close(self) -> None:
        """Close what is open; a server that does not answer is left."""
        await asyncio.gather(*self._leaving)
        for pool in (self.reading, self.writing, self.waiting):
            try:
                async with asyncio.timeout(RETRY_SECONDS):
                    await pool.close()
            except DRIVER:
                pool.terminate()

    async def fetch(self, pool: asyncpg.Pool, sql: str, *arguments: Any, patience: int | None = None) -> list[Any]:
        """Return the rows of a statement, which is a transaction by itself.

        `patience` is the time in milliseconds that it may take, waiting for a connection and other tries included.
        PostgreSQL ends it by then; the client is patient for _GRACE seconds more. Raises what DRIVER names.
        """
        ends = self._ends(patience)

        async def run(connection: Any) -> list[Any]:
            return await self._run(pool, connection, patience, ends, sql, arguments)

        return await self._with_connection(pool, ends, run)

    async def transact(self, act: Callable[[Any], Awaitable[Result]], *, patience: int | None = None) -> Result:
        """Do something in a transaction (READ COMMITTED), within `patience` milliseconds; after a deadlock once more.

        Raises what DRIVER names; then nothing was done, but where its outcome is unknown.
        """
        ends = self._ends(patience)

        async def run(connection: Any) -> Result:
            tries = _TRIES
            while True:
                tries -= 1
                left = int((ends - asyncio.get_running_loop().time()) * 1000)
                if left < 1:
                    raise _TooLate
                settings = _session(left, _half(left), self._settings.timeout)
                try:
                    return await self._in_transaction(connection, settings, act, "COMMIT")
                except asyncpg.PostgresError as error:
                    if not tries or not has_met_another(error):
                        raise

        return await self._with_connection(self.waiting, ends, run)

    @asynccontextmanager
    async def apart(self) -> AsyncIterator[Any]:
        """Open a connection of no pool, without a limit of time, for work that takes as long as the table is large.

        Raises what DRIVER names, and OptionsError for PgBouncer, which gives its connections to others.
        """
        if self._shared:
            raise OptionsError("statementCache: is 0, for PgBouncer; this needs a connection to PostgreSQL itself")
        target = self._settings.target
        settings = {**target.settings, "statement_timeout": "0", "lock_timeout": "0"}
        connection = await asyncpg.connect(target.dsn, ssl=target.tls(), server_settings=settings)
        try:
            yield connection
        finally:
            await _quietly(connection.close(timeout=RETRY_SECONDS))

    async def rehearse(self, act: Callable[[Any], Awaitable[None]]) -> None:
        """Run statements in a transaction, and roll it back. Raises what they raise."""
        ends = self._ends(None)
        timeout = self._settings.timeout

        async def run(connection: Any) -> None:
            await self._in_transaction(connection, _session(timeout, _half(timeout), timeout), act, "ROLLBACK")

        await self._with_connection(self.waiting, ends, run)

    def _ends(self, patience: int | None) -> float:
        return asyncio.get_running_loop().time() + (self._settings.timeout if patience is None else patience) / 1000

    async def _with_connection(
        self, pool: asyncpg.Pool, ends: float, act: Callable[[Any], Awaitable[Result]]
    ) -> Result:
        """Do something with a connection, in time."""
        connection = None
        try:
            async with asyncio.timeout_at(ends + _GRACE):
                connection = await pool.acquire()
                while connection.has_ended():
                    connection.terminate()
                    connection = await pool.acquire()
                result = await act(connection)
        except BaseException as error:
            if connection is None:  # or all of them wait for locked rows
                raise
            leaving = self._leave(pool, connection, error)
            if isinstance(error, TimeoutError) and not isinstance(error, _TooLate):
                self._breaker.trip()
                await asyncio.wait([leaving])  # so that nothing is written after the caller has the failure
            raise
        await pool.release(connection)
        return result

    def _leave(self, pool: asyncpg.Pool, connection: Any, error: BaseException) -> "asyncio.Task[None]":
        """Give a connection back on which something went wrong. Returns the task that does it.

        Where PostgreSQL did not answer, driver and server have to stop, and the connection ends: its answer, coming
        late, could be taken for the next call's.
        """
        is_answered = isinstance(error, asyncpg.PostgresError | _TooLate)
        is_whole = _is_closed(connection) or (is_answered and not connection.is_in_transaction())
        leaving = pool.release(connection) if is_whole else connection.close(timeout=_STOP)
        task = asyncio.get_running_loop().create_task(_quietly(leaving))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    async def _run(
        self, pool: asyncpg.Pool, connection: Any, patience: int | None, ends: float, sql: str, arguments: Any
    ) -> list[Any]:
        """Return the rows of a statement that PostgreSQL ends by itself when the loop's time is `ends`.

        The connection's limits are right for a statement that begins at once. A later one has what time is left, so
        that nothing is written after its caller had a failure. A statement that PostgreSQL rolls back to end a
        deadlock is tried again; a batch is not, as its caller tries each row alone.
        """

        async def fetch(connection: Any) -> list[Any]:
            rows: list[Any] = await connection.fetch(sql, *arguments)
            return rows

        tries = 1 if pool is self.writing else _TRIES
        while True:
            tries -= 1
            left = int((ends - asyncio.get_running_loop().time()) * 1000)
            if left < 1:
                raise _TooLate
            try:
                if patience is None and not self._shared and left > self._settings.timeout - _AT_ONCE:
                    return await fetch(connection)
                settings = _session(left, _BRIEF if pool is self.writing else _half(left), self._settings.timeout)
                return await self._in_transaction(connection, settings, fetch, "COMMIT")
            except asyncpg.PostgresError as error:
                if not tries or not has_met_another(error):
                    raise

    async def _in_transaction(
        self, connection: Any, settings: Mapping[str, str], act: Callable[[Any], Awaitable[Result]], end: str
    ) -> Result:
        """Do something in a transaction. The settings end with it, so that the connection may be another's then."""
        local = [f"SET LOCAL {name} = '{value}'" for name, value in settings.items()]
        await connection.execute(";".join(["BEGIN ISOLATION LEVEL READ COMMITTED", *local]))
        try:
            result = await act(connection)
        except asyncpg.PostgresError:
            if not _is_closed(connection):
                with suppress(asyncpg.PostgresError):  # its time is over as well; then the connection ends
                    await connection.execute("ROLLBACK")
            raise
        await connection.execute(end)
        return result

    async def _pool(self, size: int, lock_timeout: int) -> asyncpg.Pool:
        target = self._settings.target
        settings = dict(target.settings)
        if not self._shared:
            settings.update(_session(self._settings.timeout, lock_timeout, self._settings.timeout))
            settings["default_transaction_isolation"] = "read committed"
        timeout = self._settings.timeout / 1000 + _GRACE
        return await asyncpg.create_pool(
            target.dsn,
            min_size=0,
            max_size=size,
            connect=self._connect,
            reset=_nothing,
            connection_class=_Connection,
            timeout=timeout if target.connect_timeout is None else min(timeout, target.connect_timeout),
            ssl=target.tls(),
            statement_cache_size=self._settings.statement_cache,
            server_settings=settings,
        )

    async def _connect(self, *arguments: Any, **options: Any) -> Any:
        try:
            connection = await asyncpg.connect(*arguments, **options)
        except (*DRIVER, asyncio.CancelledError):
            self._breaker.trip()
            raise
        self._breaker.reset()
        return connection


def _half(timeout: int) -> int:
    return max(1, timeout // 2)  # 0 would be no limit at all


def _session(timeout: int, lock_timeout: int, idle_timeout: int) -> dict[str, str]:
    """The settings that we rely on. A table that was small when a statement was planned is not read whole later."""
    return {
        "statement_timeout": f"{timeout}",
        "lock_timeout": f"{lock_timeout}",
        "idle_in_transaction_session_timeout": f"{idle_timeout}",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
    }


def _is_closed(connection: Any) -> bool:
    """True if the driver knows that a connection has ended. If the pool knows it too, the question is an error."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


async def _quietly(leaving: Awaitable[None]) -> None:
    """Wait for a connection that is given up. If this fails the driver has ended it, and no error is raised."""
    with suppress(*DRIVER):
        await leaving


async def _nothing(_connection: Any) -> None:
    """What a connection needs before its next use: nothing, as no statement of ours leaves anything behind."""
