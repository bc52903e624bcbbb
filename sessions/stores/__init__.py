"""Owns the way from a URL to a store. A store's module, and so its driver, is imported when it is chosen."""

from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ..errors import OptionsError
from ..options import unknown_key
from ..store import Store

_STORES = {
    "memory": ("memory", "MemoryStore"),
    "sqlite": ("sqlite", "SQLiteStore"),
}


def open_store(url: str, **options: Any) -> Store:
    """The store that a URL names; `async with` opens it.

    `sqlite:PATH` keeps sessions in a SQLite file, `memory:` in this process. `options` are the store's own, such as
    `clock`, or `durability` for SQLite. Raises OptionsError for a URL that names none.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise OptionsError(f"store: expected a URL such as sqlite:sessions.db or memory:, got {url!r}")
    if scheme not in _STORES:
        raise unknown_key(scheme, tuple(_STORES), "store: ", what="store")
    module, name = _STORES[scheme]
    make = getattr(import_module(f".{module}", __name__), name)
    if scheme == "memory":
        if rest:
            raise OptionsError(f"store: memory: takes no path, got {url!r}")
        return make(**options)  # type: ignore[no-any-return] # a Store, by the table
    return make(_path(url), **options)  # type: ignore[no-any-return] # a Store, by the table


def _path(url: str) -> str:
    """The file of `sqlite:PATH` or `sqlite://PATH`; a third slash begins an absolute path, as in every file URL."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise OptionsError(f"store: expected sqlite:PATH, got {url!r} ({error})") from None
    path = parts.netloc + parts.path
    if not path or path == ":memory:" or "\0" in path or parts.query or parts.fragment:
        raise OptionsError(f"store: expected sqlite:PATH, got {url!r}")
    return path
