"""Owns what `doctor` says of a PostgreSQL table: functions of facts, which know no connection."""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ...findings import Finding, fault, note, warning
from ..examination import Asked, left_over, user_index
from .table import NODES, RIGHTS, Table, quoted, wrong_columns

_ID_CHARACTERS = 32
"""The length of an id, of ours and of express-session's."""

_HEADER = 4
"""What PostgreSQL adds to the length of a varchar in `atttypmod`."""

_UTC = {"utc", "etc/utc", "gmt", "etc/gmt", "uct", "etc/uct", "zulu", "etc/zulu", "universal", "etc/universal", "z"}
"""Names of one zone."""


class Server(NamedTuple):
    """What the server is."""

    is_standby: bool
    is_pooled: bool
    """True if a pooler is between: the process that answers is not the one that greeted."""
    may_make: bool
    """True if the role may make a table."""


class Column(NamedTuple):
    """A column of the table."""

    name: str
    type: str
    modifier: int
    is_required: bool
    is_filled: bool
    """True if PostgreSQL fills it by itself."""


class Index(NamedTuple):
    """An index of the table."""

    name: str
    is_valid: bool
    is_key: bool
    """True if it lets no value of one column occur twice, at once and in every row."""
    column: str
    """The first column or expression."""


class Holder(NamedTuple):
    """Who holds the advisory lock of the sweep."""

    pid: int
    application: str
    state: str | None
    """What it does; None if the role may not see that."""


class Zone(NamedTuple):
    """The TimeZone of others."""

    who: str
    zone: str


class Facts(NamedTuple):
    """What the table is."""

    role: str
    lacking: tuple[str, ...]
    """The rights that the role has not."""
    columns: tuple[Column, ...]
    indexes: tuple[Index, ...]
    holders: tuple[Holder, ...]

    @property
    def types(self) -> dict[str, str]:
        """The types of the columns by name."""
        return {column.name: column.type for column in self.columns}


# -------------------------------------------------------------------- the server


def pooler(server: Server, statement_cache: int, name: str) -> Iterator[Finding]:
    """Yield a finding if a pooler is between and prepared statements are kept."""
    if server.is_pooled and statement_cache:
        yield fault(
            "postgres.pooler",
            f"{name}: a pooler such as PgBouncer is between, and prepared statements are kept"
            f" (statementCache = {statement_cache}), so it refuses our connections or mixes up their statements",
            "[postgres] statementCache = 0",
        )


def standby(server: Server, name: str) -> Iterator[Finding]:
    """Yield a finding if the server only reads."""
    if server.is_standby:
        problem = f"{name}: is a standby, which takes no writes: no session can be stored"
        yield fault("postgres.standby", problem, "connect to the primary: ?target_session_attrs=read-write")


def no_table(server: Server, table: Table, name: str) -> Iterator[Finding]:
    """Yield findings about a table that is missing."""
    if server.may_make:
        problem = f"{name}: there is no table {table.name} yet"
        yield note("postgres.new", problem, "a server makes it at its first start")
    else:
        problem = f"{name}: the table {table.name} is missing, and the role may not make it"
        yield fault("postgres.rights", problem, "make it with connect-pg-simple's table.sql, or GRANT CREATE ON SCHEMA")


# -------------------------------------------------------------------- the table


def rights(facts: Facts, table: Table, name: str) -> Iterator[Finding]:
    """Yield a finding if the role may not do what sessions need."""
    if facts.lacking:
        problem = f"{name}: the role {facts.role} lacks {', '.join(facts.lacking)} on the table {table.name}"
        grant = f"GRANT {', '.join(RIGHTS)} ON {table.name} TO {quoted(facts.role)}"
        yield fault("postgres.rights", problem, grant)


def columns(facts: Facts, table: Table, name: str, asked: Asked) -> Iterator[Finding]:
    """Yield findings about columns that differ from connect-pg-simple's table.sql."""
    wrong = wrong_columns(facts.types)
    if wrong:
        yield fault(
            "postgres.columns", f"{name}: the table {table.name} is no table of sessions: {wrong}", "name another"
        )
        return
    differing = [
        f"{each} is {facts.types[each]}, there {kind}" for each, kind in NODES.items() if facts.types[each] != kind
    ]
    if differing:
        problem = f"{name}: columns of {table.name} have other types than in connect-pg-simple's table.sql:"
        problem += f" {', '.join(differing)}"
        advice = "sessions work with these; see that what else reads the table does"
        say = warning if asked.node_peer else note
        yield say("postgres.column-type", problem, advice)
    for column in facts.columns:
        alter = f"ALTER TABLE {table.name} ALTER COLUMN {quoted(column.name)}"
        if column.name == "sid" and 0 <= column.modifier - _HEADER < _ID_CHARACTERS:
            problem = (
                f"{name}: the column sid of {table.name} has room for {column.modifier - _HEADER} characters, an id has"
            )
            yield fault("postgres.short-sid", f"{problem} {_ID_CHARACTERS}", f"{alter} TYPE varchar")
        if column.name not in NODES and column.is_required and not column.is_filled:
            problem = f"{name}: the column {column.name} of {table.name} has to be filled, and nobody fills it"
            yield fault("postgres.required-column", problem, f"{alter} SET DEFAULT …, or DROP NOT NULL")


def key(facts: Facts, table: Table, name: str) -> Iterator[Finding]:
    """Yield a finding if an id can occur twice."""
    if not any(index.is_key and index.column == "sid" for index in facts.indexes):
        problem = f"{name}: the table {table.name} has no key on sid that holds at once, so no session can be stored"
        yield fault("postgres.key", problem, f"ALTER TABLE {table.name} ADD PRIMARY KEY (sid)")


def strangers(facts: Facts, name: str) -> Iterator[Finding]:
    """Yield a finding for who holds the lock of the sweep and is at rest: ours is gone with each sweep's statement."""
    for holder in facts.holders:
        if holder.state is not None and holder.state.startswith("idle"):
            yield fault(
                "sweeper.stranger",
                f"{name}: the backend {holder.pid} ({holder.application or 'without a name'}, {holder.state}) holds the"
                " sweeper's lock and does not sweep, so nothing is swept",
                f"SELECT pg_terminate_backend({holder.pid})",
            )


def indexes(facts: Facts, mine: str | None, table: Table, asked: Asked, name: str) -> Iterator[Finding]:
    """Yield findings about indexes that are missing, invalid or left over. `mine` is the name of the users' index."""
    if not any(index.is_valid and index.column == "expire" for index in facts.indexes):
        problem = f"{name}: the table {table.name} has no index on expire, so each sweep reads the whole table"
        yield warning("store.expiry-index", problem, f"CREATE INDEX CONCURRENTLY ON {table.name} (expire)")
    if facts.types.get("sess") == "text" and asked.user_path is not None:
        problem = f"{name}: sess is text, of which no index of the users can be made: to find one reads all"
        yield warning(
            "user-index.missing", problem, f"ALTER TABLE {table.name} ALTER COLUMN sess TYPE json USING sess::json"
        )
    else:
        found = {index.name: index.is_valid for index in facts.indexes}
        yield from user_index(found.get(mine or ""), name, asked)
    pattern = re.compile(rf"IDX_({re.escape(table.table)}_user_.+|[0-9a-f]{{32}}_user)")
    yield from left_over(
        [each.name for each in facts.indexes if pattern.fullmatch(each.name) and each.name != mine], name, asked
    )


# -------------------------------------------------------------------- time zones


def zones(mine: str, others: Sequence[Zone], name: str) -> Iterator[Finding]:
    """Yield a finding for each other TimeZone than ours by which the table's times are read."""
    for who, zone in dict.fromkeys(others):
        if _same(zone) != _same(mine):
            yield fault(
                "postgres.zone",
                f"{name}: expire is local time, by TimeZone {mine} here and by {zone} for {who},"
                " so sessions end early or late",
                f"give all the same: ALTER DATABASE … SET TimeZone = '{mine}', and none in a URL or for a role",
            )


def summer_time(zone: str, offsets: int, name: str) -> Iterator[Finding]:
    """Yield a finding if the clocks of a zone are put back: it has several offsets in a year."""
    if offsets > 1:
        problem = f"{name}: expire is local time by TimeZone {zone}, where clocks are put back: an hour comes twice"
        yield warning("postgres.summer-time", problem, "ALTER DATABASE … SET TimeZone = 'UTC'")


def _same(zone: str) -> str:
    return "utc" if zone.lower() in _UTC else zone.lower()
