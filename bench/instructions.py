"""Instructions per request in user space, against bare: the measure that a busy neighbour does not touch.

The server runs under callgrind. Counts are taken between two dumps of the running process, with 64 requests in flight,
so neither the start nor the making of the sessions is in them.
"""

import argparse
import os
import subprocess
from pathlib import Path
from typing import Any

from bench.catalogue import ALL, Server
from bench.load import ClosedLoop, make_sessions
from bench.process import BenchError, Running, fail, first_line, folder, machine, serving
from bench.report import print_instructions
from bench.run import note, save

NAMES = ["tornado bare", "sessions, SQLite full", "sessions, SQLite normal", "sessions, memory"]
WARM_UP = 300
CONNECTIONS = 64
SESSIONS = 128


def dump(running: Running, folder: Path) -> int:
    """The instructions that the process has executed since the last dump."""
    before = set(folder.glob("out.*"))
    subprocess.run(["callgrind_control", "--dump", str(running.process.pid)], check=True, capture_output=True)
    written = set(folder.glob("out.*")) - before
    totals = [
        int(line.split(":")[1])
        for path in written
        for line in path.read_text().splitlines()
        if line.startswith("totals:")
    ]
    if not totals:
        raise BenchError(f"callgrind_control gave no dump of {running.name}")
    return sum(totals)


def count(server: Server, requests: int, workloads: str, *, cookie_for_bare: bool = False) -> dict[str, float]:
    """Instructions for each request of each workload."""
    found = {}
    with folder() as data:
        callgrind = ("valgrind", "--tool=callgrind", f"--callgrind-out-file={data}/out.%p", "--quiet")
        os.environ["PYTHONHASHSEED"] = "0"
        with serving(server, under=callgrind) as running:
            if not server.is_bare:
                cookies = make_sessions(running, SESSIONS)
            else:
                cookies = ["connect.sid=s%3A" + "x" * 76] * SESSIONS if cookie_for_bare else []
            with ClosedLoop(running, CONNECTIONS) as loop:
                for workload in workloads:
                    loop.run(workload, WARM_UP, cookies)
                    dump(running, data)
                    loop.run(workload, requests, cookies)
                    found[workload] = dump(running, data) / requests
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--workloads", default="RWN")
    parser.add_argument("--only", default="", help="servers whose name holds this")
    parser.add_argument("--quick", action="store_true", help="500 requests of each")
    parser.add_argument("--out", default="instructions", help="the name of the file in bench/results")
    args = parser.parse_args()
    if args.quick:
        args.requests, args.out = 500, f"{args.out}-quick"
    result: dict[str, Any] = {
        "machine": machine() | {"valgrind": first_line("valgrind", "--version")},
        "servers": {},
    }
    result["settings"] = {"requests": args.requests, "connections": CONNECTIONS}
    try:
        for name in [NAMES[0], *(n for n in NAMES[1:] if args.only in n)]:
            note(name)
            result["servers"][name] = count(ALL[name], args.requests, args.workloads)
        note("tornado bare that receives a cookie")
        received = count(ALL[NAMES[0]], args.requests, "RW", cookie_for_bare=True)
        result["servers"]["tornado bare, receiving a cookie"] = received
    except BenchError as error:
        fail(error)
    save(result, args.out)
    print_instructions(result)


if __name__ == "__main__":
    main()
