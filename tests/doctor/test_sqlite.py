"""A SQLite file: each fault is made in a real one, and a healthy one has no findings, open or closed."""

# ruff: noqa: ASYNC240 # files are what is tested, and nobody else is on the loop

import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from stores.support import as_nobody, query

from sessions import now_ms
from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.sqlite import SQLiteStore

from .asking import ASKED, HOUR, store

NOBODY = 65_534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
only_linux = pytest.mark.skipif(not Path("/proc/locks").exists(), reason="no list of locks on this system")
WITH_USERS = ASKED._replace(user_path=("user",))


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A file as a server makes it, with its index of users."""
    database = tmp_path / "sessions.db"
    made = SQLiteStore(database)
    made.users.index(("user",))
    made.prepare()
    return database


@asynccontextmanager
async def serving(database: Path) -> AsyncIterator[SQLiteStore]:
    """A server that has the file open and sweeps."""
    async with SQLiteStore(database) as served:
        served.users.index(("user",))
        assert served.lead()
        yield served


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    """All files of a folder: when they were written, and what is in them."""
    return {each.name: (each.stat().st_mtime_ns, each.read_bytes()) for each in folder.iterdir()}


async def test_a_healthy_one_has_no_findings(database: Path) -> None:
    """Closed, open, with sessions, and expired ones that the next sweep deletes."""
    closed = await store(f"sqlite:{database}", WITH_USERS)
    async with serving(database) as served:
        await served.create("a", StoredSession('{"user":"ada"}', now_ms() + HOUR))
        await served.set("b", StoredSession("{}", now_ms() - 1_000))
        found = await store(f"sqlite:{database}", WITH_USERS)
        without_users = await store(f"sqlite:{database}", ASKED._replace(knows_user_key=False))

    assert (closed, found, without_users) == ({}, {}, {})


async def test_nothing_is_changed(database: Path, tmp_path: Path) -> None:
    """No file is made or written, where nobody has it open and where somebody has."""
    before = state(tmp_path)
    await store(f"sqlite:{database}", WITH_USERS)
    assert state(tmp_path) == before

    async with serving(database) as served:
        await served.create("a", StoredSession("{}", now_ms() + HOUR))
        before = {
            name: of for name, of in state(tmp_path).items() if not name.endswith("-shm")
        }  # readers are noted there
        await store(f"sqlite:{database}", WITH_USERS)

        assert {name: of for name, of in state(tmp_path).items() if not name.endswith("-shm")} == before


async def test_one_that_no_server_has_made_yet(tmp_path: Path) -> None:
    """It is not made."""
    found = await store(f"sqlite:{tmp_path / 'new.db'}")

    assert {name: each.severity for name, each in found.items()} == {"sqlite.new": "note"}
    assert list(tmp_path.iterdir()) == []


async def test_a_file_without_a_table(tmp_path: Path) -> None:
    """A server makes it."""
    query(tmp_path / "x.db", "CREATE TABLE other (a)")
    (tmp_path / "x.db").chmod(0o600)

    assert set(await store(f"sqlite:{tmp_path / 'x.db'}")) == {"sqlite.journal", "sqlite.new"}


async def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """The store is away."""
    with pytest.raises(StoreUnavailable, match="does not exist"):
        await store(f"sqlite:{tmp_path / 'nowhere' / 'x.db'}")


async def test_what_is_no_database(tmp_path: Path) -> None:
    """It is named."""
    (tmp_path / "x.db").write_bytes(b"no database at all" * 100)
    (tmp_path / "x.db").chmod(0o600)

    with pytest.raises(StoreUnavailable, match=r"x\.db: file is not a database"):
        await store(f"sqlite:{tmp_path / 'x.db'}")


TABLES = {
    "CREATE TABLE sessions (sid, expired, sess)": "sqlite.key",
    "CREATE TABLE sessions (sid PRIMARY KEY, sess, expired)": "sqlite.columns",
    "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess, more)": "sqlite.columns",
    "CREATE TABLE sessions (sid PRIMARY KEY, expired TEXT, sess)": "sqlite.column-type",
    "CREATE TABLE sessions (sid INTEGER PRIMARY KEY, expired, sess)": "sqlite.column-type",
    "CREATE TABLE sessions (sid PRIMARY KEY, expired, sess NUMERIC)": "sqlite.column-type",
    "CREATE TABLE sessions (sid TEXT PRIMARY KEY, expired INTEGER, sess TEXT)": None,
}


@pytest.mark.parametrize(("make", "name"), TABLES.items())
async def test_a_table_that_differs_from_nodes(tmp_path: Path, make: str, name: str | None) -> None:
    """Without a key, with other columns, or with types that change what is written."""
    database = tmp_path / "x.db"
    query(database, make)
    query(database, "CREATE INDEX sessions_expired ON sessions (expired)")
    query(database, "PRAGMA journal_mode = WAL")
    database.chmod(0o600)

    assert set(await store(f"sqlite:{database}")) == ({name} if name else set())


async def test_another_journal_mode(database: Path) -> None:
    """Another program has set it back."""
    query(database, "PRAGMA journal_mode = DELETE")

    found = await store(f"sqlite:{database}", WITH_USERS)

    assert set(found) == {"sqlite.journal"}
    assert "its journal mode is delete" in found["sqlite.journal"].problem


async def test_a_log_of_a_gigabyte(database: Path) -> None:
    """It is a sparse file: only its size is looked at."""
    async with serving(database) as served:
        await served.create("a", StoredSession("{}", now_ms() + HOUR))
        size = Path(f"{database}-wal").stat().st_size
        os.truncate(f"{database}-wal", 2**30)
        found = await store(f"sqlite:{database}", WITH_USERS)
        os.truncate(f"{database}-wal", size)

    assert set(found) == {"sqlite.large-log"}
    assert "1073 MB" in found["sqlite.large-log"].problem


async def test_an_index_of_users_that_is_missing(database: Path) -> None:
    """The table has grown over the limit up to which a server makes it, or somebody has dropped it."""
    query(database, "DROP INDEX sessions_user_user")

    assert set(await store(f"sqlite:{database}", WITH_USERS)) == {"user-index.missing"}
    assert await store(f"sqlite:{database}", ASKED) == {}


async def test_an_index_of_an_older_user_key(database: Path) -> None:
    """It costs every write; unless nobody says which key is the present one."""
    found = await store(f"sqlite:{database}", ASKED)
    unknown = await store(f"sqlite:{database}", ASKED._replace(knows_user_key=False))

    assert set(found) == {"user-index.left"}
    assert found["user-index.left"].advice == 'DROP INDEX "sessions_user_user"'
    assert unknown == {}


async def test_no_index_of_expired_sessions(database: Path) -> None:
    """Each sweep reads all."""
    query(database, "DROP INDEX sessions_expired")

    assert set(await store(f"sqlite:{database}", WITH_USERS)) == {"store.expiry-index"}


async def test_a_backlog_that_grows(database: Path) -> None:
    """The oldest expired session is older than ten sweeps."""
    rows = [f"('{n}', {now_ms() - HOUR}, '{{}}')" for n in range(25)]
    query(database, f"INSERT INTO sessions VALUES {', '.join(rows)}")

    found = await store(f"sqlite:{database}", WITH_USERS)
    patient = await store(f"sqlite:{database}", WITH_USERS._replace(sweep_interval=HOUR))

    assert set(found) == {"store.backlog"}
    assert "25 expired sessions wait to be swept, the oldest for 60 minutes" in found["store.backlog"].problem
    assert patient == {}


async def test_a_clock_that_was_set_back(database: Path) -> None:
    """The file was written in what is the future now."""
    os.utime(database, (now_ms() / 1000 + 3_600,) * 2)

    assert set(await store(f"sqlite:{database}", WITH_USERS)) == {"clock.set-back"}


# ---------------------------------------------------------------- who reaches the files, and holds their locks


@pytest.mark.parametrize("suffix", ["", "-wal"])
async def test_a_file_that_others_read(database: Path, suffix: str) -> None:
    """The database, or the log that has kept another mode."""
    async with serving(database):
        Path(f"{database}{suffix}").chmod(0o644)
        found = await store(f"sqlite:{database}", WITH_USERS)

    assert {name: each.severity for name, each in found.items()} == {"file.others": "fault"}


async def test_a_folder_that_others_write(database: Path) -> None:
    """They can replace the file."""
    database.parent.chmod(0o777)

    assert set(await store(f"sqlite:{database}", WITH_USERS)) == {"file.folder"}


@only_root
async def test_a_file_of_a_stranger(database: Path) -> None:
    """Neither root nor who has the folder."""
    os.chown(database, NOBODY, NOBODY)

    assert set(await store(f"sqlite:{database}", WITH_USERS)) == {"file.owner"}


@only_root
async def test_all_of_it_is_the_servers(database: Path) -> None:
    """An administrator who looks is root, and the files are those of the service."""
    os.chown(database, NOBODY, NOBODY)
    os.chown(database.parent, NOBODY, NOBODY)

    assert await store(f"sqlite:{database}", WITH_USERS) == {}


@only_root
async def test_a_file_that_root_has_left(database: Path) -> None:
    """The service cannot open it."""
    os.chown(database.parent, NOBODY, NOBODY)

    assert set(await store(f"sqlite:{database}", WITH_USERS)) == {"file.out-of-reach"}


@only_root
async def test_a_file_that_we_may_not_read(database: Path) -> None:
    """The store is away, for whoever asks."""
    for folder in (database.parent, database.parent.parent, database.parent.parent.parent):
        folder.chmod(0o755)

    with as_nobody(), pytest.raises(StoreUnavailable, match=r"sessions\.db"):
        await store(f"sqlite:{database}", WITH_USERS)


@contextmanager
def stranger(lock: Path) -> Iterator[int]:
    """Another process that holds a lock of flock(2)."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


@only_linux
@pytest.mark.parametrize("serves", [True, False])
async def test_a_sweeper_that_a_stranger_has_locked(database: Path, serves: bool) -> None:
    """Nothing is swept, whether a server runs or not; of a server that sweeps nothing is said."""
    lock = Path(f"{database}.sweeper")
    lock.touch(0o600)
    with stranger(lock) as pid:
        if serves:
            async with SQLiteStore(database) as served:
                assert not served.lead()
                found = await store(f"sqlite:{database}", WITH_USERS)
        else:
            found = await store(f"sqlite:{database}", WITH_USERS)

    assert set(found) == {"sweeper.stranger"}
    assert f"the process {pid} (python" in found["sweeper.stranger"].problem


async def test_a_text_that_is_not_utf_8_is_passed_over(database: Path) -> None:
    """Its reader finds it corrupt; here nobody reads it."""
    with sqlite3.connect(database) as other:
        other.execute("INSERT INTO sessions VALUES ('a', ?, CAST(x'ff' AS TEXT))", (now_ms() + HOUR,))
    other.close()

    assert await store(f"sqlite:{database}", WITH_USERS) == {}
