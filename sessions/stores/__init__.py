"""Owns the way from a URL to a store: our own, registered ones, and those of installed packages.

A store's module, and so its driver, is imported when it is chosen.
"""

import os
from collections.abc import Callable
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

from ..errors import OptionsError
from ..store import OpenableStore, Store
from ..validation import masked
from .tables import STORE_TABLES
from .wrappers import StoreWrapper

Factory = Callable[..., Store]
"""Makes a store of `(url, **options)`; the options come from the table `[scheme]` of config.toml, in snake_case.

It is called more than once, and opens nothing: `async with` does. It raises OptionsError for a wrong option, with a
message that begins with the option's name, or with `store:` for a wrong URL.
"""

ENTRY_POINT = "sessions.stores"
"""The group of entry points in which a package offers a Factory; the entry's name is the scheme."""

_CLASSES = {
    "sqlite": "SQLiteStore", "memory": "MemoryStore", "redis": "RedisStore", "postgres": "PostgresStore",
    "mongodb": "MongoStore",
}  # fmt: skip
"""By the module that holds it, which is also the name of its table."""

_registered: dict[str, Factory] = {}


def register_store(scheme: str, factory: Factory) -> None:
    """Let `open_store` and config.toml take `scheme:…` for a store from elsewhere: `factory(url, **options)` makes it.

    Raises OptionsError for a scheme that is no word of lower-case letters, digits, "+" and "-", or that is ours.
    """
    if not scheme or not scheme[0].isalpha() or set(scheme.lower()) - set("abcdefghijklmnopqrstuvwxyz0123456789+-"):
        raise OptionsError(f"store: expected a scheme of letters, digits, '+' and '-', got {scheme!r}")
    if scheme != scheme.lower():
        raise OptionsError(f"store: expected a scheme in lower case, got {scheme!r}")
    if scheme in STORE_TABLES:
        raise OptionsError(f"store: {scheme}: is a store of this library")
    _registered[scheme] = factory


def is_from_elsewhere(scheme: str) -> bool:
    """True if a registered store, or one of an installed package, has the scheme."""
    return scheme not in STORE_TABLES and (scheme in _registered or _entry_point(scheme) is not None)


def open_store(url: str, **options: Any) -> OpenableStore:
    """Return the store that a URL names; `async with` opens it.

    `sqlite:PATH` keeps sessions in a SQLite file, `redis://…` in Redis, `postgresql://…` (or `postgres://…`) in a
    PostgreSQL database, `mongodb://…` in MongoDB, `memory:` in this process; other schemes belong to stores from
    elsewhere (`register_store`).
    `options` are the store's own, such as `clock`, or `durability` for SQLite. Raises OptionsError for a URL that names
    no store, and for a store from elsewhere that cannot be made.
    """
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise OptionsError(f"store: expected a URL such as sqlite:sessions.db or memory:, got {masked(url)!r}")
    if scheme not in STORE_TABLES:
        return _from_elsewhere(scheme, url, options)
    make = store_class(scheme)
    if scheme == "memory":
        if rest:
            raise OptionsError(f"store: memory: takes no path, got {masked(url)!r}")
        return make(**options)
    return make(_path(url) if scheme == "sqlite" else url, **options)


def store_class(scheme: str) -> Callable[..., OpenableStore]:
    """Return our store that has the scheme, and import its driver. Raises OptionsError if that is not installed."""
    module = STORE_TABLES[scheme]
    try:
        return cast("Callable[..., OpenableStore]", getattr(import_module(f".{module}", __name__), _CLASSES[module]))
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        hint = f"the package {package}, which is not installed: pip install 'tornado-express-sessions[{module}]'"
        if package == "fcntl":
            hint = "POSIX, and this system is none"
        raise OptionsError(f"store: {scheme}: needs {hint}") from error


def factory_of(scheme: str) -> Factory:
    """Return what makes the stores from elsewhere that have the scheme.

    Raises OptionsError if there is none, and for a package that cannot be loaded.
    """
    factory = _registered.get(scheme)
    if factory is not None:
        return factory
    entry = _entry_point(scheme)
    if entry is None:
        raise _unknown(scheme)
    try:
        return cast("Factory", entry.load())
    except Exception as error:
        raise OptionsError(f"store: {scheme}: cannot be loaded: {type(error).__name__}: {error}") from error


def _from_elsewhere(scheme: str, url: str, options: dict[str, Any]) -> OpenableStore:
    factory = factory_of(scheme)
    try:
        store = factory(url, **options)
    except OptionsError:
        raise
    except Exception as error:
        raise OptionsError(f"store: {scheme}: cannot be made: {type(error).__name__}: {error}") from error
    missing = [verb for verb in VERBS if not callable(getattr(store, verb, None))]
    if missing:
        raise OptionsError(f"store: {scheme}: {type(store).__name__} lacks {', '.join(missing)}")
    return store if hasattr(store, "__aenter__") else StoreWrapper(store)  # type: ignore[return-value] # just asked


VERBS = ("get", "create", "update", "touch", "rename", "destroy")
"""What a store has to have."""


def _entry_point(scheme: str) -> Any:
    return next(iter(entry_points(group=ENTRY_POINT, name=scheme)), None)


def _unknown(scheme: str) -> OptionsError:
    known = [*STORE_TABLES, *_registered, *(entry.name for entry in entry_points(group=ENTRY_POINT))]
    near = get_close_matches(scheme, known, n=1, cutoff=0.6)
    hint = f"; did you mean store: {near[0]}?" if near else f"; known are {', '.join(known)}"
    return OptionsError(f"store: {scheme}: no such store{hint}")


def _path(url: str) -> str:
    """Return the file of `sqlite:PATH` or `sqlite://PATH`; a third slash begins an absolute path, as in file URLs.

    Elsewhere (SQLAlchemy, Django, Flask) three slashes begin a relative path. What can only be meant so is refused: a
    file in the root folder, or in a folder that is there under the working folder and not under the root.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise OptionsError(f"store: expected sqlite:PATH, got {masked(url)!r}") from None
    path = parts.netloc + parts.path
    if not path or path == ":memory:" or "\0" in path or parts.query or parts.fragment:
        raise OptionsError(f"store: expected sqlite:PATH, got {masked(url)!r}")
    if url.startswith("sqlite:///") and not path.startswith("//"):
        folder = Path(os.path.normpath(path)).parent
        meant = Path(path.lstrip("/"))
        if folder == Path("/") or (meant.parent.is_dir() and not folder.is_dir()):
            raise OptionsError(
                f"store: {masked(url)} is the file {path}; the one in the working folder is sqlite:{meant}"
                f" (and if {path} is meant: sqlite:{path})"
            )
    return path
