"""Owns another process on a SQLite file (child.py): how it is started, read from, and killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHILD = Path(__file__).with_name("child.py")
ROOT = CHILD.parents[2]


@contextmanager
def child(task: str, database: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that works on the file, killed at the latest by the end of the block."""
    process = subprocess.Popen(
        [sys.executable, CHILD, task, database],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def line(process: "subprocess.Popen[str]") -> str:
    """The next line that it prints."""
    assert process.stdout
    return process.stdout.readline().strip()


def kill(process: "subprocess.Popen[str]") -> list[str]:
    """`kill -9`, and what it had printed until then."""
    assert process.stdout
    process.send_signal(signal.SIGKILL)
    lines = process.stdout.read().split()
    assert process.wait() == -signal.SIGKILL
    return lines
