"""Owns real server processes on free ports of 127.0.0.1: start, find the port, stop. Knows nothing of sessions."""

import random
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

START_SECONDS = 60
"""Until a server must listen: Node loads express in well under a second, a busy machine takes longer."""

STOP_SECONDS = 20
"""What a server is given after SIGTERM before it is killed."""

PORTS = range(10_000, 22_000)
"""Below those that Linux gives to connections (32,768 on), and so are the ports 10,000 above: no client takes one."""


def free_port(*also: int) -> int:
    """Return a port of 127.0.0.1 on which nothing listens, nor on those so far above it (`also`)."""
    while True:
        port = random.choice(PORTS)
        with suppress(OSError), ExitStack() as listeners:
            for each in (0, *also):
                listeners.enter_context(socket.create_server(("127.0.0.1", port + each)))
            return port


def missing(*tools: str) -> str | None:
    """Which of these programs is not on this machine, and where Debian has it; None when all are."""
    for tool in tools:
        if shutil.which(tool) is None:
            return f"no {tool} on this machine (Debian: apt-get install -y {tool})"
    return None


class Process:
    """A child process with its output; the end of `with` ends it at the latest."""

    def __init__(self, command: Sequence[object], *, cwd: Path, env: Mapping[str, str]) -> None:
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

    def check(self) -> None:
        """Raise AssertionError with its output when it has ended by itself."""
        if self._child.poll() is not None:
            self._reader.join(STOP_SECONDS)
            raise AssertionError(f"ended with {self._child.returncode}:\n{self.output}")

    def find(self, pattern: str) -> re.Match[str]:
        """Wait until the output matches. Raises AssertionError with the output when it never does."""

        def look() -> bool:
            if re.search(pattern, self.output) is None:
                self.check()
            return re.search(pattern, self.output) is not None

        try:
            wait_until(look, START_SECONDS)
        except TimeoutError:
            raise AssertionError(f"no {pattern!r} in the output of {self._child.args!r}:\n{self.output}") from None
        found = re.search(pattern, self.output)
        assert found is not None
        return found

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
        self.stop()

    def _read(self) -> None:
        assert self._child.stdout is not None
        self._lines.extend(iter(self._child.stdout.readline, ""))


def wait_until(condition: Callable[[], bool], seconds: float, *, step: float = 0.01) -> None:
    """Ask until the condition holds. Raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not so within {seconds} s")
        time.sleep(step)
