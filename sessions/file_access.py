"""Owns who reaches a file: what is said of one that others can open, that is a stranger's, or out of reach.

A file that is there already keeps its mode: an administrator may have chosen it. This file must not know what is in it.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from stat import S_IMODE, S_ISVTX
from typing import NamedTuple

from .findings import Finding, Severity, fault

_OTHERS = 0o006
"""The bits of a mode by which others than owner and group read or write."""


class Access(NamedTuple):
    """Who reaches a file."""

    path: Path
    mode: int
    owner: int

    @classmethod
    def of(cls, path: Path) -> "Access | None":
        """Look at a file. None: there is none, or nobody lets us look."""
        try:
            found = path.stat()
        except OSError:
            return None
        return cls(path, S_IMODE(found.st_mode), found.st_uid)


def reached_by_others(file: Access, harm: str, severity: Severity = "fault") -> Iterator[Finding]:
    """Yield a finding if every user of the machine can open a file; `harm` is what they can do then."""
    if file.mode & _OTHERS:
        problem = f"{file.path}: its mode is {file.mode:04o}, so every user of this machine can {harm}"
        yield Finding("file.others", severity, problem, f"chmod o= {file.path}")


def owned_by_stranger(file: Access, harm: str, user: int, severity: Severity = "fault") -> Iterator[Finding]:
    """Yield a finding if a file belongs to neither `user`, who runs the servers, nor root, who reaches everything."""
    if file.owner not in (user, 0):
        problem = (
            f"{file.path}: belongs to uid {file.owner}, who can {harm}; this process runs as uid {user}"
            if user == os.geteuid()
            else f"{file.path}: belongs to uid {file.owner}, who can {harm}; its folder belongs to uid {user}"
        )
        yield Finding("file.owner", severity, problem, f"chown {user} {file.path}")


def out_of_reach(file: Access, user: int) -> Iterator[Finding]:
    """Yield a finding if `user`, who runs the servers, cannot read and write a file of root."""
    if file.owner == 0 != user and not file.mode & 0o066:
        problem = f"{file.path}: belongs to root with the mode {file.mode:04o}, so servers of uid {user} cannot open it"
        yield fault("file.out-of-reach", problem, f"chown {user} {file.path}")


def open_folder(folder: Access) -> Iterator[Finding]:
    """Yield a finding if every user can replace the files of a folder."""
    if folder.mode & 0o002 and not folder.mode & S_ISVTX:
        problem = f"{folder.path}: its mode is {folder.mode:04o}, so every user of this machine can replace files in it"
        yield fault("file.folder", problem, f"chmod o-w {folder.path}")


def serving_user(folder: Path) -> int:
    """Return the uid that the servers of a folder run as: ours, or, for root, that of the folder's owner."""
    user = os.geteuid()
    found = Access.of(folder) if user == 0 else None
    return user if found is None else found.owner
