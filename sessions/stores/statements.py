"""Owns the SQL of the SQLite store: a statement for each verb, for any number of jobs, and what its rows mean.

In every statement `:jobs` is a JSON array with an item for each job and `:now` the time in milliseconds. An expired row
counts as none, swept or not. `json_extract` is older than `->>`, and RETURNING (SQLite 3.35) cannot name the jobs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from ..store import GONE, SAVED, Outcome, StoredSession, Update

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
    """A write, and what it means for a job that the statement returns its id, or does not."""

    sql: str
    found: Any = None
    """The outcome of a job whose id is returned."""
    missed: Callable[[StoredSession | None], Any] | None = None
    """The outcome of another one, by the row that lives under its id; None: `found` all the same."""


# A job is an id.
SELECT = """
    SELECT sid, sess, expired FROM sessions
    WHERE sid IN (SELECT value FROM json_each(:jobs)) AND expired > :now
"""

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
    found=True,
    missed=lambda _row: False,
)

# A job is (sid, expires_at, text, expected text). What comes back was saved. Why another did not is asked afterwards:
# to return the text instead would take another writer's equal text for one's own.
UPDATE = Verb(
    """
    UPDATE sessions SET expired = job.expired, sess = job.new
    FROM (
        SELECT json_extract(value, '$[0]') AS sid, json_extract(value, '$[1]') AS expired,
               json_extract(value, '$[2]') AS new, json_extract(value, '$[3]') AS old
        FROM json_each(:jobs)
    ) AS job
    WHERE sessions.sid = job.sid AND sessions.sess = job.old AND sessions.expired > :now
    RETURNING sid
    """,
    found=SAVED,
    missed=lambda row: GONE if row is None else Update(Outcome.CONFLICT, row),
)

# A job is (sid, expires_at, expected text).
TOUCH = Verb(
    """
    UPDATE sessions SET expired = job.expired
    FROM (
        SELECT json_extract(value, '$[0]') AS sid, json_extract(value, '$[1]') AS expired,
               json_extract(value, '$[2]') AS old
        FROM json_each(:jobs)
    ) AS job
    WHERE sessions.sid = job.sid AND sessions.sess = job.old AND sessions.expired > :now
    RETURNING sid
    """,
    found=Outcome.SAVED,
    missed=lambda row: Outcome.GONE if row is None else Outcome.CONFLICT,
)

# A job is (sid, expires_at, text).
SET = Verb(
    """
    INSERT INTO sessions (sid, expired, sess)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]')
    FROM json_each(:jobs) WHERE true
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    """,
)

# A job is an id.
DESTROY = Verb("DELETE FROM sessions WHERE sid IN (SELECT value FROM json_each(:jobs))")

# A job is how many rows at most. Over the index and in its order, or each step would read the whole table.
SWEEP = Verb(
    """
    DELETE FROM sessions
    WHERE rowid IN (
        SELECT rowid FROM sessions WHERE expired <= :now ORDER BY expired LIMIT json_extract(:jobs, '$[0]')
    )
    RETURNING 1
    """,
)

CLEAR = Verb("DELETE FROM sessions")
