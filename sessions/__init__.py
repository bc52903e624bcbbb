"""Server-side sessions for Tornado, at home with express-session."""

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
from .sweeper import Sweeper

__all__ = [
    "ABSENT",
    "Cookie",
    "CookieOptions",
    "CorruptSession",
    "DataError",
    "HeadersSent",
    "NoSession",
    "OptionsError",
    "Outcome",
    "Session",
    "SessionError",
    "SessionManager",
    "SessionMixin",
    "SessionOptions",
    "Store",
    "StoreError",
    "StoreUnavailable",
    "StoredSession",
    "Sweeper",
    "SweepableStore",
    "Update",
    "now_ms",
    "open_store",
]
