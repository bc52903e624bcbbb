"""Owns the SQL of the PostgreSQL store: a statement for each verb, for any number of sessions, and what its rows mean.

The table is the one that the npm package connect-pg-simple makes (its table.sql), its times are written with the same
`to_timestamp(seconds)`. An expired row counts as none, swept or not. `json` has no `=`, so its text is compared; it is
kept to the character (`jsonb` would not). Every list is a `text[]`, the one array that asyncpg knows without asking the
server for its types. This file must not know how a statement reaches the server.
"""

# ruff: noqa: S608 # the only text that is put into a statement is the table's name, as a quoted identifier

from collections.abc import Callable
from typing import Any, NamedTuple

from ...store import GONE, SAVED, Outcome, StoredSession, Update


class Verb(NamedTuple):
    """A write of some rows, and what it means for one that the statement returns its id, or does not."""

    sql: str
    timed: bool
    """Whether its last parameter is the time in milliseconds."""
    found: Any = None
    """The outcome of a row whose id is returned."""
    missed: Callable[[StoredSession | None], Any] | None = None
    """The outcome of another one, by what lives under its id; None: `found` all the same."""


def quoted(name: str) -> str:
    """A name as an identifier."""
    return '"' + name.replace('"', '""') + '"'


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _moment(milliseconds: str) -> str:
    """A time as connect-pg-simple writes it, which counts in whole seconds. To the column it becomes local time."""
    return f"to_timestamp({milliseconds}::float8 / 1000)"


_LOCKS = 0x73657373
"""The first half of our advisory locks ("sess"); the second is the table's oid."""

_ROW = """
    sid, sess::text,
    CASE WHEN isfinite(expire) THEN round(extract(epoch FROM expire::timestamptz) * 1000)::bigint
    ELSE 8640000000000000 END
"""
"""A row as a record. Its time comes back through the time zone by which it went; infinity is JavaScript's last."""


class Statements:
    """The statements for one table."""

    def __init__(self, table: str, schema: str | None = None) -> None:
        name = quoted(table) if schema is None else f"{quoted(schema)}.{quoted(table)}"
        rows = f"INSERT INTO {name} AS s (sid, sess, expire) SELECT job.sid, job.sess::json, {_moment('job.expires')}"
        self.name = name
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
        self.make = f"DO {_literal(make)}"
        self.columns = """
            SELECT attname, atttypid::regtype::text FROM pg_attribute
            WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
        """

        self.select = f"SELECT {_ROW} FROM {name} WHERE sid = ANY($1::text[]) AND expire > {_moment('$2')}"
        self.first_page = f"SELECT {_ROW} FROM {name} WHERE expire > {_moment('$1')} ORDER BY sid LIMIT $2"
        self.page = f"SELECT {_ROW} FROM {name} WHERE expire > {_moment('$1')} AND sid > $3 ORDER BY sid LIMIT $2"
        self.length = f"SELECT count(*) FROM {name} WHERE expire > {_moment('$1')}"
        self.backlog = f"""
            SELECT count(*) FROM (SELECT 1 FROM {name} WHERE expire <= {_moment("$1")} LIMIT $2) AS expired
        """
        self.clear = f"DELETE FROM {name}"

        # The leader is who gets the lock, until the statement, which is a transaction by itself, has ended; for others
        # the condition is false and nothing is read. Rows that are locked are somebody's who prolongs or ends them.
        self.sweep = f"""
            DELETE FROM {name} WHERE sid = ANY(ARRAY(
                SELECT sid FROM {name}
                WHERE expire <= {_moment("$1")}
                AND (SELECT pg_try_advisory_xact_lock({_LOCKS}, to_regclass($3)::oid::int))
                ORDER BY expire LIMIT $2 FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        """

        # Rows are (sid, expires_at, text). An expired row is overwritten as if it were not there.
        self.create = Verb(
            f"""
            {rows} FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, sess)
            ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire
            WHERE s.expire <= {_moment("$4")} RETURNING sid
            """,
            timed=True,
            found=True,
            missed=lambda _row: False,
        )

        # Rows are (sid, expires_at, text, expected text). What comes back was saved. One that another transaction has
        # locked is waited for, and its text compared once more, as it is by then.
        self.update = Verb(
            f"""
            UPDATE {name} AS s SET sess = job.sess::json, expire = {_moment("job.expires")}
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS job (sid, expires, sess, expected)
            WHERE s.sid = job.sid AND s.sess::text = job.expected AND s.expire > {_moment("$5")} RETURNING s.sid
            """,
            timed=True,
            found=SAVED,
            missed=lambda row: GONE if row is None else Update(Outcome.CONFLICT, row),
        )

        # Rows are (sid, expires_at, expected text).
        self.touch = Verb(
            f"""
            UPDATE {name} AS s SET expire = {_moment("job.expires")}
            FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, expected)
            WHERE s.sid = job.sid AND s.sess::text = job.expected AND s.expire > {_moment("$4")} RETURNING s.sid
            """,
            timed=True,
            found=Outcome.SAVED,
            missed=lambda row: Outcome.GONE if row is None else Outcome.CONFLICT,
        )

        # Rows are (sid, expires_at, text).
        self.set = Verb(
            f"""
            {rows} FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, sess)
            ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire
            """,
            timed=False,
        )

        # Rows are (sid,).
        self.destroy = Verb(f"DELETE FROM {name} WHERE sid = ANY($1::text[])", timed=False)
