"""The store in a SQLite file."""

from .store import SQLiteStore

__all__ = ["SQLiteStore"]
