"""Owns which store a command works on: the one of a configuration file, or of a URL.

No command signs a cookie, so the options are read without the deployment's secret: an operator needs no right to it.
"""

import asyncio
import functools
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from ..config import Config, ConfigFile, tables_of_others
from ..errors import OptionsError
from ..manager import SessionManager
from ..options import SessionOptions
from ..store import OpenableStore, Store, existing, users
from ..stores import open_store
from ..stores.tables import STORE_OPTIONS, STORE_TABLES
from ..sweeper import SweeperOptions
from ..validation import SECRET_BYTES, Secrets, masked
from .output import Output

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
        file = ConfigFile(path, others=[*tables_of_others(path)])
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
        names = ("prefix", "schema", "table", "collection")
        named = [f"{name} {options[name]}" for name in names if options.get(name) is not None]
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
    return replace(options, node_peer=True)  # a hashed store has no Node peer, and every row is looked at all the same


def targeted(command: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., Any]:
    """Give a command `--config`, `--store`, `--user-key` and `--json`.

    `command(target, out, …)` is a coroutine function, and what it returns is the exit code; None is 0.
    """

    @placed
    @click.pass_context
    @functools.wraps(command)
    def run(
        ctx: click.Context, /, config: Path | None, store: str | None, user_key: str | None, as_json: bool, **given: Any
    ) -> None:
        target = Target.of_url(store, user_key) if store is not None else Target.of_file(config or Path())
        code = asyncio.run(command(target, Output(as_json=as_json), **given))
        ctx.exit(code or 0)

    return run


def placed(run: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command `--config`, `--store`, `--user-key` and `--json`. Exactly one of `config` and `store` is not None.

    `run` is called with `config`, `store`, `user_key` and `as_json`.
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
    @functools.wraps(run)
    def choose(config: Path | None, store: str | None, user_key: str | None, **given: Any) -> Any:
        if config is not None and store is not None:
            if click.get_current_context().get_parameter_source("store") is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError("--config and --store are both given; one of them is enough")
            store = None
        if config is None and store is None:
            raise click.UsageError(f"give --config FILE, or --store URL (or {STORE_VARIABLE} in the environment)")
        if config is not None and user_key is not None:
            raise click.UsageError("--user-key goes with --store; a configuration has userKey")
        return run(config=config, store=store, user_key=user_key, **given)

    return choose
