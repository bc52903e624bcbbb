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
    sweeps, opens = "lock it, and then nothing is swept", "lock it, and then the store cannot be opened"
    _warn(names.sweeper, sweeps)
    _warn(names.lock, opens)
    if not _warn(names.main, f"read the sessions in it, its {names.wal.name} and its {names.shm.name}"):
        _warn(names.wal, "read the sessions in it")  # made with the mode that the database had
        _warn(names.shm, "read the sessions in it")


def culprit(names: Names) -> str | None:
    """Say which of SQLite's files this user may not write, if there is such a one: SQLite blames the database."""
    for file in (names.main, names.wal, names.shm):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
            return f"{file}: may not be read and written by uid {os.geteuid()}; it belongs to uid {file.stat().st_uid}"
    return None


def _warn(file: Path, what: str) -> bool:
    """Warn of a file if there is a reason, and return whether there is."""
    try:
        found = file.stat()
    except OSError:
        return False
    mode = S_IMODE(found.st_mode)
    if mode & 0o006:
        _say(f"{file}: its mode is {mode:04o}, so every user of this machine can {what}: chmod o= {file}")
    is_foreign = found.st_uid not in (os.geteuid(), 0)  # root reaches everything
    if is_foreign:
        _say(f"{file}: belongs to uid {found.st_uid}, who can {what}; this process runs as uid {os.geteuid()}")
    return bool(mode & 0o006) or is_foreign


def _say(words: str) -> None:
    if words not in _said:
        _said.add(words)
        log.warning(words)
