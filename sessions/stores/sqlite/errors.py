"""Owns what SQLite's errors mean: whether the row is at fault or the file, and whether to open it again can help."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from ...errors import StoreError, StoreUnavailable
from . import permissions
from .beside import Names

DRIVER = (sqlite3.Error, ValueError, OverflowError)
"""What aiosqlite raises: ValueError for a text that is not UTF-8, or for a connection that was closed meanwhile."""

_TROUBLE = ("BUSY", "LOCKED", "FULL", "IOERR", "CANTOPEN", "NOMEM", "READONLY", "INTERRUPT", "PROTOCOL")
_LOST = ("IOERR", "CORRUPT", "NOTADB", "CANTOPEN", "READONLY")


@contextlib.contextmanager
def opening(path: Path, names: Names) -> Iterator[None]:
    """Raise the errors of opening a file as ours, with the file that is to blame: SQLite names none."""
    try:
        yield
    except sqlite3.Error as error:
        reason = permissions.culprit(names)
        refusal = translated(path, error)
        raise type(refusal)(f"{refusal} ({reason})" if reason else str(refusal)) from error
    except OSError as error:
        raise StoreUnavailable(f"{path}: cannot be opened: {error}") from error


def translated(path: Path, error: Exception) -> StoreError:
    """A driver's error as ours."""
    kind = StoreUnavailable if is_trouble(error) else StoreError
    return kind(f"{path}: {error}")


def is_trouble(error: BaseException | None) -> bool:
    """Whether the file is at fault, for the moment, and not the row."""
    return _is_one_of(error, _TROUBLE)


def is_lost(error: BaseException | None) -> bool:
    """Whether only opening the file again can help."""
    return _is_one_of(error, _LOST)


def _is_one_of(error: BaseException | None, kinds: tuple[str, ...]) -> bool:
    name: str = getattr(error, "sqlite_errorname", "")
    return name.removeprefix("SQLITE_").startswith(kinds)
