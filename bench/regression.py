"""`make instructions`: no change of the code makes R, W or N cost 3 % more instructions than the committed baseline.

One request follows the other, so that the size of a batch does not depend on the time. What is compared is over bare
Tornado in the same run. With `--baseline` the counts become the baseline of this Python on this kind of machine; the
others stay.
"""

import argparse
import json
import os
import platform
import shutil
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from bench.catalogue import ALL
from bench.figures import save
from bench.instructions import PATIENCE, STEADY, counted
from bench.load import ClosedLoop, make_sessions
from bench.process import BOTH_CORES, BenchError, Running, fail, folder, processor
from bench.serve import serving

BASELINE = Path(__file__).parent / "baseline.json"
MORE = 0.03  # of what the baseline has over bare
ANOTHER_BARE = 0.02  # bare Tornado differs by more than this: another version of Tornado
BATCHES, REQUESTS = 5, 16  # the median of the batches leaves out one in which the garbage collector ran
NAMES = ["tornado bare", "sessions, SQLite full", "sessions with userKey, SQLite full"]
Counts = dict[str, dict[str, int]]


def count(name: str) -> dict[str, int]:
    """Instructions of a request of each workload, one at a time on one connection."""
    with folder() as data:
        callgrind = (
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={data}/out.%p", "--instr-atstart=no", "--quiet",
        )  # fmt: skip
        found = {}
        with serving(ALL[name], *PATIENCE, cores=BOTH_CORES, under=callgrind) as running:
            cookies = [] if ALL[name].is_bare else make_sessions(running, 32)
            with ClosedLoop(running, 1) as loop:
                one = partial(one_by_one, running, loop, cookies)
                for workload in "RWN":
                    one(workload, 90)  # warm: before, the interpreter still specialises what it runs
                    batches = [counted(running, data, partial(one, workload, REQUESTS)) for _ in range(BATCHES)]
                    found[workload] = round(median(batches) / REQUESTS)
        return found


def one_by_one(running: Running, loop: ClosedLoop, cookies: list[str], workload: str, requests: int) -> None:
    """Send each request when the server has nothing to do, so that it always reads in the same number of steps."""
    for number in range(requests):
        wait_until_idle(running.process.pid)
        loop.run(workload, 1, cookies[number % len(cookies) :][:1] if cookies else [])
    wait_until_idle(running.process.pid)


def wait_until_idle(pid: int) -> None:
    """Return when all threads of the process have slept for a while."""
    asleep = 0
    while asleep < 3:
        states = [path.read_text().rpartition(") ")[2][0] for path in Path(f"/proc/{pid}/task").glob("*/stat")]
        asleep = asleep + 1 if set(states) == {"S"} else 0
        time.sleep(0.001)


def count_all() -> Counts:
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(NAMES, pool.map(count, NAMES), strict=True))


def over_bare(counts: Counts) -> Counts:
    bare = counts[NAMES[0]]
    return {name: {w: each[w] - bare[w] for w in each} for name, each in counts.items() if name != NAMES[0]}


def dearer(counts: Counts, baseline: Counts) -> list[str]:
    """A line for each workload that costs too much more than the baseline."""
    now, before = over_bare(counts), over_bare(baseline)
    return [
        f"{name}, {w}: {now[name][w]:,} instructions over bare, {now[name][w] / before[name][w] - 1:+.1%}"
        for name in before
        for w in before[name]
        if now[name][w] > before[name][w] * (1 + MORE)
    ]


def is_comparable(counts: Counts, baseline: Counts) -> bool:
    """Whether bare Tornado costs what it cost then."""
    bare, then = (sum(each[NAMES[0]].values()) for each in (counts, baseline))
    return abs(bare / then - 1) <= ANOTHER_BARE


def unlike(about: dict[str, str], then: dict[str, str]) -> str:
    """In what the two machines differ, so that their counts cannot be compared: a build, a library, a processor."""
    return ", ".join(name for name in about if about[name] != then[name])


def like(about: dict[str, str], baselines: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The baseline that counts can be compared with."""
    return next((each for each in baselines if not unlike(about, each["about"])), None)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.regression", description=__doc__)
    parser.add_argument("--baseline", action="store_true", help="make the counts the baseline of this Python here")
    renew = parser.parse_args().baseline
    python = ".".join(platform.python_version_tuple()[:2])
    known: dict[str, list[dict[str, Any]]] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    if not shutil.which("valgrind"):
        print("SKIPPED: valgrind is missing, nothing was counted: apt-get install -y valgrind")
        return
    about = {"python": sys.version, "glibc": " ".join(platform.libc_ver()), "processor": processor()}
    baselines = known.get(python, [])
    baseline = like(about, baselines)
    if baseline is None and not renew:
        others = "; ".join(f"one is of another {unlike(about, each['about'])}" for each in baselines) or "none"
        print(f"SKIPPED: no baseline of Python {python} fits ({others}): make instructions ARGS=--baseline")
        return
    os.environ |= STEADY
    try:
        counts = count_all()
        for name, each in over_bare(counts).items():
            print(f"{name}: {', '.join(f'{w} +{n:,}' for w, n in each.items())} instructions over bare")
        if baseline is None or renew:
            known[python] = [each for each in baselines if each is not baseline] + [{"about": about, "counts": counts}]
            save(dict(sorted(known.items())), BASELINE)
            print(f"the baseline of Python {python} is written, of {about['processor']}")
            return
        judge(counts, baseline["counts"])
    except BenchError as error:
        fail(error)


def judge(counts: Counts, baseline: Counts) -> None:
    """Print what was found; raise BenchError if it is too much. What is too much is counted a second time first."""
    if not is_comparable(counts, baseline):
        raise BenchError("bare Tornado costs something else than in the baseline: make instructions ARGS=--baseline")
    found = dearer(counts, baseline)
    if found:
        print("\n".join([*found, "counted once more, because it is near or above the limit"]))
        again = dearer(count_all(), baseline)
        if again:
            limit = f"more than {MORE:.0%} over the baseline, in two counts. If it is worth it: "
            raise BenchError("\n".join([*again, f"{limit}make instructions ARGS=--baseline"]))
    print(f"no workload costs {MORE:.0%} more than the baseline")


if __name__ == "__main__":
    main()
