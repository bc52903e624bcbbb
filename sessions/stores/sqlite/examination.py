"""Owns the examination of a SQLite file for `doctor`: its files, its table, its log, and who holds its locks.

The file is read by a connection that cannot write. SQLite would make a log beside a file that has none, even to read
it: so a file that nobody has open is read as one that does not change.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ...errors import StoreUnavailable
from ...file_access import Access, open_folder, out_of_reach, serving_user
from ...findings import Finding, fault, note, warning
from ...user_text import UserPlace
from ..examination import BACKLOG_LIMIT, SKEW, Asked, backlog, left_over, user_index
from . import permissions, statements
from .beside import Identity, Names, identity
from .file import COLUMNS, LARGE_LOG
from .user_statements import UserStatements

if TYPE_CHECKING:
    from .store import SQLiteStore

_LOCKS = Path("/proc/locks")
"""Linux's list of file locks, with the process and the inode of each."""

_WAL_VERSION = b"\2\2"
"""Bytes 18 and 19 of a file in WAL mode (https://www.sqlite.org/fileformat.html, 1.3)."""

_NUMERIC = ("INT", "REAL", "FLOA", "DOUB", "NUM", "DEC", "BOOL", "DATE")
_TEXT = ("CHAR", "CLOB", "TEXT")
_MISFITS = {"sid": _NUMERIC, "expired": _TEXT, "sess": _NUMERIC}
"""By column, the types that change what is written (https://www.sqlite.org/datatype3.html, 3.1)."""

_OLDEST = """
    SELECT CAST(min(expired) AS INTEGER) FROM sessions WHERE expired <= ? AND typeof(expired) IN ('integer', 'real')
"""


class Facts(NamedTuple):
    """What the file is."""

    journal_mode: str
    columns: Mapping[str, str]
    """The declared types by name, in the order of the table; none: there is no table."""
    has_key: bool
    indexes: frozenset[str]
    expired: int
    oldest: int | None
    """When the first of the expired rows has ended; None: there is none."""


async def examine(store: "SQLiteStore", asked: Asked) -> AsyncIterator[Finding]:
    """Yield what is wrong with the file of a store. Raises StoreUnavailable at the end if it cannot be read."""
    found: list[Finding] = []
    failure: StoreUnavailable | None = None
    try:
        await asyncio.to_thread(lambda: found.extend(_examined(store, asked)))
    except OSError as error:
        failure = StoreUnavailable(f"{store.path}: {error}")
    except StoreUnavailable as error:
        failure = error
    for finding in found:
        yield finding
    if failure is not None:
        raise failure


def _examined(store: "SQLiteStore", asked: Asked) -> Iterator[Finding]:
    names = Names(store.path.absolute())
    user = serving_user(names.main.parent)
    if not names.main.parent.is_dir():
        raise StoreUnavailable(f"{names.main}: the folder {names.main.parent} does not exist")
    yield from _files(names, user)
    if not names.main.exists():
        yield note("sqlite.new", f"{names.main}: there is no such file yet", "a server makes it at its first start")
        return
    yield from _clock(names, asked)
    yield from strangers(_holders(identity(names.sweeper)), _holders(identity(names.wal)), names.sweeper)
    yield from large_log(names.wal, names.wal.stat().st_size if names.wal.exists() else 0)
    facts = _facts(names, asked)
    yield from journal(facts.journal_mode, names.main)
    if not facts.columns:
        yield note("sqlite.new", f"{names.main}: has no table of sessions yet", "a server makes it at its first start")
        return
    yield from columns(facts.columns, names.main)
    if [*facts.columns] != COLUMNS:
        return
    yield from key(names.main, has_key=facts.has_key)
    yield from indexes(facts.indexes, asked, names.main)
    age = None if facts.oldest is None else asked.now - facts.oldest
    yield from backlog(facts.expired, age, asked, str(names.main))


# -------------------------------------------------------------------- the checks


def _files(names: Names, user: int) -> Iterator[Finding]:
    folder = Access.of(names.main.parent)
    if folder is not None:
        yield from open_folder(folder)
    yield from permissions.findings(names, user)
    for each in (names.main, names.wal, names.shm, names.lock, names.sweeper):
        file = Access.of(each)
        if file is not None:
            yield from out_of_reach(file, user)


def _clock(names: Names, asked: Asked) -> Iterator[Finding]:
    written = max(each.stat().st_mtime_ns // 1_000_000 for each in (names.main, names.wal) if each.exists())
    if written - asked.now > SKEW:
        problem = f"{names.main}: was written in the future, so this machine's clock has been set back"
        yield fault("clock.set-back", problem, "let it follow a time server: sessions end late by as much")


def strangers(sweepers: Mapping[int, str], users: Mapping[int, str], file: Path) -> Iterator[Finding]:
    """Yield a finding if who holds the sweeper's lock does not have the database open; processes by their ids."""
    for pid in sorted(sweepers.keys() - users.keys()):
        yield fault(
            "sweeper.stranger",
            f"{file}: the process {pid} ({sweepers[pid]}) holds the sweeper's lock and is no server of this database,"
            " so nothing is swept",
            f"end the process {pid}, and see who may open the file",
        )


def large_log(file: Path, size: int) -> Iterator[Finding]:
    """Yield a finding if the log has grown to so many bytes."""
    if size > LARGE_LOG:
        yield warning(
            "sqlite.large-log",
            f"{file}: has grown to {size // 1_000_000} MB, because a connection reads an old state of the file",
            "end what holds it, a backup that hangs or a shell with an open transaction; it grows until then",
        )


def journal(mode: str, file: Path) -> Iterator[Finding]:
    """Yield a finding if the file is not in WAL mode."""
    if mode != "wal":
        yield warning(
            "sqlite.journal",
            f"{file}: its journal mode is {mode}, so readers and writers wait for each other",
            "a server changes it to WAL at its start; if one runs, no other program may set it back",
        )


def columns(found: Mapping[str, str], file: Path) -> Iterator[Finding]:
    """Yield a finding if the columns are not those that connect-sqlite3 makes, which have no types."""
    if [*found] != COLUMNS:
        problem = f"{file}: the table sessions has the columns {', '.join(found)}; Node inserts into sid, expired, sess"
        yield fault("sqlite.columns", problem, "give the sessions a file of their own")
        return
    for name, kind in found.items():
        if any(word in kind.upper() for word in _MISFITS[name]):
            problem = (
                f"{file}: the column {name} is {kind}, which changes what is written; in Node's table it has no type"
            )
            yield warning("sqlite.column-type", problem, "move the sessions into a new file: a server makes its table")


def key(file: Path, *, has_key: bool) -> Iterator[Finding]:
    """Yield a finding if an id can occur twice."""
    if not has_key:
        problem = f"{file}: the table sessions has no key, so no session can be stored"
        yield fault("sqlite.key", problem, "CREATE UNIQUE INDEX sessions_sid ON sessions (sid)")


def indexes(found: frozenset[str], asked: Asked, file: Path) -> Iterator[Finding]:
    """Yield findings about indexes that are missing, and left over."""
    if "sessions_expired" not in found:
        problem = f"{file}: has no index of expired sessions, so each sweep reads the whole table"
        yield warning("store.expiry-index", problem, "a server makes it at its start")
    places = () if asked.user_path is None else (UserPlace(asked.user_path), UserPlace(asked.user_path, in_meta=True))
    mine = {UserStatements(place).index[0] for place in places}  # the second if what is stored is sealed
    yield from user_index(True if mine & found else None, str(file), asked)
    others = sorted(each for each in found if each.startswith("sessions_user_") and each not in mine)
    yield from left_over(others, str(file), asked)


# -------------------------------------------------------------------- the facts


def _facts(names: Names, asked: Asked) -> Facts:
    is_open = names.wal.exists() and names.shm.exists()
    try:
        mode = None if is_open else _mode_of_closed(names.main)
        uri = f"{names.main.as_uri()}?mode=ro{'' if is_open else '&immutable=1'}"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5)) as connection:
            connection.text_factory = bytes  # a text that is not UTF-8 is no error here
            (found,) = connection.execute("PRAGMA journal_mode").fetchone()
            return _read(connection, mode or found.decode(), asked)
    except sqlite3.Error as error:
        reason = permissions.culprit(names)
        raise StoreUnavailable(f"{names.main}: {error}{f' ({reason})' if reason else ''}") from error


def _read(connection: sqlite3.Connection, mode: str, asked: Asked) -> Facts:
    rows = connection.execute("SELECT name, type FROM pragma_table_info('sessions')").fetchall()
    found = {name.decode(): kind.decode() for name, kind in rows}
    try:
        connection.execute(statements.HAS_KEY)
        has_key = True
    except sqlite3.Error:
        has_key = False
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'sessions'")
    expired, oldest = 0, None
    if [*found] == COLUMNS:
        (expired,) = connection.execute(statements.BACKLOG, (asked.now, BACKLOG_LIMIT)).fetchone()
        (oldest,) = connection.execute(_OLDEST, (asked.now,)).fetchone()
    return Facts(mode, found, has_key, frozenset(name.decode() for (name,) in names), expired, oldest)


def _mode_of_closed(file: Path) -> str:
    """Return the journal mode of a file that nobody has open; SQLite knows none of a file that does not change."""
    with file.open("rb") as opened:
        return "wal" if opened.read(20)[18:] in (_WAL_VERSION, b"") else "delete"


def _holders(file: Identity | None) -> dict[int, str]:
    """Return the processes that hold a lock of flock(2) on a file, with their names; {} if the system has no list."""
    holders: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for line in _LOCKS.read_text().splitlines():
            match line.split():
                case [_, "FLOCK", _, _, pid, place, *_] if file is not None and _is_place(place, file):
                    holders[int(pid)] = _program(int(pid))
    return holders


def _is_place(place: str, file: Identity) -> bool:
    major, minor, inode = place.split(":")
    return (os.makedev(int(major, 16), int(minor, 16)), int(inode)) == file


def _program(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "its name is not known"
