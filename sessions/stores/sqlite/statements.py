"""Owns the SQL of the SQLite store: a statement for each verb, for any number of jobs, and what its rows mean.

In every statement `?1` is the time in milliseconds, and `{jobs}` is where the rows of the jobs go: `(?2, ?3, …), …`.
An expired row counts as none, swept or not. RETURNING (SQLite 3.35) cannot name the jobs. An expiry is compared by the
very expression that reads it, CAST: Node binds its numbers as REAL, with fractions.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any

from ...store import GONE, TAKEN, Outcome, StoredSession, Update
from ..batching import MAX_BATCH, Job, Read

SCHEMA = """
    CREATE TABLE IF NOT EXISTS sessions (sid PRIMARY KEY, expired, sess);
    CREATE INDEX IF NOT EXISTS sessions_expired ON sessions (expired);
"""
PAGE = "SELECT sid, sess, CAST(expired AS INTEGER) FROM sessions WHERE expired > ? AND sid > ? ORDER BY sid LIMIT ?"
LENGTH = "SELECT count(*) FROM sessions WHERE expired > ?"
HAS_KEY = "EXPLAIN INSERT INTO sessions VALUES (0, 0, 0) ON CONFLICT (sid) DO NOTHING"
"""Fails if the table lets an id occur twice; nothing is inserted."""
HAS_ROWID = "SELECT 1 FROM pragma_index_xinfo('sessions_expired') WHERE cid = -1"
HAS_INDEX = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?"
BACKLOG = "SELECT count(*) FROM (SELECT 1 FROM sessions WHERE expired <= ? LIMIT ?)"


_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, MAX_BATCH)
"""Jobs that a statement is made for: the driver keeps what it has compiled, but not many."""


@lru_cache
def _statement(text: str, width: int, count: int, *, numbers_jobs: bool) -> str:
    """Return the statement of a verb for so many jobs."""
    parameters = iter(range(2, 2 + width * count))
    rows = ([f"?{next(parameters)}" for _ in range(width)] for _ in range(count))
    if numbers_jobs:
        rows = ([str(number), *row] for number, row in enumerate(rows))
    return text.format(jobs=", ".join(f"({', '.join(row)})" for row in rows))


def record(sess: Any, expires_at: int) -> StoredSession:
    """Return a row as a record. What is no text is no session, which its reader will say."""
    # the class itself takes five times as long
    return tuple.__new__(StoredSession, (sess if isinstance(sess, str) else "", expires_at, None))


class Verb:
    """A statement for jobs of one verb, and what it means for a job that the statement returns its id, or does not.

    `values` are the attributes of a job that make its row. `done` gives the outcome of a job that was done, `missed`
    that of another one by the row that lives under its id; without it that outcome is None. `returned` is the attribute
    that RETURNING names. `locks_first` says that it takes the lock before it begins, alone as well. With `numbers_jobs`
    the row of a job begins with its place in the batch. `alone` is the statement for a batch of one job.
    """

    def __init__(
        self,
        text: str,
        *values: str,
        done: Callable[[Any], Any] = lambda _job: None,
        missed: Callable[[Any, StoredSession | None], Any] | None = None,
        returned: str = "sid",
        locks_first: bool = False,
        numbers_jobs: bool = False,
        alone: str | None = None,
    ) -> None:
        self._text = text
        self._alone = alone
        self._numbers_jobs = numbers_jobs
        self._width = len(values)
        self._values: Callable[[Any], Any] = attrgetter(*values) if values else lambda _job: ()
        self.locks_first: bool = locks_first
        self._done = done
        self._returned = attrgetter(returned)
        self._returns = "RETURNING" in text
        self._missed = missed

    def prepared(self, jobs: Sequence[Read], now: int) -> tuple[str, list[Any]]:
        """Return the statement for some jobs, and its parameters. Rows of NULL, which mean nothing, fill it up."""
        rows = map(self._values, jobs)
        parameters: list[Any] = [now, *(chain.from_iterable(rows) if self._width > 1 else rows)]
        if len(jobs) == 1 and self._alone is not None:
            return self._alone, parameters
        count = _SIZES[bisect_left(_SIZES, len(jobs))]
        parameters += [None] * ((count - len(jobs)) * self._width)
        return _statement(self._text, self._width, count, numbers_jobs=self._numbers_jobs), parameters

    def split(self, jobs: list[Job], rows: Sequence[Any]) -> tuple[list[Job], list[Job]]:
        """Return the jobs that the statement did, and those that it did not, by the rows that it returned."""
        if not self._returns or len(rows) == len(jobs):  # a batch holds every id once
            return jobs, []
        ids = {row[0] for row in rows}
        done: list[Job] = []
        missed: list[Job] = []
        for job in jobs:
            (done if self._returned(job) in ids else missed).append(job)
        return done, missed

    def resolve(self, jobs: list[Job], rows: Sequence[Any], _seconds: float) -> list[Job]:
        """Resolve the jobs by the rows that the statement returned. Returns those for `resolve_missed`."""
        done, missed = self.split(jobs, rows)
        for job in done:
            job.resolve(self._done(job))
        if self._missed is not None:
            return missed
        for job in missed:
            job.resolve(None)
        return []

    def resolve_missed(self, job: Job, row: StoredSession | None) -> None:
        """Resolve a job that was not done, by the row that lives under its id."""
        job.resolve(None if self._missed is None else self._missed(job, row))


def _written(job: Any) -> StoredSession:
    """Return the record that a job has written."""
    written: StoredSession = job.record
    return written if written.version is None else written._replace(version=None)


def _conflict(_job: Job, row: StoredSession | None) -> Update:
    return GONE if row is None else Update(Outcome.CONFLICT, row)


# CROSS JOIN keeps SQLite to this order: it seeks the row of each job, and makes no sorted list of the ids first.
SELECT = Verb(
    """
    WITH job (number, sid) AS (VALUES {jobs})
    SELECT number, sess, CAST(expired AS INTEGER) FROM job CROSS JOIN sessions USING (sid) WHERE expired > ?1
    """,
    "sid",
    numbers_jobs=True,
    alone="SELECT 0, sess, CAST(expired AS INTEGER) FROM sessions WHERE sid = ?2 COLLATE BINARY AND expired > ?1",
)
"""Returns the living rows, each with the place of its job in the batch."""

# An expired row is overwritten as if it were not there.
CREATE = Verb(
    """
    WITH job (sid, expired, sess) AS (VALUES {jobs})
    INSERT INTO sessions (sid, expired, sess) SELECT sid, expired, sess FROM job WHERE sid IS NOT NULL
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    WHERE (sessions.expired > ?1) IS NOT TRUE
    RETURNING sid
    """,
    "sid", "record.expires_at", "record.data",
    done=_written,
    alone="""
    INSERT INTO sessions (sid, expired, sess) VALUES (?2, ?3, ?4)
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
    WHERE (sessions.expired > ?1) IS NOT TRUE
    RETURNING sid
    """,
)  # fmt: skip

# SQLite copies the texts of the jobs into a table of its own first: for one job that is the larger part of the work.
# What comes back was saved. Why another was not is asked afterwards: to return the text instead would take another
# writer's equal text for one's own.
UPDATE = Verb(
    """
    WITH job (sid, expired, new, old) AS (VALUES {jobs})
    UPDATE sessions SET expired = job.expired, sess = job.new FROM job
    WHERE sessions.sid = job.sid AND sessions.sess = job.old AND sessions.expired > ?1
    RETURNING sid
    """,
    "sid", "record.expires_at", "record.data", "expected.data",
    done=lambda job: Update(Outcome.SAVED, _written(job)),
    missed=_conflict,
    alone="""
    UPDATE sessions SET expired = ?3, sess = ?4 WHERE sid = ?2 AND sess = ?5 AND expired > ?1
    RETURNING sid
    """,
)  # fmt: skip

TOUCH = Verb(
    """
    WITH job (sid, new, old) AS (VALUES {jobs})
    UPDATE sessions SET expired = job.new FROM job
    WHERE sessions.sid = job.sid AND CAST(sessions.expired AS INTEGER) = job.old AND sessions.expired > ?1
    RETURNING sid
    """,
    "sid", "expires_at", "expected.expires_at",
    done=lambda job: Update(Outcome.SAVED, StoredSession(job.expected.data, job.expires_at)),
    missed=_conflict,
)  # fmt: skip

# The row itself moves. OR IGNORE: a new id that is taken, by an expired row as well, fails its own job and no other.
RENAME = Verb(
    """
    WITH job (old_sid, new_sid, expired, new, old) AS (VALUES {jobs})
    UPDATE OR IGNORE sessions SET sid = job.new_sid, expired = job.expired, sess = job.new FROM job
    WHERE sessions.sid = job.old_sid AND sessions.sess = job.old AND sessions.expired > ?1
    AND job.new_sid <> job.old_sid
    RETURNING sid
    """,
    "sid", "new", "record.expires_at", "record.data", "expected.data",
    done=lambda job: Update(Outcome.SAVED, _written(job)),
    missed=lambda job, row: TAKEN if row is not None and row.data == job.expected.data else _conflict(job, row),
    returned="new",
    locks_first=True,
)  # fmt: skip

_UPSERT = """
    WITH job (sid, expired, sess) AS (VALUES {jobs})
    INSERT INTO sessions (sid, expired, sess) SELECT sid, expired, sess FROM job WHERE sid IS NOT NULL
    ON CONFLICT (sid) DO UPDATE SET expired = excluded.expired, sess = excluded.sess
"""
SET = Verb(_UPSERT, "sid", "record.expires_at", "record.data", done=_written)
TOMBSTONE = Verb(_UPSERT, "sid", "tombstone.expires_at", "tombstone.data")

DESTROY = Verb("WITH job (sid) AS (VALUES {jobs}) DELETE FROM sessions WHERE sid IN job", "sid")


class Deletion(Job):
    """The job to delete so many rows at most, found by a key of theirs, expired ones ("sweep") or any ("clear").

    It resolves to a pair: the rows that the statement returned, and the seconds that it took without lock and commit.
    """

    __slots__ = ("limit",)

    def __init__(self, verb: str, key: str, limit: int) -> None:
        super().__init__(f"{verb} by {key}", "")
        self.limit: int = limit


class Deleting(Verb):
    """A verb of one job that deletes many rows: it resolves to what was returned, and the seconds that it took."""

    def __init__(self, text: str, *values: str) -> None:
        super().__init__(text, *values, locks_first=True)  # its time is measured without the wait

    def resolve(self, jobs: list[Job], rows: Sequence[Any], seconds: float) -> list[Job]:
        """Resolve the one job."""
        for job in jobs:
            job.resolve((rows, seconds))
        return []


# A sweep goes over the index and in its order, or each step would read the whole table.
_DELETION = """
    WITH job (most) AS (VALUES {{jobs}})
    DELETE FROM sessions
    WHERE {key} IN (SELECT {key} FROM sessions WHERE {which} LIMIT (SELECT most FROM job))
    RETURNING 1
"""
_DELETED = {"sweep": "expired <= ?1 ORDER BY expired", "clear": "TRUE"}
DELETIONS = {
    f"{verb} by {key}": Deleting(_DELETION.format(key=key, which=which), "limit")
    for verb, which in _DELETED.items()
    for key in ("rowid", "sid")
}

SIGN_IN = Verb("", locks_first=True)
"""Has no statement of its own (transaction.py); what is resolved by it was refused."""

VERBS = {
    "create": CREATE,
    "update": UPDATE,
    "touch": TOUCH,
    "rename": RENAME,
    "set": SET,
    "destroy": DESTROY,
    "sign in": SIGN_IN,
    **DELETIONS,
}
"""By the verb of a job; the deletions of a user are added when they are first asked for."""
