"""The reference server, and its composition root: reads config.toml, listens, serves, drains, stops.

It owns what only a server knows: the table [server], the sockets and the processes. `sessions/` owns what a session is
and the rest of the file, `handlers/` what is answered.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tornado.log import enable_pretty_logging
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application

from handlers import NotFound, routes
from sessions import CookieOptions, OptionsError, SessionError, SessionManager, Sweeper
from sessions.config import Config as SessionConfig
from sessions.config import ConfigFile, effective_options
from sessions.store import prepared
from sessions.validation import is_lifetime, wrong
from sessions.web.draining import DrainingServer

HERE = Path(__file__).parent
BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a body beyond which the connection is refused; of JSON far less is read (handlers/base.py)."""


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """The table [server]."""

    port: int = 3000
    address: str = "127.0.0.1"
    workers: int = 1
    drain: float = 10_000
    xheaders: bool = False
    trusted_downstream: Sequence[str] = field(default=())

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


def read_config(path: Path, *, port: int | None = None, make_secret: bool = True) -> Config:
    """Read and check the configuration; `port` counts instead of the file's. Raises OptionsError, naming what is wrong.

    If no secret is given, one is made and kept, unless `make_secret` is False.
    """
    file = ConfigFile(path, others=("server",))
    options = file.table("server", ServerOptions)
    try:
        options = options if port is None else replace(options, port=port)
    except OptionsError as error:
        raise OptionsError(f"--{error}") from error
    if options.workers > 1 and file.scheme == "memory":
        raise OptionsError(f"{path}: [server] workers: memory: is one process's own, it cannot be shared by several")
    exposed = options.xheaders or not options.is_local
    return Config(server=options, **vars(file.config(exposed=exposed, make_secret=make_secret)))


# -------------------------------------------------------------------- the server


def make_app(manager: SessionManager) -> Application:
    """The application: its routes, its sessions, XSRF protection for its forms."""
    cookie = manager.options.cookie
    secure = isinstance(cookie, CookieOptions) and cookie.secure is True
    return Application(
        routes,
        sessions=manager,
        default_handler_class=NotFound,
        template_path=str(HERE / "handlers" / "templates"),
        xsrf_cookies=True,
        xsrf_cookie_name="__Host-xsrf" if secure else "_xsrf",
        xsrf_cookie_kwargs={"httponly": True, "samesite": "Lax", "secure": secure},
    )


async def serve(config: Config, sockets: Sequence[socket.socket], parent: int | None = None) -> None:
    """Serve until SIGTERM or SIGINT, or until the pipe `parent` is closed; then drain."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if parent is not None:
        loop.add_reader(parent, stopping.set)
    options = config.server
    async with config.open_store() as store, Sweeper(store, **vars(config.sweeper)):
        app = make_app(SessionManager(store, config.session))
        server = DrainingServer(
            app,
            xheaders=options.xheaders,
            trusted_downstream=list(options.trusted_downstream),
            max_body_size=BODY_LIMIT,
        )
        server.add_sockets(sockets)
        await stopping.wait()
        if parent is not None:
            loop.remove_reader(parent)
        app.settings["draining"] = True
        await server.drain(options.drain / 1000)


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
    port = sockets[0].getsockname()[1]
    host = f"[{options.address}]" if ":" in options.address else options.address or "localhost"
    print(f"Server listening on port {port}\nhttp://{host}:{port}/", flush=True)  # noqa: T201 # for a person
    parent = _fork(options.workers, sockets) if options.workers > 1 else None
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(config, sockets, parent))


def _fork(workers: int, sockets: Sequence[socket.socket]) -> int:
    """Become one of several processes. Returns the pipe that closes when the parent stops, or dies.

    The parent stays in `fork_processes`, restarts a worker that crashed, and exits 0 when all have drained.
    """
    reading, writing = os.pipe()

    def stop(*_: object) -> None:
        with contextlib.suppress(OSError):  # the second signal finds it closed
            os.close(writing)
        for each in sockets:  # or clients would still connect, to a server that is leaving
            each.close()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    fork_processes(workers)
    if sockets[0].fileno() < 0:  # one that crashed while the others drain has no successor
        sys.exit(0)
    with contextlib.suppress(OSError):
        os.close(writing)  # only the parent may hold it open
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    return reading


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
    enable_pretty_logging()
    try:
        config = read_config(given.config, port=given.port, make_secret=not given.check)
    except OptionsError as error:
        print(error, file=sys.stderr)  # noqa: T201 # for a person
        return 2
    if given.check:
        print(effective_options(config.tables))  # noqa: T201 # for a person
        return 0
    try:
        run(config)
    except (OSError, SessionError) as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 # for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
