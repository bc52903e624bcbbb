"""Instructions per request in user space, against bare: the measure that a busy neighbour does not touch.

The server runs under callgrind, which counts only while a workload runs, with 64 requests in flight on connections that
are open already: neither the start nor the making of the sessions nor a warm-up is in the figures.
"""

import argparse
import os
import re
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from bench.catalogue import ALL, Server
from bench.figures import RESULTS, save
from bench.load import ClosedLoop, make_sessions
from bench.process import BOTH_CORES, BenchError, Running, fail, first_line, folder, machine
from bench.report import print_instructions
from bench.run import note
from bench.serve import serving

NAMES = [
    "tornado bare", "sessions, SQLite full", "sessions, memory",
    "sessions with a user, SQLite full", "sessions with userKey, SQLite full",
    "sessions with Prometheus, SQLite full",
]  # fmt: skip
PATIENCE = ("--store-timeout", "600000")  # a deadline of seconds is none under callgrind on a busy machine
STEADY = {
    "PYTHONHASHSEED": "0",  # the same dictionaries in every run
    # callgrind counts each byte that `rep stosb` clears as an instruction: 65,000 for each buffer of Tornado's reads
    "GLIBC_TUNABLES": "glibc.cpu.x86_rep_stosb_threshold=1073741824:glibc.cpu.x86_rep_movsb_threshold=1073741824",
}
"""What the environment of a counted server has."""
CONNECTIONS = 64
SESSIONS = 128


def control(running: Running, *flags: str) -> None:
    done = subprocess.run(
        ["callgrind_control", *flags, str(running.process.pid)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise BenchError(f"callgrind_control failed:\n{done.stdout}{done.stderr}")


def counted(running: Running, data: Path, run: Callable[[], None]) -> int:
    """The instructions that the process executes while `run` goes on."""
    control(running, "--instr=on")
    before = set(data.glob("out.*"))
    run()
    control(running, "--dump")
    control(running, "--instr=off")
    written = set(data.glob("out.*")) - before
    totals = re.findall(r"^totals: (\d+)", "".join(path.read_text() for path in written), re.MULTILINE)
    if not totals:
        raise BenchError(f"callgrind_control gave no dump of {running.name}")
    return sum(map(int, totals))


def count(server: Server, requests: int, workloads: str, *, cookie_for_bare: bool = False) -> dict[str, float]:
    """Instructions for each request of each workload."""
    found = {}
    with folder() as data:
        callgrind = (
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={data}/out.%p", "--instr-atstart=no", "--quiet",
        )  # fmt: skip
        with serving(server, *PATIENCE, cores=BOTH_CORES, under=callgrind) as running:
            if not server.is_bare:
                cookies = make_sessions(running, SESSIONS)
            else:
                cookies = ["connect.sid=s%3A" + "x" * 76] * SESSIONS if cookie_for_bare else []
            with ClosedLoop(running, CONNECTIONS) as loop:
                for workload in workloads:
                    loop.run(workload, 300, cookies)  # warm
                    run = partial(loop.run, workload, requests, cookies)
                    found[workload] = counted(running, data, run) / requests
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.instructions", description=__doc__)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--workloads", default="RWN")
    parser.add_argument("--only", default="", help="only servers with this in their names")
    parser.add_argument("--quick", action="store_true", help="300 requests of each: does it work?")
    parser.add_argument("--out", default="instructions", help="the name of the file in bench/results")
    args = parser.parse_args()
    if args.quick:
        args.requests, args.out = 300, f"{args.out}-quick"
    result: dict[str, Any] = {
        "machine": machine() | {"valgrind": first_line("valgrind", "--version")},
        "servers": {},
    }
    result["settings"] = {"requests": args.requests, "connections": CONNECTIONS}
    os.environ |= STEADY
    try:
        for name in [NAMES[0], *(n for n in NAMES[1:] if args.only in n)]:
            note(name)
            result["servers"][name] = count(ALL[name], args.requests, args.workloads)
            save(result, RESULTS / f"{args.out}.json")
        note("tornado bare that receives a cookie")
        received = count(ALL[NAMES[0]], args.requests, "RW", cookie_for_bare=True)
        result["servers"]["tornado bare, receiving a cookie"] = received
    except BenchError as error:
        fail(error)
    save(result, RESULTS / f"{args.out}.json")
    print_instructions(result)


if __name__ == "__main__":
    main()
