"""Owns the experiment of many sessions: they are made, expire, are revoked, rotate, and are replaced by a Node upsert.

Afterwards an index of SQL has as many entries as living rows have users, once swept. A set of Redis has those, and at
most what has expired since its user was last written. It also says how long it takes to list the sessions of a user.
"""

import asyncio
import time
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
from stores.postgres_client import NODE_SET, table
from stores.postgres_server import shared
from stores.support import node_writes, query
from users.managing import managing

from sessions import SessionManager, StoredSession, now_ms
from sessions.stores.sqlite.user_statements import UserStatements
from sessions.user_text import UserPlace, user_in

HOUR = 3_600_000
SOON = 2_000
"""Milliseconds that every third session lives after the last one was made."""
AT_ONCE = 500


class Found(NamedTuple):
    """What is there afterwards."""

    entries: int
    living: int
    """Rows that live and have a user."""
    expired: int
    """Entries of sessions that have expired."""
    listing: float
    """Seconds to list the sessions of a user."""


def text_of(user: str) -> str:
    """A session as a manager writes it."""
    return f'{{"cookie":{{"path":"/"}},"__meta":{{"user":"{user}"}},"user":"{user}"}}'


async def many(kind: str, place: Path, sessions: int) -> Found:
    """Do all that with so many sessions on a store of a kind."""
    async with managing(kind, place, store_timeout=60_000) as manager:
        store: Any = manager.store
        users = max(sessions // 20, 3)
        life = SOON + sessions // 20  # it takes a while to make them
        made: list[StoredSession] = []
        for first in range(0, sessions, AT_ONCE):
            records = [
                StoredSession(text_of(f"user {n % users}"), now_ms() + (HOUR if n % 3 else life))
                for n in range(first, min(first + AT_ONCE, sessions))
            ]
            made += await asyncio.gather(*(store.create(f"{first + n}", record) for n, record in enumerate(records)))
        rotated = [n for n in range(sessions) if n % 3 and n % 7 == 0]
        for first in range(0, len(rotated), AT_ONCE):
            await asyncio.gather(*(_rotate(store, n, made[n]) for n in rotated[first : first + AT_ONCE]))
        replaced = [n for n in range(sessions) if n % 3 and n % 11 == 0]
        await _node_replaces(kind, place, manager, replaced, users)
        for n in range(0, users, 10):
            await manager.revoke_all(f"user {n}")
        await asyncio.sleep(life / 1000)
        if hasattr(store, "sweep"):
            while await store.sweep(5_000):
                pass
        began = time.perf_counter()
        await manager.sessions_of("user 1")
        listing = time.perf_counter() - began
        living = [record.data async for _, record in store.all()]
        with_user = sum(user_in(text, ("user",)) is not None for text in living)
        entries, expired = await _entries(kind, place, store, users)
        return Found(entries, with_user, expired, listing)


async def _rotate(store: Any, n: int, record: StoredSession) -> None:
    closed = StoredSession('{"cookie":{"path":"/"}}', now_ms() + HOUR)
    await store.rename(f"{n}", f"new {n}", record._replace(version=None), record, closed)


async def _node_replaces(kind: str, place: Path, manager: SessionManager, numbers: list[int], users: int) -> None:
    """Overwrite sessions as Node does: whatever is there, and with another user."""
    rows = [(f"{n}", now_ms() + HOUR, text_of(f"user {(n + 1) % users}")) for n in numbers]
    if kind == "sqlite":
        node_writes(place / "sessions.db", *rows)
    elif kind == "postgres":
        node = await asyncpg.connect(shared().url)
        try:
            upserts = [(text, expires_at // 1000, sid) for sid, expires_at, text in rows]
            await node.executemany(NODE_SET.format(table(manager.store)), upserts)  # type: ignore[arg-type] # it is one
        finally:
            await node.close()


async def _entries(kind: str, place: Path, store: Any, users: int) -> tuple[int, int]:
    """Return how many entries the index has, and how many of them are of sessions that are gone."""
    if kind == "memory":
        return sum(map(len, store._index.sids.values())), 0
    if kind == "sqlite":
        name, make = UserStatements(UserPlace(("user",))).index
        ((check,),) = query(
            place / "sessions.db", "PRAGMA integrity_check"
        )  # also that the index has what the table has
        assert check == "ok"
        where = make.rpartition(" WHERE ")[2]
        ((count,),) = query(place / "sessions.db", f'SELECT count(*) FROM sessions INDEXED BY "{name}" WHERE {where}')
        return count, 0
    if kind == "postgres":
        shared().sql(f"VACUUM {table(store)}")
        name = store.users._sql.index.replace("'", "''")
        return int(float(shared().sql(f"SELECT reltuples FROM pg_class WHERE relname = '{name}'"))), 0
    sids = [sid for n in range(users) for sid in await store.users._sids([f"user {n}"])]
    expired = 0
    for first in range(0, len(sids), AT_ONCE):
        rows = await asyncio.gather(*map(store.get, sids[first : first + AT_ONCE]))
        expired += rows.count(None)
    return len(sids), expired
