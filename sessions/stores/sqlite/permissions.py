"""Owns what is said at the start of files beside a database that other users reach, or have made.

A file that is there already keeps its mode: an administrator may have chosen it. But sessions are secrets, and a lock
that a stranger can hold stops what waits for it.
"""

import logging
import os
from pathlib import Path
from stat import S_IMODE

from .beside import Names

log: logging.Logger = logging.getLogger("sessions")

_said: set[str] = set()
"""What was said already: a child process, or a file that is opened again, does not say it once more."""


def warn(names: Names) -> None:
    """Warn of each file that others than its owner's group can open, or that belongs to a stranger."""
    tells, stops = "read the sessions in it", "lock it"
    for file, what in (
        (names.main, f"{tells}, and in {names.wal.name} and {names.shm.name}, which SQLite makes with its mode"),
        (names.wal, tells),
        (names.shm, tells),
        (names.sweeper, f"{stops}, and then nothing is swept"),
        (names.lock, f"{stops}, and then the store cannot be opened"),
    ):
        _warn(file, what)


def culprit(names: Names) -> str | None:
    """Say which of SQLite's files this user may not write, if there is such a one: SQLite blames the database."""
    for file in (names.main, names.wal, names.shm):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
            return f"{file}: may not be read and written by uid {os.geteuid()}; it belongs to uid {file.stat().st_uid}"
    return None


def _warn(file: Path, what: str) -> None:
    try:
        found = file.stat()
    except OSError:
        return
    mode = S_IMODE(found.st_mode)
    if mode & 0o006:
        _say(f"{file}: its mode is {mode:04o}, so every user of this machine can {what}: chmod o= {file}")
    if found.st_uid not in (os.geteuid(), 0):  # root reaches everything
        _say(f"{file}: belongs to uid {found.st_uid}, who can {what}; this process runs as uid {os.geteuid()}")


def _say(words: str) -> None:
    if words not in _said:
        _said.add(words)
        log.warning(words)
