"""Owns the tables of a configuration file that are a store's own: their options, and the defaults of our stores.

This file loads no driver. What a value may be is the store's to say, when it is made.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import OptionsError
from ..validation import camel, snake, unknown_key

REDIS = [
    f"{name}{s}{kind}" for name in ("redis", "valkey") for kind in ("", "+sentinel", "+cluster") for s in ("", "s")
]
"""The schemes of a URL that lead to Redis or Valkey over TCP; `s` is TLS."""

STORE_TABLES = {
    "sqlite": "sqlite",
    "memory": "memory",
    **dict.fromkeys([*REDIS, "unix"], "redis"),
    **dict.fromkeys(["postgresql", "postgres"], "postgres"),
    **dict.fromkeys(["mongodb", "mongodb+srv"], "mongodb"),
}
"""Which table belongs to a store of which URL."""


@dataclass(frozen=True, kw_only=True)
class SQLiteOptions:
    """The table [sqlite]: read where `store` is a sqlite: URL."""

    durability: Literal["full", "normal"] = "full"
    """With "full" an answered change survives a power loss; with "normal" it survives a crash of the server."""
    busy_timeout: float = 2_000
    """Milliseconds that a write waits for another process."""


@dataclass(frozen=True, kw_only=True)
class RedisOptions:
    """The table [redis]: read where `store` is a URL of Redis or Valkey."""

    prefix: str = "sess:"
    """What comes before the id in every key, as connect-redis has it."""
    colon_ids: bool = False
    """`True`: your own ids hold a ":". `False`: such keys belong to a longer prefix (`sess:admin:`)."""
    timeout: float = 3_000
    """Milliseconds that a call of the server may take; keep it below `store_timeout`."""


@dataclass(frozen=True, kw_only=True)
class PostgresOptions:
    """The table [postgres]: read where `store` is a postgresql: URL."""

    table: str = "session"
    """The table. If it is missing, the server makes it as connect-pg-simple's table.sql does."""
    schema: str | None = None
    """The table's schema. Not set: the URL's `?schema=`, else the first of the connection's search_path."""
    pool: int = 5
    """Connections of one process at most, 3 or more."""
    timeout: float = 4_000
    """Milliseconds that a statement may take; it waits half of that for a locked row."""
    statement_cache: int = 100
    """Prepared statements of a connection; 0 for PgBouncer in transaction mode."""


@dataclass(frozen=True, kw_only=True)
class MongoOptions:
    """The table [mongodb]: read where `store` is a mongodb: URL."""

    collection: str = "sessions"
    """The collection. If it is missing, the server makes it with connect-mongo's TTL index."""
    timeout: float = 4_000
    """Milliseconds that a call of the server may take; keep it below `store_timeout`."""


@dataclass(frozen=True, kw_only=True)
class MemoryOptions:
    """The table [memory]: read where `store` is memory:."""

    max_sessions: int = 100_000
    """A full store refuses new sessions (503) and drops none that lives. 100,000 take some 60 MB, at 300 characters
    each."""
    max_bytes: int = 268_435_456
    """Bytes of memory that the sessions' texts may take; a full store refuses, as above."""


STORE_OPTIONS: Mapping[str, type[Any]] = {
    "sqlite": SQLiteOptions,
    "postgres": PostgresOptions,
    "mongodb": MongoOptions,
    "memory": MemoryOptions,
    "redis": RedisOptions,
}
"""The options of our stores, by table."""


def options_for(factory: Callable[..., object], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a table for a store from elsewhere, in snake_case: for `factory(url, **options)`.

    Raises OptionsError for an option that the factory does not take, and for one that it demands and the table lacks. A
    factory that takes any, or does not say what it takes, gets what the table has.
    """
    options: dict[str, Any] = {}
    for key, value in table.items():
        if snake(key) in options:
            raise OptionsError(f"{key}: is given twice")
        options[snake(key)] = value
    try:
        _url, *parameters = inspect.signature(factory).parameters.values()
    except ValueError:  # it has no signature that Python can read, or takes no URL: the call shows that
        return options
    named = {each.name: each for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)}
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters)
    for key in table:
        if snake(key) not in named and not takes_any:
            raise unknown_key(key, [camel(name) for name in named])
    for name, parameter in named.items():
        if parameter.default is parameter.empty and name not in options:
            raise OptionsError(f"{camel(name)}: is missing")
    return options
