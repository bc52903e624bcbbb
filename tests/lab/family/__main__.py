"""Owns the long run: `python -m tests.lab.family`, 10,000 histories on memory and 1,000 on each other store.

With names of stores those alone run, `--histories` of them each; new ones each time. The first that breaks a promise is
made small, and shown. The model is in tests/properties/family.py.
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import pytest
from clock import MovableClock
from hypothesis import settings
from properties.test_family import HISTORIES, try_histories
from stores.redis_server import end_all
from stores.test_model import stores_of

DEFAULT = {"memory": 10_000, "sqlite": 1_000, "redis": 1_000, "postgres": 1_000}


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Try histories of families of session ids.")
    parser.add_argument("stores", nargs="*", metavar="store", help=", ".join(DEFAULT))
    parser.add_argument("--histories", type=int)
    given = parser.parse_args()
    logging.disable(logging.CRITICAL)  # the faults are on purpose
    try:
        for name in given.stores or DEFAULT:
            histories, began = given.histories or DEFAULT[name], time.monotonic()
            how = settings(HISTORIES, max_examples=histories, deadline=None, database=None)
            clock = MovableClock()
            with (
                tempfile.TemporaryDirectory() as folder,
                stores_of(name, Path(folder), clock) as (stores, run),
                pytest.MonkeyPatch.context() as patch,
            ):
                try_histories(stores[0], clock, run, patch, how)
            print(f"{name}: {histories} histories in {time.monotonic() - began:.0f} s, no promise broken", flush=True)
    finally:
        end_all()


if __name__ == "__main__":
    main()
