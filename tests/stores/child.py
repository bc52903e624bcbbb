"""A process of its own on a SQLite file, for tests that kill it: `python child.py write|lead|rename|move|count FILE`.

`write` creates sessions as fast as it can and prints each id once it was acknowledged. `lead` prints whether it leads,
and stays. Both go on until they are killed, or their standard input ends. `rename` waits for a line, renames the
sessions `id-0`, `id-1`, ... to ids of its own, all at once, and prints the outcomes. `move` renames each of them again
and again, with a tombstone, until it is killed, and prints a line for each round.
"""

import asyncio
import itertools
import os
import sys
import time

from sessions.errors import StoreUnavailable
from sessions.store import StoredSession
from sessions.stores.sqlite import SQLiteStore

FAR = 10**14
CALLERS = 20
RENAMED = 100
LOADED = StoredSession("loaded", FAR)
TOMBSTONE = StoredSession("tombstone", FAR)


async def write(store: SQLiteStore) -> None:
    """Many callers at once; each session is created and updated, and then its id is printed in one piece."""
    numbers = itertools.count()

    async def caller() -> None:
        for n in numbers:
            sid = f"{os.getpid()}-{n}"
            created = await store.create(sid, StoredSession("created", FAR))
            assert created
            await store.update(sid, StoredSession("updated", FAR), created)
            os.write(1, f"{sid}\n".encode())

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def rename(store: SQLiteStore) -> None:
    """Take each session once, when the test says so."""
    print("ready", flush=True)
    sys.stdin.readline()
    new = StoredSession(f"of {os.getpid()}", FAR)
    updates = await asyncio.gather(
        *(store.rename(f"id-{n}", f"{os.getpid()}-{n}", new, LOADED, TOMBSTONE) for n in range(RENAMED))
    )
    print(*(update.outcome.value for update in updates), flush=True)


async def move(store: SQLiteStore) -> None:
    """Move each session on and on: `id-0`, `id-0.1`, `id-0.2`, ..."""
    for n in itertools.count(1):
        await asyncio.gather(
            *(
                store.rename(f"id-{each}" + (f".{n - 1}" if n > 1 else ""), f"id-{each}.{n}", LOADED, LOADED, TOMBSTONE)
                for each in range(RENAMED)
            )
        )
        print(n, flush=True)


async def count(store: SQLiteStore) -> None:
    """Two callers, each with a session of its own; what is refused is passed over."""

    async def caller(sid: str) -> None:
        for n in itertools.count(1):
            asked = time.monotonic()
            try:
                await store.set(sid, StoredSession(f'{{"n":{n}}}', FAR))
            except StoreUnavailable:
                await asyncio.sleep(0.001)
            else:
                os.write(1, f"{sid} {n} {asked}\n".encode())
                await asyncio.sleep(0.002)

    await asyncio.gather(*(caller(f"{os.getpid()}-{each}") for each in range(2)))


async def main(task: str, path: str) -> None:
    """Do the task."""
    async with SQLiteStore(path) as store:
        if task == "write":
            await write(store)
        if task == "move":
            await move(store)
        if task == "count":
            await count(store)
        if task == "rename":
            await rename(store)
            return
        print(store.lead(), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
