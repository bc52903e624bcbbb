"""Owns which store a command works on: the one of a configuration file, or of a URL.

No command signs a cookie, so the options are read without the deployment's secret: an operator needs no right to it.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import click

from ..config import TABLES, Config, ConfigFile
from ..config.toml_text import read_toml
from ..errors import OptionsError
from ..manager import SessionManager
from ..options import SessionOptions
from ..store import OpenableStore, Store, existing, users
from ..stores import open_store
from ..stores.tables import STORE_OPTIONS, STORE_TABLES
from ..sweeper import SweeperOptions
from ..validation import SECRET_BYTES, Secrets, masked
from .output import Output

_NEAR = 0.85
"""How alike the name of a table is to one of ours that it is taken for a misspelling (difflib's ratio)."""

STORE_VARIABLE = "SESSION_STORE"
"""The environment variable that gives `--store`: a password in it stays out of the list of processes."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """What `--config FILE` or `--store URL [--user-key PATH]` names."""

    options: SessionOptions
    """The options, with a secret that nobody knows."""
    file: ConfigFile | None
    """The configuration file, from which `file.config(…)` reads the secret too; None for a URL."""
    _config: Config | None

    @classmethod
    def of_file(cls, path: Path) -> "Target":
        """Return what a configuration file names. Its further tables are the application's. Raises OptionsError."""
        own = [name for name, content in read_toml(path).items() if name not in TABLES and isinstance(content, dict)]
        for name in own:
            near = get_close_matches(name, TABLES, n=1, cutoff=_NEAR)
            if near:  # a command on another store than the one that is meant may end everybody's session
                raise OptionsError(f"{path}: [{name}]: no such table; did you mean [{near[0]}]?")
        file = ConfigFile(path, others=own)
        config = file.config(exposed=False, secret=_throwaway())
        return cls(options=_shared(config.session), file=file, _config=config)

    @classmethod
    def of_url(cls, url: str, user_key: str | None = None) -> "Target":
        """Return what a URL names. Raises OptionsError."""
        options = SessionOptions(secret=_throwaway(), store=url, user_key=user_key)
        return cls(options=_shared(options), file=None, _config=None)

    @property
    def config(self) -> Config | None:
        """What the file says of sessions, with its secret; None for a URL. Raises OptionsError."""
        return None if self.file is None else self.file.config(exposed=False, make_secret=False)

    @property
    def place(self) -> str:
        """Where the sessions are, without a password: two places that differ are two stores."""
        url = self.options.store
        scheme, _, path = url.partition(":")
        if scheme == "sqlite":
            return f"sqlite:{Path(path.removeprefix('//')).resolve()}"
        table = STORE_TABLES.get(scheme, scheme)
        own = STORE_OPTIONS[table]() if table in STORE_OPTIONS else None
        options = vars(own if self._config is None else self._config.stores[table]) if own is not None else {}
        named = [f"{name} {options[name]}" for name in ("prefix", "schema", "table") if options.get(name) is not None]
        return ", ".join([masked(url), *named])

    @property
    def sweeper(self) -> SweeperOptions:
        """How the store is swept."""
        return SweeperOptions() if self._config is None else self._config.sweeper

    def open(self, *, reads: bool = False, makes: bool = False) -> OpenableStore:
        """Return the store, for `async with`. It makes no file, table or index that is missing, unless it `makes` them.

        `reads` says that nothing is written, so that a right to read is enough. Raises OptionsError.
        """
        store = open_store(self.options.store) if self._config is None else self._config.open_store()
        power, finder = existing(store), users(store)
        if power is not None and not makes:
            power.take_existing(reads=reads)
        if finder is not None and self.options.user_path is not None:
            finder.index(self.options.user_path, node_peer=self.options.node_peer)
        return store

    def manager(self, store: Store) -> SessionManager:
        """Return a manager of the store, which can read and end sessions, and knows no secret."""
        return SessionManager(store, self.options)


def _throwaway() -> Secrets:
    return Secrets([secrets.token_bytes(SECRET_BYTES)])


def _shared(options: SessionOptions) -> SessionOptions:
    """Return the options for an operator, unless their store is one process's own.

    With `nodePeer` every session of a user is found, one too that no server has read since `userKey` was set.
    """
    if options.store.partition(":")[0] == "memory":
        raise OptionsError("store: memory: is one process's own, so no other process sees its sessions")
    return replace(options, node_peer=True)


def targeted(command: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., Any]:
    """Give a command `--config`, `--store`, `--user-key` and `--json`.

    `command(target, out, …)` is a coroutine function, and what it returns is the exit code; None is 0.
    """

    @click.option(
        "--config", "config", type=click.Path(path_type=Path), metavar="FILE", help="The servers' config.toml."
    )
    @click.option(
        "--store",
        "store",
        metavar="URL",
        envvar=STORE_VARIABLE,
        show_envvar=True,
        help="The store's URL, in place of --config.",
    )
    @click.option(
        "--user-key", metavar="PATH", help="With --store: the key of the data that names the user, as userKey."
    )
    @click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
    @click.pass_context
    @functools.wraps(command)
    def run(
        ctx: click.Context, /, config: Path | None, store: str | None, user_key: str | None, as_json: bool, **given: Any
    ) -> None:
        target = _chosen(config, store, user_key)
        code = asyncio.run(command(target, Output(as_json=as_json), **given))
        ctx.exit(code or 0)

    return run


def _chosen(config: Path | None, store: str | None, user_key: str | None) -> Target:
    context = click.get_current_context()
    if config is not None and store is not None:
        if context.get_parameter_source("store") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError("--config and --store are both given; one of them is enough")
        store = None
    if store is not None:
        return Target.of_url(store, user_key)
    if config is None:
        raise click.UsageError(f"give --config FILE, or --store URL (or {STORE_VARIABLE} in the environment)")
    if user_key is not None:
        raise click.UsageError("--user-key goes with --store; a configuration has userKey")
    return Target.of_file(config)
