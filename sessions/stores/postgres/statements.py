"""Owns the SQL of the PostgreSQL store: a statement for each verb, and what its rows mean.

The table is the one that the npm package connect-pg-simple makes (its table.sql), its times are written with the same
`to_timestamp(seconds)`. An expired row counts as none, swept or not. `json` has no `=`, so its text is compared; it is
kept to the character (`jsonb` would not). Every list is a `text[]`, the one array that asyncpg knows without asking the
server for its types. This file must not know how a statement reaches the server.
"""

# ruff: noqa: S608 # the only text that is put into a statement is the table's name, as a quoted identifier

from collections.abc import Callable
from typing import Any, NamedTuple

from ...store import GONE, TAKEN, Outcome, StoredSession, Update
from ..batching import Job


class Write(NamedTuple):
    """How jobs of one verb are performed: by one statement for all of them, whose parameters are columns of their rows.

    The statement returns `(id, expires_at)` of each row that it wrote. The time is read back, since the table's clock
    may show a moment twice.
    """

    sql: str
    row: Callable[[Job], tuple[str | None, ...]]
    """The parameters of a job."""
    timed: bool = True
    """True if the last parameter, behind the columns, is the time in milliseconds."""
    compares: bool = False
    """True if it writes only what is still as expected: then the caller asks for the living rows that it left."""

    def outcome(self, job: Any, expires_at: int | None, row: StoredSession | None) -> Any:
        """Return what the verb returns: by the expiry that was written, if it was, else by the row that is there."""
        if expires_at is not None:
            record = StoredSession((job.record or job.expected).data, expires_at)  # a touch leaves the text as it was
            return Update(Outcome.SAVED, record) if self.compares else record
        if not self.compares:
            return None
        if row is None:
            return GONE
        if job.new is not None and row.data == job.expected.data:
            return TAKEN  # by itself: the new id is the old one
        return Update(Outcome.CONFLICT, row)


# A job is Any here: what it carries depends on its verb.


def _record(job: Any) -> tuple[str, ...]:
    return job.sid, str(job.record.expires_at), job.record.data


def _change(job: Any) -> tuple[str, ...]:
    return job.sid, str(job.record.expires_at), job.record.data, job.expected.data


def _touch(job: Any) -> tuple[str, ...]:
    return job.sid, str(job.expires_at), str(job.expected.expires_at)


def _rename(job: Any) -> tuple[str | None, ...]:
    closed = job.tombstone
    return *_change(job), job.new, *((None, None) if closed is None else (str(closed.expires_at), closed.data))


def _id(job: Any) -> tuple[str, ...]:
    return (job.sid,)


def quoted(name: str) -> str:
    """Return a name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _moment(milliseconds: str) -> str:
    """A time as connect-pg-simple writes it, which counts in whole seconds. To the column it becomes local time."""
    return f"to_timestamp({milliseconds}::float8 / 1000)"


_LOCKS = 0x73657373
"""The first half of our advisory locks ("sess"); the second is the table's oid."""

_END = """
    CASE WHEN isfinite(expire) THEN round(extract(epoch FROM expire::timestamptz) * 1000)::bigint
    ELSE 8640000000000000 END
"""
"""A row's expiry in milliseconds. It comes back through the time zone by which it went; infinity is JavaScript's last.

A touch compares by this very expression, so that a row with microseconds, or without a last moment, is what was read.
"""

_ROW = f"sid, sess::text, {_END}"
"""A row as a record."""


class Statements:
    """The statements for one table."""

    def __init__(self, table: str, schema: str | None = None) -> None:
        name = quoted(table) if schema is None else f"{quoted(schema)}.{quoted(table)}"
        insert = f"""
            INSERT INTO {name} AS s (sid, sess, expire) SELECT job.sid, job.sess::json, {_moment("job.expires")}
            FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, sess)
            ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire
        """
        self.name: str = name
        # As table.sql. Of another table Node calls key and index the same once more, and fails where both are wanted.
        # Of several that make it at once one does, the others fail when it has.
        make = f"""
            BEGIN
                CREATE TABLE {name} (
                    "sid" varchar NOT NULL COLLATE "default",
                    "sess" json NOT NULL,
                    "expire" timestamp(6) NOT NULL
                );
                ALTER TABLE {name} ADD CONSTRAINT {quoted(f"{table}_pkey")}
                    PRIMARY KEY ("sid") NOT DEFERRABLE INITIALLY IMMEDIATE;
                CREATE INDEX {quoted(f"IDX_{table}_expire")} ON {name} ("expire");
            EXCEPTION WHEN duplicate_table OR duplicate_object OR unique_violation THEN
                NULL;
            END
        """
        self.make: str = f"DO {_literal(make)}"
        self.columns: str = """
            SELECT attname, atttypid::regtype::text FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        """

        self.select: str = f"SELECT {_ROW} FROM {name} WHERE sid = ANY($1::text[]) AND expire > {_moment('$2')}"
        self.first_page: str = f"SELECT {_ROW} FROM {name} WHERE expire > {_moment('$1')} ORDER BY sid LIMIT $2"
        self.page: str = f"SELECT {_ROW} FROM {name} WHERE expire > {_moment('$1')} AND sid > $3 ORDER BY sid LIMIT $2"
        self.length: str = f"SELECT count(*) FROM {name} WHERE expire > {_moment('$1')}"
        self.backlog: str = f"""
            SELECT count(*) FROM (SELECT 1 FROM {name} WHERE expire <= {_moment("$1")} LIMIT $2) AS expired
        """
        self.clear: str = f"DELETE FROM {name}"

        # The leader is who gets the lock, until the statement, which is a transaction by itself, has ended; for others
        # the condition is false and nothing is read. Rows that are locked are somebody's who prolongs or ends them.
        self.sweep: str = f"""
            DELETE FROM {name} WHERE sid = ANY(ARRAY(
                SELECT sid FROM {name}
                WHERE expire <= {_moment("$1")}
                AND (SELECT pg_try_advisory_xact_lock({_LOCKS}, to_regclass($3)::oid::int))
                ORDER BY expire LIMIT $2 FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        """

        self.writes: dict[str, Write] = {
            # An expired row is overwritten as if it were not there.
            "create": Write(f"{insert} WHERE s.expire <= {_moment('$4')} RETURNING s.sid, {_END}", _record),
            "set": Write(f"{insert} RETURNING s.sid, {_END}", _record, timed=False),
            "destroy": Write(f"DELETE FROM {name} WHERE sid = ANY($1::text[])", _id, timed=False),
            # A row that another transaction has locked is waited for, and compared once more, as it is by then.
            "update": Write(
                f"""
                UPDATE {name} AS s SET sess = job.sess::json, expire = {_moment("job.expires")}
                FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS job (sid, expires, sess, expected)
                WHERE s.sid = job.sid AND s.sess::text = job.expected AND s.expire > {_moment("$5")}
                RETURNING s.sid, {_END}
                """,
                _change,
                compares=True,
            ),
            "touch": Write(
                f"""
                UPDATE {name} AS s SET expire = {_moment("job.expires")}
                FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, expected)
                WHERE s.sid = job.sid AND {_END} = job.expected::bigint AND s.expire > {_moment("$4")}
                RETURNING s.sid, {_END}
                """,
                _touch,
                compares=True,
            ),
            # For one row at a time, in a transaction of its own, or two renames that cross would lock each other's
            # rows. The row itself moves, so a DELETE that waits for it follows it to its new id. There is no ON
            # CONFLICT: a new id that is taken is a unique_violation, which leaves the old row whole.
            "rename": Write(
                f"""
                WITH taken AS (
                    UPDATE {name} AS s SET sid = job.new, sess = job.sess::json, expire = {_moment("job.expires")}
                    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
                        AS job (sid, expires, sess, expected, new, closes, closed)
                    WHERE s.sid = job.sid AND job.new <> job.sid
                    AND s.sess::text = job.expected AND s.expire > {_moment("$8")}
                    RETURNING job.sid, {_END} AS expires_at, job.closes, job.closed
                ), tombstone AS (
                    INSERT INTO {name} (sid, sess, expire)
                    SELECT sid, closed::json, {_moment("closes")} FROM taken WHERE closed IS NOT NULL
                )
                SELECT sid, expires_at FROM taken
                """,
                _rename,
                compares=True,
            ),
        }
