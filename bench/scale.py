"""How the cost grows: with the sessions in the file, with a sweep under way, with a second process.

growth: lookup and commit with 1e3, 1e5 and 1e6 sessions in the file; size on disk and memory. sweep: the latency of
requests while expired sessions are deleted, against the same file without the sweeper. processes: two workers against
one. Each part writes a file of results of its own, so that it can be measured by itself.
"""

import argparse
import asyncio
import os
import random
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.catalogue import ALL
from bench.figures import RESULTS, save
from bench.load import SESSIONS, has_wrk, make_sessions, measure, signed_cookie
from bench.process import BOTH_CORES, LOAD_CORE, SERVER_CORE, BenchError, Others, fail, folder, machine
from bench.report import print_result
from bench.run import note, visit
from bench.serve import serving
from bench.servers.tornado_app import SECRET
from sessions import StoredSession, open_store

BARE, OURS = ALL["tornado bare"], ALL["sessions, SQLite full"]
SHARED = [OURS, ALL["sessions, Redis"], ALL["sessions, PostgreSQL"]]  # stores that processes can share
DAY = 86_400_000
SAMPLE = 20_000  # ids that requests ask for: spread over the whole file, so that its pages are really visited
CONNECTIONS = 64


def file_with(data: Path, live: int, expired: int = 0) -> list[str]:
    """Fill `data` with a file of so many sessions, in random order of ids; returns ids of living ones.

    Table, index and text are the library's own: it makes the file and the first row, which is then repeated.
    """
    with serving(OURS, data=data) as running:
        make_sessions(running, 2)
    now = time.time_ns() // 1_000_000
    ids: list[str] = []

    def rows() -> Iterable[tuple[str, int, str]]:
        chance = random.Random(1)
        left = {"live": live, "expired": expired}
        for _ in range(live + expired):
            lives = chance.randrange(left["live"] + left["expired"]) < left["live"]
            left["live" if lives else "expired"] -= 1
            sid = secrets.token_urlsafe(24)
            if lives and len(ids) < SAMPLE and chance.random() < SAMPLE / live:
                ids.append(sid)
            yield sid, now + (DAY if lives else -1 - chance.randrange(DAY)), text

    with closing(sqlite3.connect(data / "sessions.db")) as db:
        db.executescript("PRAGMA synchronous = OFF; PRAGMA cache_size = -1000000")  # to fill it fast
        text = db.execute("SELECT sess FROM sessions").fetchone()[0]
        db.execute("DELETE FROM sessions")
        db.executemany("INSERT INTO sessions VALUES (?, ?, ?)", rows())
        db.commit()
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return ids


def cookies_of(ids: list[str]) -> list[str]:
    return [signed_cookie(sid, SECRET) for sid in random.sample(ids, len(ids))]


# ------------------------------------------------------------------------------------------------ sessions in the file


async def store_times(data: Path, ids: list[str], together: int, seconds: float) -> dict[str, float]:
    """Microseconds of a lookup and of a commit in the store alone, with so many callers at once; what others took."""
    others = Others()
    async with open_store(f"sqlite:{data}/sessions.db") as store:

        async def lookup(sid: str) -> None:
            if await store.get(sid) is None:
                raise BenchError(f"{sid} is not in the file")

        async def commit(sid: str) -> None:
            seen = await store.get(sid)
            if seen is not None:
                changed = seen.data.replace(" }", "}") if seen.data.endswith(" }") else seen.data[:-1] + " }"
                await store.update(sid, StoredSession(changed, seen.expires_at), seen)

        async def each(call: Callable[[str], Any]) -> float:
            begin, done = time.perf_counter(), 0

            async def caller(share: list[str]) -> None:
                nonlocal done
                while True:
                    for sid in share:
                        if time.perf_counter() - begin > seconds:
                            return
                        await call(sid)
                        done += 1

            await asyncio.gather(*(caller(ids[i::together]) for i in range(together)))
            return (time.perf_counter() - begin) / done * 1e6

        found = {"lookup": await each(lookup)}
        found["commit"] = await each(commit) - found["lookup"]
        return {verb: round(value, 1) for verb, value in found.items()} | {"others": others.cores()[0]}


def growth(args: argparse.Namespace, keep: Callable[[Any], None]) -> list[dict[str, Any]]:
    measured = []
    with ExitStack() as stack:
        bare = stack.enter_context(serving(BARE))
        running, cookies, data, ids = {}, {}, {}, {}
        for size in args.sizes:
            data[size] = stack.enter_context(folder())
            ids[size] = file_with(data[size], size)
            cookies[size] = cookies_of(ids[size])
            note(f"growth: {size:,} sessions in the file")
            running[size] = stack.enter_context(serving(OURS, data=data[size]))
        for number in range(args.rounds):
            for size in args.sizes:
                for together in (1, CONNECTIONS):
                    os.sched_setaffinity(0, {int(SERVER_CORE)})  # the store alone runs in this process
                    times = asyncio.run(store_times(data[size], ids[size], together, args.seconds))
                    os.sched_setaffinity(0, {int(LOAD_CORE)})
                    measured.append({"round": number, "size": size, "together": together, **times})
            for workload in "RW":
                plain = measure(bare, workload, CONNECTIONS, args.seconds, [])
                for size in args.sizes:
                    seen = measure(running[size], workload, CONNECTIONS, args.seconds, cookies[size])
                    place = {"round": number, "size": size, "workload": workload, "share": seen.rate / plain.rate}
                    measured.append(place | asdict(seen) | {"others": max(seen.others, plain.others)})
            keep(measured)
            note(f"growth: round {number + 1}/{args.rounds}")
        for size in args.sizes:
            with closing(sqlite3.connect(data[size] / "sessions.db")) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            on_disk = (data[size] / "sessions.db").stat().st_size
            place = {"size": size, "bytes per session": round(on_disk / size)}
            measured.append(place | {"memory KiB": running[size].memory_kib()[0], "bare KiB": bare.memory_kib()[0]})
    return measured


# ------------------------------------------------------------------------------------------------------ sweep


def sweep(args: argparse.Namespace, keep: Callable[[Any], None]) -> dict[str, Any]:
    windows: dict[str, list[dict[str, Any]]] = {"before": [], "during": [], "after": []}
    sizes: dict[str, int] = {}
    with folder() as data:
        ids = file_with(data, args.live, args.expired)
        cookies = cookies_of(ids)[:SESSIONS]
        note(f"sweep: {args.live:,} living and {args.expired:,} expired sessions in the file")
        file = data / "sessions.db"
        sizes["filled"] = file.stat().st_size
        now = time.time_ns() // 1_000_000

        def is_swept() -> bool:
            with closing(sqlite3.connect(f"file:{data}/sessions.db?mode=ro", uri=True)) as db:
                oldest = db.execute("SELECT min(expired) FROM sessions").fetchone()[0]
            return bool(oldest > now)

        def window(running: Any, workload: str = "W") -> dict[str, Any]:
            return asdict(measure(running, workload, CONNECTIONS, args.window, cookies))

        with serving(OURS, data=data) as running:
            window(running)  # warm
            windows["before"] = [window(running) for _ in range(args.windows)]
        with serving(OURS, "--sweep", data=data) as running, ThreadPoolExecutor(1) as pool:
            begin = time.monotonic()
            took = 0.0
            while not took:
                if time.monotonic() - begin > args.patience:
                    raise BenchError(f"not swept within {args.patience} s")
                under_way = pool.submit(window, running)
                while not under_way.done():
                    time.sleep(0.2)
                    if not took and is_swept():
                        took = time.monotonic() - begin
                windows["during"].append(under_way.result())
                note(f"sweep: {len(windows['during'])} windows of {args.window} s")
        with serving(OURS, data=data) as running:
            window(running)
            windows["after"] = [window(running) for _ in range(args.windows)]
            sizes["swept"] = file.stat().st_size
            new = window(running, "N")["requests"]
        sizes["with new sessions"] = file.stat().st_size  # closed, so the log is in it
        begin = time.monotonic()
        with closing(sqlite3.connect(file)) as db:
            db.execute("VACUUM")
        vacuum = time.monotonic() - begin
        sizes["vacuumed"] = file.stat().st_size
        return {
            "live": args.live,
            "expired": args.expired,
            "connections": CONNECTIONS,
            "seconds": round(took, 1),
            "vacuum seconds": round(vacuum, 1),
            "new sessions": new,
            "bytes": sizes,
            **windows,
        }


# ------------------------------------------------------------------------------------------------------ processes


def processes(args: argparse.Namespace, keep: Callable[[Any], None]) -> list[dict[str, Any]]:
    measured = []
    for number in range(args.rounds):
        for server in SHARED[: args.stores]:
            with ExitStack() as stack:
                running, cookies = {}, {}
                for workers in (1, 2):
                    start = serving(server, "--workers", str(workers), cores=BOTH_CORES)
                    running[workers] = stack.enter_context(start)
                    cookies[workers] = make_sessions(running[workers])
                for workload in "RWN":
                    for workers in (1, 2) if number % 2 else (2, 1):
                        seen = visit(
                            running[workers], workload, CONNECTIONS, args.seconds, cookies[workers], BOTH_CORES
                        )
                        place = {"round": number, "server": server.name, "workers": workers, "workload": workload}
                        measured.append(place | seen | {"memory KiB": max(running[workers].memory_kib())})
        keep(measured)
        note(f"processes: round {number + 1}/{args.rounds}")
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--parts", default="growth,sweep,processes")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each single measurement")
    parser.add_argument("--sizes", default="1000,100000,1000000")
    parser.add_argument("--live", type=int, default=1_000_000)
    parser.add_argument("--expired", type=int, default=1_000_000)
    parser.add_argument("--window", type=int, default=4, help="seconds over which one p99 is taken during the sweep")
    parser.add_argument("--windows", type=int, default=5, help="such windows before the sweep and after it")
    parser.add_argument("--patience", type=int, default=900, help="seconds that the sweep may take")
    parser.add_argument("--quick", action="store_true", help="small files and short rounds: does it work?")
    parser.add_argument(
        "--stores", type=int, default=3, help="processes: 1 is SQLite alone, 3 are all that can be shared"
    )
    parser.add_argument("--suffix", default="", help="for the names of the files in bench/results")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.sizes, args.suffix = 1, 1, "1000,20000", "-quick"
        args.live = args.expired = 20_000
        args.window, args.windows = 2, 1
    args.sizes = [int(size) for size in args.sizes.split(",")]
    parts: dict[str, Callable[..., Any]] = {"growth": growth, "sweep": sweep, "processes": processes}
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    try:
        has_wrk()
        for part in args.parts.split(","):
            settings = {"rounds": args.rounds, "seconds": args.seconds} if part != "sweep" else {}
            about = {"machine": machine(), "settings": settings}

            def keep(measured: Any, part: str = part, about: dict[str, Any] = about) -> None:
                save(about | {part: measured}, RESULTS / f"{part}{args.suffix}.json")

            measured = parts[part](args, keep)
            keep(measured)
            print_result(about | {part: measured})
    except BenchError as error:
        fail(error)


if __name__ == "__main__":
    main()
