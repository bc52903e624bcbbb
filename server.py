"""The reference server, and its composition root: reads config.toml, listens, serves, drains, stops.

It owns what only a server knows: the table [server], the sockets and the signals. `sessions/` owns what a session is
and the rest of the file, `handlers/` what is answered and logged.
"""

import argparse
import asyncio
import ipaddress
import logging
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from tornado.netutil import bind_sockets

from handlers import NotFound, log, routes
from sessions import CookieOptions, OptionsError, SessionError, SessionManager, Sweeper
from sessions.config import Config as SessionConfig
from sessions.config import ConfigFile, effective_options
from sessions.late_store import opened
from sessions.store import prepared
from sessions.validation import is_lifetime, wrong
from sessions.web.draining import DrainingServer
from sessions.web.workers import STOPPING, fork_workers, hold_signals

logger = logging.getLogger("sessions")

HERE = Path(__file__).parent
BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a body beyond which the connection is refused; of JSON far less is read (handlers/base.py)."""
IDLE_SECONDS = 75
"""Until a connection is closed on which no whole head has come: longer than nginx keeps its own idle, 60 s."""
BODY_SECONDS = 300
"""Until a connection is closed on which no whole body has come: Node's `requestTimeout`."""


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The table [server]."""

    port: int = 3000
    address: str = "127.0.0.1"
    workers: int = 1
    drain: float = 10_000
    xheaders: bool = False
    trusted_downstream: Sequence[str] = field(default=())
    log: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    def __post_init__(self) -> None:
        for name, value, least, most in (("port", self.port, 0, 65_535), ("workers", self.workers, 1, 1_024)):
            if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
                raise wrong(name, f"a whole number from {least} to {most}", value)
        if not isinstance(self.address, str):
            raise wrong("address", 'an IP address or a host name; "" for every interface', self.address)
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
    def is_local(self) -> bool:
        """Whether only this machine reaches the server."""
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
    if _is_secure(config.session.cookie) and not config.session.proxy and not options.xheaders:
        logger.warning(
            "[session] cookie.secure = true: no browser gets the cookie, because this server speaks plain HTTP."
            " Let a proxy end TLS, and set proxy = true"
        )
    return config


def _is_secure(cookie: object) -> bool:
    return isinstance(cookie, CookieOptions) and cookie.secure is True


def make_app(manager: SessionManager) -> log.LoggingApplication:
    """The application: its routes, its sessions, XSRF protection for its forms."""
    secure = _is_secure(manager.options.cookie)
    return log.LoggingApplication(
        routes,
        sessions=manager,
        default_handler_class=NotFound,
        template_path=str(HERE / "handlers" / "templates"),
        xsrf_cookies=True,
        cross_origin_protection=True,  # Sec-Fetch-Site and Origin, from Tornado 6.6 on
        xsrf_cookie_name="__Host-xsrf" if secure else "_xsrf",
        # Tornado keeps the token of a user for 30 days; the session knows it, and the next page brings it again
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Lax", "secure": secure, "expires_days": None},
    )


def make_server(app: log.LoggingApplication, options: ServerOptions) -> DrainingServer:
    """The HTTP server, with its limits."""
    return DrainingServer(
        app,
        xheaders=options.xheaders,
        trusted_downstream=list(options.trusted_downstream),
        max_body_size=BODY_LIMIT,
        idle_connection_timeout=IDLE_SECONDS,
        body_timeout=BODY_SECONDS,
    )


async def serve(config: Config, sockets: Sequence[socket.socket], parent: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until the pipe `parent` is closed; then drain. SIGHUP reads the secrets again.

    A worker, which has a parent, serves without its store until that can be opened.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOPPING:
        loop.add_signal_handler(number, stopping.set)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    if parent is not None:
        loop.add_reader(parent, stopping.set)
    opening = config.open_store() if parent is None else opened(config.open_store())
    async with opening as store, Sweeper(store, **vars(config.sweeper)):
        manager = SessionManager(store, config.session)

        loop.add_signal_handler(signal.SIGHUP, lambda: manager.use_secrets(config.with_new_secrets().session.keys))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        app = make_app(manager)
        server = make_server(app, config.server)
        server.add_sockets(sockets)
        await stopping.wait()
        if parent is not None:
            loop.remove_reader(parent)
        else:  # a worker is ended by its parent
            for number in STOPPING:
                loop.add_signal_handler(number, server.cut)  # the second time: at once
        app.settings["draining"] = True
        await server.drain(config.server.drain / 1000)
        await manager.close()


def run(config: Config) -> None:
    """Listen and serve, in as many processes as are configured."""
    options = config.server
    try:
        sockets = bind_sockets(options.port, options.address or None)
    except OSError as error:
        raise OSError(f"port {options.port} on {options.address or 'every interface'}: {error.strerror}") from error
    preparation = prepared(config.open_store())
    if preparation is not None:
        preparation.prepare()
    hold_signals()
    port = sockets[0].getsockname()[1]
    host = f"[{options.address}]" if ":" in options.address else options.address or "localhost"
    print(f"Server listening on port {port}\nhttp://{host}:{port}/", flush=True)  # noqa: T201 # for a person
    parent = None
    if options.workers > 1:

        def reload() -> bool:
            nonlocal config  # a worker that starts later has the new secrets
            before, config = config, config.with_new_secrets()
            return config is not before

        def stop() -> None:
            for each in sockets:  # or clients would still connect, to a server that is leaving
                each.close()

        parent = fork_workers(options.workers, reload=reload, stop=stop)
        if parent is None:
            return
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(config, sockets, parent))


def _loop_factory() -> Any:
    """Uvloop's event loop where it is installed (the extra `speed`)."""
    try:
        import uvloop  # noqa: PLC0415 # optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line. Returns the exit status: 0, 1 for a failure at start, 2 for a bad configuration."""
    parser = argparse.ArgumentParser(description="The reference server of sessions for Tornado.")
    parser.add_argument("--config", type=Path, default=HERE / "config.toml", metavar="FILE")
    parser.add_argument("--port", type=int, metavar="N", help="instead of the file's")
    parser.add_argument("--check", action="store_true", help="read and check the configuration, print it, and exit")
    given = parser.parse_args(arguments)
    try:
        config = read_config(given.config, port=given.port, make_secret=not given.check, starts_log=True)
    except OptionsError as error:
        print(error, file=sys.stderr)  # noqa: T201 # for a person
        return 2
    if given.check:
        print(effective_options(config.tables))  # noqa: T201 # for a person
        for option in config.session.without_node:
            print(f"# {option} is set: a Node server cannot share this store")  # noqa: T201 # for a person
        return 0
    try:
        run(config)
    except (OSError, SessionError) as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 # for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
