"""Owns the files beside a database: which of them belong together, and the lock under which processes open them.

SQLite finds the log of a file (`-wal`) and the log's index (`-shm`) by their names. A file that replaces another by
rename would therefore get the log of its predecessor played in, as long as processes have that open; and a process that
closes the predecessor late would delete a log that is another's by then. So, of our processes,

- one at a time opens or closes the file, under an exclusive lock on `<file>.lock`;
- each holds a shared lock on the log itself as long as it has the file open, so that the log is known to be in use;
- `<file>.lock` tells which three files were opened together. That counts while somebody holds the log that it names:
  his descriptors keep the kernel from giving the numbers of these files to others.

All locks are of flock(2): the kernel frees them when a process dies, and they do not meet SQLite's own, which are of
fcntl(2). A log that no process of ours holds is SQLite's matter, as it is for a file that was copied with its log. What
is in the files is not known here.
"""

import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from stat import S_IMODE
from typing import NamedTuple, Self

from ...errors import StoreUnavailable

PATIENCE = 5.0
"""Seconds that a process waits for the lock at the most. Opening takes some tens of milliseconds, one after another."""

_PAUSE = 0.005
"""Seconds between two tries."""

Identity = tuple[int, int]
"""Device and inode of a file."""


class Trio(NamedTuple):
    """The identities of a database, its log and the log's index."""

    main: Identity | None
    wal: Identity | None
    shm: Identity | None


class Names:
    """The names of a database and of the files beside it; a path that is a symbolic link is resolved."""

    def __init__(self, path: Path) -> None:
        try:
            self.main: Path = path.resolve()
        except RuntimeError as error:  # links that go round, up to Python 3.12
            raise StoreUnavailable(f"{path}: {error}") from error
        self.wal: Path = Path(f"{self.main}-wal")
        self.shm: Path = Path(f"{self.main}-shm")
        self.lock: Path = Path(f"{self.main}.lock")
        self.sweeper: Path = Path(f"{self.main}.sweeper")

    @property
    def now(self) -> Trio:
        """What the names lead to now."""
        return Trio(identity(self.main), identity(self.wal), identity(self.shm))


def identity(file: Path | int) -> Identity | None:
    """Return what file a path leads to, or a descriptor; None if there is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 # of a descriptor as well
    except OSError:
        return None
    return found.st_dev, found.st_ino


class Pin:
    """The database that has the name now. With `makes` it is made, with mode 0600, if there is none.

    A descriptor that only names the file (O_PATH) keeps its number from being given to another. To close such a one
    drops no lock of SQLite's, which to close an ordinary one would. macOS has no O_PATH, and gives no number twice.
    """

    def __init__(self, names: Names, *, makes: bool = True) -> None:
        self._names = names
        if makes:
            with suppress(FileExistsError):
                os.close(os.open(names.main, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))
        self._descriptor = os.open(names.main, os.O_PATH | os.O_CLOEXEC) if sys.platform == "linux" else None
        self.identity: Identity | None = identity(names.main if self._descriptor is None else self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    @property
    def is_in_place(self) -> bool:
        """True if the name leads to it still."""
        return identity(self._names.main) == self.identity

    def check(self) -> None:
        """Raise StoreUnavailable if the name leads to another file by now, or to none."""
        if not self.is_in_place:
            raise StoreUnavailable(f"{self._names.main}: was deleted or replaced while it was opened")


class Lock:
    """The exclusive lock under which a process of ours opens or closes a file, `with` a wait or `async with` one.

    Raises StoreUnavailable if it is not free in time. Its file is there as long as there is a log.
    """

    def __init__(self, names: Names) -> None:
        self._names = names
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        for _ in self._tries():
            time.sleep(_PAUSE)
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await self.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.release()

    async def acquire(self) -> None:
        """Take the lock; `release` gives it back."""
        for _ in self._tries():
            await asyncio.sleep(_PAUSE)

    def release(self) -> None:
        """Give the lock back, if it was taken."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            if identity(self._names.wal) is None:  # nobody has it open: what lies there is one file, to be copied
                with suppress(OSError):
                    self._names.lock.unlink()
            os.close(descriptor)

    def _tries(self) -> Iterator[None]:
        """Try to take the lock until it is taken; its user is to pause at each step."""
        ends = time.monotonic() + PATIENCE
        while not self._take():
            if time.monotonic() > ends:
                raise StoreUnavailable(f"{self._names.lock}: another process has held the lock for {PATIENCE:.0f} s")
            yield

    def _take(self) -> bool:
        descriptor = open_beside(self._names, self._names.lock)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if identity(descriptor) == identity(self._names.lock):  # not one that was deleted meanwhile
                self._descriptor, descriptor = descriptor, -1
                return True
        except BlockingIOError:
            pass
        except OSError as error:
            raise StoreUnavailable(f"{self._names.lock}: {error.strerror}") from error
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return False

    # ---------------------------------------------------------------- what belongs together; the lock is held

    @property
    def record(self) -> Trio | None:
        """The three files that a process of ours has opened together last, as they are written in the lock's file."""
        if self._descriptor is None:
            return None
        try:
            noted = json.loads(os.pread(self._descriptor, 4_096, 0))
            return Trio(*(tuple(each) for each in noted))
        except (ValueError, TypeError):
            return None

    @record.setter
    def record(self, trio: Trio) -> None:
        if self._descriptor is not None and trio != self.record:
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(trio).encode(), 0)

    def drop_log_of_another(self, main: Identity | None) -> None:
        """Delete a log that others of us hold for another file than `main`, and an index that has no log."""
        there, record = self._names.now, self.record
        if (
            record is not None
            and there.wal is not None
            and there.wal == record.wal
            and main != record.main
            and _is_held(self._names.wal)
        ):
            self._names.wal.unlink(missing_ok=True)
            there = there._replace(wal=None)
        if there.wal is None and there.shm is not None:
            self._names.shm.unlink(missing_ok=True)


def hold(names: Names) -> int:
    """Return a descriptor of the log; its shared lock says that it is in use. Raises OSError."""
    descriptor = os.open(names.wal, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def drop_log(names: Names, trio: Trio) -> None:
    """Delete the log and its index if they are those of the trio, which is open: so the numbers are theirs."""
    for name, noted in ((names.wal, trio.wal), (names.shm, trio.shm)):
        if noted is not None and identity(name) == noted:
            name.unlink(missing_ok=True)


def open_beside(names: Names, file: Path) -> int:
    """Open a lock's file, and make it if there is none. Returns its descriptor. Raises StoreUnavailable.

    Who may write the database may lock it, and nobody else: a lock needs no more than a file that can be opened. A file
    that root makes belongs to the database's owner, as with SQLite's log.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with suppress(FileNotFoundError):
            return os.open(file, flags)
        descriptor = os.open(file, flags | os.O_CREAT, 0o600)
        with suppress(OSError):  # another of us may have made it
            main = names.main.stat()
            writers = S_IMODE(main.st_mode) & 0o222
            os.fchmod(descriptor, writers | writers << 1)
            if os.geteuid() == 0:
                os.fchown(descriptor, main.st_uid, main.st_gid)
    except FileNotFoundError as error:
        raise StoreUnavailable(f"{names.main}: the folder {file.parent} does not exist") from error
    except OSError as error:
        raise StoreUnavailable(f"{file}: {error.strerror}") from error
    return descriptor


def _is_held(wal: Path) -> bool:
    """True if a process of ours has the log open."""
    try:
        descriptor = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
