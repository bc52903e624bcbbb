"""Owns the long form: 1,000 races of a revocation, and 100,000 sessions. `python -m tests.lab.users --store sqlite`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from stores.redis_server import end_all
from users.managing import STORES
from users.races import races

from .many import many


def main(argv: list[str]) -> int:
    """Run what is asked for, and print figures. Returns 1 if a session escaped, or an index is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.users", description=__doc__)
    parser.add_argument("--store", nargs="+", choices=STORES, default=["sqlite", "postgres"])
    parser.add_argument("--rounds", type=int, default=1_000, help="races of fifty sessions with a revocation")
    parser.add_argument("--sessions", type=int, default=100_000, help="sessions that are made, moved and ended")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(argv)
    wrong = False
    try:
        for kind in given.store:
            with tempfile.TemporaryDirectory() as folder:
                done = asyncio.run(races(kind, Path(folder), given.rounds, given.seed)) if given.rounds else []
            raced = sum(bool(each.answered and each.racing) for each in done)
            escaped = sum(each.escaped for each in done)
            ended = sum(each.ended for each in done)
            print(f"{kind}: {len(done)} rounds, {raced} of them raced, {ended} sessions ended, {escaped} escaped")
            wrong = wrong or bool(escaped) or (bool(done) and not raced)
            if given.sessions:
                with tempfile.TemporaryDirectory() as folder:
                    found = asyncio.run(many(kind, Path(folder), given.sessions))
                print(f"{kind}: {given.sessions} sessions, {found}")
                wrong = wrong or found.entries - found.expired != found.living
    finally:
        end_all()
    return int(wrong)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
