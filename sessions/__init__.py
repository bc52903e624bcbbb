"""Server-side sessions for Tornado, at home with express-session."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .clock import now_ms
from .cookie import Cookie
from .errors import (
    CorruptSession,
    DataError,
    HeadersSent,
    NoSession,
    OptionsError,
    SessionError,
    StoreError,
    StoreUnavailable,
)
from .manager import SessionManager
from .options import CookieOptions, SessionOptions
from .session import Session
from .store import Outcome, Store, StoredSession, Update
from .stores import open_store, register_store
from .stores.base import StoreBase
from .stores.memory import MemoryStore
from .stores.wrappers import StoreWrapper
from .sweeper import Sweeper
from .validation import ABSENT
from .web.mixin import SessionMixin

if TYPE_CHECKING:
    from .stores.postgres import PostgresStore
    from .stores.redis import RedisStore
    from .stores.sqlite import SQLiteStore

__all__ = [
    "ABSENT",
    "Cookie",
    "CookieOptions",
    "CorruptSession",
    "DataError",
    "HeadersSent",
    "MemoryStore",
    "NoSession",
    "OptionsError",
    "Outcome",
    "PostgresStore",
    "RedisStore",
    "SQLiteStore",
    "Session",
    "SessionError",
    "SessionManager",
    "SessionMixin",
    "SessionOptions",
    "Store",
    "StoreBase",
    "StoreError",
    "StoreUnavailable",
    "StoreWrapper",
    "StoredSession",
    "Sweeper",
    "Update",
    "now_ms",
    "open_store",
    "register_store",
]


_LAZY = {"PostgresStore": "postgres", "RedisStore": "redis", "SQLiteStore": "sqlite"}


def __getattr__(name: str) -> Any:
    """A store is imported when it is asked for, and its driver with it (PEP 562)."""
    if name in _LAZY:
        return getattr(import_module(f".stores.{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
