"""Owns the store in PostgreSQL, in the table of the npm package connect-pg-simple.

    session(sid varchar PRIMARY KEY, sess json, expire timestamp(6))       index "IDX_session_expire" on expire

`expire` has no time zone: it is local time by the connection's TimeZone setting, for Node as for us. All who share the
table need the same setting (that of the role, the database or the server), best UTC: where clocks are put back, an hour
comes twice and a session's end may be read an hour off. Node writes whole seconds, we milliseconds.

Reads that wait together are one SELECT, writes one statement for each verb (batching.py, statements.py). This file
must not know what is in the text.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Self

from ...clock import Clock, now_ms
from ...errors import StoreError, StoreUnavailable
from ...options import is_number, wrong
from ...store import Outcome, StoredSession, Update
from ..batching import Batcher, Job
from ..texts import is_storable
from .connections import DRIVER, UPKEEP, Connections, PoolSettings, check_url, is_for_one, translated
from .statements import Statements, Verb

_NAME = 63
"""Bytes of an identifier; PostgreSQL cuts a longer one short, and its index's name might be another's then."""

_PAGE = 500
_COLUMNS = {"sid": "character varying", "sess": "json", "expire": "timestamp without time zone"}
_ALONE = object()
"""The outcome of a row whose batch was rolled back."""


class PostgresStore:
    """Keeps sessions in a PostgreSQL table, which is made where it is missing.

    `table` and `schema` name it. `pool` is the number of connections at most. `timeout` is how many milliseconds a
    statement may take; a locked row is waited for half as long. `statement_cache` is the number of prepared statements
    that a connection keeps; 0 is for PgBouncer in transaction mode. `clock` returns milliseconds since the epoch.
    """

    def __init__(
        self,
        url: str,
        *,
        table: str = "session",
        schema: str | None = None,
        pool: int = 5,
        timeout: float = 4_000,
        statement_cache: int = 100,
        clock: Clock = now_ms,
    ) -> None:
        check_url(url)
        for name, text, most in (("table", table, _NAME - len("IDX__expire")), ("schema", schema, _NAME)):
            if text is not None and not _is_name(text, most):
                raise wrong(name, f"a name of 1 to {most} bytes", text)
        for name, number, least in (("pool", pool, 3), ("statementCache", statement_cache, 0)):
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise wrong(name, f"a whole number, {least} or more", number)
        if not is_number(timeout) or timeout < 1:
            raise wrong("timeout", "a number of milliseconds, 1 or more", timeout)
        settings = PoolSettings(url, pool, int(timeout), statement_cache)
        self._name = settings.name
        self._sql = Statements(table, schema)
        self._clock = clock
        self._connections = Connections(settings)
        self._is_open = False
        self._reads = Batcher(self._read, once=False)
        self._writes = Batcher(self._write, once=True)
        self._alone: set[str] = set()
        """Ids whose row somebody has locked: their calls wait alone, and hold no batch up."""

    # ---------------------------------------------------------------- the contract

    @property
    def ready(self) -> bool:
        """Whether the server was reached when that was last tried, or is worth another try: a second later."""
        return self._is_open and self._connections.are_promising

    def prepare(self) -> None:
        """Make the table where it is missing, and leave nothing open: for before a fork. Raises StoreError."""

        async def prepare() -> None:
            async with self:
                pass

        asyncio.run(prepare())

    async def __aenter__(self) -> Self:
        await self._connections.open()
        self._is_open = True
        try:
            await self._make_table()
        except BaseException:
            self._is_open = False
            await self._connections.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._writes.close()
        await self._reads.close()
        if self._is_open:
            self._is_open = False
            await self._connections.close()

    async def get(self, sid: str) -> StoredSession | None:
        """The session of an id; None where there is none or it has expired."""
        if not is_storable(sid):
            return None
        found: StoredSession | None = await self._reads.add(None, sid, sid)
        return found

    async def create(self, sid: str, stored: StoredSession) -> bool:
        """Insert a new session; False where a live one has the id."""
        made: bool = await self._add(self._sql.create, sid, str(stored.expires_at), stored.data)
        return made

    async def update(self, sid: str, stored: StoredSession, expected: str) -> Update:
        """Replace a session whose text is still `expected`."""
        update: Update = await self._add(self._sql.update, sid, str(stored.expires_at), stored.data, expected)
        return update

    async def set(self, sid: str, stored: StoredSession) -> None:
        """Insert or replace."""
        await self._add(self._sql.set, sid, str(stored.expires_at), stored.data)

    async def touch(self, sid: str, expires_at: int, expected: str) -> Outcome:
        """Move the expiry of a session whose text is still `expected`."""
        outcome: Outcome = await self._add(self._sql.touch, sid, str(expires_at), expected)
        return outcome

    async def destroy(self, sid: str) -> None:
        """Delete a session; silent where there is none."""
        if is_storable(sid):
            await self._add(self._sql.destroy, sid)

    async def length(self) -> int:
        """How many sessions live."""
        rows = await self._query(self._sql.length, self._clock(), patience=UPKEEP)
        return int(rows[0][0])

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Every living session with its id, in the order of their ids."""
        rows = await self._query(self._sql.first_page, self._clock(), _PAGE)
        while True:
            for sid, sess, expires_at in rows:
                yield sid, StoredSession(sess, expires_at)
            if len(rows) < _PAGE:
                return
            rows = await self._query(self._sql.page, self._clock(), _PAGE, rows[-1][0])

    async def clear(self) -> None:
        """Delete every session."""
        await self._query(self._sql.clear, patience=UPKEEP)

    def lead(self) -> bool:
        """True: who sweeps is decided by a lock in each sweep's own transaction."""
        return True

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first; none while another process does."""
        return len(await self._query(self._sql.sweep, self._clock(), limit, self._sql.name))

    async def backlog(self, limit: int) -> int:
        """How many expired sessions wait to be swept, counted up to `limit`."""
        rows = await self._query(self._sql.backlog, self._clock(), limit)
        return int(rows[0][0])

    # ---------------------------------------------------------------- the two batches

    async def _add(self, verb: Verb, sid: str, *row: str) -> Any:
        if not is_storable(sid) or not all(map(is_storable, row)):
            raise StoreError(f"{self._name}: an id or a text with NUL, or beyond UTF-8, cannot be stored")
        if sid not in self._alone:
            outcome = await self._writes.add(verb, sid, (sid, *row))
            if outcome is not _ALONE:
                return outcome
        return await self._do_alone(verb, (sid, *row))

    async def _do_alone(self, verb: Verb, row: tuple[str, ...]) -> Any:
        """What went wrong in company may be right alone; if not, it is this call's own error."""
        self._check_open()
        self._alone.add(row[0])
        try:
            (outcome,) = await self._do(self._connections.waiting, verb, [row])
        except DRIVER as error:
            raise translated(self._name, error) from error
        finally:
            self._alone.discard(row[0])
        return outcome

    async def _read(self, jobs: list[Job]) -> None:
        """One SELECT for all."""
        self._check_open()
        try:
            found = await self._select(self._connections.reading, [job.key for job in jobs])
        except DRIVER as error:
            raise translated(self._name, error) from error
        for job in jobs:
            job.resolve(found.get(job.key))

    async def _write(self, jobs: list[Job]) -> None:
        """One statement for each verb that occurs; each is a transaction by itself."""
        self._check_open()
        groups: dict[Verb, list[Job]] = {}
        for job in jobs:
            groups.setdefault(job.verb, []).append(job)
        for verb, group in groups.items():
            group.sort(key=_key)  # two processes that lock rows in one order do not wait for each other in a circle
            try:
                outcomes = await self._do(self._connections.writing, verb, [job.row for job in group])
            except DRIVER as error:
                if not is_for_one(error):
                    raise translated(self._name, error) from error
                outcomes = [_ALONE] * len(group)
            for job, outcome in zip(group, outcomes, strict=True):
                job.resolve(outcome)

    async def _do(self, pool: Any, verb: Verb, rows: list[Any]) -> list[Any]:
        """Do a verb for some rows; the outcome of each. Raises what DRIVER names."""
        columns: list[Any] = list(zip(*rows, strict=True))
        if verb.timed:
            columns.append(self._clock())
        returned = await self._connections.fetch(pool, verb.sql, *columns)
        if verb.missed is None or (len(returned) == len(rows)):
            return [verb.found] * len(rows)
        hit = {record[0] for record in returned}
        try:
            there = await self._select(pool, [row[0] for row in rows if row[0] not in hit])
        except DRIVER as error:  # the others were done, so nothing may be tried again
            raise translated(self._name, error) from error
        return [verb.found if row[0] in hit else verb.missed(there.get(row[0])) for row in rows]

    async def _select(self, pool: Any, sids: list[str]) -> dict[str, StoredSession]:
        """The living rows of some ids."""
        rows = await self._connections.fetch(pool, self._sql.select, sids, self._clock())
        return {sid: StoredSession(sess, expires_at) for sid, sess, expires_at in rows}

    async def _query(self, sql: str, *arguments: Any, patience: int | None = None) -> list[Any]:
        self._check_open()
        try:
            return await self._connections.fetch(self._connections.waiting, sql, *arguments, patience=patience)
        except DRIVER as error:
            raise translated(self._name, error) from error

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreUnavailable(f"{self._name}: the store is closed")

    async def _make_table(self) -> None:
        """Make the table where it is missing, and see that it is the one. Raises StoreError."""
        columns = dict(await self._query(self._sql.columns, self._sql.name))
        if not columns:
            await self._query(self._sql.make)
            columns = dict(await self._query(self._sql.columns, self._sql.name))
        if not columns.items() >= _COLUMNS.items():
            raise StoreError(f"{self._name}: the table {self._sql.name} has the columns {columns}, not {_COLUMNS}")


def _key(job: Job) -> str:
    return job.key


def _is_name(text: object, most: int) -> bool:
    return isinstance(text, str) and is_storable(text) and 1 <= len(text.encode()) <= most
