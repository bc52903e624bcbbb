"""Owns what can happen to a SQLite file under a running server, as a table: how a fault strikes, what may be answered meanwhile.

Nothing is simulated: another process's lock, a disk without space, a file that is gone, replaced or overwritten, a disk
that is slow to sync. What is asked of the server meanwhile is not known here.
"""

import resource
import signal
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from .trace import why_not

SERVED, DOWN, BROKEN = {200}, {200, 503}, {200, 500, 503}


@dataclass(frozen=True)
class Times:
    """How long things may take, in milliseconds."""

    busy: int
    """`busyTimeout`."""
    store: int
    """`storeTimeout`: the deadline of a load or a commit."""
    short: int
    """Well within `busy`."""
    margin: int
    """Beyond `store`, until an answer has to be there."""

    @property
    def long(self) -> int:
        """Well over `busy`: SQLite adds up the pauses that it has asked for, which take longer on a busy machine."""
        return self.busy * 5 // 2

    @property
    def limit(self) -> float:
        """Seconds until an answer has to be there."""
        return (self.store + self.margin) / 1_000


SHIPPED = Times(busy=2_000, store=5_000, short=1_000, margin=1_000)
"""The defaults."""

QUICK = Times(busy=1_000, store=2_500, short=300, margin=4_000)
"""For the tests. That the deadline cuts shows in the statuses; the margin is for a machine that is busy otherwise."""


@dataclass
class Place:
    """What a fault strikes."""

    folder: Path
    """With the file, and on a disk of its own where that may be mounted."""
    pid: int
    times: Times

    @property
    def file(self) -> Path:
        """The database."""
        return self.folder / "sessions.db"


Strike = Callable[[Place], Iterator[None]]


class Fault(NamedTuple):
    """A fault strikes, lasts while the generator waits, and is healed when it goes on."""

    strike: Strike
    reads: set[int]
    """What a visitor who reads may be answered while it lasts."""
    writes: set[int]
    """And one who changes something."""
    refuses: bool
    """Whether somebody has to be refused, or the fault has not struck."""
    forgets: bool = False
    """Whether what was stored is gone with it."""
    lasts: Callable[[Times], int] = lambda times: 2 * times.short
    """Milliseconds."""
    mounts: bool = False
    """Whether it needs a disk of its own."""
    why_not: Callable[[], str | None] = lambda: None


def why_no_disk() -> str | None:
    """Why no disk can be mounted here; None when it can."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            with disk(Path(folder)):
                return None
        except (OSError, subprocess.CalledProcessError):
            return "no disk may be mounted here (only root may)"


def why_no_attaching() -> str | None:
    """Why strace cannot take hold of a process that runs; None when it can. To start one under it needs less."""
    reason = why_not()
    if reason is not None:
        return reason
    with subprocess.Popen(["sleep", "60"]) as sleeper:
        command = ["strace", "-p", str(sleeper.pid), "-o", "/dev/null"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            said = tracer.stderr.readline().strip()
            sleeper.kill()
    return None if "attached" in said else f"strace may not attach here: {said}"


def _locked(place: Place) -> Iterator[None]:
    with closing(sqlite3.connect(place.file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.rollback()


def _full_disk(place: Place) -> Iterator[None]:
    ballast = place.folder / "ballast"
    with ballast.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(4_096))
        except OSError:
            pass
    yield
    ballast.unlink()


def _quota(place: Place) -> Iterator[None]:
    largest = max(each.stat().st_size for each in place.folder.iterdir() if each.is_file())
    before = resource.prlimit(place.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(place.pid, resource.RLIMIT_FSIZE, (largest, before[1]))
    yield
    resource.prlimit(place.pid, resource.RLIMIT_FSIZE, before)


def _deleted(place: Place) -> Iterator[None]:
    for file in place.folder.glob("sessions.db*"):
        if not file.name.endswith((".sweeper", ".secret")):
            file.unlink()
    yield


def _replaced(place: Place) -> Iterator[None]:
    """By a backup of itself, as SQLite makes one of a file in use."""
    backup = place.folder / "backup"
    with closing(sqlite3.connect(place.file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    backup.rename(place.file)
    yield


def _overwritten(place: Place) -> Iterator[None]:
    """Garbage in the place of the file, until the backup is played back."""
    backup = place.folder / "backup"
    with closing(sqlite3.connect(place.file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    garbage = place.folder / "garbage"
    garbage.write_bytes(b"garbage " * 4_096)
    garbage.rename(place.file)
    yield
    backup.rename(place.file)


def _slow(delay: Callable[[Times], int]) -> Strike:
    def strike(place: Place) -> Iterator[None]:
        inject = f"fsync,fdatasync:delay_enter={delay(place.times) * 1_000}"
        command = ["strace", "-f", "-p", str(place.pid), "-e", "trace=fsync,fdatasync", "-e", f"inject={inject}"]
        with subprocess.Popen([*command, "-o", "/dev/null"], stderr=subprocess.PIPE, text=True) as tracer:
            assert tracer.stderr is not None
            assert "attached" in tracer.stderr.readline()
            yield
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()

    return strike


FAULTS: dict[str, Fault] = {
    "locked for a while": Fault(_locked, SERVED, SERVED, refuses=False, lasts=lambda times: times.short),
    "locked for longer than busyTimeout": Fault(_locked, SERVED, DOWN, refuses=True, lasts=lambda times: times.long),
    "locked for longer than storeTimeout": Fault(
        _locked, SERVED, DOWN, refuses=True, lasts=lambda times: times.store + times.short
    ),
    "disk full": Fault(_full_disk, SERVED, DOWN, refuses=True, mounts=True, why_not=why_no_disk),
    "quota exceeded": Fault(_quota, SERVED, DOWN, refuses=True),
    "file deleted": Fault(_deleted, DOWN, DOWN, refuses=True, forgets=True, lasts=lambda times: times.short),
    "file replaced by its backup": Fault(_replaced, DOWN, DOWN, refuses=True, lasts=lambda times: times.short),
    "file overwritten with garbage": Fault(_overwritten, BROKEN, BROKEN, refuses=True),
    "disk slow to sync": Fault(
        _slow(lambda times: times.short), SERVED, SERVED, refuses=False, why_not=why_no_attaching
    ),
    "disk that hangs": Fault(
        _slow(lambda times: 2 * times.store),
        SERVED,
        DOWN,
        refuses=True,
        lasts=lambda times: times.store + times.busy,
        why_not=why_no_attaching,
    ),
}


@contextmanager
def struck(fault: Fault, place: Place) -> Iterator[None]:
    """The fault, while the block runs."""
    with contextmanager(fault.strike)(place):
        yield


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A disk of 8 MB in memory at the folder, while the block runs. Raises CalledProcessError."""
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m,mode=700", "sessions-test", str(folder)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
