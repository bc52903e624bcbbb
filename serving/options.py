"""Owns the table [server] of config.toml, and the reading of the whole file for the reference server.

It must not know how the server listens or what it answers.
"""

import ipaddress
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from handlers import log
from sessions import CookieOptions, OptionsError
from sessions.config import Config as SessionConfig
from sessions.config import ConfigFile
from sessions.validation import is_lifetime, wrong

logger = logging.getLogger("sessions")


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The table [server]."""

    port: int = 3000
    """The TCP port to listen at; 0: any that is free."""
    address: str = "127.0.0.1"
    """Who can connect. With "127.0.0.1" this machine only, with "" every interface; with "unix:/path" it is a socket,
    in place of the port, for its owner and its group. With the last two the secret has to be a strong one."""
    workers: int = 1
    """Processes that share the port and the store."""
    drain: float = 10_000
    """Milliseconds that requests in flight may take after SIGTERM or Ctrl-C (a commit may take `busy_timeout`
    more)."""
    xheaders: bool = False
    """Believe X-Real-Ip, X-Forwarded-For, X-Forwarded-Proto and X-Request-Id: only behind a proxy that sets them
    (docs/how-to/behind-a-proxy.md)."""
    trusted_downstream: Sequence[str] = field(default=())
    """Addresses of further proxies in X-Forwarded-For."""
    log: Literal["text", "json"] = "text"
    """Each line as "text", or "json": one JSON object on each line (needs python-json-logger, which `make run`
    installs)."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """One of "debug", "info", "warning" and "error": lines of a lower level are left out."""
    metrics_port: int | None = None
    """A port for operators, of this machine only: /metrics, /healthz/live, /healthz/ready (docs/monitoring.md);
    needs prometheus-client, which `make run` installs. Not set: none."""

    def __post_init__(self) -> None:
        numbers = [("port", self.port, 0, 65_535), ("workers", self.workers, 1, 1_024)]
        if self.metrics_port is not None:
            numbers.append(("metricsPort", self.metrics_port, 0, 65_535))
            if find_spec("prometheus_client") is None:  # not imported: serving/health.py says first where it counts
                raise OptionsError("metricsPort: needs a package: pip install prometheus-client")
        for name, value, least, most in numbers:
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise wrong(name, f"a whole number from {least} to {most}", value)
        if not isinstance(self.address, str) or self.path == "" or "\0" in self.address:
            expected = 'an IP address, a host name, "unix:/path" or "" for every interface'
            raise wrong("address", expected, self.address)
        if not is_lifetime(self.drain) or self.drain < 0:
            raise wrong("drain", "a number of milliseconds, 0 or more", self.drain)
        if not isinstance(self.xheaders, bool):
            raise wrong("xheaders", "true or false", self.xheaders)
        trusted = self.trusted_downstream
        if not isinstance(trusted, list | tuple) or not all(isinstance(each, str) for each in trusted):
            raise wrong("trustedDownstream", "a list of IP addresses", trusted)
        log.formatter(self.log)
        if self.log_level not in log.LEVELS:
            raise wrong("logLevel", '"debug", "info", "warning" or "error"', self.log_level)

    @property
    def path(self) -> str | None:
        """The path of the Unix socket to listen at; None for a port."""
        scheme, colon, path = self.address.partition(":")
        return path if colon and scheme == "unix" else None

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the server. A Unix socket is there for a proxy, so that is not known."""
        try:
            return ipaddress.ip_address(self.address).is_loopback
        except ValueError:
            return self.address == "localhost"


@dataclass(frozen=True, kw_only=True)
class Config(SessionConfig):
    """All of config.toml, checked."""

    server: ServerOptions

    @property
    def tables(self) -> dict[str, Any]:
        """The options of each table, by its name."""
        return {"server": self.server, **super().tables}


def read_config(path: Path, *, port: int | None = None, make_secret: bool = True, starts_log: bool = False) -> Config:
    """Read and check the configuration; `port` counts instead of the file's. Raises OptionsError, naming what is wrong.

    If no secret is given, one is made and kept, unless `make_secret` is False. `starts_log` starts the log as the file
    says, before the tables are read that may bring warnings.
    """
    file = ConfigFile(path, others=("server",))
    options = file.table("server", ServerOptions)
    if port is not None and options.path is not None:
        raise OptionsError(f"--port: [server] address is a Unix socket, {options.address}, which has no port")
    try:
        options = options if port is None else replace(options, port=port)
    except OptionsError as error:
        raise OptionsError(f"--{error}") from error
    if starts_log:
        log.start(options.log, options.log_level)
    if options.workers > 1 and file.scheme == "memory":
        raise OptionsError(f"{path}: [server] workers: memory: is one process's own, it cannot be shared by several")
    exposed = options.xheaders or not options.is_local
    config = Config(server=options, **vars(file.config(exposed=exposed, make_secret=make_secret)))
    if options.path is not None and not options.xheaders:
        logger.warning(
            "[server] xheaders = false: over a Unix socket no visitor has an address, and none has TLS."
            " Let the proxy set X-Real-IP and X-Forwarded-Proto, and set xheaders = true"
        )
    return config


def is_secure(cookie: object) -> bool:
    """Return True if browsers send the cookie over TLS only."""
    return isinstance(cookie, CookieOptions) and cookie.secure is True
