"""Owns the long run: `python -m tests.lab.renewal --steps 6`, all histories of so many steps, in minutes."""

import argparse
import asyncio

from test_renewal import OVERLAPPING, locked_out


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Try histories of an owner with slow and lost answers.")
    parser.add_argument("--steps", type=int, default=6)
    steps = parser.parse_args().steps
    for rolling in (False, True):
        found = asyncio.run(locked_out(rolling, steps))
        print(f"rolling {rolling}: {len(OVERLAPPING) ** steps} histories, {len(found)} with the owner out", *found[:3])


if __name__ == "__main__":
    main()
