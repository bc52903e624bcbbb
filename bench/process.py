"""Processes under measurement: starting one on its core, knowing when it answers, what it costs, and ending it.

Knows /proc and signals; knows nothing about sessions or load.
"""

import os
import platform
import pwd
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.catalogue import CACHE
from sessions import __version__

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = str(CORES[0]), str(CORES[-1])
BOTH_CORES = f"{SERVER_CORE},{LOAD_CORE}"
TICKS = os.sysconf("SC_CLK_TCK")
QUIET_LOAD = 0.5  # the load average up to which wall-clock figures mean something
START_SECONDS = 300.0  # long enough for a server under valgrind on a busy machine; one that dies is noticed at once


# When it has to end, the benchmark leaves its `with` blocks, and so ends the servers that it started.
signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))


class BenchError(Exception):
    """The benchmark cannot go on; the message tells what to do about it."""


def pinned(cores: str, command: tuple[str, ...]) -> tuple[str, ...]:
    return ("taskset", "--cpu-list", cores, *command)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A server under measurement with its workers, or the Redis or PostgreSQL that serves it."""

    name: str
    port: int
    data: Path
    process: subprocess.Popen[bytes]
    about: dict[str, str] = field(default_factory=dict)
    engine: "Running | None" = None  # the Redis or PostgreSQL that serves it
    url: str = ""  # of an engine
    ending: signal.Signals = signal.SIGTERM

    def members(self) -> Iterator[int]:
        """Each living process of the session that the process leads, and its children: PostgreSQL's leave it."""
        for pid in (int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()):
            try:
                parent = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1]
                if os.getsid(pid) == self.process.pid or int(parent) == self.process.pid:
                    yield pid
            except (FileNotFoundError, ProcessLookupError):
                continue

    def cpu_seconds(self) -> float:
        """User and system time of all threads of all members, ended threads included."""
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self.members())  # Linux's clock of another process

    def user_seconds(self) -> float:
        """User time alone, of living threads and of ended members that were waited for."""
        ticks = 0
        for pid in self.members():
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[13])  # utime and cutime of proc(5)
        return ticks / TICKS

    def memory_kib(self) -> list[int]:
        """The proportional set size of each member in KiB."""
        sizes = []
        for pid in self.members():
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            sizes.append(next(int(line.split()[1]) for line in lines if line.startswith("Pss:")))
        return sizes

    def log(self) -> str:
        return (self.data / "log").read_text(errors="replace")[-2000:]

    def stop(self, seconds: float = 10.0) -> None:
        for number in (self.ending, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, number)
            except ProcessLookupError:
                break
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
            if not list(self.members()):
                break
        self.process.wait()


def spawn(
    name: str, command: tuple[str, ...], port: int, data: Path, environment: dict[str, str], user: str | None = None
) -> Running:
    with (data / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=data,
            env={k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | environment,
            user=user,
            group=user and pwd.getpwnam(user).pw_gid,
            extra_groups=[] if user else None,
        )
    return Running(name, port, data, process)


def wait_until(running: Running, ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if running.process.poll() is not None or time.monotonic() > deadline:
            raise BenchError(f"{running.name} did not start:\n{running.log()}")
        time.sleep(0.05)


@contextmanager
def folder() -> Iterator[Path]:
    """A fresh folder on the disk that holds this checkout (a tmpfs would make an fsync free)."""
    (CACHE / "data").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE / "data") as path:
        yield Path(path)


def fsync_microseconds() -> float:
    """What this disk takes for the fsync of a 4 KiB append: the part of a durable commit that no code can save."""
    times = []
    with folder() as data, (data / "file").open("wb", buffering=0) as file:
        for _ in range(200):
            file.write(b"x" * 4096)
            begin = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - begin)
    return round(median(times) * 1e6)


class Others:
    """Counts the cores that others have from its making on: neither this process, nor what it waited for, nor these.

    Of other processes it counts user time alone: much of the system time belongs to the disk and the network of what is
    measured, and to no process. Besides, it counts what other machines took from this one.
    """

    def __init__(self, *measured: Running) -> None:
        self._measured = measured
        self._begin, self._before = time.monotonic(), self._seconds()

    def cores(self) -> tuple[float, float]:
        """How many in the mean: in all, and of them those that other machines took."""
        took = time.monotonic() - self._begin
        processes, machines = (b - a for a, b in zip(self._before, self._seconds(), strict=True))
        return round((max(0.0, processes) + machines) / took, 3), round(machines / took, 3)

    def _seconds(self) -> tuple[float, float]:
        mine = os.times()
        ours = mine.user + mine.children_user + sum(each.user_seconds() for each in self._measured)
        user, nice, *_, steal, guest, guest_nice = map(int, Path("/proc/stat").read_text().splitlines()[0].split()[1:])
        return (user + nice - guest - guest_nice) / TICKS - ours, steal / TICKS


def first_line(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return next(iter((done.stdout or done.stderr).splitlines()), "")


def processor() -> str:
    """The model of the processor: libraries choose by it how they copy and hash."""
    cpu = Path("/proc/cpuinfo").read_text()
    models = (line.split(":", 1)[1].strip() for line in cpu.splitlines() if line.startswith("model name"))
    return next(models, "") or platform.machine()


def machine() -> dict[str, str | int | float]:
    """What a reader needs to place the figures; no host name and no path."""
    memory = int(Path("/proc/meminfo").read_text().split()[1])
    load = os.getloadavg()[0]
    if load > QUIET_LOAD:
        print(f"others use this machine (load {load:.1f}): only the instructions can be trusted", file=sys.stderr)
    return {
        "version": __version__,
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "processor": processor(),
        "cores": len(CORES),
        "memory GiB": round(memory / 2**20),
        "load before": round(load, 1),
        "kernel": ".".join(platform.release().split(".")[:2]),
        "python": platform.python_version(),
        "sqlite (python)": sqlite3.sqlite_version,
        "wrk": first_line("wrk", "-v").split(" [")[0],
        "fsync of 4 KiB, µs": fsync_microseconds(),
    }


def fail(error: BenchError) -> None:
    print(error, file=sys.stderr)
    raise SystemExit(1)
