"""Owns what is said of files beside a database that other users reach, or have made.

Sessions are secrets, and a lock that a stranger can hold stops what waits for it.
"""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

from ...file_access import Access, owned_by_stranger, reached_by_others
from ...findings import Finding, Severity
from .beside import Names

log: logging.Logger = logging.getLogger("sessions")

_said: set[str] = set()
"""What was said already: a child process, or a file that is opened again, does not say it once more."""


def warn(names: Names) -> None:
    """Warn of each file that others than its owner's group can open, or that belongs to a stranger."""
    for finding in findings(names, os.geteuid()):
        if finding.sentence not in _said:
            _said.add(finding.sentence)
            log.warning("%s", finding.sentence)


def findings(names: Names, user: int) -> Iterator[Finding]:
    """Yield what is to be said of the files, if `user` runs the servers."""
    yield from _of(names.sweeper, "lock it, and then nothing is swept", user, "warning")
    yield from _of(names.lock, "lock it, and then the store cannot be opened", user, "warning")
    main = list(_of(names.main, f"read the sessions in it, its {names.wal.name} and its {names.shm.name}", user))
    yield from main
    if not main:
        yield from _of(names.wal, "read the sessions in it", user)  # made with the mode that the database had
        yield from _of(names.shm, "read the sessions in it", user)


def culprit(names: Names) -> str | None:
    """Say which of SQLite's files this user may not write, if there is such a one: SQLite blames the database."""
    for file in (names.main, names.wal, names.shm):
        if file.exists() and not os.access(file, os.R_OK | os.W_OK, effective_ids=True):
            return f"{file}: may not be read and written by uid {os.geteuid()}; it belongs to uid {file.stat().st_uid}"
    return None


def _of(path: Path, harm: str, user: int, severity: Severity = "fault") -> Iterator[Finding]:
    file = Access.of(path)
    if file is not None:
        yield from reached_by_others(file, harm, severity)
        yield from owned_by_stranger(file, harm, user, severity)
