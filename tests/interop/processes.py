"""Owns real server processes on free ports of 127.0.0.1: start, find the port, stop. Knows nothing of sessions."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

START_SECONDS = 20
"""Until a server must listen: Node loads express in well under a second, a busy machine takes longer."""

STOP_SECONDS = 5
"""What a server is given after SIGTERM before it is killed."""


class Process:
    """A child process whose output is kept, ended at the latest by `with`."""

    def __init__(self, command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> None:
        self._lines: list[str] = []
        self._child = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._child.pid

    @property
    def output(self) -> str:
        """What it has printed so far, on both streams."""
        return "".join(self._lines)

    def find(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches. Raises AssertionError with the output when it never does."""
        found: list[re.Match[str]] = []

        def look() -> bool:
            match = re.search(pattern, self.output)
            if match:
                found.append(match)
            elif self._child.poll() is not None:
                self._reader.join(STOP_SECONDS)
                match = re.search(pattern, self.output)
                if match is None:
                    raise AssertionError(f"ended with {self._child.returncode}:\n{self.output}")
                found.append(match)
            return bool(found)

        try:
            wait_until(look, START_SECONDS)
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} in the output of {self._child.args!r}:\n{self.output}") from None
        return found[0]

    def stop(self) -> int:
        """End it with SIGTERM, if need be with SIGKILL; returns its exit code."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        self._reader.join(STOP_SECONDS)
        if self._child.stdout is not None:
            self._child.stdout.close()
        return self._child.returncode

    def kill(self) -> None:
        """End it with SIGKILL, as a crash or the kernel would."""
        self._child.kill()
        self._child.wait()

    def _read(self) -> None:
        assert self._child.stdout is not None
        self._lines.extend(iter(self._child.stdout.readline, ""))


def python(script: Path) -> list[str | Path]:
    """The command that runs a script as strictly as the tests are run: a warning is printed, a dev check is on."""
    return [sys.executable, "-X", "dev", script]


def wait_until(condition: Callable[[], bool], seconds: float, *, step: float = 0.01) -> None:
    """Ask until the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds} s")
        time.sleep(step)
