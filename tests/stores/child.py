"""A process of its own on a SQLite file, for tests that kill it: `python child.py write|lead FILE`.

`write` creates sessions as fast as it can and prints each id once it was acknowledged. `lead` prints whether it leads,
and stays. Both go on until they are killed, or their standard input ends.
"""

import asyncio
import itertools
import os
import sys

from sessions.store import StoredSession
from sessions.stores.sqlite import SQLiteStore

FAR = 10**14
CALLERS = 20


async def write(store: SQLiteStore) -> None:
    """Many callers at once; each session is created and updated, and then its id is printed in one piece."""
    numbers = itertools.count()

    async def caller() -> None:
        for n in numbers:
            sid = f"{os.getpid()}-{n}"
            await store.create(sid, StoredSession("created", FAR))
            await store.update(sid, StoredSession("updated", FAR), "created")
            os.write(1, f"{sid}\n".encode())

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def main(task: str, path: str) -> None:
    """Do the task."""
    async with SQLiteStore(path) as store:
        if task == "write":
            await write(store)
        print(store.lead(), flush=True)
        await asyncio.to_thread(sys.stdin.read)


asyncio.run(main(*sys.argv[1:]))
