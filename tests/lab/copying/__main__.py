"""Owns the long form. `python -m tests.lab.copying --pairs sqlite:redis --sessions 100000`; `--speed` measures."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from copying.moving import TARGETS, move, pairs
from stores.redis_server import end_all

from .speed import speed


def main(argv: list[str]) -> int:
    """Run what is asked for, and print figures. Returns 1 if a visitor noticed anything."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.copying", description=__doc__)
    parser.add_argument("--pairs", nargs="+", metavar="FROM:TO", help=f"each of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--sessions", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--speed", action="store_true", help="measure only: nobody visits, nothing is killed")
    given = parser.parse_args(argv)
    chosen = [tuple(each.split(":")) for each in given.pairs] if given.pairs else pairs()
    wrong = False
    try:
        for source, target in chosen:
            with tempfile.TemporaryDirectory() as folder:
                if given.speed:
                    print(asyncio.run(speed((source, target), Path(folder), given.sessions)), flush=True)
                    continue
                moved = asyncio.run(move((source, target), Path(folder), given.sessions, given.kills, seed=given.seed))
            codes = [run.code for run in moved.runs]
            print(
                f"{source} to {target}: {given.sessions} sessions, killed {moved.killed} times, {moved.acted} visits,"
                f" exit codes {codes}, problems: {moved.problems[:5]}", flush=True
            )  # fmt: skip
            if moved.killed < given.kills:
                print("void: a kill came after the copy had ended")
            wrong = wrong or bool(moved.problems) or any(codes) or moved.killed < given.kills
    finally:
        end_all()
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
