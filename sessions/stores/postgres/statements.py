"""Owns the SQL of the PostgreSQL store: a statement for each verb, and what its rows mean.

Times are written with the `to_timestamp(seconds)` of the npm package connect-pg-simple. An expired row counts as none,
swept or not, and "expired" is by PostgreSQL's own `now()`, so that no host's clock ends or sweeps a session. A record
is known again by its text; `jsonb` keeps no text but a value, and a record of it has a digest of that as its version.
Every list is a `text[]`, the one array that asyncpg knows without asking the server for its types. This file must not
know how a statement reaches the server.
"""

# ruff: noqa: S608 # the only text that is put into a statement is the table's name, as a quoted identifier

from collections.abc import Callable
from typing import Any, NamedTuple

from ...store import GONE, TAKEN, Outcome, StoredSession, Update
from ..batching import Job


class Write(NamedTuple):
    """How jobs of one verb are performed: by one statement for all of them; its parameters are columns of their rows.

    The statement returns `(id, expires_at)` of each row that it wrote, and the version if records have one. The time is
    read back, since the table's clock may show a moment twice.
    """

    sql: str
    row: Callable[[Job], tuple[str | None, ...]]
    """The parameters of a job."""
    compares: bool = False
    """True if it writes only what is still as expected: then the caller asks for the living rows that it left."""

    def columns(self, jobs: list[Job]) -> list[tuple[str | None, ...]]:
        """Return the parameters of the statement."""
        return list(zip(*map(self.row, jobs), strict=True))

    def outcome(self, job: Any, written: list[Any] | None, row: StoredSession | None) -> Any:
        """Return what the verb returns: by what was written of the row, else by the row that is there.

        `written` is what the statement has returned behind the id; None if that row was not written.
        """
        if written is not None:
            if job.record is None:  # a touch leaves the text as it was
                record = job.expected._replace(expires_at=written[0])
            else:
                record = StoredSession(job.record.data, *written)
            return Update(Outcome.SAVED, record) if self.compares else record
        if not self.compares:
            return None
        if row is None:
            return GONE
        if job.new is not None and row.same_as(job.expected):
            return TAKEN  # by itself: the new id is the old one
        return Update(Outcome.CONFLICT, row)


# A job is Any here: what it carries depends on its verb.


def _record(job: Any) -> tuple[str, ...]:
    return job.sid, str(job.record.expires_at), job.record.data


def _change(job: Any) -> tuple[str, ...]:
    return *_record(job), job.expected.data if job.expected.version is None else job.expected.version


def _touch(job: Any) -> tuple[str, ...]:
    return job.sid, str(job.expires_at), str(job.expected.expires_at)


def _rename(job: Any) -> tuple[str | None, ...]:
    closed = job.tombstone
    return *_change(job), job.new, *((None, None) if closed is None else (str(closed.expires_at), closed.data))


def _id(job: Any) -> tuple[str, ...]:
    return (job.sid,)


def _moment(milliseconds: str) -> str:
    """A time as connect-pg-simple writes it, which counts in whole seconds. To the column it becomes local time."""
    return f"to_timestamp({milliseconds}::float8 / 1000)"


LAST = 8_640_000_000_000_000
"""JavaScript's last date, in milliseconds since the epoch."""

LOCKS = 0x73657373
"""The first half of our advisory locks ("sess"); the second is the table's oid."""

_END = f"""
    CASE WHEN isfinite(s.expire) THEN round(extract(epoch FROM s.expire::timestamptz) * 1000)::bigint
    ELSE {LAST} END
"""
"""A row's expiry in milliseconds. It comes back through the time zone by which it went; infinity is JavaScript's last.

A touch compares by this very expression, so that a row with microseconds, or without a last moment, is what was read.
"""

_TEXT = "s.sess::text"
_DIGEST = f"encode(sha256(convert_to({_TEXT}, 'UTF8')), 'hex')"
"""What a value of jsonb is known by: it has one spelling, whoever wrote it and however."""


class Statements:
    """The statements for a table, with its name as SQL has it; `sess` is the type of its column."""

    def __init__(self, name: str, sess: str) -> None:
        text = f"::{sess}"
        known_by, version = (_DIGEST, f", {_DIGEST}") if sess == "jsonb" else (_TEXT, "")
        row = f"s.sid, {_TEXT}, {_END}{version}"
        self.row: str = row
        """What a reading returns of a row."""
        written = f"s.sid, {_END}{version}"
        insert = f"""
            INSERT INTO {name} AS s (sid, sess, expire) SELECT job.sid, job.sess{text}, {_moment("job.expires")}
            FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, sess)
            ON CONFLICT (sid) DO UPDATE SET sess = excluded.sess, expire = excluded.expire
        """

        self.select: str = f"SELECT {row} FROM {name} AS s WHERE s.sid = ANY($1::text[]) AND s.expire > now()"
        self.first_page: str = f"SELECT {row} FROM {name} AS s WHERE s.expire > now() ORDER BY s.sid LIMIT $1"
        self.page: str = f"""
            SELECT {row} FROM {name} AS s WHERE s.expire > now() AND s.sid > $2 ORDER BY s.sid LIMIT $1
        """
        self.length: str = f"SELECT count(*) FROM {name} WHERE expire > now()"
        self.backlog: str = f"""
            SELECT count(*) FROM (SELECT 1 FROM {name} WHERE expire <= now() LIMIT $1) AS expired
        """

        # In the order of the ids from $1 on, so that no step reads again what the steps before it have left as dead.
        self.clear: str = f"""
            WITH gone AS (
                DELETE FROM {name} WHERE sid = ANY(ARRAY(
                    SELECT sid FROM {name} WHERE sid >= $1 ORDER BY sid LIMIT $2
                )) RETURNING sid
            )
            SELECT count(*), max(sid) FROM gone
        """

        # The leader is who gets the lock, until the statement, which is a transaction by itself, has ended; for others
        # the condition is false and nothing is read. Rows that are locked are somebody's who prolongs or ends them.
        self.sweep: str = f"""
            DELETE FROM {name} WHERE sid = ANY(ARRAY(
                SELECT sid FROM {name}
                WHERE expire <= now()
                AND (SELECT pg_try_advisory_xact_lock({LOCKS}, to_regclass($2)::oid::int))
                ORDER BY expire LIMIT $1 FOR UPDATE SKIP LOCKED
            )) RETURNING 1
        """

        self.writes: dict[str, Write] = {
            # An expired row is overwritten as if it were not there.
            "create": Write(f"{insert} WHERE s.expire <= now() RETURNING {written}", _record),
            "set": Write(f"{insert} RETURNING {written}", _record),
            "destroy": Write(f"DELETE FROM {name} WHERE sid = ANY($1::text[])", _id),
            # A row that another transaction has locked is waited for, and compared once more, as it is by then.
            "update": Write(
                f"""
                UPDATE {name} AS s SET sess = job.sess{text}, expire = {_moment("job.expires")}
                FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS job (sid, expires, sess, expected)
                WHERE s.sid = job.sid AND {known_by} = job.expected AND s.expire > now()
                RETURNING {written}
                """,
                _change,
                compares=True,
            ),
            "touch": Write(
                f"""
                UPDATE {name} AS s SET expire = {_moment("job.expires")}
                FROM unnest($1::text[], $2::text[], $3::text[]) AS job (sid, expires, expected)
                WHERE s.sid = job.sid AND {_END} = job.expected::bigint AND s.expire > now()
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
                    UPDATE {name} AS s SET sid = job.new, sess = job.sess{text}, expire = {_moment("job.expires")}
                    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
                        AS job (sid, expires, sess, expected, new, closes, closed)
                    WHERE s.sid = job.sid AND job.new <> job.sid
                    AND {known_by} = job.expected AND s.expire > now()
                    RETURNING job.sid, job.closes, job.closed, {_END} AS expires_at{version and f"{version} AS version"}
                ), tombstone AS (
                    INSERT INTO {name} (sid, sess, expire)
                    SELECT sid, closed{text}, {_moment("closes")} FROM taken WHERE closed IS NOT NULL
                )
                SELECT sid, expires_at{version and ", version"} FROM taken
                """,
                _rename,
                compares=True,
            ),
        }
