"""Owns the examination of a PostgreSQL table for `doctor`: what is asked of the server, and by what connection.

All is asked in one transaction that reads only, on a connection without our settings: a pooler refuses those, and a
role that only reads has to do. What is said of the answers is in findings.py.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import asyncpg

from ...findings import Finding
from ...user_text import UserPlace
from ..examination import BACKLOG_LIMIT, Asked, backlog, clocks, transport
from . import findings
from .errors import DRIVER
from .findings import Facts, Server, Zone
from .statements import LOCKS
from .table import RIGHTS, Table, wrong_columns
from .url import ServerURL
from .users import UserStatements

if TYPE_CHECKING:
    from .store import PostgresStore

_SECONDS = 10
"""How long a question may take; a count of many rows is limited."""

_SERVER = """
    SELECT round(extract(epoch FROM clock_timestamp()) * 1000)::bigint, pg_backend_pid(), pg_is_in_recovery(),
        to_regclass($1)::oid::int,
        coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false),
        coalesce(has_schema_privilege(coalesce($2, current_schema()), 'CREATE'), false)
"""

_COLUMNS = """
    SELECT a.attname, a.atttypid::regtype::text, a.atttypmod, a.attnotnull,
        a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> ''
    FROM pg_attribute AS a WHERE a.attrelid = to_regclass($1) AND a.attnum > 0 AND NOT a.attisdropped
"""

_INDEXES = """
    SELECT c.relname, i.indisvalid,
        i.indisunique AND i.indimmediate AND i.indisvalid AND i.indpred IS NULL AND i.indnkeyatts = 1,
        coalesce(pg_get_indexdef(i.indexrelid, 1, true), '')
    FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid WHERE i.indrelid = to_regclass($1)
"""

_HOLDERS = """
    SELECT l.pid, coalesce(a.application_name, ''), a.state
    FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.classid = $1::text::oid AND l.objid = to_regclass($2)::oid AND l.granted
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""

_ZONES = """
    SELECT coalesce(r.rolname, 'every role'), each
    FROM pg_db_role_setting AS s LEFT JOIN pg_roles AS r ON r.oid = s.setrole
        LEFT JOIN pg_database AS d ON d.oid = s.setdatabase, unnest(s.setconfig) AS each
    WHERE (s.setdatabase = 0 OR d.datname = current_database()) AND each ILIKE 'timezone=%'
    AND r.rolname IS DISTINCT FROM current_user
    AND (r.oid IS NULL OR has_table_privilege(r.oid, to_regclass($1), 'SELECT, INSERT, UPDATE, DELETE'))
"""

_OFFSETS = """
    SELECT count(DISTINCT extract(timezone FROM now() + make_interval(months => month)))
    FROM generate_series(0, 11) AS month
"""


async def examine(store: "PostgresStore", asked: Asked) -> AsyncIterator[Finding]:
    """Yield what is wrong with the table of a store. Raises StoreError if the server cannot be asked."""
    settings, table = store._connections._settings, store._table  # noqa: SLF001 # it is a part of the store
    target, name = settings.target, store.name
    with store.driver_errors():
        async with (
            asyncio.timeout(3 * _SECONDS),
            _connected(target, target.settings) as connection,
            connection.transaction(readonly=True),
        ):
            before = asked.now
            row = await connection.fetchrow(_SERVER, table.name, table.schema)
            now, pid, is_standby, oid, is_encrypted, may_make = row
            server = Server(is_standby, pid != connection.get_server_pid(), may_make)
            found = [
                *findings.pooler(server, settings.statement_cache, name),
                *findings.standby(server, name),
                *clocks(now - (before + asked.now) / 2, name, decides=True),
            ]
            if not server.is_pooled:  # or the connection that PostgreSQL sees is not ours
                found += transport(_hosts(target), name, is_encrypted=is_encrypted)
            for finding in found:
                yield finding
            if oid is None:
                found = list(findings.no_table(server, table, name))
            else:
                found = await _of_table(connection, target, table, name, asked)
            for finding in found:
                yield finding


async def _of_table(connection: Any, target: ServerURL, table: Table, name: str, asked: Asked) -> list[Finding]:
    facts = await _facts(connection, table)
    found = [
        *findings.rights(facts, table, name),
        *findings.columns(facts, table, name, asked),
        *findings.key(facts, table, name),
        *findings.strangers(facts, name),
    ]
    if wrong_columns(facts.types):
        return found
    place = None if asked.user_path is None else UserPlace(asked.user_path)
    mine = None if place is None else UserStatements(table, facts.types["sess"], place, "").index
    found += findings.indexes(facts, mine, table, asked, name)
    if facts.types["expire"] == "timestamp without time zone":
        found += await _zones(connection, target, table, name)
    if "SELECT" not in facts.lacking:
        found += backlog(*await _backlog(connection, table), asked, name)
    return found


async def _facts(connection: Any, table: Table) -> Facts:
    columns = await connection.fetch(_COLUMNS, table.name)
    role, lacking = await connection.fetchrow(table.lacking, table.name, RIGHTS)
    indexes = await connection.fetch(_INDEXES, table.name)
    holders = await connection.fetch(_HOLDERS, str(LOCKS), table.name)
    return Facts(
        role,
        tuple(lacking),
        tuple(findings.Column(*row) for row in columns),
        tuple(findings.Index(*row) for row in indexes),
        tuple(findings.Holder(*row) for row in holders),
    )


async def _backlog(connection: Any, table: Table) -> tuple[int, int | None]:
    """Return how many sessions have expired, and for how many milliseconds the first of them has."""
    expired, age = await connection.fetchrow(
        f"SELECT (SELECT count(*) FROM (SELECT 1 FROM {table.name} WHERE expire <= now() LIMIT {BACKLOG_LIMIT}) AS e),"  # noqa: S608 # an identifier, quoted
        f" (SELECT round(extract(epoch FROM now() - min(expire)::timestamptz) * 1000)::bigint FROM {table.name}"
        " WHERE expire <= now() AND isfinite(expire))"
    )
    return expired, age


async def _zones(connection: Any, target: ServerURL, table: Table, name: str) -> list[Finding]:
    """Return what is said of time zones: ours, that of a connection without our URL's, and those of other roles."""
    zone, source = await connection.fetchrow("SELECT setting, source FROM pg_settings WHERE name = 'TimeZone'")
    (offsets,) = await connection.fetchrow(_OFFSETS)
    rows = await connection.fetch(_ZONES, table.name)
    others = [Zone(role, each.partition("=")[2].strip("'\"")) for role, each in rows]
    if source == "client":
        plain = {key: value for key, value in target.settings.items() if key.lower() not in ("timezone", "options")}
        with suppress(*DRIVER):
            async with _connected(target, plain) as another:
                others.append(Zone("a connection without our URL's", await another.fetchval("SHOW TimeZone")))
    return [*findings.zones(zone, others, name), *findings.summer_time(zone, offsets, name)]


def _hosts(target: ServerURL) -> list[str]:
    """Return the names of the hosts that a URL leads to."""
    hosts = ",".join(parse_qs(urlsplit(target.dsn).query).get("host", []))
    return [host.rpartition(":")[0] if host.count(":") == 1 else host.strip("[]") for host in hosts.split(",")]


@asynccontextmanager
async def _connected(target: ServerURL, settings: Any) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(
        target.dsn, ssl=target.tls(), statement_cache_size=0, timeout=_SECONDS, command_timeout=_SECONDS,
        server_settings=dict(settings),
    )  # fmt: skip
    try:
        yield connection
    finally:
        with suppress(*DRIVER, TimeoutError):
            await connection.close(timeout=1)
