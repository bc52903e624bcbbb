"""A SQLite file that is deleted or replaced under the store: noticed, never written to, and opened again by itself."""

# ruff: noqa: ASYNC240 # files are what is tested, and nobody else is on the loop

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from stat import S_IMODE
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock

from sessions.errors import StoreError, StoreUnavailable
from sessions.stores.sqlite import SQLiteStore

from .support import LATER, NEW, OLD, OTHER, listed, locked, outcome, query, until, until_works

VERBS: dict[str, Callable[[SQLiteStore], Any]] = {
    "get": lambda store: store.get("a"),
    "create": lambda store: store.create("b", OLD),
    "update": lambda store: store.update("a", NEW, OLD),
    "set": lambda store: store.set("a", NEW),
    "touch": lambda store: store.touch("a", LATER, OLD),
    "rename": lambda store: store.rename("a", "b", NEW, OLD, OTHER),
    "destroy": lambda store: store.destroy("a"),
    "clear": lambda store: store.clear(),
    "length": lambda store: store.length(),
    "all": listed,
    "sweep": lambda store: store.sweep(1),
    "backlog": lambda store: store.backlog(1),
}


def delete(database: Path) -> None:
    """The file alone, as `rm sessions.db` does."""
    database.unlink()


def delete_all(database: Path) -> None:
    """The file with its log, as `rm sessions.db*` does."""
    for file in database.parent.glob(f"{database.name}*"):
        file.unlink()


def move_away(database: Path) -> None:
    """As log rotation does."""
    database.rename(database.with_suffix(".old"))


def replace(database: Path) -> None:
    """Another database takes its place, as when a backup is restored."""
    other = database.with_suffix(".new")
    SQLiteStore(other).prepare()
    query(other, "INSERT INTO sessions VALUES ('restored', ?, ?)", LATER, OLD.data)
    query(other, "PRAGMA wal_checkpoint(TRUNCATE)")
    other.rename(database)


LOSSES = pytest.mark.parametrize("lose", [delete, delete_all, move_away, replace])


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_notices(sqlite: SQLiteStore, database: Path, verb: str) -> None:
    """The first call after the loss is StoreUnavailable, whatever it is, and then the store works again."""
    await sqlite.create("a", OLD)
    database.unlink()

    with pytest.raises(StoreUnavailable, match=r"sessions\.db: was deleted or replaced"):
        await VERBS[verb](sqlite)
    assert await until_works(lambda: sqlite.create("c", OLD)) == OLD
    assert query(database, "SELECT sid FROM sessions") == [("c",)]


@LOSSES
async def test_a_write_is_acknowledged_only_if_it_is_in_the_file(
    sqlite: SQLiteStore, database: Path, lose: Callable[[Path], None]
) -> None:
    """Of writes around the loss each is an error, or can be read from the path by everybody."""
    acknowledged = []

    async def write(n: int) -> None:
        await sqlite.set(f"id-{n}", OLD)
        acknowledged.append((f"id-{n}",))

    await write(0)
    lose(database)
    acknowledged.clear()
    await asyncio.gather(*(write(n) for n in range(1, 20)), return_exceptions=True)
    await until_works(lambda: write(20))
    await asyncio.gather(*(write(n) for n in range(21, 40)))

    assert set(acknowledged) <= set(query(database, "SELECT sid FROM sessions"))
    assert len(acknowledged) >= 20


async def test_a_write_under_way_at_the_loss_is_not_acknowledged(sqlite: SQLiteStore, database: Path) -> None:
    """It is looked at after the commit, too: that may have gone into the deleted file."""
    with locked(database):
        write = asyncio.ensure_future(sqlite.create("lost", OLD))
        await asyncio.sleep(0.01)
        database.unlink()

    with pytest.raises(StoreUnavailable):
        await write


async def test_nor_when_the_path_was_opened_again_meanwhile(database: Path, clock: MovableClock) -> None:
    """A write that waited through the loss and the reopening went into the old file, although the path is fine."""
    async with SQLiteStore(database, busy_timeout=5_000, clock=clock) as store:
        with locked(database):
            write = asyncio.ensure_future(outcome(store.create("lost", OLD)))
            await asyncio.sleep(0.05)
            move_away(database)
            read = asyncio.ensure_future(outcome(store.get("a")))
            await asyncio.sleep(0.05)
            await until_works(store.length)

        assert await write is StoreError
        await read
        assert await until_works(lambda: store.get("lost")) is None


async def test_a_restored_file_is_read_as_it_is(sqlite: SQLiteStore, database: Path) -> None:
    """The log of the old file is not played into the one that took its place."""
    await asyncio.gather(*(sqlite.create(f"id-{n}", OLD) for n in range(200)))
    replace(database)

    assert await until_works(lambda: listed(sqlite)) == {"restored": OLD}
    await sqlite.create("new", NEW)
    assert query(database, "SELECT sid FROM sessions ORDER BY sid") == [("new",), ("restored",)]
    assert query(database, "PRAGMA integrity_check") == [("ok",)]


async def test_a_file_restored_as_the_store_closes_is_left_as_it_is(database: Path, clock: MovableClock) -> None:
    """Also when nobody has noticed the loss: what is in the old log stays out of the new file."""
    async with SQLiteStore(database, clock=clock) as store:
        await asyncio.gather(*(store.create(f"id-{n}", OLD) for n in range(200)))
        replace(database)

    assert query(database, "SELECT sid FROM sessions") == [("restored",)]
    assert query(database, "PRAGMA integrity_check") == [("ok",)]


async def test_the_file_that_was_moved_away_keeps_its_sessions(sqlite: SQLiteStore, database: Path) -> None:
    """What had been acknowledged before the loss and moved with its log is still whole there."""
    await sqlite.create("a", OLD)
    old = database.with_suffix(".old")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database}{suffix}").rename(f"{old}{suffix}")
    await until_works(lambda: sqlite.create("b", OLD))

    assert query(old, "SELECT sid FROM sessions") == [("a",)]
    assert query(database, "SELECT sid FROM sessions") == [("b",)]


async def test_the_new_file_is_private_too(sqlite: SQLiteStore, database: Path) -> None:
    """A file that is made again has mode 0600."""
    database.unlink()
    await until_works(lambda: sqlite.create("a", OLD))

    assert [S_IMODE(Path(f"{database}{each}").stat().st_mode) for each in ("", "-wal", "-shm")] == [0o600] * 3


@LOSSES
async def test_the_store_gets_ready_again_by_itself(
    sqlite: SQLiteStore, database: Path, lose: Callable[[Path], None]
) -> None:
    """Who asks `ready` before each call is not locked out for good."""
    lose(database)
    assert await outcome(sqlite.get("a")) is not None

    await until(lambda: sqlite.ready)
    assert await until_works(lambda: sqlite.create("b", OLD)) == OLD


async def test_without_its_folder_it_waits_for_the_folder(sqlite: SQLiteStore, database: Path) -> None:
    """Not ready while every try must fail, ready again when there is hope, and at work when there is a folder."""
    shutil.rmtree(database.parent)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await sqlite.get("a")
    assert not sqlite.ready
    database.parent.mkdir()

    await until(lambda: sqlite.ready)
    assert await sqlite.create("a", OLD) == OLD


@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
async def test_a_deleted_log_loses_no_acknowledged_write(sqlite: SQLiteStore, database: Path, suffix: str) -> None:
    """Where someone tidies up too much, the write is an error or is there for other processes."""
    await sqlite.create("a", OLD)
    Path(f"{database}{suffix}").unlink()

    if await outcome(sqlite.create("b", OLD)) == OLD:
        assert ("b",) in query(database, "SELECT sid FROM sessions")
    await until_works(lambda: sqlite.create("c", OLD))
    assert ("c",) in query(database, "SELECT sid FROM sessions")


async def test_deleted_at_any_step_of_opening_it_is_an_error(
    database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store never opens on a file that is gone, however late that happens."""
    left = 0
    real = aiosqlite.Connection.execute_fetchall

    async def execute_fetchall(connection: aiosqlite.Connection, *arguments: Any) -> Any:
        nonlocal left
        rows = await real(connection, *arguments)
        left -= 1
        if left == 0:
            database.unlink()
        return rows

    monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", execute_fetchall)
    store = SQLiteStore(database, clock=clock)
    steps = left = 1
    while await outcome(store.__aenter__()) is StoreError:
        steps += 1
        left = steps
    left = 0

    assert steps > 4
    assert await store.create("a", OLD) == OLD
    assert query(database, "SELECT sid FROM sessions") == [("a",)]
    await store.__aexit__()


async def test_deleted_while_it_is_opened_it_is_not_made_by_sqlite(
    database: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lost between preparing and connecting it is an error: SQLite would make a file that everybody may read."""
    connect = aiosqlite.connect

    def late(*arguments: Any, **options: Any) -> aiosqlite.Connection:
        database.unlink(missing_ok=True)
        return connect(*arguments, **options)

    monkeypatch.setattr(aiosqlite, "connect", late)
    store = SQLiteStore(database, clock=clock)
    with pytest.raises(StoreUnavailable):
        await store.__aenter__()
    assert not database.exists()

    monkeypatch.undo()
    async with store:
        assert await store.create("a", OLD) == OLD
