"""Owns the way from a configuration file to the options, the store and the secret.

The tables [session], [sweeper] and the store's own are read here; every other table is its caller's, who names it, so
that an unknown one is refused. The format is TOML, the options have their names of express-session. This file must not
know who serves: its caller says whether other machines reach the server.
"""

import contextlib
import errno
import json
import logging
import os
import re
import secrets
import tempfile
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from .errors import OptionsError
from .options import SessionOptions
from .store import OpenableStore
from .stores import factory_of, is_from_elsewhere, open_store
from .stores.tables import STORE_OPTIONS, STORE_TABLES, options_for
from .sweeper import Sweeper, SweeperOptions
from .validation import ABSENT, camel, express_names, read_table

log: logging.Logger = logging.getLogger("sessions")

SECRET_VARIABLE = "SESSION_SECRET"  # noqa: S105 # a variable's name
"""The environment variable that overrides the file's secret."""
EXAMPLE_SECRET = "your-secret-key"  # noqa: S105 # the one that every tutorial shows
SECRET_BYTES = 32
"""A secret's length at the least: that of the HMAC's output, as RFC 2104 (section 3) asks of a key."""

TABLES = ("session", *STORE_OPTIONS, "sweeper")
"""The tables that this file reads. The table of a store from elsewhere has the name of its scheme."""

_MASK = "********"
_SECRET_NAME = re.compile("secret|passw|passphrase|token|credential|(?<!user)keys?$", re.IGNORECASE)
"""Options whose values are masked, those of stores from elsewhere included; a user key is a name."""

Table = TypeVar("Table")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a configuration file says of sessions, checked."""

    session: SessionOptions
    stores: Mapping[str, Any] = field(repr=False)
    """The options of the stores, by table: dataclasses of ours, and a mapping for a store from elsewhere."""
    sweeper: SweeperOptions

    def open_store(self) -> OpenableStore:
        """Return the store that is configured, not yet open."""
        scheme = self.session.store.partition(":")[0]
        options = self.stores.get(STORE_TABLES.get(scheme, scheme), {})
        return open_store(self.session.store, **(vars(options) if is_dataclass(options) else options))

    @property
    def tables(self) -> dict[str, Any]:
        """The options of each table, by its name."""
        return {"session": self.session, **self.stores, "sweeper": self.sweeper}


class ConfigFile:
    """A configuration file that has been read: `table` gives a table of the caller's, `config` what the library knows.

    `others` names the caller's tables. Raises OptionsError for a file that cannot be read or is no TOML, and for a
    table that nobody knows. Every message begins with the file's path.
    """

    def __init__(self, path: Path, *, others: Sequence[str] = ()) -> None:
        self.path = path
        try:
            self._tables: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:  # too many digits or brackets are the last two
            raise OptionsError(f"{path}: {error}") from error
        known = (*others, *TABLES)
        for name, content in self._tables.items():
            if name not in known and (name != self.scheme or name in STORE_TABLES):
                raise OptionsError(f"{path}: [{name}]: {self._why_not(name, known)}")
            if not isinstance(content, dict):
                raise OptionsError(f"{path}: {name}: expected a table [{name}]")

    @property
    def scheme(self) -> str:
        """The scheme of the store's URL, which says what store it is; "" if the file has no URL there."""
        session = self._tables.get("session", {})
        store = session.get("store", SessionOptions.store) if isinstance(session, dict) else None
        return store.partition(":")[0] if isinstance(store, str) and ":" in store else ""

    def table(self, name: str, kind: type[Table]) -> Table:
        """Return the options of a table as `kind`, a dataclass that checks its values and raises OptionsError.

        Raises OptionsError, naming file, table and option, for an unknown option as well.
        """
        with self._naming(name):
            return kind(**read_table(kind, self._tables.get(name, {})))

    def config(self, *, exposed: bool, make_secret: bool = True) -> Config:
        """Return what the file says of sessions, with the secret of the environment, of the file, or a kept one.

        `exposed` says that other machines reach the server: then a weak secret is refused. If no secret is given, one
        is made and kept, unless `make_secret` is False. Raises OptionsError, naming file, table and option.
        """
        given = self._tables.get("session", {})
        chosen = os.environ.get(SECRET_VARIABLE) or given.get("secret")
        secret = secrets.token_urlsafe(SECRET_BYTES) if chosen is None else chosen
        with self._naming("session"):
            session = SessionOptions.from_mapping({**given, "secret": secret})
        stores = self._stores()
        config = Config(session=session, stores=stores, sweeper=self.table("sweeper", SweeperOptions))
        with self._naming(STORE_TABLES.get(self.scheme, self.scheme)):
            store = config.open_store()
        with self._naming("sweeper"):
            Sweeper(store, **vars(config.sweeper))
        with self._naming("session"):
            kept = kept_secret(secret_file(session.store), make=make_secret) if chosen is None else None
            if kept is not None:  # made last, so that a file with a mistake leaves nothing behind
                config = replace(config, session=replace(session, secret=kept))
            check_secrets(config.session, exposed=exposed)
        return config

    def _stores(self) -> dict[str, Any]:
        stores: dict[str, Any] = {name: self.table(name, kind) for name, kind in STORE_OPTIONS.items()}
        scheme = self.scheme
        if scheme and scheme not in STORE_TABLES:
            with self._naming(scheme):
                stores[scheme] = options_for(factory_of(scheme), self._tables.get(scheme, {}))
        return stores

    @contextlib.contextmanager
    def _naming(self, table: str) -> Iterator[None]:
        """Put the file and the table before the message of an OptionsError; `store:` is an option of [session]."""
        try:
            yield
        except OptionsError as error:
            where = "session" if str(error).startswith("store:") else table
            raise OptionsError(f"{self.path}: [{where}] {error}") from error

    def _why_not(self, name: str, known: Sequence[str]) -> str:
        """Say why a table is not read."""
        if is_from_elsewhere(name):
            return f"is read only where store is a {name}: URL; its scheme is {self.scheme!r}"
        return f"no such table; known are {', '.join(known)}"


# -------------------------------------------------------------------- the secret


def secret_file(store: str) -> Path:
    """Return where a secret that nobody has chosen is kept: beside the store's file, or in the working folder."""
    scheme, _, rest = store.partition(":")
    return Path(f"{rest.removeprefix('//')}.secret") if scheme == "sqlite" and rest else Path(".session-secret")


def kept_secret(file: Path, *, make: bool) -> str | None:
    """Return the secret in a file. If there is no file it is made, with mode 0600; without `make` that is None.

    Raises OptionsError for a file that cannot be read or made, or is empty.
    """
    try:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return _secret_in(file)
        if not make:
            return None
        with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.name, encoding="ascii") as made:
            made.write(f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
            made.flush()
            with contextlib.suppress(FileExistsError):
                os.link(made.name, file)  # whole or not at all, and the first of several servers wins
        return _secret_in(file)
    except (FileNotFoundError, NotADirectoryError):
        raise OptionsError(f"store: the folder {file.parent} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            raise OptionsError(f"store: {error.strerror}") from error
        raise OptionsError(f"secret: none is given, and {file} cannot be made or read: {error}") from error


def _secret_in(file: Path) -> str:
    secret = file.read_text(encoding="ascii").strip()
    if not secret:
        raise OptionsError(f"secret: {file} is empty; delete it and a new one will be made")
    return secret


def check_secrets(options: SessionOptions, *, exposed: bool) -> None:
    """Warn of a weak secret. Raises OptionsError instead if other machines reach the server, directly or by a proxy."""
    for secret in options.keys:
        if secret == EXAMPLE_SECRET.encode():
            weakness = f"{EXAMPLE_SECRET!r} stands in every tutorial"
        elif len(secret) < SECRET_BYTES:
            weakness = f"it has {len(secret)} bytes, {SECRET_BYTES} are wanted"
        else:
            continue
        message = f"secret: whoever guesses it can sign in as anybody, and {weakness}"
        if exposed or options.proxy:
            raise OptionsError(message)
        log.warning("[session] %s. It is accepted on a loopback address only", message)


# -------------------------------------------------------------------- what counts


def effective_options(tables: Mapping[str, Any]) -> str:
    """Return every option with the value that counts, as `[table]` and `name = value` in lines; secrets are masked.

    A table is a dataclass, or a mapping by names in snake_case.
    """
    return "\n".join(line for name, table in tables.items() for line in _shown(name, table))


def _shown(name: str, table: Any) -> list[str]:
    if isinstance(table, Mapping):
        values = {camel(option): value for option, value in table.items()}
    else:
        values = {option: getattr(table, attribute) for option, attribute in express_names(type(table)).items()}
    inner = {option: value for option, value in values.items() if is_dataclass(value)}
    lines = [f"[{name}]"]
    lines += [f"{option} = {_toml(option, value)}" for option, value in values.items() if option not in inner]
    for option, value in inner.items():
        lines += _shown(f"{name}.{option}", value)
    return lines


def _toml(option: str, value: Any) -> str:
    if value is None or value is ABSENT:
        return "(not set)"
    return _MASK if _SECRET_NAME.search(option) else json.dumps(_masked(value), default=str)


def _masked(value: Any) -> Any:
    """Return a value without the passwords in it: those of URLs, and those that a key in it names."""
    if isinstance(value, str):
        value = re.sub(r"(?<=://).*@", f"{_MASK}@", value)  # a store's user and password
        return re.sub(r"(?<=password=)[^&]*", _MASK, value)
    if isinstance(value, list | tuple):
        return [_masked(each) for each in value]
    if isinstance(value, Mapping):
        return {key: _MASK if _SECRET_NAME.search(key) else _masked(each) for key, each in value.items()}
    return value
