"""Owns the tables of a configuration file that are a store's own: their options, with the defaults of the stores.

This file loads no driver. What a value may be is the store's to say, when it is made.
"""

from dataclasses import dataclass

from .memory import MAX_SESSIONS

REDIS = [
    f"{name}{s}{kind}" for name in ("redis", "valkey") for kind in ("", "+sentinel", "+cluster") for s in ("", "s")
]
"""The schemes of a URL that lead to Redis or Valkey over TCP; `s` is TLS."""

STORE_TABLES = {
    "sqlite": "sqlite",
    "memory": "memory",
    **dict.fromkeys([*REDIS, "unix"], "redis"),
    **dict.fromkeys(["postgresql", "postgres"], "postgres"),
}
"""Which table belongs to a store of which URL."""


@dataclass(frozen=True, kw_only=True)
class SQLiteOptions:
    """The table [sqlite]: read where `store` is a sqlite: URL."""

    durability: str = "full"
    busy_timeout: float = 2_000


@dataclass(frozen=True, kw_only=True)
class RedisOptions:
    """The table [redis]: read where `store` is a URL of Redis or Valkey."""

    prefix: str = "sess:"
    timeout: float = 3_000


@dataclass(frozen=True, kw_only=True)
class PostgresOptions:
    """The table [postgres]: read where `store` is a postgresql: URL."""

    table: str = "session"
    schema: str | None = None
    pool: int = 5
    timeout: float = 4_000
    statement_cache: int = 100


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """The table [memory]: read where `store` is memory:."""

    max_sessions: int = MAX_SESSIONS
