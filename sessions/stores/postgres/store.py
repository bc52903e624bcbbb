"""Owns the store in PostgreSQL, in the table of the npm package connect-pg-simple.

    session(sid varchar PRIMARY KEY, sess json, expire timestamp(6))       index "IDX_session_expire" on expire

`expire` has no time zone: it is local time by the connection's TimeZone setting, for Node as for us. All who share the
table need the same setting (that of the role, the database or the server), best UTC: where clocks are put back, an hour
comes twice and a session's end may be read an hour off. Node writes whole seconds, we milliseconds. Tables that others
have made may differ (table.py).

Reads that wait together are one SELECT, writes one statement for each verb (batching.py, statements.py). A rename goes
alone, and so does a write of a row that another transaction has locked (alone.py). What nobody's request waits for (a
count, a sweep) is asked one at a time. This file must not know what is in the text.
"""

import asyncio
from collections.abc import AsyncIterator
from operator import attrgetter
from secrets import token_urlsafe
from typing import Any, ClassVar, Self

import asyncpg

from ...errors import StoreError
from ...store import TAKEN, StoredSession, Update
from ...validation import is_number, wrong
from ..base import Itself, SQLStoreBase
from ..batching import Job, Read
from ..tables import PostgresOptions
from ..users import as_update
from .alone import ALONE, Writes
from .connections import UPKEEP, Connections, PoolSettings
from .errors import DRIVER, READ_ONLY, code, is_for_one, is_refusal, is_taken, translated, words
from .statements import LAST, Statements
from .table import RIGHTS, Table
from .url import parse
from .users import PostgresUsers

_NAME = 63
"""Bytes of an identifier; PostgreSQL cuts a longer one short, and its index's name might be another's then."""

_PAGE = 500

_CLEARED = 1_000
"""Sessions that one step of `clear` deletes: some ten milliseconds, in which it holds their rows."""


class PostgresStore(SQLStoreBase):
    """Keeps sessions in a PostgreSQL table, which is made where it is missing.

    `table` and `schema` name it. `pool` is the number of connections at most. `timeout` is how many milliseconds a
    statement may take; a locked row is waited for half as long. `statement_cache` is the number of prepared statements
    that a connection keeps; 0 is for PgBouncer in transaction mode. `schema=`, `pgbouncer=true` and
    `statement_cache_size=` in the URL, as Prisma has them, say the same. The time is PostgreSQL's own.
    """

    driver: ClassVar[tuple[type[Exception], ...]] = DRIVER
    sweepable: ClassVar[Itself] = Itself()
    prepared: ClassVar[Itself] = Itself()
    admin: ClassVar[Itself] = Itself()
    overwriting: ClassVar[Itself] = Itself()
    existing: ClassVar[Itself] = Itself()

    def __init__(
        self,
        url: str,
        *,
        table: str = PostgresOptions.table,
        schema: str | None = PostgresOptions.schema,
        pool: int = PostgresOptions.pool,
        timeout: float = PostgresOptions.timeout,
        statement_cache: int = PostgresOptions.statement_cache,
    ) -> None:
        target = parse(url)
        schema = target.schema if schema is None else schema
        for name, text, most in (("table", table, _NAME - len("IDX__expire")), ("schema", schema, _NAME)):
            if text is not None and not self._is_name(text, most):
                raise wrong(name, f"a name of 1 to {most} bytes", text)
        cache = statement_cache if target.statement_cache is None else target.statement_cache
        for name, number, least in (("pool", pool, 3), ("statementCache", cache, 0)):
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise wrong(name, f"a whole number, {least} or more", number)
        if not is_number(timeout) or timeout < 1:
            raise wrong("timeout", "a number of milliseconds, 1 or more", timeout)
        super().__init__(target.place)
        self._table = Table(table, schema)
        self._column: str  # the type of sess, in the table as it is found
        self._statements: Statements  # for that
        self._connections = Connections(PoolSettings(target, pool, int(timeout), cache))
        self._queue = Writes(self._writes, self._write_alone)
        self._upkeep = asyncio.Lock()
        self.makes: bool = True
        """Whether a table or an index that is missing is made."""
        self._reads_only = False
        self.users: PostgresUsers = PostgresUsers(self)

    @property
    def ready(self) -> bool:
        """True if the server was reached when that was last tried, or a second has passed since."""
        return bool(self.is_open) and self._connections.ready

    # ---------------------------------------------------------------- the powers

    async def __aenter__(self) -> Self:
        with self.driver_errors():
            await self._connections.open()
        self.is_open: bool | None = True
        try:
            await self._find_table()
            if not self._reads_only:
                await self._rehearse()
            await self.users.look()
        except BaseException:
            self.is_open = False
            await self._connections.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writes.close()
        await self._reads.close()
        if self.is_open:
            self.is_open = False
            await self._connections.close()

    def take_existing(self, *, reads: bool) -> None:
        """Say that no table or index is to be made, and with `reads` that nothing is written."""
        self.makes, self._reads_only = False, reads

    async def length(self) -> int:
        """Return how many sessions live."""
        rows = await self._query(self._sql.length, patience=UPKEEP)
        return int(rows[0][0])

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its id, in the order of their ids."""
        rows = await self._query(self._sql.first_page, _PAGE)
        while True:
            for sid, *record in rows:
                yield sid, StoredSession(*record)
            if len(rows) < _PAGE:
                return
            rows = await self._query(self._sql.page, _PAGE, rows[-1][0])

    async def clear(self) -> None:
        """Delete every session, in steps. A session that is made meanwhile may be deleted or not."""
        deleted, last = _CLEARED, ""
        while deleted == _CLEARED:
            ((deleted, last),) = await self._query(self._sql.clear, last, _CLEARED, patience=UPKEEP)

    def lead(self) -> bool:
        """Return True: a lock in each sweep's own transaction decides who sweeps."""
        return True

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first. Returns how many: 0 if another process sweeps."""
        return len(await self._query(self._sql.sweep, limit, self._table.name))

    async def backlog(self, limit: int) -> int:
        """Return how many expired sessions wait to be swept, counted up to `limit`."""
        rows = await self._query(self._sql.backlog, limit)
        return int(rows[0][0])

    # ---------------------------------------------------------------- the verbs

    @property
    def _sql(self) -> Statements:
        """The statements, which are known if the store is open. Raises StoreUnavailable if it is not."""
        self.check_open()
        return self._statements

    async def _read(self, jobs: list[Read]) -> None:
        """Perform all by one SELECT."""
        self.check_open()
        with self.driver_errors():
            found = await self._select(self._connections.reading, [job.sid for job in jobs])
        for job in jobs:
            job.resolve(found.get(job.sid))

    def _writer(self, _sid: str) -> Writes:
        return self._queue

    async def _write(self, jobs: list[Job]) -> None:
        """Perform a batch: one statement for each verb that occurs, which is a transaction by itself."""
        self.check_open()
        groups: dict[str, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.verb, []).append(job)
        for group in groups.values():
            group.sort(key=_id)  # two processes that lock rows in one order do not wait for each other in a circle
            with self.driver_errors():
                try:
                    outcomes = await self._perform(self._connections.writing, group)
                except DRIVER as error:
                    if not is_for_one(error):
                        raise
                    outcomes = [ALONE] * len(group)
            for job, outcome in zip(group, outcomes, strict=True):
                job.resolve(outcome)

    async def _write_alone(self, job: Job) -> Any:
        """Perform one job by itself. Returns its outcome."""
        self.check_open()
        with self.driver_errors():
            try:
                (outcome,) = await self._perform(self._connections.waiting, [job])
            except DRIVER as error:
                if job.verb != "rename" or not is_taken(error):
                    raise
                return TAKEN
        return outcome

    async def _perform(self, pool: asyncpg.Pool, jobs: list[Job]) -> list[Any]:
        """Perform jobs of one verb by one statement. Returns their outcomes. Raises DRIVER if nothing was done."""
        write = self._sql.writes[jobs[0].verb]
        rows = await self._connections.fetch(pool, write.sql, *write.columns(jobs))
        written = {sid: rest for sid, *rest in rows}
        there: dict[str, StoredSession] = {}
        if write.compares and len(written) < len(jobs):
            with self.driver_errors():  # the others were written, so nothing may be tried again
                there = await self._select(pool, [job.sid for job in jobs if job.sid not in written])
        return [write.outcome(job, written.get(job.sid), there.get(job.sid)) for job in jobs]

    async def _performed(self, connection: Any, job: Job) -> Update:
        """Perform a create or a rename in the transaction of a connection. Returns its outcome. Raises DRIVER."""
        write = self._sql.writes[job.verb]
        rows = await self._fetched(connection, job)
        row = None
        if write.compares and not rows:
            row = next((StoredSession(*each[1:]) for each in await connection.fetch(self._sql.select, [job.sid])), None)
        return as_update(write.outcome(job, list(rows[0])[1:] if rows else None, row))

    async def _select(self, pool: Any, sids: list[str]) -> dict[str, StoredSession]:
        """Return the living rows of some ids."""
        rows = await self._connections.fetch(pool, self._sql.select, sids)
        return {row[0]: StoredSession(*row[1:]) for row in rows}

    async def _query(self, sql: str, *arguments: Any, patience: int | None = None) -> list[Any]:
        """Ask what no request waits for: one question at a time, so that the other connections stay free."""
        self.check_open()
        async with self._upkeep:
            with self.driver_errors():
                return await self._connections.fetch(self._connections.waiting, sql, *arguments, patience=patience)

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of asyncpg's."""
        return translated(self.name, error)

    # ---------------------------------------------------------------- the start

    async def _find_table(self) -> None:
        """Make the table if it is missing, and take the statements for its columns. Raises StoreError."""
        columns = dict(await self._query(self._table.columns, self._table.name))
        if not columns and not self.makes:
            raise StoreError(f"{self.name}: has no table {self._table.name}, which a server makes when it starts")
        if not columns:
            await self._query(self._table.make)
            columns = dict(await self._query(self._table.columns, self._table.name))
        self._table.check(self.name, columns)
        self._column = columns["sess"]
        self._statements = Statements(self._table.name, self._column)

    async def _rehearse(self) -> None:
        """Write a session, move it and delete it, and leave nothing of that. Raises StoreError where it is refused.

        A server that only reads for now, as a standby does, is none that refuses.
        """
        old, new = token_urlsafe(24), token_urlsafe(24)
        record = StoredSession('{"cookie":{"originalMaxAge":null}}', LAST)

        async def write(connection: Any) -> None:
            ((_, *made),) = await self._fetched(connection, Job("create", old, record))
            made_record = StoredSession(record.data, *made)
            await self._fetched(connection, Job("rename", old, record, made_record, new=new, tombstone=record))
            await self._fetched(connection, Job("destroy", new))

        try:
            await self._connections.rehearse(write)
        except DRIVER as error:
            if code(error) == READ_ONLY:
                return
            if not is_refusal(error):
                raise self.translated(error) from error
            role, lacking = (await self._query(self._table.lacking, self._table.name, RIGHTS))[0]
            advice = self._table.advice(code(error), getattr(error, "column_name", None), role, lacking)
            problem = f"the table {self._table.name} cannot be written: {words(error)}{advice}"
            raise StoreError(f"{self.name}: {problem}") from error

    async def _fetched(self, connection: Any, job: Job) -> list[Any]:
        write = self._sql.writes[job.verb]
        rows: list[Any] = await connection.fetch(write.sql, *write.columns([job]))
        return rows

    def _is_name(self, text: object, most: int) -> bool:
        return isinstance(text, str) and self.can_store(text) and 1 <= len(text.encode()) <= most


_id = attrgetter("sid")
