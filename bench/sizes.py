"""What the verbs of a store cost: by the size of a session in SQLite and in memory, and in round trips elsewhere.

sizes: each verb by itself on a session of 1 kB to 1 MB: the time until it is answered, the processor's time, and what
it adds to SQLite's log. memory: what the store in memory holds for a
session, and a process for an open one. trips: how often a verb asks Redis or
PostgreSQL and waits, counted between the store and the server.
"""

import argparse
import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, closing
from pathlib import Path
from statistics import median
from typing import Any, Self
from urllib.parse import urlsplit

from bench.figures import RESULTS, save
from bench.process import BenchError, folder, machine
from bench.report import print_sizes
from bench.serve import ENGINES
from sessions import MemoryStore, SessionManager, SessionOptions, SQLiteStore, StoredSession, now_ms, open_store
from sessions.store import Store

SIZES = (1_000, 10_000, 100_000, 1_000_000)
DAY = 86_400_000
COSTS = ("wall_us", "cpu_us", "written")
COUNTED = ("redis", "postgresql", "mongodb")
"""Engines at one address, where a counting way can stand before them. The nodes of a cluster tell their own."""
KEPT = 2_000
"""Sessions that are made in memory to weigh one; fewer of the large ones."""


def text(size: int, count: int, more: int = 0) -> str:
    """Return the text of a session: `count` is the counter in it, and `more` the characters beyond `size`."""
    data = json.dumps({"cookie": {"originalMaxAge": DAY, "path": "/"}, "n": count, "text": ""}, separators=(",", ":"))
    return data.replace('""}', f'"{"x" * (size + more - len(data))}"}}')


def verbs(store: Store, sid: str, size: int, count: int) -> dict[str, Callable[[Any], Awaitable[Any]]]:
    """Return the calls of a session's life, each of the record that the one before has left."""
    end = now_ms() + DAY
    first, other, longer = (
        StoredSession(text(size, number, more), end + 1) for number, more in ((count, 0), (count + 1, 0), (count, 1))
    )
    return {
        "create": lambda _: store.create(sid, first._replace(expires_at=end)),
        "read": lambda _: store.get(sid),
        "touch": lambda row: store.touch(sid, end + 1, row),
        "update, as long as before": lambda row: store.update(sid, other, row),
        "update, longer": lambda row: store.update(sid, longer, row),
        "destroy": lambda _: store.destroy(sid),
    }


# ---------------------------------------------------------------------------------------------------- by the size


async def sizes(rounds: int) -> list[dict[str, Any]]:
    """Measure the verbs of the SQLite store, one call at a time. Before each the log is empty."""
    found = []
    with folder() as data:
        file = data / "sessions.db"
        log = Path(f"{file}-wal")
        async with SQLiteStore(file) as store:
            for size in SIZES:
                costs: dict[str, list[tuple[float, float, float]]] = {}
                for number in range(100, 100 + rounds):
                    row: Any = None
                    for name, call in verbs(store, f"{number:032}", size, number).items():
                        with closing(sqlite3.connect(file)) as db:
                            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                        before, began, worked = length(log), time.perf_counter(), time.process_time()
                        result = await call(row)
                        wall, cpu = time.perf_counter() - began, time.process_time() - worked
                        row = getattr(result, "record", result)
                        costs.setdefault(name, []).append((1e6 * wall, 1e6 * cpu, length(log) - before))
                for name, cost in costs.items():
                    middle = [round(median(each)) for each in zip(*cost, strict=True)]
                    found.append({"size": size, "verb": name, **dict(zip(COSTS, middle, strict=True))})
    return found


def length(file: Path) -> int:
    """Return the bytes of a file."""
    return file.stat().st_size


# ---------------------------------------------------------------------------------------------------- in memory


async def memory() -> list[dict[str, Any]]:
    """Weigh a session of each size: in the store in memory, and open in a process, as a request under way has it."""
    found = []
    for size in SIZES:
        count = min(KEPT, 100_000_000 // size)
        ids = [f"{number:032}" for number in range(count)]
        store = MemoryStore()
        before = resident()
        for number, sid in enumerate(ids):
            await store.create(sid, StoredSession(text(size, number), now_ms() + DAY))
        kept = round((resident() - before) / count)
        await store.clear()
        found.append({"size": size, "kept": kept, "open": await opened(size, ids)})
    return found


async def opened(size: int, ids: list[str]) -> int:
    """Return the bytes of an open session, when its data was read."""
    with folder() as data:
        async with SQLiteStore(data / "sessions.db") as store, AsyncExitStack() as stack:
            for number, sid in enumerate(ids):
                await store.create(sid, StoredSession(text(size, number), now_ms() + DAY))
            for sid in ids:
                await store.get(sid)  # SQLite's cache of pages is full before the weighing
            manager = SessionManager(store, SessionOptions(secret="x" * 40))
            before = resident()
            for sid in ids:
                session = await stack.enter_async_context(manager.open(sid))
                if session["n"] < 0:
                    raise BenchError("the data is another session's")
            return round((resident() - before) / len(ids))


def resident() -> int:
    """Return the bytes of memory that this process holds for itself."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    return 0


# ---------------------------------------------------------------------------------------------------- round trips


class Counting:
    """A way to a server that counts how often something is sent after something has come back."""

    def __init__(self, port: int) -> None:
        self._server_port = port
        self._answered = True
        self.trips = 0

    async def __aenter__(self) -> Self:
        self._front = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port: int = self._front.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._front.close()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._server_port)
        await asyncio.gather(self._sent(reader, server_writer), self._came(server_reader, writer))

    async def _sent(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65_536):
            self.trips += self._answered
            self._answered = False
            sink.write(piece)
        sink.close()

    async def _came(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while piece := await source.read(65_536):
            self._answered = True
            sink.write(piece)
        sink.close()


async def trips(engine: str) -> list[dict[str, Any]]:
    """Count the round trips of each verb, and of the requests that need them."""
    found: list[dict[str, Any]] = []
    with ENGINES[engine]() as running:
        url = urlsplit(running.url)
        async with Counting(running.port) as front:
            at = url._replace(netloc=url.netloc.replace(f":{url.port}", f":{front.port}"))
            async with open_store(at.geturl()) as store:
                for sid in ("the driver prepares a statement at its first call", "counted"):
                    row: Any = None
                    for name, call in verbs(store, sid, 300, 100).items():
                        before = front.trips
                        result = await call(row)
                        row = getattr(result, "record", result)
                        found.append({"store": engine, "sid": sid, "verb": name, "trips": front.trips - before})
    return [row for row in found if row.pop("sid") == "counted"]


async def measure(rounds: int) -> dict[str, Any]:
    """Measure all."""
    return {
        "machine": machine(),
        "settings": {"rounds": rounds},
        "sizes": await sizes(rounds),
        "memory": await memory(),
        "trips": [row for engine in COUNTED for row in await trips(engine)],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--quick", action="store_true", help="three rounds, beside the results: does it work?")
    args = parser.parse_args()
    result = asyncio.run(measure(3 if args.quick else args.rounds))
    save(result, RESULTS / ("sizes-quick.json" if args.quick else "sizes.json"))
    print_sizes(result)


if __name__ == "__main__":
    main()
