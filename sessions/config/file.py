"""Owns the way from a configuration file to the options and the store.

The tables [session], [sweeper] and the store's own are read here; every other table is its caller's, who names it, so
that an unknown one is refused. The format is TOML, the options have their names of express-session. This file must not
know who serves: its caller says whether other machines reach the server.
"""

import contextlib
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self, TypeVar

from ..errors import OptionsError
from ..key_options import EncryptionOptions, HashingOptions, table_of
from ..options import CookieOptions, SessionOptions
from ..store import OpenableStore, users
from ..stores import factory_of, is_from_elsewhere, open_store
from ..stores.tables import STORE_OPTIONS, STORE_TABLES, options_for
from ..sweeper import Sweeper, SweeperOptions
from ..validation import SECRET_BYTES, Secrets, express_names, read_table, secrets_of
from .keys import Keys
from .secret import chosen_secret, kept_secrets
from .toml_text import read_toml
from .unusual import unusual

log: logging.Logger = logging.getLogger("sessions")

TABLES = ("session", *STORE_OPTIONS, "sweeper")
"""The tables that this file reads. The table of a store from elsewhere has the name of its scheme."""

_NEAR = 0.85
"""How alike the name of a table is to one of ours that it is taken for a misspelling (difflib's ratio)."""

Table = TypeVar("Table")


@dataclass(frozen=True, kw_only=True)
class Config:
    """What a configuration file says of sessions, checked."""

    session: SessionOptions
    stores: Mapping[str, Any] = field(repr=False)
    """The options of the stores, by table: dataclasses of ours, and a mapping for a store from elsewhere."""
    sweeper: SweeperOptions
    path: Path
    """The file."""
    exposed: bool
    """True if other machines reach the server."""
    keys: Keys = field(default_factory=Keys, repr=False)
    """The keys of what is at rest."""

    def open_store(self) -> OpenableStore:
        """Return the store that is configured, not yet open."""
        scheme = self.session.store.partition(":")[0]
        options = self.stores.get(STORE_TABLES.get(scheme, scheme), {})
        store = open_store(self.session.store, **(vars(options) if is_dataclass(options) else options))
        store = self.keys.around(store, self.session)
        power = users(store)
        if power is not None and self.session.user_path is not None:  # or it makes its index when it is first needed
            power.index(self.session.user_path, node_peer=self.session.node_peer)
        return store

    @property
    def tables(self) -> dict[str, Any]:
        """The options of each table, by its name."""
        return {"session": self.session, **self.stores, "sweeper": self.sweeper}

    def with_new_secrets(self) -> Self:
        """Read the secrets again, from this file or from a file of secrets, and nothing else. Returns a configuration.

        The keys of what is at rest are read again too, and count for a store that is open already. If a start would
        refuse them, or if there are none, that is an error in the log, and this one is returned.
        """
        try:
            session = read_toml(self.path).get("session", {})
            with _naming(self.path, "session"):
                found = chosen_secret(session if isinstance(session, dict) else {})
                found = kept_secrets(self.session, make=False) if found is None else found
                if found is None:
                    raise OptionsError("secret: none is given any more")  # noqa: TRY301 # named like all others
                found = secrets_of(found, refuses_weak=self.exposed or bool(self.session.proxy))
                self.keys.use(Keys.of(self._with_new_keys(session)))
        except OptionsError as error:
            log.error("the secrets stay as they are: %s", error)  # noqa: TRY400 # a traceback says no more
            return self
        log.info("the secrets were read again")
        return replace(self, session=replace(self.session, secret=found))

    def _with_new_keys(self, session: Mapping[str, Any]) -> SessionOptions:
        """Return the options with the keys that the table [session] names by now."""
        named = {}
        for name, kind in (("encryption", EncryptionOptions), ("hashing", HashingOptions)):
            table, before = table_of(kind, name, session.get(name)), getattr(self.session, name)
            if table is not None and before is not None:
                named[name] = replace(before, keys=table.keys)
            else:
                named[name] = table
        return replace(self.session, **named)


class ConfigFile:
    """A configuration file that has been read: `table` gives a table of the caller's, `config` what the library knows.

    `others` names the caller's tables. Raises OptionsError for a file that cannot be read or is no TOML, and for a
    table that nobody knows. Every message begins with the file's path.
    """

    def __init__(self, path: Path, *, others: Sequence[str] = ()) -> None:
        self.path = path
        self._others = others
        self._callers: dict[str, Any] = {}
        self._kinds: dict[str, type[Any]] = {"session": SessionOptions, **STORE_OPTIONS, "sweeper": SweeperOptions}
        self._tables = read_toml(path)
        for name, content in self._tables.items():
            if name not in (*others, *TABLES) and (name != self.scheme or name in STORE_TABLES):
                raise OptionsError(f"{path}: [{name}]: {self._why_not(name)}")
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
        self._kinds[name] = kind
        options = self._callers[name] = self._table(name, kind)
        return options

    def config(self, *, exposed: bool, make_secret: bool = True, secret: Secrets | None = None) -> Config:
        """Return what the file says of sessions, with the secret of the environment, of the file, or a kept one.

        `exposed` says that other machines reach the server: then a weak secret is refused. If no secret is given, one
        is made and kept, unless `make_secret` is False. Values that are mostly a mistake are logged as warnings, in the
        caller's tables too. `secret` is for who signs nothing: the deployment's is not read then, and
        nothing is warned of. Raises OptionsError, naming file, table and option.
        """
        given = self._tables.get("session", {})
        with _naming(self.path, "session"):
            self._check_names("session", SessionOptions, given)
            if isinstance(given.get("cookie"), dict):
                self._check_names("session", CookieOptions, given["cookie"], "cookie.")
            chosen = chosen_secret(given) if secret is None else secret
            refuses_weak = exposed or bool(given.get("proxy"))
            found = secrets_of(
                secrets.token_urlsafe(SECRET_BYTES) if chosen is None else chosen, refuses_weak=refuses_weak
            )
            session = SessionOptions.from_mapping({**given, "secret": found})
        stores, sweeper = self._stores(), self._table("sweeper", SweeperOptions)
        with _naming(self.path, "session"):
            keys = Keys.of(session)
        config = Config(session=session, stores=stores, sweeper=sweeper, path=self.path, exposed=exposed, keys=keys)
        with _naming(self.path, STORE_TABLES.get(self.scheme, self.scheme)):
            store = config.open_store()
        with _naming(self.path, "sweeper"):
            Sweeper(store, **vars(config.sweeper))
        with _naming(self.path, "session"):
            kept = kept_secrets(session, make=make_secret) if chosen is None else None
            if kept is not None:  # made last, so that a file with a mistake leaves nothing behind
                config = replace(config, session=replace(session, secret=secrets_of(kept, refuses_weak=refuses_weak)))
        for finding in () if secret is not None else unusual({**self._callers, **config.tables}):
            log.warning("%s", finding.sentence)
        return config

    def _table(self, name: str, kind: type[Table]) -> Table:
        table = self._tables.get(name, {})
        with _naming(self.path, name):
            self._check_names(name, kind, table)
            return kind(**read_table(kind, table))

    def _stores(self) -> dict[str, Any]:
        stores: dict[str, Any] = {name: self._table(name, kind) for name, kind in STORE_OPTIONS.items()}
        scheme = self.scheme
        if scheme and scheme not in STORE_TABLES:
            with _naming(self.path, scheme):
                stores[scheme] = options_for(factory_of(scheme), self._tables.get(scheme, {}))
        return stores

    # ---------------------------------------------------------------- what belongs elsewhere

    def _check_names(self, name: str, kind: type[Any], table: Mapping[str, Any], place: str = "") -> None:
        """Raise OptionsError for an option that another table has."""
        for key in (each for each in table if each not in express_names(kind)):
            homes = self._homes(key)
            if name in self._others and key in express_names(CookieOptions):
                homes.append(f"[session] as cookie.{key}")
            if homes:
                raise OptionsError(f"{place}{key}: no such option; it belongs to {' or '.join(homes)}")

    def _homes(self, key: str) -> list[str]:
        """Return the tables that have an option."""
        return [f"[{table}]" for table, kind in self._kinds.items() if key in express_names(kind)]

    def _why_not(self, name: str) -> str:
        """Say why a table is not read."""
        if is_from_elsewhere(name):
            return f"is read only where store is a {name}: URL; its scheme is {self.scheme!r}"
        if name == "cookie":
            return "no such table; the cookie's options are lines of [session], such as cookie.maxAge = 86400000"
        near = _near(name)
        if near:
            return f"no such table; did you mean [{near[0]}]?"
        homes = self._homes(name)
        if homes:
            return f"no such table; {name} is an option of {' or '.join(homes)}"
        return f"no such table; known are {', '.join((*self._others, *TABLES))}"


def tables_of_others(path: Path) -> dict[str, dict[str, Any]]:
    """Return the tables of a file that are an application's own, for who does not know the application.

    One that is named nearly as ours is left out, so that it is refused: what reads past it would work with defaults,
    on another store than the one that is meant. Raises OptionsError for a file that cannot be read or is no TOML.
    """
    return {
        name: content
        for name, content in read_toml(path).items()
        if isinstance(content, dict) and name not in (*TABLES, "cookie") and not _near(name)
    }


def _near(name: str) -> list[str]:
    return get_close_matches(name, TABLES, n=1, cutoff=_NEAR)


@contextlib.contextmanager
def _naming(path: Path, table: str) -> Iterator[None]:
    """Put the file and the table before the message of an OptionsError; `store:` is an option of [session]."""
    try:
        yield
    except OptionsError as error:
        where = "session" if str(error).startswith("store:") else table
        raise OptionsError(f"{path}: [{where}] {error}") from error
