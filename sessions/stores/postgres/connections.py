"""Owns the connections to a PostgreSQL server: their settings, their limits of time, and their errors as ours.

It must not know what a statement does. One connection reads and one writes, so that neither waits for the other; what
may take longer (a row that somebody has locked, a sweep, a count) shares the rest. Of an error only PostgreSQL's first
line is shown, since the lines after it may hold a row. No message shows a password.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from ...errors import OptionsError, StoreError, StoreUnavailable
from ..base import RETRY_SECONDS, CircuitBreaker

DRIVER = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
"""What asyncpg raises; a TimeoutError is an OSError."""

UPKEEP = 60_000
"""Milliseconds that a count or a deletion of all sessions may take: no request waits for it."""

_BRIEF = 200
"""Milliseconds that a batch waits for a row that another transaction has locked; then each row is tried alone."""

_GRACE = 0.5
"""Seconds that the client is more patient than the server, whose refusal says more and leaves the connection whole."""

_AT_ONCE = 250
"""Milliseconds that a statement may wait for a connection and still have the connection's own limits, within _GRACE."""

_TRIES = 5
"""How often a statement is tried that PostgreSQL rolls back to end a deadlock: renames that cross may meet again."""


@dataclass(frozen=True)
class PoolSettings:
    """How the server is reached. `timeout` in milliseconds; `statement_cache` 0 is for PgBouncer."""

    url: str = field(repr=False)
    pool: int
    timeout: int
    statement_cache: int

    @property
    def name(self) -> str:
        """The server for a person: without user, password and options."""
        parts = urlsplit(self.url)
        return f"postgresql://{parts.netloc.rpartition('@')[2]}{parts.path}"


def check_url(url: str) -> None:
    """Raise OptionsError, which shows nothing of it, for a URL that names no PostgreSQL database."""
    problem = "" if url.partition(":")[2].startswith("//") else "its two slashes are missing"
    try:
        parts = urlsplit(url)
        user, _, hosts = parts.netloc.rpartition("@")
        for host in hosts.split(","):
            _ = urlsplit(f"//{host}").port  # raises ValueError for one that is none
        parse_qsl(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        problem = problem or "a host, a port or an option in it cannot be read"
    else:
        if "@" in user + parts.path or parts.fragment:
            problem = "in user and password @ is written %40, # is %23, / is %2F"
    if problem:
        raise OptionsError(
            f"store: expected a URL such as postgresql://user:password@host:5432/database, but {problem}"
        )


class Connections:
    """The connections of one process, at most `pool`, made when they are needed and anew where they were lost."""

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
        limit = self._settings.timeout if patience is None else patience
        ends = asyncio.get_running_loop().time() + limit / 1000
        connection = None
        try:
            async with asyncio.timeout_at(ends + _GRACE):
                connection = await pool.acquire()
                rows = await self._run(pool, connection, patience, ends, sql, arguments)
        except BaseException as error:
            if isinstance(error, TimeoutError) and connection is not None:  # or all wait for locked rows
                self._breaker.trip()
            if connection is not None:
                self._leave(pool, connection, error)
            raise
        await pool.release(connection)
        return rows

    def _leave(self, pool: asyncpg.Pool, connection: Any, error: BaseException) -> None:
        """Give a connection back on which something went wrong, while nobody waits for it.

        Where PostgreSQL did not answer, driver and server are told to stop, and the connection ends: its answer, coming
        late, could be taken for the next call's.
        """
        is_answered = isinstance(error, asyncpg.PostgresError)
        leaving = pool.release(connection) if is_answered else connection.close(timeout=_GRACE)
        task = asyncio.get_running_loop().create_task(_quietly(leaving, connection))
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _run(
        self, pool: asyncpg.Pool, connection: Any, patience: int | None, ends: float, sql: str, arguments: Any
    ) -> list[Any]:
        """Return the rows of a statement that PostgreSQL ends by itself when the loop's time is `ends`.

        The connection's limits are right for a statement that begins at once. A later one has what time is left, so
        that nothing is written after its caller was told of a failure. A statement that PostgreSQL rolls back to end a
        deadlock is tried again; a batch is not, as its caller tries each row alone.
        """
        tries = 1 if pool is self.writing else _TRIES
        while True:
            tries -= 1
            left = int((ends - asyncio.get_running_loop().time()) * 1000)
            try:
                if patience is None and not self._shared and left > self._settings.timeout - _AT_ONCE:
                    rows: list[Any] = await connection.fetch(sql, *arguments)
                    return rows
                limit = max(1, left)
                settings = _session(limit, _BRIEF if pool is self.writing else _half(limit))
                return await self._in_transaction(connection, settings, sql, arguments)
            except asyncpg.PostgresError as error:
                if not tries or _code(error) not in _MET_ANOTHER:
                    raise

    async def _in_transaction(
        self, connection: Any, settings: dict[str, str], sql: str, arguments: tuple[Any, ...]
    ) -> list[Any]:
        """Return the rows of a statement. The settings end with it, so that the connection may be another's then."""
        local = [f"SET LOCAL {name} = '{value}'" for name, value in settings.items()]
        await connection.execute(";".join(["BEGIN ISOLATION LEVEL READ COMMITTED", *local]))
        try:
            rows: list[Any] = await connection.fetch(sql, *arguments)
        except asyncpg.PostgresError:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise
        await connection.execute("COMMIT")
        return rows

    async def _pool(self, size: int, lock_timeout: int) -> asyncpg.Pool:
        settings = {}
        if not self._shared:
            settings = {
                **_session(self._settings.timeout, lock_timeout),
                "default_transaction_isolation": "read committed",
            }
        return await asyncpg.create_pool(
            self._settings.url,
            min_size=0,
            max_size=size,
            connect=self._connect,
            reset=_nothing,
            timeout=self._settings.timeout / 1000 + _GRACE,
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


def _session(timeout: int, lock_timeout: int) -> dict[str, str]:
    """The settings that we rely on. A table that was small when a statement was planned is not read whole later."""
    return {
        "statement_timeout": f"{timeout}",
        "lock_timeout": f"{lock_timeout}",
        "idle_in_transaction_session_timeout": f"{timeout}",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "jit": "off",
    }


async def _quietly(leaving: Awaitable[None], connection: Any) -> None:
    try:
        await leaving
    except DRIVER:
        connection.terminate()


async def _nothing(_connection: Any) -> None:
    """What a connection needs before its next use: nothing, as no statement of ours leaves anything behind."""


_MET_ANOTHER = {"40001", "40P01"}  # serialization, deadlock
_LOCK_TIMEOUT = "55P03"
_UNIQUE = "23505"
_ROW = {"22", "23", "54"}  # data, constraint, limit


def is_for_one(error: Exception) -> bool:
    """True if an error may be of one row among several: nothing was done, and each may be tried alone."""
    return _code(error) in {*_MET_ANOTHER, _LOCK_TIMEOUT} or _is_of_a_row(error)


def is_taken(error: Exception) -> bool:
    """True if another row has the id: nothing was done."""
    return _code(error) == _UNIQUE


def translated(name: str, error: Exception) -> StoreError:
    """Return a driver's error as ours. It loses the lines that may show a row, since a traceback would print them."""
    kind = StoreError if _is_of_a_row(error) else StoreUnavailable
    if isinstance(error, asyncpg.PostgresError):
        error.detail = error.hint = error.context = None
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        problem = str(error.args[0])
    elif isinstance(error, TimeoutError):
        problem = "no answer in time"
    else:
        problem = str(error) or type(error).__name__
    return kind(f"{name}: {problem}")


def _is_of_a_row(error: Exception) -> bool:
    return isinstance(error, asyncpg.PostgresError) and _code(error)[:2] in _ROW


def _code(error: Exception) -> str:
    return str(getattr(error, "sqlstate", None) or "")
