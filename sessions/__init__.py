"""Server-side sessions for Tornado, at home with express-session."""

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from .at_rest import sealed_store_class
from .at_rest.hashed_ids import HashedIds
from .clock import now_ms
from .cookie import Cookie
from .errors import (
    CorruptSession,
    DataError,
    HeadersSent,
    NoSession,
    OptionsError,
    SessionConflict,
    SessionError,
    StoreError,
    StoreUnavailable,
    TooManySessions,
)
from .manager import SessionManager
from .options import CookieOptions, SessionOptions
from .session import Session
from .store import Outcome, Store, StoredSession, Update
from .stores import open_store, register_store, store_class
from .stores.base import StoreBase
from .stores.memory import MemoryStore
from .stores.wrappers import StoreWrapper
from .sweeper import Sweeper
from .users import SessionInfo
from .validation import ABSENT
from .web.held_response import CommitFailed
from .web.mixin import SessionMixin
from .web.users import fresh

if TYPE_CHECKING:
    __version__: str
    """The version that is installed, as its metadata has it."""

    from .at_rest.sealed_store import SealedStore
    from .stores.mongodb import MongoStore
    from .stores.postgres import PostgresStore
    from .stores.redis import RedisStore
    from .stores.sqlite import SQLiteStore

__all__ = [
    "ABSENT",
    "CommitFailed",
    "Cookie",
    "CookieOptions",
    "CorruptSession",
    "DataError",
    "HashedIds",
    "HeadersSent",
    "MemoryStore",
    "MongoStore",
    "NoSession",
    "OptionsError",
    "Outcome",
    "PostgresStore",
    "RedisStore",
    "SQLiteStore",
    "SealedStore",
    "Session",
    "SessionConflict",
    "SessionError",
    "SessionInfo",
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
    "TooManySessions",
    "Update",
    "fresh",
    "now_ms",
    "open_store",
    "register_store",
]


_LAZY = {"MongoStore": "mongodb", "PostgresStore": "postgres", "RedisStore": "redis", "SQLiteStore": "sqlite"}
"""The stores that have a driver, each with a scheme of its URLs."""


def __getattr__(name: str) -> Any:
    """A store is imported when it is asked for, and its driver with it (PEP 562). The metadata is read likewise."""
    if name in _LAZY:
        try:
            return store_class(_LAZY[name])
        except OptionsError as error:
            return _without_driver(name, error)
    if name == "SealedStore":
        try:
            return sealed_store_class()
        except OptionsError as error:
            return _without_driver(name, error)
    if name == "__version__":
        return version("tornado-express-sessions")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _without_driver(name: str, error: OptionsError) -> type:
    """Return what `from sessions import *` gets where a package is missing: a class without objects, which says why."""

    def init(*_: object, **__: object) -> None:
        raise error

    return type(name, (), {"__init__": init, "__doc__": str(error)})
