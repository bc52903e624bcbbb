"""Owns the SQL of the SQLite store: a statement for each verb, for any number of jobs, and what its rows mean.

In every statement `?1` is the time in milliseconds, and `{jobs}` stands for the rows of the jobs, each `(?2, ?3, ...)`.
An expired row counts as none, swept or not. RETURNING (SQLite 3.35) cannot name the jobs.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import chain
from typing import Any, NamedTuple

from ...store import GONE, SAVED, Outcome, StoredSession, Update
from ..batching import MAX_BATCH

SCHEMA = """
    CREATE TABLE IF NOT EXISTS sessions (sid PRIMARY KEY, expired, sess);
    CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);
"""
PAGE = "SELECT sid, sess, expired FROM sessions WHERE expired > ? AND sid > ? ORDER BY sid LIMIT ?"
LENGTH = "SELECT count(*) FROM sessions WHERE expired > ?"
BACKLOG = "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE expired <= ? LIMIT ?)"


_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, MAX_BATCH)
"""Jobs that a statement is made for: the driver keeps what it has compiled, but not many."""


@lru_cache
def _statement(text: str, width: int, count: int) -> str:
    """The statement of a verb for so many jobs."""
    numbers = iter(range(2, 2 + width * count))
    rows = (", ".join(f"?{next(numbers)}" for _ in range(width)) for _ in range(count))
    return text.format(jobs=", ".join(f"({row})" for row in rows))


def record(sess: Any, expired: Any) -> StoredSession:
    """A row as a record. Node binds its numbers as REAL; what is no text is no session, which its reader will say."""
    try:
        expires_at = int(expired)
    except (TypeError, ValueError, OverflowError):
        return StoredSession("", 0)
    return StoredSession(sess if isinstance(sess, str) else "", expires_at)


class Verb(NamedTuple):
    """A write, and what it means for a job that the statement returns its id, or does not."""

    text: str
    width: int = 1
    """Values of a job."""
    found: Any = None
    """The outcome of a job whose id is returned."""
    missed: Callable[[StoredSession | None], Any] | None = None
    """The outcome of another one, by the row that lives under its id; None: `found` all the same."""

    def prepared(self, jobs: list[tuple[Any, ...]], now: int) -> tuple[str, list[Any]]:
        """The statement for some jobs, and its parameters. Rows of NULL, which mean nothing, make it one of few."""
        count = next(size for size in _SIZES if size >= len(jobs))
        parameters = [now, *chain.from_iterable(jobs)]
        parameters += [None] * ((count - len(jobs)) * self.width)
        return _statement(self.text, self.width, count), parameters


# A job is an id.
SELECT = Verb("SELECT sid, sess, expired FROM sessions WHERE sid IN (VALUES {jobs}) AND expired > ?1")

# A job is (sid, expires_at, text). An expired row is overwritten as if it were not there.
CREATE = Verb(
    """
    WITH job (sid, expired, sess) AS (VALUES {jobs})
    INSERT INTO sessions (sid, expired, sess) SELECT sid, expired, sess FROM job WHERE sid IS NOT NULL
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    WHERE (sessions.expired > ?1) IS NOT TRUE
    RETURNING sid
    """,
    width=3,
    found=True,
    missed=lambda _row: False,
)

# A job is (sid, expires_at, text, expected text). What comes back was saved. Why another did not is asked afterwards:
# to return the text instead would take another writer's equal text for one's own.
UPDATE = Verb(
    """
    WITH job (sid, expired, new, old) AS (VALUES {jobs})
    UPDATE sessions SET expired = job.expired, sess = job.new FROM job
    WHERE sessions.sid = job.sid AND sessions.sess = job.old AND sessions.expired > ?1
    RETURNING sid
    """,
    width=4,
    found=SAVED,
    missed=lambda row: GONE if row is None else Update(Outcome.CONFLICT, row),
)

# A job is (sid, expires_at, expected text).
TOUCH = Verb(
    """
    WITH job (sid, expired, old) AS (VALUES {jobs})
    UPDATE sessions SET expired = job.expired FROM job
    WHERE sessions.sid = job.sid AND sessions.sess = job.old AND sessions.expired > ?1
    RETURNING sid
    """,
    width=3,
    found=Outcome.SAVED,
    missed=lambda row: Outcome.GONE if row is None else Outcome.CONFLICT,
)

# A job is (sid, expires_at, text).
SET = Verb(
    """
    WITH job (sid, expired, sess) AS (VALUES {jobs})
    INSERT INTO sessions (sid, expired, sess) SELECT sid, expired, sess FROM job WHERE sid IS NOT NULL
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    """,
    width=3,
)

# A job is an id.
DESTROY = Verb("WITH job (sid) AS (VALUES {jobs}) DELETE FROM sessions WHERE sid IN job")

# A job is how many rows at most. Over the index and in its order, or each step would read the whole table.
SWEEP = Verb(
    """
    WITH job (most) AS (VALUES {jobs})
    DELETE FROM sessions
    WHERE rowid IN (SELECT rowid FROM sessions WHERE expired <= ?1 ORDER BY expired LIMIT (SELECT most FROM job))
    RETURNING 1
    """,
)

# A job is nothing.
CLEAR = Verb("WITH job (none) AS (VALUES {jobs}) DELETE FROM sessions")
