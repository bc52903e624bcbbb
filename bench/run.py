"""`make bench`, `bench-peers` and `bench-engines`: rounds in alternation, and ratios within a round.

In every round each server is started again; all of them wait side by side on the server core, and wrk, on the other
core, visits one after the other. What is compared is seconds apart: a slow minute of the machine meets them all. What
others do meanwhile is measured with each visit. A visit that they disturbed is made once more, and does not count if
they disturb it again. The file of the results is written as the run goes on: a run that is ended keeps what it has, and
`--more` adds rounds to it.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.catalogue import GROUPS, HERE, Server, choose
from bench.figures import RESULTS, is_quiet, save
from bench.load import SESSIONS, ClosedLoop, has_wrk, make_sessions, measure
from bench.process import CORES, LOAD_CORE, SERVER_CORE, BenchError, Running, fail, fsync_microseconds, machine
from bench.report import print_run
from bench.serve import serving

Place = tuple[Running, list[str]]  # a server and its cookies
FAILURES = (BenchError, OSError, subprocess.TimeoutExpired)  # one that ends itself resets the connection
STARTS_AT_ONCE = 4
WARM_SECONDS = 0.25  # at most, with each workload
START_SECONDS, VISIT_SECONDS = 1.3, 0.2
"""What a start takes, and a visit beside its requests: for the forecast."""


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
    parser.add_argument("--more", action="store_true", help="add the rounds to those that the file has")
    parser.add_argument("--quick", action="store_true", help="1 round at 64 connections: does it work?")
    parser.add_argument("--plan", action="store_true", help="say only how long it takes")
    parser.add_argument("--out", default="tornado", help="the name of the file in bench/results (default: tornado)")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.connections, args.out = 1, 1, "64", f"{args.out}-quick"
    args.connections = [int(c) for c in args.connections.split(",")]
    args.groups = args.groups.split(",")
    args.path = RESULTS / f"{args.out}.json"
    return args


@contextmanager
def warmed(server: Server, workloads: str) -> Iterator[Place]:
    """The server and the cookies of its sessions, after a few requests of each workload."""
    with serving(server) as process:
        cookies = [] if server.is_bare else make_sessions(process)
        with ClosedLoop(process, 16) as loop:
            for workload in workloads:  # V8 compiles, the interpreter specialises, caches fill
                loop.run(workload, 1000, cookies, seconds=WARM_SECONDS)
        yield process, cookies


def leave_out(server: Server, number: int, error: Exception, result: dict[str, Any]) -> None:
    """Note why a server is not measured in the rest of a round: it does not cost the others theirs."""
    reason = next(iter(str(error).strip().splitlines()[-1:]), "") or type(error).__name__
    result["left out"].append({"server": server.name, "round": number, "reason": reason})
    print(f"{server.name}: {error}", file=sys.stderr)


def in_the_run(server: Server, result: dict[str, Any]) -> bool:
    """Whether it is tried again: not after it has failed in two rounds."""
    return [each["server"] for each in result["left out"]].count(server.name) < 2


def start_all(
    servers: list[Server], stack: ExitStack, number: int, workloads: str, result: dict[str, Any]
) -> dict[str, Place]:
    """Start them, a few at a time because much of a start is waiting. Those that fail are left out."""

    def start(server: Server) -> Place | None:
        try:
            return stack.enter_context(warmed(server, workloads))
        except FAILURES as error:
            leave_out(server, number, error, result)
            return None

    with ThreadPoolExecutor(STARTS_AT_ONCE) as pool:
        places = list(pool.map(start, servers))
    return {server.name: place for server, place in zip(servers, places, strict=True) if place}


def visit(
    process: Running, workload: str, connections: int, seconds: int, cookies: list[str], cores: str = LOAD_CORE
) -> dict[str, Any]:
    """One measurement. One that others disturbed is made a second time, and the second is kept as it is."""
    for _ in range(2):
        seen = asdict(measure(process, workload, connections, seconds, cookies, cores))
        if is_quiet(seen):
            break
    return seen


def one_round(number: int, servers: list[Server], args: argparse.Namespace, result: dict[str, Any]) -> None:
    """Start the servers and visit each for each workload. What is measured is in the file after each workload."""
    with ExitStack() as stack:
        running = start_all(servers, stack, number, args.workloads, result)
        for server in servers:
            if server.name in running:
                process, _ = running[server.name]
                about = {"bare": server.bare, "engine": server.engine, **process.about}
                result["servers"].setdefault(server.name, about)["memory KiB"] = sum(process.memory_kib())
        for connections in args.connections:
            for workload in args.workloads:
                place = {"round": number, "workload": workload, "connections": connections}
                place["fsync_us"] = fsync_microseconds()
                there = [server for server in servers if server.name in running]
                order = random.Random(f"{number} {workload} {connections}")  # nobody always follows the same neighbour
                for server in order.sample(there, len(there)):
                    process, cookies = running[server.name]
                    try:
                        seen = visit(process, workload, connections, args.seconds, cookies)
                    except FAILURES as error:
                        leave_out(server, number, error, result)
                        del running[server.name]
                        continue
                    result["runs"].append(place | {"server": server.name} | seen)
                save(result, args.path)
                noisy = sum(not is_quiet(run) for run in result["runs"] if run["round"] == number)
                note(f"round {number + 1}: {workload} at {connections} connections, {noisy} noisy visits")
        for name, (process, _) in running.items():
            result["servers"][name]["memory KiB"] = sum(process.memory_kib())


def earlier(path: Path, now: dict[str, Any]) -> dict[str, Any]:
    """The run that is in a file, to go on with it. It has to be of the same version, machine and length of a visit."""
    if not path.exists():
        return now
    before: dict[str, Any] = json.loads(path.read_text("utf-8"))
    for part, names in (
        ("machine", ("version", "processor", "cores", "python")),
        ("settings", ("seconds", "sessions")),
    ):
        for name in names:
            if before[part][name] != now[part][name]:
                fail(BenchError(f"{path.name} has {name} {before[part][name]}, and this is {now[part][name]}"))
    return before


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
    result: dict[str, Any] = {"machine": machine(), "settings": settings, "left out": [], "servers": {}, "runs": []}
    if args.more:
        before = earlier(args.path, result)
        result |= {part: before[part] for part in ("left out", "servers", "runs")}
    first = 1 + max((run["round"] for run in result["runs"]), default=-1)
    settings["rounds"] = first + args.rounds
    servers = choose(args.groups, args.only)
    visits = len(servers) * len(args.workloads) * len(args.connections)
    minutes = args.rounds * (visits * (args.seconds + VISIT_SECONDS) + len(servers) * START_SECONDS) / 60
    note(f"{len(servers)} servers, {args.rounds} rounds of {visits} visits: about {minutes:.0f} minutes")
    if args.plan:
        return
    try:
        has_wrk()
    except BenchError as error:
        fail(error)
    for number in range(first, first + args.rounds):
        one_round(number, [server for server in servers if in_the_run(server, result)], args, result)
    if not result["runs"]:
        fail(BenchError("nothing was measured"))
    print_run(result)
    note(f"written: {args.path.relative_to(HERE.parent)}")
    if result["left out"]:
        names = dict.fromkeys(f"{each['server']} (round {each['round'] + 1})" for each in result["left out"])
        fail(BenchError(f"left out: {', '.join(names)}"))


if __name__ == "__main__":
    main()
