"""Server-side sessions for Tornado, at home with express-session."""

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
from .mixin import SessionMixin
from .options import ABSENT, CookieOptions, SessionOptions
from .session import Session
from .store import Outcome, Store, StoredSession, SweepableStore, Update
from .stores import open_store
from .stores.memory import MemoryStore
from .sweeper import Sweeper

if TYPE_CHECKING:
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
    "RedisStore",
    "SQLiteStore",
    "Session",
    "SessionError",
    "SessionManager",
    "SessionMixin",
    "SessionOptions",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredSession",
    "SweepableStore",
    "Sweeper",
    "Update",
    "now_ms",
    "open_store",
]


def __getattr__(name: str) -> Any:
    """SQLiteStore and RedisStore are imported when they are asked for, and their drivers with them (PEP 562)."""
    if name == "RedisStore":
        from .stores.redis import RedisStore  # noqa: PLC0415 # that is the point

        return RedisStore
    if name == "SQLiteStore":
        from .stores.sqlite import SQLiteStore  # noqa: PLC0415 # that is the point

        return SQLiteStore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
