"""`make bench` and `make bench-peers`: rounds in alternation, medians with their spread, as ratios within the same run.

In every round each server is started anew; all of them wait side by side on the server core, and wrk, on the other
core, visits one after the other. What is compared stands seconds apart: a slow minute of the machine meets them all.
"""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.catalogue import HERE, Server, choose
from bench.load import make_sessions, measure
from bench.process import CORES, LOAD_CORE, SERVER_CORE, BenchError, Running, fail, machine
from bench.report import print_run
from bench.serve import serving

RESULTS = HERE / "results"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.add_argument("--groups", default="tornado", help="of tornado, speed, peers; with commas (default: tornado)")
    parser.add_argument("--only", action="append", default=[], help="servers whose name holds this; may be repeated")
    parser.add_argument("--workloads", default="RWN")
    parser.add_argument("--connections", default="1,16,64,256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of each single measurement")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 1 second at 64 connections: does it work?")
    parser.add_argument("--out", default="tornado", help="the name of the file in bench/results (default: tornado)")
    args = parser.parse_args()
    if args.quick:
        args.rounds, args.seconds, args.connections, args.out = 2, 1, "64", f"{args.out}-quick"
    args.connections = [int(c) for c in args.connections.split(",")]
    args.groups = args.groups.split(",")
    return args


def one_round(number: int, servers: list[Server], args: argparse.Namespace, result: dict[str, Any]) -> None:
    with ExitStack() as stack:
        running: dict[str, tuple[Running, list[str]]] = {}
        for server in servers:
            process = stack.enter_context(serving(server))
            cookies = [] if server.is_bare else make_sessions(process)
            running[server.name] = process, cookies
            result["servers"][server.name] = {"bare": server.bare, **process.about}
            for workload in args.workloads:  # warm: V8 compiles, caches fill
                measure(process, workload, 16, 1, cookies)
        turn = number
        for connections in args.connections:
            for workload in args.workloads:
                turn += 1  # the order rotates: nobody always follows the same neighbour
                for server in servers[turn % len(servers) :] + servers[: turn % len(servers)]:
                    process, cookies = running[server.name]
                    seen = measure(process, workload, connections, args.seconds, cookies)
                    place = {
                        "round": number,
                        "server": server.name,
                        "workload": workload,
                        "connections": connections,
                    }
                    result["runs"].append(place | asdict(seen))
                note(f"round {number + 1}/{args.rounds}: {workload} at {connections} connections")
        for name, (process, _) in running.items():
            result["servers"][name]["memory KiB"] = sum(process.memory_kib())


def note(text: str) -> None:
    print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def save(result: dict[str, Any], name: str) -> Path:
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return path


def main() -> None:
    args = arguments()
    if len(CORES) < 2:
        fail(BenchError("two cores are needed: one for the server, one for wrk"))
    servers = choose(args.groups, args.only)
    settings = {
        "rounds": args.rounds,
        "seconds": args.seconds,
        "pinned": f"server {SERVER_CORE}, wrk and Redis {LOAD_CORE}",
    }
    result: dict[str, Any] = {"machine": machine(), "settings": settings, "servers": {}, "runs": []}
    try:
        for number in range(args.rounds):
            one_round(number, servers, args, result)
    except BenchError as error:
        fail(error)
    path = save(result, args.out)
    print_run(result)
    note(f"written: {path.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
