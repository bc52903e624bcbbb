"""A SQLite file in trouble: locked, on a full disk, read-only, corrupt. What is said, what still works, and how it ends."""

# ruff: noqa: ASYNC240 # files are what is tested, and nobody else is on the loop

import asyncio
import resource
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import aiosqlite
import pytest
from clock import MovableClock

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import Outcome, StoredSession, Update
from sessions.stores.sqlite import SQLiteStore

from .support import LATER, NEW, OLD, as_nobody, listed, locked, outcome, query

BIG = StoredSession("x" * 300_000, LATER)


class TestLocked:
    """Another process writes for longer than the store waits."""

    async def test_a_write_is_unavailable_with_the_drivers_error_as_its_cause(
        self, sqlite: SQLiteStore, database: Path
    ) -> None:
        """The error says which file and what is the matter."""
        with locked(database), pytest.raises(StoreUnavailable, match=r"sessions\.db: database is locked") as caught:
            await sqlite.create("a", OLD)

        assert getattr(caught.value.__cause__, "sqlite_errorname", None) == "SQLITE_BUSY"

    async def test_reads_are_served_meanwhile(self, database: Path, clock: MovableClock) -> None:
        """A write that waits holds up no read."""
        async with SQLiteStore(database, busy_timeout=5_000, clock=clock) as store:
            await store.create("a", OLD)
            with locked(database):
                write = asyncio.ensure_future(store.create("b", OLD))
                assert await asyncio.gather(*(store.get("a") for _ in range(20))) == [OLD] * 20
                assert await store.length() == 1
                assert not write.done()
            assert await write == OLD

    async def test_a_short_lock_is_waited_for(self, database: Path, clock: MovableClock) -> None:
        """Within `busy_timeout` nobody notices."""
        async with SQLiteStore(database, busy_timeout=5_000, clock=clock) as store:
            with locked(database):
                writes = [asyncio.ensure_future(store.create(f"id-{n}", OLD)) for n in range(20)]
                await asyncio.sleep(0.02)
            assert await asyncio.gather(*writes) == [OLD] * 20

    async def test_a_batch_of_all_verbs_waits_once(self, database: Path, clock: MovableClock) -> None:
        """Not once for each of its statements: the callers' deadline is near."""
        async with SQLiteStore(database, busy_timeout=300, clock=clock) as store:
            loop = asyncio.get_running_loop()
            with locked(database):
                first = asyncio.ensure_future(outcome(store.set("first", OLD)))
                await asyncio.sleep(0)
                rest = [asyncio.ensure_future(call) for call in (
                    store.create("a", OLD), store.update("b", NEW, OLD), store.set("c", OLD), store.destroy("d"),
                    store.touch("e", LATER, OLD), store.rename("f", "g", NEW, OLD, OLD), store.sweep(1), store.clear(),
                )]  # fmt: skip
                await first
                begun = loop.time()
                outcomes = await asyncio.gather(*rest, return_exceptions=True)
                waited = loop.time() - begun

        assert {type(each) for each in outcomes} == {StoreUnavailable}
        assert waited < 2 * 0.3 + 0.5

    async def test_what_was_refused_is_not_written_later(self, sqlite: SQLiteStore, database: Path) -> None:
        """When the lock is gone the store works again, and nothing comes up from before."""
        with locked(database):
            await asyncio.gather(*(outcome(sqlite.set(f"id-{n}", OLD)) for n in range(9)), outcome(sqlite.clear()))

        assert await sqlite.create("after", OLD) == OLD
        assert await listed(sqlite) == {"after": OLD}

    async def test_the_store_stays_ready(self, sqlite: SQLiteStore, database: Path) -> None:
        """A lock is no reason to turn visitors away who only read."""
        with locked(database):
            await outcome(sqlite.set("a", OLD))

            assert sqlite.ready


class Disk(Protocol):
    """Where a test runs out of space when it wants."""

    folder: Path

    def fill(self) -> None:
        """From now on nothing more can be stored."""

    def free(self) -> None:
        """From now on it can."""


class RealDisk:
    """A small file system in memory, which only root can make."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        with (self.folder / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(4_096))
            except OSError:
                pass

    def free(self) -> None:
        (self.folder / "ballast").unlink()


class Quota:
    """For everybody else: the largest file that this process may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        largest = max(file.stat().st_size for file in self.folder.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, self.before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


@pytest.fixture(params=["disk", "quota"])
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Disk]:
    """A disk of 2 MB where this may be mounted, and a quota in any case."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "sessions-test", str(tmp_path)]
    real = request.param == "disk" and not subprocess.run(mount, check=False, capture_output=True).returncode
    quota = Quota(tmp_path)
    try:
        yield RealDisk(tmp_path) if real else quota
    finally:
        quota.free()
        if real:
            subprocess.run(["umount", "--lazy", str(tmp_path)], check=True)


class TestFull:
    """No space is left for the file or its log."""

    async def test_writes_are_unavailable_and_reads_are_served(self, disk: Disk, clock: MovableClock) -> None:
        """Who only reads does not notice; space that comes back is used without a restart, and nothing was lost."""
        async with SQLiteStore(disk.folder / "sessions.db", clock=clock) as store:
            await store.create("a", OLD)
            disk.fill()
            outcomes = await asyncio.gather(*(store.set(f"b-{n}", BIG) for n in range(9)), return_exceptions=True)
            assert {type(each) for each in outcomes} == {StoreUnavailable}
            assert await store.get("a") == OLD
            assert await outcome(store.set("b", BIG)) is StoreError

            disk.free()
            assert await store.create("c", BIG) == BIG
            assert await listed(store) == {"a": OLD, "c": BIG}
        assert query(disk.folder / "sessions.db", "PRAGMA integrity_check") == [("ok",)]

    async def test_what_was_acknowledged_before_is_there(self, disk: Disk, clock: MovableClock) -> None:
        """Each write until the disk is full is either whole or an error."""
        path = disk.folder / "sessions.db"
        async with SQLiteStore(path, clock=clock) as store:
            disk.fill()
            disk.free()
            outcomes = {sid: await outcome(store.create(sid, BIG)) for sid in map(str, range(3))}
            disk.fill()
            outcomes |= {sid: await outcome(store.create(sid, BIG)) for sid in map(str, range(3, 6))}
            disk.free()

        assert query(path, "SELECT sid FROM sessions ORDER BY sid") == [
            (sid,) for sid, made in outcomes.items() if made == BIG
        ]

    async def test_a_new_file_is_unavailable(self, disk: Disk, clock: MovableClock) -> None:
        """At the start the error names the file."""
        (disk.folder / "small").write_bytes(b"")
        disk.fill()
        with pytest.raises(StoreUnavailable, match=r"sessions\.db"):
            await SQLiteStore(disk.folder / "sessions.db", clock=clock).__aenter__()
        disk.free()


class TestReadOnly:
    """A file or a folder that this user may not write."""

    @pytest.fixture
    def folder(self) -> Iterator[Path]:
        """A folder that everybody can reach, unlike pytest's own."""
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            folder.chmod(0o755)
            yield folder
            folder.chmod(0o755)

    async def test_a_read_only_file_is_refused_at_the_start(self, folder: Path) -> None:
        """Not at the first visitor's expense."""
        path = folder / "sessions.db"
        SQLiteStore(path).prepare()
        path.chmod(0o444)
        folder.chmod(0o555)

        with as_nobody(), pytest.raises(StoreError, match=r"sessions\.db"):
            await SQLiteStore(path).__aenter__()

    async def test_a_file_beside_which_no_log_can_be_made_is_refused_at_the_start(self, folder: Path) -> None:
        """WAL needs the folder, too."""
        path = folder / "sessions.db"
        SQLiteStore(path).prepare()
        path.chmod(0o666)
        folder.chmod(0o555)

        with as_nobody(), pytest.raises(StoreError, match=r"sessions\.db"):
            await SQLiteStore(path).__aenter__()

    async def test_a_read_only_folder_is_unavailable(self, folder: Path) -> None:
        """No file can be made there."""
        folder.chmod(0o555)

        with as_nobody(), pytest.raises(StoreUnavailable, match=r"sessions\.db"):
            await SQLiteStore(folder / "sessions.db").__aenter__()

    async def test_nobody_leads_where_no_lock_can_be_made(self, folder: Path) -> None:
        """An error of ours, which the sweeper knows how to bear."""
        folder.chmod(0o555)

        with as_nobody(), pytest.raises(StoreUnavailable, match="sweeper"):
            SQLiteStore(folder / "sessions.db").lead()


class TestCorrupt:
    """Pages that do not hold what they should."""

    async def corrupt(self, database: Path, clock: MovableClock) -> None:
        """A file of 300 sessions; the page that holds the last one is garbage."""
        async with SQLiteStore(database, clock=clock) as store:
            texts = [f"text {n} " + "x" * 1_000 for n in range(300)]
            await asyncio.gather(*(store.create(f"id-{n}", StoredSession(text, LATER)) for n, text in enumerate(texts)))
        content = bytearray(database.read_bytes())
        page = content.index(b"text 299 ") // 4_096 * 4_096
        content[page : page + 8] = b"\xff" * 8
        database.write_bytes(content)

    async def test_only_what_is_on_them_fails(self, database: Path, clock: MovableClock) -> None:
        """Others of the same batch are served; the error names the file and is no call to try again."""
        await self.corrupt(database, clock)
        async with SQLiteStore(database, clock=clock) as store:
            first, bad, *rest = await asyncio.gather(
                *map(store.get, ["id-0", "id-299", "id-1", "id-2"]), return_exceptions=True
            )

        good = [each for each in (first, *rest) if isinstance(each, StoredSession)]
        assert [each.data[:7] for each in good] == ["text 0 ", "text 1 ", "text 2 "]
        assert type(bad) is StoreError
        assert str(bad) == f"{database}: database disk image is malformed"

    async def test_others_can_be_written(self, database: Path, clock: MovableClock) -> None:
        """As long as SQLite finds its way to them."""
        await self.corrupt(database, clock)
        async with SQLiteStore(database, clock=clock) as store:
            await outcome(store.get("id-299"))
            stored = await store.get("id-0")

            assert stored
            assert await store.update("id-0", NEW, stored) == Update(Outcome.SAVED, NEW)

    async def test_garbage_in_place_of_the_file_is_refused_without_a_leak(
        self, database: Path, clock: MovableClock, connections: list[aiosqlite.Connection]
    ) -> None:
        """Overwritten under the store it is an error of the store's, each time, until it is a database again."""
        async with SQLiteStore(database, clock=clock) as store:
            good = database.read_bytes()
            for suffix in ("", "-wal", "-shm"):
                Path(f"{database}{suffix}").unlink()
            database.write_bytes(b"garbage " * 2_000)
            for _ in range(3):
                assert await outcome(store.get("a")) is StoreError
            database.unlink()
            database.write_bytes(good)
            await outcome(store.get("a"))

            assert await store.create("a", OLD) == OLD

    async def test_a_pragma_that_fails_leaves_no_connection(
        self, database: Path, monkeypatch: pytest.MonkeyPatch, connections: list[aiosqlite.Connection]
    ) -> None:
        """An open that fails half-way closes what it has opened: a thread left over would keep the process alive."""
        calls: list[Any] = []
        real = aiosqlite.Connection.execute_fetchall

        def failing(self: aiosqlite.Connection, sql: str, *rest: Any) -> Any:
            calls.append(sql)
            return real(self, "no SQL" if len(calls) == 6 else sql, *rest)

        monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", failing)
        with pytest.raises(StoreError):
            await SQLiteStore(database).__aenter__()

        assert len(connections) == 2
        for connection in connections:
            with pytest.raises(ValueError, match=r"no active connection|Connection closed"):
                await connection.execute("SELECT 1")
