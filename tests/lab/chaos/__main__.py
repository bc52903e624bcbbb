"""Owns the command: `python -m tests.lab.chaos [--store STORE] [--minutes N] [EXPERIMENT ...]` runs the long forms.

Ends with 1 where an experiment shows a broken promise, or was void.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from stores.support import STORES

from .. import ROOT
from .engines import RESTARTING, SERVERS, opened
from .faults import FAULTS, SHIPPED
from .flood import no_rows, swept
from .kill import kill_9
from .outage import outage
from .parallel import CONFLICTS, express, mutate, parallel
from .replaced import replaced
from .report import Report
from .requests import check
from .serving import SQLITE
from .soak import soak, write_csv
from .store_killed import store_killed
from .term import sigterm
from .trace import power
from .workers import workers

Experiment = Callable[[Path, argparse.Namespace], Coroutine[Any, Any, Report]]


async def run_soak(folder: Path, args: argparse.Namespace) -> Report:
    """The soak; its samples go to docs/reliability/soak.csv."""
    report, samples = await soak(folder, args.store, seconds=args.minutes * 60, rate=args.rate)
    write_csv(samples, ROOT / "docs" / "reliability" / "soak.csv")
    return report


async def run_requests(folder: Path, _: argparse.Namespace) -> Report:
    """The model check, on each of the stores that the tests know."""
    report = Report("requests", {"histories": HISTORIES})
    for name in STORES:
        place = folder / name
        place.mkdir()
        await asyncio.to_thread(check, name, place, histories=HISTORIES, steps=50)
        report.figures[name] = "as the model"
    return report


async def run_faults(folder: Path, _: argparse.Namespace) -> Report:
    """Each fault of the table, one after another."""
    report = Report("faults")
    for number, (name, fault) in enumerate(FAULTS.items()):
        reason = fault.why_not()
        if reason is not None:
            report.figures[name] = f"not run: {reason}"
            continue
        place = folder / str(number)
        place.mkdir()
        found = await outage(name, fault, place, SHIPPED)
        report.figures[name] = found.figures
        report.failures += [f"{name}: {failure}" for failure in found.failures]
    return report


async def run_store_killed(folder: Path, _: argparse.Namespace) -> Report:
    """Each server that can be started again on what it has acknowledged."""
    report = Report("store killed")
    for name, server in RESTARTING.items():
        place = folder / name
        place.mkdir()
        with server() as store:
            found = await store_killed(place, store, rounds=20)
        report.figures[name] = found.figures
        report.failures += [f"{name}: {failure}" for failure in found.failures]
    return report


EXPERIMENTS: dict[str, Experiment] = {
    "parallel": lambda folder, args: parallel(folder, args.store, clients=32, changes=10_240, conflicts=CONFLICTS),
    "mutate": lambda folder, args: mutate(folder, args.store, clients=25, changes=10_000, conflicts=CONFLICTS),
    "kill": lambda folder, args: kill_9(folder, args.store, rounds=50),
    "faults": run_faults,
    "store-killed": run_store_killed,
    "replaced": lambda folder, _: replaced(folder, pairs=1_000, http=False),
    "replaced-http": lambda folder, _: replaced(folder, pairs=1_000, http=True),
    "requests": run_requests,
    "power": lambda folder, _: power(folder, writes=1_000),
    "flood": lambda folder, args: no_rows(folder, args.store, seconds=20),
    "flood-swept": lambda folder, args: swept(folder, args.store, seconds=60),
    "term": lambda folder, args: sigterm(folder, args.store, rounds=10, seconds=2),
    "workers-killed": lambda folder, _: workers(folder, kills=True, away=False, seconds=60),
    "workers-away": lambda folder, _: workers(folder, kills=False, away=True, seconds=60),
    "workers-both": lambda folder, _: workers(folder, kills=True, away=True, seconds=60),
    "express": lambda folder, _: express(folder, clients=32, changes=10_240, processes=1),
    "express-2": lambda folder, _: express(folder, clients=32, changes=10_240, processes=2),
    "soak": run_soak,
}
HISTORIES = 200
"""Of the model check, on each store."""

ALONE = ("soak",)
"""Those that are run when they are named only."""


def main() -> int:
    """Run what is asked for. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.chaos", description=__doc__)
    parser.add_argument(
        "--store", default=SQLITE, metavar="STORE", help=f"{', '.join(SERVERS)}: one is started; or the URL of one"
    )
    parser.add_argument("--minutes", type=float, default=30, help="of the soak")
    parser.add_argument("--rate", type=float, default=300, help="requests per second of the soak")
    parser.add_argument("experiments", nargs="*", metavar="EXPERIMENT", help=", ".join(EXPERIMENTS))
    args = parser.parse_args()
    unknown = set(args.experiments) - EXPERIMENTS.keys()
    if unknown:
        parser.error(f"no such experiment: {', '.join(sorted(unknown))}; known are {', '.join(EXPERIMENTS)}")
    failed = False
    for name in args.experiments or [each for each in EXPERIMENTS if each not in ALONE]:
        with tempfile.TemporaryDirectory() as folder, opened(args.store) as store:
            report = asyncio.run(EXPERIMENTS[name](Path(folder), argparse.Namespace(**vars(args) | {"store": store})))
        print(report, flush=True)
        failed = failed or bool(report.failures)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
