"""Rows of a SQLite file that are no sessions, as another program may leave them: they fail their own request only."""

import asyncio
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from clock import MovableClock

from sessions.errors import StoreError
from sessions.store import GONE, Outcome, StoredSession, Update
from sessions.stores.sqlite import SQLiteStore

from .support import LATER, NEW, OLD, locked, node_writes, query

X = StoredSession("x", LATER)
BAD_TEXT = "INSERT INTO sessions VALUES ('bad', ?, CAST('secret' || x'ff' AS TEXT))"
ODD = [
    ("no text", LATER, None), ("bytes", LATER, b"{}"), ("a number", LATER, 5), ("no expiry", None, "x"),
    ("a word", "soon", "x"), ("endless", 9e999, "x"), ("bytes again", b"\0", "x"), (None, LATER, "x"), (7, LATER, "x"),
]  # fmt: skip


async def test_a_session_beside_them_is_served(sqlite: SQLiteStore, database: Path) -> None:
    """In one batch with them."""
    node_writes(database, *ODD)
    await sqlite.create("good", OLD)
    odd = [str(sid) for sid, *_ in ODD]
    *_, good = await asyncio.gather(*map(sqlite.get, [*odd, "good"]), return_exceptions=True)

    assert good == OLD


@pytest.mark.parametrize("row", ODD, ids=lambda row: str(row[0]))
async def test_each_can_be_read_written_and_deleted_without_an_unknown_error(
    sqlite: SQLiteStore, database: Path, row: tuple[Any, Any, Any]
) -> None:
    """What a row cannot be, StoreError says; `set` and `destroy` get rid of it."""
    node_writes(database, row)
    sid = str(row[0])
    with suppress(StoreError):
        await sqlite.get(sid)
    with suppress(StoreError):
        await sqlite.touch(sid, LATER, X)
    with suppress(StoreError):
        await sqlite.update(sid, NEW, X)
    with suppress(StoreError):
        await sqlite.rename(sid, "elsewhere", NEW, X, OLD)
    await sqlite.destroy("elsewhere")
    assert await sqlite.length() in (0, 1)
    await sqlite.set(sid, OLD)
    assert await sqlite.get(sid) == OLD
    await sqlite.destroy(sid)
    assert await sqlite.get(sid) is None


async def test_without_an_expiry_there_is_no_session(sqlite: SQLiteStore, database: Path) -> None:
    """A row with the expiry NULL counts as none in every verb."""
    node_writes(database, ("a", None, OLD.data))

    assert await sqlite.get("a") is None
    assert await sqlite.update("a", NEW, OLD) == GONE
    assert await sqlite.touch("a", LATER, OLD) == GONE
    assert await sqlite.rename("a", "b", NEW, OLD) == GONE
    assert await sqlite.length() == 0
    assert await sqlite.create("a", NEW) == NEW


async def test_without_a_text_there_is_one_that_cannot_be_read(sqlite: SQLiteStore, database: Path) -> None:
    """A living row without text is there, as a corrupt session: it is neither overwritten nor adopted."""
    node_writes(database, ("a", LATER, None))

    assert await sqlite.get("a") == StoredSession("", LATER)
    assert await sqlite.create("a", NEW) is None
    assert await sqlite.update("a", NEW, X) == Update(Outcome.CONFLICT, StoredSession("", LATER))
    assert await sqlite.rename("a", "b", NEW, X) == Update(Outcome.CONFLICT, StoredSession("", LATER))
    assert await sqlite.touch("a", LATER + 1, NEW) == Update(Outcome.CONFLICT, StoredSession("", LATER))


async def test_an_id_is_found_by_its_own_letters_alone_and_in_a_batch(database: Path) -> None:
    """A table made elsewhere may compare ids without their case; ours are read with it."""
    query(database, "CREATE TABLE sessions (sid TEXT COLLATE NOCASE PRIMARY KEY, expired, sess)")
    async with SQLiteStore(database) as store:
        node_writes(database, ("a", LATER, OLD.data))

        assert await store.get("A") is None
        assert list(await asyncio.gather(store.get("a"), store.get("A"))) == [OLD, None]


async def test_text_that_is_not_utf_8_fails_alone(sqlite: SQLiteStore, database: Path) -> None:
    """It is refused or counts as no text; those in the same batch have the outcome they would have had, once."""
    query(database, BAD_TEXT, LATER)
    await sqlite.create("a", OLD)
    first, bad, *rest = await asyncio.gather(*map(sqlite.get, ["a", "bad", "a"]), return_exceptions=True)
    assert [first, *rest] == [OLD, OLD]
    assert type(bad) is StoreError or bad == StoredSession("", LATER)

    first, bad, *rest = await asyncio.gather(
        sqlite.create("b", OLD), sqlite.update("bad", NEW, X), sqlite.update("a", NEW, OLD),
        sqlite.create("c", OLD), sqlite.set("d", OLD), return_exceptions=True,
    )  # fmt: skip
    assert [first, *rest] == [OLD, Update(Outcome.SAVED, NEW), OLD, OLD]
    assert type(bad) is StoreError or bad == Update(Outcome.CONFLICT, StoredSession("", LATER))


async def test_after_text_that_is_not_utf_8_the_store_is_as_before(sqlite: SQLiteStore, database: Path) -> None:
    """No statement stays half done behind an error that somebody keeps: writes are committed, reads are fresh."""
    query(database, BAD_TEXT, LATER)
    kept = await asyncio.gather(sqlite.get("bad"), sqlite.update("bad", NEW, X), return_exceptions=True)
    await sqlite.create("a", OLD)

    assert query(database, "SELECT sid FROM sessions ORDER BY sid") == [("a",), ("bad",)]
    assert await sqlite.get("a") == OLD
    with locked(database):
        del kept


async def test_no_text_is_shown_in_an_error(sqlite: SQLiteStore, database: Path) -> None:
    """What a session holds is nobody's to read in a log, also where it could not be read."""
    query(database, BAD_TEXT, LATER)
    outcomes = await asyncio.gather(sqlite.get("bad"), sqlite.update("bad", NEW, X), return_exceptions=True)
    errors = [outcome for outcome in outcomes if isinstance(outcome, Exception)]

    assert "secret" not in "".join(text for error in errors for text in traceback.format_exception(error))


async def test_all_gets_past_them(sqlite: SQLiteStore, database: Path) -> None:
    """One bad row does not hide the others from the administrator."""
    query(database, BAD_TEXT, LATER)
    await asyncio.gather(*(sqlite.create(sid, OLD) for sid in ("a", "z")))
    rows = {sid: stored async for sid, stored in sqlite.all()}

    assert (rows["a"], rows["z"]) == (OLD, OLD)


async def test_the_sweeper_gets_past_them(sqlite: SQLiteStore, database: Path, clock: MovableClock) -> None:
    """An expired row goes whatever its id and its text are."""
    node_writes(database, (None, LATER, "x"), (None, LATER, "x"), (b"\xff", LATER, b"\xff"), (7, LATER, None))
    query(database, "INSERT INTO sessions VALUES (CAST(x'ff' AS TEXT), ?, CAST(x'ff' AS TEXT))", LATER)
    clock.now = LATER

    assert await sqlite.sweep(10) == 5
    assert query(database, "SELECT count(*) FROM sessions") == [(0,)]
