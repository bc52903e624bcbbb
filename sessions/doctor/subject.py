"""Owns what is examined: a configuration file, or a store by its URL.

The file is read as a server reads it, with another secret in the place of its own: so a weak secret is a finding, and
no reason to stop. What reading it would log is kept as findings.
"""

import ipaddress
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from secrets import token_bytes
from typing import Any

from ..config import Config, ConfigFile, tables_of_others
from ..findings import Finding, warning
from ..options import SessionOptions
from ..stores.tables import STORE_TABLES
from ..validation import SECRET_BYTES, Secrets


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is examined."""

    options: SessionOptions
    """The options, with a secret that nobody knows."""
    knows_options: bool
    """False if only the store is known, so that the other options are defaults of nobody."""
    knows_user_key: bool
    tables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The tables of the file: of ours the options, and of the application's what is written."""
    path: Path | None = None
    """The file."""
    read: tuple[Finding, ...] = ()
    """What was found while it was read."""

    @classmethod
    def of_file(cls, path: Path) -> "Subject":
        """Return what a configuration file names. Raises OptionsError."""
        with _listening() as said:
            own = tables_of_others(path)
            config: Config = ConfigFile(path, others=[*own]).config(exposed=False, secret=_throwaway())
        return cls(
            options=config.session, knows_options=True, knows_user_key=True, tables={**own, **config.tables}, path=path,
            read=tuple(said),
        )  # fmt: skip

    @classmethod
    def of_url(cls, url: str, user_key: str | None = None) -> "Subject":
        """Return what the URL of a store names. Raises OptionsError."""
        options = SessionOptions(secret=_throwaway(), store=url, user_key=user_key)
        return cls(options=options, knows_options=False, knows_user_key=user_key is not None)

    @property
    def store_options(self) -> dict[str, Any]:
        """The options of the store, for `open_store`."""
        scheme = self.options.store.partition(":")[0]
        options = self.tables.get(STORE_TABLES.get(scheme, scheme), {})
        return dict(vars(options) if is_dataclass(options) else options)

    @property
    def server(self) -> Mapping[str, Any]:
        """The table [server], as it is written."""
        server: Mapping[str, Any] = self.tables.get("server", {})
        return server

    @property
    def listens_to_all(self) -> bool:
        """True if the server listens on every interface."""
        return self.server.get("address") in ("", "0.0.0.0", "::")  # noqa: S104 # it is compared with

    @property
    def is_exposed(self) -> bool:
        """True if other machines reach the server, as far as the file says."""
        address = self.server.get("address", "127.0.0.1")
        return bool(self.options.proxy or self.server.get("xheaders")) or not _is_loopback(str(address))


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _throwaway() -> Secrets:
    return Secrets([token_bytes(SECRET_BYTES)])


@contextmanager
def _listening() -> Iterator[list[Finding]]:
    """Collect what the library logs meanwhile, as findings."""
    said: list[Finding] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(warning("options.log", record.getMessage(), "a server says the same at its start"))

    log, listener = logging.getLogger("sessions"), Listener(logging.WARNING)
    log.addHandler(listener)
    propagates, log.propagate = log.propagate, False
    try:
        yield said
    finally:
        log.removeHandler(listener)
        log.propagate = propagates
