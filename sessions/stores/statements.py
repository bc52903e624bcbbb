"""Owns the SQL of the SQLite store: a statement for each verb, for any number of jobs, and what its rows tell each job.

In every statement `:jobs` is a JSON array with an item for each job and `:now` the time in milliseconds. An expired row
counts as none, swept or not. `json_extract` is older than `->>`, and RETURNING (SQLite 3.35) cannot name the jobs.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from ..store import GONE, SAVED, Outcome, StoredSession, Update
from .batching import Job

SCHEMA = """
    CREATE TABLE IF NOT EXISTS sessions (sid PRIMARY KEY, expired, sess);
    CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);
"""
PAGE = "SELECT sid, sess, expired FROM sessions WHERE expired > ? AND sid > ? ORDER BY sid LIMIT ?"
LENGTH = "SELECT count(*) FROM sessions WHERE expired > ?"
BACKLOG = "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE expired <= ? LIMIT ?)"


def record(sess: Any, expired: Any) -> StoredSession:
    """A row as a record. Node binds its numbers as REAL; what is no text is no session, which its reader will say."""
    try:
        expires_at = int(expired)
    except (TypeError, ValueError, OverflowError):
        return StoredSession("", 0)
    return StoredSession(sess if isinstance(sess, str) else "", expires_at)


class Verb(NamedTuple):
    """A statement, and the way from the rows it returns to the outcome of each of its jobs."""

    sql: str
    outcome: Callable[[Job, dict[str, Any]], Any]
    """Of a job, given the rows by id."""


def _row_of(job: Job, rows: dict[str, Any], of_none: Any, of_row: Callable[[Any], Any]) -> Any:
    row = rows.get(job.key)
    return of_none if row is None else of_row(row)


# A job is an id.
SELECT = Verb(
    """
    SELECT sid, sess, expired FROM sessions
    WHERE sid IN (SELECT value FROM json_each(:jobs)) AND expired > :now
    """,
    lambda job, rows: _row_of(job, rows, None, lambda row: record(row[1], row[2])),
)

# A job is (sid, expires_at, text). An expired row is overwritten as if it were not there.
CREATE = Verb(
    """
    INSERT INTO sessions (sid, expired, sess)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(:jobs) WHERE true
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    WHERE (sessions.expired > :now) IS NOT TRUE
    RETURNING sid
    """,
    lambda job, rows: job.key in rows,
)

# A job is (sid, expires_at, text, expected text). Compare and set with an outcome for each row: our text comes back
# where it was saved, the newer one where it was not, and nothing where there is no row.
UPDATE = Verb(
    """
    UPDATE sessions
    SET expired = iif(sess = job.old, job.expired, sessions.expired), sess = iif(sess = job.old, job.new, sess)
    FROM (
        SELECT json_extract(value, '$[0]') AS sid, json_extract(value, '$[1]') AS expired,
               json_extract(value, '$[2]') AS new, json_extract(value, '$[3]') AS old
        FROM json_each(:jobs)
    ) AS job
    WHERE sessions.sid = job.sid AND sessions.expired > :now
    RETURNING sid, sess, expired
    """,
    lambda job, rows: _row_of(
        job,
        rows,
        GONE,
        lambda row: SAVED
        if (row[1], row[2]) == (job.row[2], job.row[1])
        else Update(Outcome.CONFLICT, record(row[1], row[2])),
    ),
)

# A job is (sid, expires_at, expected text).
TOUCH = Verb(
    """
    UPDATE sessions SET expired = iif(sess = job.old, job.expired, sessions.expired)
    FROM (
        SELECT json_extract(value, '$[0]') AS sid, json_extract(value, '$[1]') AS expired,
               json_extract(value, '$[2]') AS old
        FROM json_each(:jobs)
    ) AS job
    WHERE sessions.sid = job.sid AND sessions.expired > :now
    RETURNING sid, sess
    """,
    lambda job, rows: _row_of(
        job, rows, Outcome.GONE, lambda row: Outcome.SAVED if row[1] == job.row[2] else Outcome.CONFLICT
    ),
)

# A job is (sid, expires_at, text).
SET = Verb(
    """
    INSERT INTO sessions (sid, expired, sess)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(:jobs) WHERE true
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    """,
    lambda _job, _rows: None,
)

# A job is an id.
DESTROY = Verb(
    "DELETE FROM sessions WHERE sid IN (SELECT value FROM json_each(:jobs))",
    lambda _job, _rows: None,
)

# A job is how many rows at most. Over the index and in its order, or each step would read the whole table.
SWEEP = Verb(
    """
    DELETE FROM sessions
    WHERE rowid IN (
        SELECT rowid FROM sessions WHERE expired <= :now ORDER BY expired LIMIT json_extract(:jobs, '$[0]')
    )
    RETURNING sid
    """,
    lambda _job, rows: len(rows),
)

CLEAR = Verb("DELETE FROM sessions", lambda _job, _rows: None)


def resolve(verb: Verb, jobs: Iterable[Job], rows: Iterable[Any]) -> None:
    """Tell each job its outcome."""
    by_id = {row[0]: row for row in rows}
    for job in jobs:
        job.resolve(verb.outcome(job, by_id))
