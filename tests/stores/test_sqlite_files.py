"""The files of the SQLite store: links, what others can open or own, what can never work, and a log that grows."""

# ruff: noqa: ASYNC240 # files are what is tested, and nobody else is on the loop

import asyncio
import os
import re
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from clock import MovableClock

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.sqlite import SQLiteStore, file

from .support import LATER, NEW, OLD, as_nobody, listed, query

NOBODY = 65_534
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


class TestLinks:
    """A path that leads over symbolic links: SQLite's log lies beside the file that it leads to."""

    @pytest.fixture
    def real(self, tmp_path: Path) -> Path:
        """Where the file is, or will be."""
        (tmp_path / "data").mkdir()
        return tmp_path / "data" / "real.db"

    @pytest.mark.parametrize("made", [True, False], ids=["there", "not there yet"])
    async def test_the_file_behind_a_link_is_used(self, real: Path, tmp_path: Path, made: bool) -> None:
        """With all that lies beside it; it is made if it is not there."""
        link = tmp_path / "link.db"
        link.symlink_to(real)
        if made:
            SQLiteStore(real).prepare()
        async with SQLiteStore(link) as store:
            await store.create("a", OLD)
            assert store.lead()
            await store.update("a", NEW, OLD)

            assert await store.get("a") == NEW
            assert {each.name for each in real.parent.iterdir()} == {
                f"real.db{suffix}" for suffix in ("", "-wal", "-shm", ".lock", ".sweeper")
            }
        assert {each.name for each in tmp_path.iterdir()} == {"data", "link.db"}

    async def test_a_link_among_the_folders_is_followed(self, real: Path, tmp_path: Path) -> None:
        """As `current` is in many deployments."""
        (tmp_path / "current").symlink_to(real.parent, target_is_directory=True)
        async with SQLiteStore(tmp_path / "current" / real.name) as store:
            await store.create("a", OLD)

        assert query(real, "SELECT sid FROM sessions") == [("a",)]

    async def test_two_links_lead_to_one_leader(self, real: Path, tmp_path: Path) -> None:
        """Who sweeps is a matter of the file, not of its name."""
        for name in ("one", "two"):
            (tmp_path / name).symlink_to(real)
        async with SQLiteStore(tmp_path / "one") as one, SQLiteStore(tmp_path / "two") as two:
            assert (one.lead(), two.lead()) == (True, False)

    async def test_the_file_behind_it_may_be_replaced(self, real: Path, tmp_path: Path) -> None:
        """It is noticed as it is without a link."""
        link = tmp_path / "link.db"
        link.symlink_to(real)
        async with SQLiteStore(link) as store:
            await store.create("a", OLD)
            SQLiteStore(tmp_path / "backup").prepare()
            (tmp_path / "backup").rename(real)
            with pytest.raises(StoreUnavailable, match=r"link\.db: was deleted or replaced"):
                await store.get("a")
            assert await store.get("a") is None

    async def test_a_link_may_be_set_to_another_file(self, real: Path, tmp_path: Path) -> None:
        """Each file keeps its own sessions and its own log."""
        link, other = tmp_path / "link.db", tmp_path / "other.db"
        link.symlink_to(real)
        async with SQLiteStore(link) as store:
            await store.create("a", OLD)
            (tmp_path / "next").symlink_to(other)
            (tmp_path / "next").rename(link)
            with pytest.raises(StoreUnavailable):
                await store.create("b", OLD)
            await store.create("b", OLD)

        assert query(real, "SELECT sid FROM sessions") == [("a",)]
        assert query(other, "SELECT sid FROM sessions") == [("b",)]

    async def test_links_in_a_circle_are_refused(self, tmp_path: Path) -> None:
        """By name."""
        (tmp_path / "one.db").symlink_to(tmp_path / "two.db")
        (tmp_path / "two.db").symlink_to(tmp_path / "one.db")

        with pytest.raises(StoreError, match=r"one\.db"):
            await SQLiteStore(tmp_path / "one.db").__aenter__()

    async def test_a_relative_path_stays_where_it_was(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """It begins in the working folder of the start, wherever the process goes afterwards."""
        (folder / "elsewhere").mkdir()
        async with SQLiteStore("here.db") as store:
            monkeypatch.chdir(folder / "elsewhere")
            await store.create("a", OLD)
            assert await store.get("a") == OLD

        assert (folder / "here.db").is_file()

    def test_a_relative_path_is_shown_as_an_absolute_one(self, folder: Path) -> None:
        """Where it is wrong: so it is said what it is relative to."""
        with pytest.raises(StoreError, match=re.escape(f"the folder {folder}/none does not exist")):
            SQLiteStore("none/sessions.db").prepare()


class TestOpenToOthers:
    """Files that are there, and that others can open or own, are warned of at the start, by name."""

    @pytest.fixture(autouse=True)
    def folder(self, database: Path) -> Path:
        """A database that is there."""
        SQLiteStore(database).prepare()
        return database.parent

    async def said(self, database: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
        """What a start says: what is done before a fork, and what each of two processes does."""
        store = SQLiteStore(database)
        store.prepare()
        for _ in range(2):
            async with SQLiteStore(database):
                pass
        assert {each.levelname for each in caplog.records} <= {"WARNING"}
        return caplog.messages

    async def test_nothing_is_said_of_our_own(self, database: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Nor of a mode that lets a group in: somebody has chosen that."""
        assert await self.said(database, caplog) == []
        database.chmod(0o660)
        assert await self.said(database, caplog) == []

    @pytest.mark.parametrize("mode", [0o644, 0o604, 0o666, 0o646])
    async def test_a_database_that_everybody_reads(
        self, database: Path, caplog: pytest.LogCaptureFixture, mode: int
    ) -> None:
        """As a backup is, or one that Node has made; its log and index are as it is, and are named with it."""
        database.chmod(mode)
        words, *others = await self.said(database, caplog)

        assert others == [] or f"{database}.lock: its mode is" in others[0]  # who may write the file may lock it
        assert words == (
            f"{database}: its mode is {mode:04o}, so every user of this machine can read the sessions in it, its"
            f" {database.name}-wal and its {database.name}-shm; chmod o= {database}"
        )

    @pytest.mark.parametrize("suffix", ["-wal", "-shm"])
    async def test_a_log_that_has_kept_an_old_mode(
        self, database: Path, caplog: pytest.LogCaptureFixture, suffix: str
    ) -> None:
        """The database was made private while a process had it open."""
        async with SQLiteStore(database) as store:
            await store.set("a", OLD)  # an empty log gets the database's mode at the next opening
            beside = Path(f"{database}{suffix}")
            beside.chmod(0o644)
            (words,) = await self.said(database, caplog)

        assert words.startswith(
            f"{beside}: its mode is 0644, so every user of this machine can read the sessions in it"
        )

    @pytest.mark.parametrize(("suffix", "stops"), [(".sweeper", "nothing is swept"), (".lock", "cannot be opened")])
    async def test_a_lock_that_everybody_can_take(
        self, database: Path, caplog: pytest.LogCaptureFixture, suffix: str, stops: str
    ) -> None:
        """A stranger who holds it stops what waits for it."""
        lock = Path(f"{database}{suffix}")
        async with SQLiteStore(database):
            lock.touch()
            lock.chmod(0o644)
            (words,) = await self.said(database, caplog)

        assert words.startswith(f"{lock}: its mode is 0644, so every user of this machine can lock it")
        assert stops in words

    @only_root
    @pytest.mark.parametrize("suffix", ["", "-shm", ".lock", ".sweeper"])  # root gives the log back as it opens it
    async def test_a_file_of_another_owner(self, database: Path, caplog: pytest.LogCaptureFixture, suffix: str) -> None:
        """The line names the owner and says what the owner can do."""
        async with SQLiteStore(database):
            theirs = Path(f"{database}{suffix}")
            theirs.touch(0o600)
            os.chown(theirs, NOBODY, -1)
            words = await self.said(database, caplog)

        assert [each for each in words if f"{theirs}: belongs to uid {NOBODY}, who can " in each] == words
        assert words

    async def test_a_replacement_that_everybody_reads(self, database: Path, caplog: pytest.LogCaptureFixture) -> None:
        """It is looked at as the file of the start was."""
        async with SQLiteStore(database) as store:
            backup = database.with_suffix(".backup")
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(backup)) as target:
                source.backup(target)
            backup.chmod(0o644)
            backup.rename(database)
            with pytest.raises(StoreUnavailable):
                await store.length()
            await store.length()

        (words,) = caplog.messages
        assert words.startswith(f"{database}: its mode is 0644")

    @pytest.mark.parametrize(("mode", "lock"), [(0o600, 0o600), (0o644, 0o600), (0o660, 0o660), (0o640, 0o600)])
    async def test_who_may_write_the_file_may_lock_it(self, database: Path, mode: int, lock: int) -> None:
        """And nobody else: processes of several users may share a file, readers get no say."""
        database.chmod(mode)
        async with SQLiteStore(database) as store:
            assert store.lead()
            modes = [Path(f"{database}{each}").stat().st_mode & 0o777 for each in (".lock", ".sweeper")]

        assert modes == [lock, lock]

    @only_root
    async def test_what_root_makes_belongs_to_the_owner_of_the_file(self, database: Path) -> None:
        """Or the service could not take its own lock after somebody has looked as root."""
        os.chown(database, NOBODY, NOBODY)
        async with SQLiteStore(database) as store:
            assert store.lead()
            owners = {Path(f"{database}{each}").stat().st_uid for each in ("-wal", "-shm", ".lock", ".sweeper")}

        assert owners == {NOBODY}

    @only_root
    @pytest.mark.parametrize("suffix", ["-wal", "-shm"])
    async def test_a_log_that_root_has_left_is_named(self, suffix: str) -> None:
        """SQLite says only that the database cannot be opened, or written."""
        with tempfile.TemporaryDirectory() as name:
            path = Path(name) / "sessions.db"
            SQLiteStore(path).prepare()
            left = Path(f"{path}{suffix}")
            for each in (path, Path(f"{path}-wal"), left):
                each.touch(0o600)
            for each in {path, Path(f"{path}-wal"), Path(name)} - {left}:
                os.chown(each, NOBODY, NOBODY)

            with as_nobody(), pytest.raises(StoreError, match=re.escape(f"{left}: may not be read and written by uid")):
                await SQLiteStore(path).__aenter__()


class TestNeverWorks:
    """What can never work is refused at the start, and is no outage."""

    @pytest.mark.parametrize("table", ["(sid, expired, sess)", "(sid, expired PRIMARY KEY, sess)"])
    async def test_a_table_without_a_key(self, database: Path, table: str) -> None:
        """An id could occur twice, and no statement of ours would run."""
        query(database, f"CREATE TABLE sessions {table}")

        with pytest.raises(StoreError) as caught:
            await SQLiteStore(database).__aenter__()
        assert type(caught.value) is StoreError
        assert query(database, "SELECT count(*) FROM sessions") == [(0,)]

    async def test_a_table_with_an_index_as_its_key_is_taken(self, database: Path, clock: MovableClock) -> None:
        """It comes to the same."""
        query(database, "CREATE TABLE sessions (sid TEXT NOT NULL UNIQUE, expired, sess)")
        async with SQLiteStore(database, clock=clock) as store:
            assert await store.create("a", OLD) == OLD
            assert await listed(store) == {"a": OLD}


class TestLogThatGrows:
    """A connection that holds an old state keeps SQLite from beginning its log from the start."""

    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lower the size that counts as large, and the size that SQLite cuts the log to. From 4 MB on it tries to reuse the log."""
        monkeypatch.setattr(file, "LARGE_LOG", 8_000_000)
        monkeypatch.setattr(file, "_WAL_LIMIT", 600_000)

    async def fill(self, store: SQLiteStore) -> None:
        """Some 12 MB, one after another."""
        for n in range(40):
            await store.set("a", StoredSession(str(n % 10) * 300_000, LATER))

    async def test_it_is_said_once_with_its_size(
        self, sqlite: SQLiteStore, database: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Not for each request; and again if it has been small meanwhile."""
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sessions").fetchone()
            await self.fill(sqlite)
            (words,) = caplog.messages
            reader.execute("COMMIT")
        await self.fill(sqlite)
        assert caplog.messages == [words]
        with closing(sqlite3.connect(database, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM sessions").fetchone()
            await self.fill(sqlite)

        assert words.startswith(f"{database}-wal: has grown to 8 MB, because a connection reads an old state")
        assert len(caplog.messages) == 2

    async def test_a_log_that_begins_again_is_no_warning(
        self, sqlite: SQLiteStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        """However much is written."""
        await self.fill(sqlite)
        await asyncio.gather(*(sqlite.set(f"id-{n}", OLD) for n in range(300)))

        assert caplog.messages == []
