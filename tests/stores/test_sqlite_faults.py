"""Whichever step of SQLite's fails, and however: callers get our error or their outcome, and the store goes on."""

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from clock import MovableClock

from sessions.errors import StoreError
from sessions.store import GONE, TAKEN, Outcome, StoredSession, Update
from sessions.stores.sqlite import SQLiteStore

from .support import LATER, NEW, OLD, OTHER, listed, outcome, query

KINDS = ["SQLITE_IOERR_WRITE", "SQLITE_BUSY", "SQLITE_FULL", "SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_ERROR"]


class Fault:
    """Makes one statement fail, the nth after it was armed, in place of being done."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = ""
        self.left = 0
        real = aiosqlite.Connection.execute_fetchall

        async def execute_fetchall(connection: aiosqlite.Connection, sql: str, *rest: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                error = sqlite3.OperationalError("an injected fault")
                error.sqlite_errorname = self.kind
                raise error
            return await real(connection, sql, *rest)

        monkeypatch.setattr(aiosqlite.Connection, "execute_fetchall", execute_fetchall)

    def arm(self, kind: str, nth: int) -> None:
        """From now on the nth statement fails."""
        self.kind, self.left = kind, nth

    def disarm(self) -> bool:
        """No more. Returns whether it has struck."""
        struck = self.left <= 0
        self.left = 0
        return struck


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    return Fault(monkeypatch)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_in_any_step_is_ours_and_passes(
    sqlite: SQLiteStore, database: Path, clock: MovableClock, fault: Fault, kind: str
) -> None:
    """Of a batch of every verb, with any of its statements failing: no foreign error, nothing acknowledged is missing."""
    moved: list[tuple[StoredSession, StoredSession | None]] = [(OLD, None), (OTHER, NEW)]
    nth, struck = 0, True
    while struck:
        nth += 1
        await sqlite.clear()
        await asyncio.gather(
            *(sqlite.set(sid, OLD) for sid in ("known", "changed", "touched", "doomed", "moved", "stayed"))
        )
        await sqlite.set("full", OTHER)
        await sqlite.set("expired", OLD._replace(expires_at=clock()))

        fault.arm(kind, nth)
        first = asyncio.ensure_future(outcome(sqlite.set("first", OLD)))
        await asyncio.sleep(0)
        outcomes = await asyncio.gather(
            *map(
                outcome,
                (sqlite.create("new", NEW), sqlite.update("known", NEW, OLD), sqlite.update("changed", NEW, OTHER),
                 sqlite.update("nobody", NEW, OLD), sqlite.touch("touched", LATER + 1, OLD),
                 sqlite.touch("changed2", LATER, OLD), sqlite.destroy("doomed"), sqlite.set("put", OTHER),
                 sqlite.sweep(5), sqlite.get("known"), sqlite.get("nobody"), sqlite.length(), sqlite.backlog(5),
                 sqlite.rename("moved", "home", NEW, OLD, OTHER), sqlite.rename("stayed", "full", NEW, OLD, OTHER)),
            )
        )  # fmt: skip
        struck = fault.disarm()
        rows = await listed(sqlite)

        touched = OLD._replace(expires_at=LATER + 1)
        expected: list[set[Any]] = [
            {NEW}, {Update(Outcome.SAVED, NEW)}, {Update(Outcome.CONFLICT, OLD)}, {GONE}, {Update(Outcome.SAVED, touched)},
            {GONE}, {None}, {OTHER}, {0, 1}, {OLD, NEW}, {None}, set(range(7, 12)), {0, 1},
            {Update(Outcome.SAVED, NEW)}, {TAKEN},
        ]  # fmt: skip
        assert [each in allowed | {StoreError} for each, allowed in zip(outcomes, expected, strict=True)] == [True] * 15
        assert await first in (OLD, StoreError)
        assert outcomes[0] is StoreError or rows["new"] == NEW
        assert outcomes[1] is StoreError or rows["known"] == NEW
        assert outcomes[4] is StoreError or rows["touched"] == touched
        assert outcomes[6] is StoreError or "doomed" not in rows
        assert outcomes[7] is StoreError or rows["put"] == OTHER
        assert (rows["moved"], rows.get("home")) in ([(OTHER, NEW)] if outcomes[13] is not StoreError else moved)
        assert (rows["stayed"], rows["full"]) == (OLD, OTHER)

    assert nth > 10
    assert query(database, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_at_any_step_of_opening_is_ours_and_leaves_no_connection(
    database: Path, clock: MovableClock, fault: Fault, connections: list[aiosqlite.Connection], kind: str
) -> None:
    """A thread that is left over would keep the process alive for ever."""
    store = SQLiteStore(database, clock=clock)
    nth = 1
    fault.arm(kind, nth)
    while await outcome(store.__aenter__()) is StoreError:
        nth += 1
        fault.arm(kind, nth)

    assert not fault.disarm()
    assert nth > 4
    for connection in connections[:-3]:
        with pytest.raises(ValueError, match=r"no active connection|Connection closed"):
            await connection.execute("SELECT 1")
    assert await store.create("a", OLD) == OLD
    await store.__aexit__()
