"""Owns the SQL that finds, ends and limits the sessions of a user, and the jobs that ask for it."""

# ruff: noqa: S608 # what is put into a statement is a path of keys, as a literal and as a name

import json
from collections.abc import Sequence
from typing import Self

from ...store import Limit
from ...user_text import UserPlace
from ..batching import Job
from .statements import VERBS, Deleting, Deletion


class UserDeletion(Deletion):
    """The job to delete so many rows of a user at most, but for one id. Its rows: the id, and whether it lived."""

    __slots__ = ("keep", "names")

    def __init__(self, verb: str, key: str, names: str, keep: str | None, limit: int) -> None:
        super().__init__(verb, key, limit)
        self.names: str = names
        """The names of the user, as a list in JSON."""
        self.keep: str | None = keep


_IS_ODD = """(
    sess GLOB '*\\u00[02-7]*' OR NOT json_valid(sess) OR length(CAST(sess AS BLOB)) >= 2000 AND
    length(CAST(sess AS BLOB)) - length(CAST(replace(replace(sess, '[', ''), '{', '') AS BLOB)) >= 1000
)"""
"""True of a text that versions of SQLite read differently, or not at all, and so only Python does.

Node brings a SQLite of its own, and each change of a row looks for its entry in the index: where one version computes
another value than the one before, the change fails ("database disk image is malformed"). 3.42 reads 1,000 levels of
nesting and its predecessors 2,000; 3.40 cuts a text at a NUL; 3.54 reads a key that is written with escapes. They write
an integer beyond 64 bits differently too: for them it is a real, and nobody. Brackets are counted, since no function
tells a depth, and bytes, which SQLite knows. It takes 0.4 µs for a session of 300 bytes, 7 to 17 µs for one of 4 kB.
"""


class UserStatements:
    """The statements for a path of keys. The path is a literal in them, or SQLite would not use the index."""

    def __init__(self, place: UserPlace, *, uses_index: bool = True) -> None:
        path = place.path
        paths = [path, ("__meta", "user")] if place.in_meta else [path]
        user = f"CASE WHEN {_IS_ODD} THEN '' {' '.join(map(_user_at, paths))} END"
        name = "sessions_user_" + (".".join(path) if not any("." in key for key in path) else str(list(path)))
        name += "_or_meta" if place.in_meta else ""
        quoted = _identifier(name)
        self.place: UserPlace = place
        self._user = user
        self._rows = f"sessions INDEXED BY {quoted}" if uses_index else "sessions"
        self.index: tuple[str, str] = (
            name,
            f"CREATE INDEX IF NOT EXISTS {quoted} ON sessions ({user}) WHERE {user} IS NOT NULL",
        )
        """The name of the index, and the statement that makes it."""
        self.odd: str = f"""
            SELECT sid, sess FROM {self._rows}
            WHERE {user} = '' AND {_IS_ODD} AND expired > ?1
        """
        """Finds the rows for which only Python can tell the user."""

    def found(self, users: int) -> str:
        """Return the question for the living rows that may be of so many users, from `?2` on."""
        which = f"{self._user} IN ({', '.join(f'?{n}' for n in range(2, 2 + users))}, '')"
        return f"""
            SELECT sid, sess, CAST(expired AS INTEGER) FROM {self._rows}
            WHERE {which} AND ({self._user} <> '' OR {_IS_ODD}) AND expired > ?1
        """

    def deletion(self, key: str, names: Sequence[str], keep: str | None, most: int) -> UserDeletion:
        """Return the job to delete so many rows of a user at most."""
        named = f"{self._user} IN (SELECT value FROM job, json_each(job.names))"
        rows = f"{self._rows} WHERE {named}".replace("{", "{{").replace("}", "}}")
        text = f"""
            WITH job (names, keep, most) AS (VALUES {{jobs}})
            DELETE FROM sessions WHERE {key} IN (
                SELECT {key} FROM {rows} AND sid IS NOT (SELECT keep FROM job)
                LIMIT (SELECT most FROM job)
            ) RETURNING sid, expired > ?1
        """
        verb = f"end in {text}"
        VERBS.setdefault(f"{verb} by {key}", Deleting(text, "names", "keep", "limit"))
        return UserDeletion(verb, key, json.dumps(list(names)), keep, most)


def _user_at(path: Sequence[str]) -> str:
    """Return the branch of a CASE for a user under a path of keys."""
    place = _literal("$" + "".join(f'."{key}"' for key in path))
    return f"""
        WHEN json_type(sess, {place}) IN ('text', 'integer') AND typeof(json_extract(sess, {place})) <> 'real'
        THEN CAST(json_extract(sess, {place}) AS TEXT)
    """


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class SignIn(Job):
    """The job to create a session of a user, or to rename one, within a limit; `verb` is "sign in", `act` what it does.

    It resolves as its act does. `is_refused` and `ended` say the rest.
    """

    __slots__ = ("act", "ended", "is_refused", "limit", "sql")

    verb: str
    act: str
    limit: Limit
    sql: UserStatements
    is_refused: bool
    ended: list[str]

    def within(self, limit: Limit, sql: UserStatements) -> Self:
        """Return the job, with a limit that it keeps and the statements that count."""
        self.act, self.verb = self.verb, "sign in"
        self.limit, self.sql = limit, sql
        self.is_refused, self.ended = False, []
        return self
