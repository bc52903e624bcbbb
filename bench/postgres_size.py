"""What sessions cost in PostgreSQL: bytes on disk, new and after changes, and the sweep.

    python -m bench.postgres_size postgresql://user:password@host/database

on a server that has nothing else to do. The tables that it makes are dropped again. Figures go to docs/scaling.md.
"""

import argparse
import asyncio
import json
import secrets
import statistics
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from sessions import StoredSession, now_ms
from sessions.stores.postgres import PostgresStore

TABLE = "bench_size"
DAY = 86_400_000
AT_ONCE = 256
CHANGES = 3


def text(size: int) -> str:
    """A session of about so many bytes: the cookie as Node writes it, and data that nothing compresses."""
    cookie = {
        "originalMaxAge": DAY,
        "expires": "2030-01-01T00:00:00.000Z",
        "httpOnly": True,
        "path": "/",
        "sameSite": "lax",
    }
    bare = json.dumps({"cookie": cookie, "data": ""}, separators=(",", ":"))
    return bare.replace('"data":""', f'"data":"{secrets.token_urlsafe(size)[: max(1, size - len(bare))]}"')


@asynccontextmanager
async def empty_store(url: str, connection: Any) -> Any:
    """A store on a table of its own."""
    await connection.execute(f"DROP TABLE IF EXISTS {TABLE}")
    try:
        async with PostgresStore(url, table=TABLE) as store:
            yield store
    finally:
        await connection.execute(f"DROP TABLE IF EXISTS {TABLE}")


def chunks(items: list[Any]) -> Iterator[list[Any]]:
    """As many as ask at once."""
    for start in range(0, len(items), AT_ONCE):
        yield items[start : start + AT_ONCE]


async def fill(store: PostgresStore, number: int, size: int, expires_at: int) -> dict[str, StoredSession]:
    """So many sessions, made by the store: their records by id."""
    made: dict[str, StoredSession | None] = {}
    for chunk in chunks([secrets.token_urlsafe(24) for _ in range(number)]):
        records = await asyncio.gather(*(store.create(sid, StoredSession(text(size), expires_at)) for sid in chunk))
        made |= zip(chunk, records, strict=True)
    return {sid: record for sid, record in made.items() if record is not None}


async def sizes(connection: Any, number: int) -> str:
    """Bytes a session: the table with what lies beside it, the key's index, the expiry's."""
    row = await connection.fetchrow(
        f"SELECT pg_table_size('{TABLE}'), pg_relation_size('{TABLE}_pkey'), pg_relation_size('\"IDX_{TABLE}_expire\"')"
    )
    table, key, expiry = (round(each / number) for each in row)
    return f"table {table:5}  key {key:4}  expiry {expiry:4}  all {table + key + expiry:5}"


async def growth(url: str, connection: Any, number: int, size: int) -> None:
    """New, and after some changes of each."""
    async with empty_store(url, connection) as store:
        begun = time.perf_counter()
        made = await fill(store, number, size, now_ms() + DAY)
        took = time.perf_counter() - begun
        print(f"{size:5} bytes of text, new       {await sizes(connection, number)}   ({number / took:.0f} a second)")
        begun = time.perf_counter()
        for turn in range(CHANGES):
            expires_at = now_ms() + DAY + turn
            for chunk in chunks(list(made)):
                updates = await asyncio.gather(
                    *(store.update(sid, StoredSession(text(size), expires_at), made[sid]) for sid in chunk)
                )
                made |= {sid: update.record for sid, update in zip(chunk, updates, strict=True) if update.record}
        took = time.perf_counter() - begun
        print(
            f"{size:5} bytes of text, {CHANGES} changes {await sizes(connection, number)}"
            f"   ({CHANGES * number / took:.0f} a second)"
        )
        await asyncio.sleep(12)  # a connection tells its counts when it has been idle for ten
        hot = await connection.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd, autovacuum_count FROM pg_stat_user_tables WHERE relname = $1", TABLE
        )
        print(f"      changes {hot[0]}, of them heap-only {hot[1]}; autovacuum was there {hot[2]} times")


async def sweep(url: str, connection: Any, number: int, batch: int) -> None:
    """Half of the rows have expired; how long the deletion of all of them takes, step by step, without pauses."""
    async with empty_store(url, connection) as store:
        await fill(store, number // 2, 400, now_ms() + DAY)
        await fill(store, number // 2, 400, now_ms() - 1)
        await connection.execute(f"VACUUM ANALYZE {TABLE}")
        steps, swept = [], batch
        while swept == batch:
            begun = time.perf_counter()
            swept = await store.sweep(batch)
            steps.append((time.perf_counter() - begun) * 1000)
        left = await store.length()
        print(
            f"sweep of {number // 2} of {number} by {batch:5}: {sum(steps) / 1000:5.1f} s, a step"
            f" {statistics.median(steps):.1f} ms in the median, {max(steps):.0f} at most; {left} left"
        )


async def main() -> None:
    """All of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--sessions", type=int, default=100_000)
    given = parser.parse_args()
    connection = await asyncpg.connect(given.url)
    try:
        print(await connection.fetchval("SELECT version()"))
        for size in (200, 1_000, 4_000):
            await growth(given.url, connection, given.sessions, size)
        for batch in (200, 1_000, 5_000):
            await sweep(given.url, connection, 2 * given.sessions, batch)
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(main())
