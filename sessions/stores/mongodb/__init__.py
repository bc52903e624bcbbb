"""The store in MongoDB."""

from .store import MongoStore

__all__ = ["MongoStore"]
