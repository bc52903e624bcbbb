"""How long it takes to list and end the sessions of a user among a million, in SQLite, with the index and without.

In this process, by the manager's own calls, without HTTP. Each user has five sessions.
"""

import argparse
import asyncio
import random
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from bench.process import folder
from sessions import SessionManager, SessionOptions
from sessions.stores.sqlite import SQLiteStore
from sessions.stores.sqlite.user_statements import UserStatements
from sessions.user_text import UserPlace

DEVICES = 5
DAY = 86_400_000
OPTIONS = SessionOptions(secret="no visitor ever sees a cookie of this benchmark", user_key="user")


async def measure(path: Path, size: int, asks: int) -> None:
    """Print the table's rows, for a file of so many sessions."""
    users = [f"user {n}" for n in range(size // DEVICES)]
    async with SQLiteStore(path):
        pass  # its table
    with closing(sqlite3.connect(path)) as db:
        db.executemany("INSERT INTO sessions VALUES (?, ?, ?)", rows(users))
        db.commit()
    print(f"{size:,} sessions, {DEVICES} of each user, milliseconds: median, p99")
    chance = random.Random(1)
    async with SQLiteStore(path) as store:
        manager = SessionManager(store, OPTIONS)
        await timed("sessions_of, no index", manager.sessions_of, chance.sample(users, 3))
        await manager.close()
    begin = time.perf_counter()
    with closing(sqlite3.connect(path)) as db:
        db.execute(UserStatements(UserPlace(("user",))).index[1])
        db.commit()
    print(f"the index is made in {time.perf_counter() - begin:.1f} s")
    async with SQLiteStore(path) as store:
        manager = SessionManager(store, OPTIONS)
        await timed("sessions_of", manager.sessions_of, chance.sample(users, asks))
        await timed("revoke_all", manager.revoke_all, chance.sample(users, asks))
        await manager.close()


def rows(users: list[str]) -> Iterator[tuple[str, int, str]]:
    """Sessions in random order of ids and users."""
    expires_at = time.time_ns() // 1_000_000 + DAY
    cookie = f'{{"originalMaxAge":{DAY},"expires":"2038-01-01T00:00:00.000Z","httpOnly":true,"path":"/"}}'
    for user in random.Random(2).sample(users * DEVICES, DEVICES * len(users)):
        yield secrets.token_urlsafe(24), expires_at, f'{{"cookie":{cookie},"user":"{user}","views":1}}'


async def timed(what: str, ask: Callable[[str], Awaitable[object]], users: Iterable[str]) -> None:
    """Ask for each user, one after the other, and print how long it takes."""
    took = []
    for user in users:
        begin = time.perf_counter()
        answer = await ask(user)
        took.append((time.perf_counter() - begin) * 1_000)
        found = answer if isinstance(answer, int) else len(answer)  # type: ignore[arg-type] # a list then
        if found != DEVICES:
            raise SystemExit(f"{what}: {user} has {found} sessions")
    print(f"{what}: {median(took):.2f}, {quantiles(took, n=100)[-1]:.2f} ({len(took)} asks)")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.users", description=__doc__)
    parser.add_argument("--size", type=int, default=1_000_000, help="sessions in the file")
    parser.add_argument("--asks", type=int, default=2_000)
    parser.add_argument("--quick", action="store_true", help="a small file: does it work?")
    args = parser.parse_args()
    if args.quick:
        args.size, args.asks = 60_000, 200  # from 50,000 on a store makes no index itself
    with folder() as data:
        asyncio.run(measure(data / "sessions.db", args.size, args.asks))


if __name__ == "__main__":
    main()
