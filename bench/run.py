"""`make bench`, `bench-peers` and `bench-engines`: rounds in alternation, and ratios within a round.

In every round each server is started again; all of them wait side by side on the server core, and wrk, on the other
core, visits one after the other. What is compared is seconds apart: a slow minute of the machine meets them all. What
others do meanwhile is measured with each visit, and a visit that they disturbed does not count.
"""

import argparse
import os
import random
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from typing import Any

from bench.catalogue import GROUPS, HERE, Server, choose
from bench.figures import RESULTS, is_quiet, save
from bench.load import SESSIONS, ClosedLoop, has_wrk, make_sessions, measure
from bench.process import CORES, LOAD_CORE, SERVER_CORE, BenchError, Running, fail, fsync_microseconds, machine
from bench.report import print_run
from bench.serve import serving


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--groups", default="ours", help=f"of {', '.join(GROUPS)}; with commas")
    parser.add_argument(
        "--only", action="append", default=[], help="servers with this in their names as well; may be repeated"
    )
    parser.add_argument("--workloads", default="RWN")
    parser.add_argument("--connections", default="64,1,256")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each single measurement")
    parser.add_argument("--quick", action="store_true", help="1 round at 64 connections: does it work?")
    parser.add_argument("--out", default="tornado", help="the name of the file in bench/results (default: tornado)")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.connections, args.out = 1, 1, "64", f"{args.out}-quick"
    args.connections = [int(c) for c in args.connections.split(",")]
    args.groups = args.groups.split(",")
    return args


def usable(servers: list[Server], result: dict[str, Any]) -> list[Server]:
    """Those that start and keep sessions; the others are named in the report, and do not cost the whole run."""
    for server in servers:
        try:
            with serving(server) as running:
                if not server.is_bare:
                    make_sessions(running, 2)
        except (BenchError, OSError) as error:  # one that ends itself resets the connection
            result["not measured"][server.name] = str(error).strip().splitlines()[-1]
            print(f"{server.name}: {error}", file=sys.stderr)
    left_out = result["not measured"]
    return [server for server in servers if not {server.name, server.bare} & set(left_out)]


def one_round(number: int, servers: list[Server], args: argparse.Namespace, result: dict[str, Any]) -> None:
    runs = []
    start = {"round": number, "load": round(os.getloadavg()[0], 1), "fsync_us": fsync_microseconds()}
    with ExitStack() as stack:
        running: dict[str, tuple[Running, list[str]]] = {}
        for server in servers:
            process = stack.enter_context(serving(server))
            cookies = [] if server.is_bare else make_sessions(process)
            running[server.name] = process, cookies
            about = {"bare": server.bare, "engine": server.engine, **process.about}
            result["servers"].setdefault(server.name, about)
            with ClosedLoop(process, 16) as loop:
                for workload in args.workloads:  # warm: V8 compiles, caches fill
                    loop.run(workload, 1000, cookies, seconds=0.5)
        for connections in args.connections:
            for workload in args.workloads:
                order = random.Random(f"{number} {workload} {connections}")  # nobody always follows the same neighbour
                for server in order.sample(servers, len(servers)):
                    process, cookies = running[server.name]
                    seen = measure(process, workload, connections, args.seconds, cookies)
                    place = {
                        "round": number,
                        "server": server.name,
                        "workload": workload,
                        "connections": connections,
                    }
                    runs.append(place | asdict(seen))
                noisy = sum(not is_quiet(run) for run in runs)
                note(f"round {number + 1}/{args.rounds}: {workload} at {connections} connections, {noisy} noisy visits")
        for name, (process, _) in running.items():
            result["servers"][name]["memory KiB"] = sum(process.memory_kib())
    result["rounds"].append(start)
    result["runs"] += runs  # a round is kept if all its visits were made


def note(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def main() -> None:
    args = arguments()
    if len(CORES) < 2:
        fail(BenchError("two cores are needed: one for the server, one for wrk"))
    os.sched_setaffinity(0, {int(LOAD_CORE)})  # the harness itself: never on the core of the servers
    settings = {
        "rounds": args.rounds,
        "seconds": args.seconds,
        "sessions": SESSIONS,
        "core of the server": SERVER_CORE,
        "core of wrk, Redis and PostgreSQL": LOAD_CORE,
    }
    result: dict[str, Any] = {"machine": machine(), "settings": settings, "not measured": {}, "servers": {}}
    result |= {"rounds": [], "runs": []}
    path = RESULTS / f"{args.out}.json"
    try:
        has_wrk()
        servers = choose(args.groups, args.only)
        visits = len(servers) * len(args.workloads) * len(args.connections)
        minutes = args.rounds * (visits * (args.seconds + 0.5) + len(servers) * 4) / 60
        note(f"{len(servers)} servers, {args.rounds} rounds of {visits} visits: about {minutes:.0f} minutes")
        servers = usable(servers, result)
        for number in range(args.rounds):
            one_round(number, servers, args, result)
            save(result, path)
    except BenchError as error:
        fail(error)
    print_run(result)
    note(f"written: {path.relative_to(HERE.parent)}")
    if result["not measured"]:
        fail(BenchError(f"not measured: {', '.join(result['not measured'])}"))


if __name__ == "__main__":
    main()
