"""Owns the command: `python -m tests.lab.rekey [ROWS]` seals a SQLite store of 100,000 rows again, beside visitors."""

import asyncio
import sys
import tempfile
from pathlib import Path

from .experiment import experiment


def main() -> None:
    """Print what was found."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        print(asyncio.run(experiment(Path(folder) / "sessions.db", rows)))


if __name__ == "__main__":
    main()
