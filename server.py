"""The reference server, and its composition root: reads config.toml, opens the store, listens, drains, stops.

It owns what only a deployment knows: the file, the secret, the sockets and the processes. What a session is stands in
`sessions/`, what is answered in `handlers/`.
"""

import argparse
import asyncio
import contextlib
import ipaddress
import json
import logging
import os
import re
import secrets
import signal
import socket
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, is_dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

from tornado.log import enable_pretty_logging
from tornado.netutil import bind_sockets
from tornado.process import fork_processes
from tornado.web import Application

from handlers import NotFound, routes
from handlers.draining import DrainingServer
from sessions import (
    ABSENT,
    CookieOptions,
    OptionsError,
    SessionError,
    SessionManager,
    SessionOptions,
    Store,
    Sweeper,
    open_store,
)
from sessions.options import express_names, is_lifetime, read_table, wrong
from sessions.store import PreparedStore
from sessions.stores.tables import STORE_TABLES, MemoryOptions, PostgresOptions, RedisOptions, SQLiteOptions

log = logging.getLogger("server")

HERE = Path(__file__).parent
SECRET_VARIABLE = "SESSION_SECRET"  # noqa: S105 # a variable's name
EXAMPLE_SECRET = "your-secret-key"  # noqa: S105 # the one that every tutorial shows
SECRET_BYTES = 32
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
class SweeperOptions:
    """The table [sweeper]."""

    interval: float = 60_000
    batch: int = 200
    pause: float = 10
    jitter: float = 0.1


@dataclass(frozen=True, kw_only=True)
class Config:
    """All of config.toml, checked."""

    server: ServerOptions
    session: SessionOptions
    sqlite: SQLiteOptions
    postgres: PostgresOptions
    memory: MemoryOptions
    redis: RedisOptions
    sweeper: SweeperOptions

    def open_store(self) -> Store:
        """The store that is configured, not yet open."""
        own = STORE_TABLES.get(self.scheme)
        return open_store(self.session.store, **({} if own is None else vars(getattr(self, own))))

    @property
    def scheme(self) -> str:
        """Which store it is."""
        return self.session.store.partition(":")[0]


# -------------------------------------------------------------------- the file


def read_config(path: Path, *, port: int | None = None, make_secret: bool = True) -> Config:
    """Read and check the configuration. Raises OptionsError, naming the file, the table and the option.

    Where no secret is given, one is made and kept unless `make_secret` is False.
    """
    tables = _read_tables(path)

    def table(name: str, kind: Any) -> Any:
        try:
            values = tables.get(name, {})
            return SessionOptions.from_mapping(values) if kind is SessionOptions else kind(**read_table(kind, values))
        except OptionsError as error:
            raise OptionsError(f"{path}: [{name}] {error}") from error

    given = tables.get("session", {})
    chosen = os.environ.get(SECRET_VARIABLE) or given.get("secret")
    # The file of a kept secret is made last, when everything else is known to be right.
    tables["session"] = {**given, "secret": secrets.token_urlsafe(SECRET_BYTES) if chosen is None else chosen}
    config = Config(**{name: table(name, kind) for name, kind in get_type_hints(Config).items()})
    try:
        if port is not None:
            config = replace(config, server=replace(config.server, port=port))
    except OptionsError as error:
        raise OptionsError(f"--{error}") from error
    _check_store(config, path)
    if config.session.store.startswith("memory:") and config.server.workers > 1:
        raise OptionsError(f"{path}: [server] workers: memory: is one process's own, it cannot be shared by several")
    file = secret_file(config.session.store)
    try:
        if chosen is None and (make_secret or file.exists()):
            config = replace(config, session=replace(config.session, secret=kept_secret(file)))
    except OptionsError as error:
        raise OptionsError(f"{path}: [session] {error}") from error
    except OSError as error:  # a name that is too long
        raise OptionsError(f"{path}: [session] store: {error.strerror}") from error
    _check_secrets(config, path)
    return config


def _check_store(config: Config, path: Path) -> None:
    try:
        store = config.open_store()
    except OptionsError as error:
        where = "session" if str(error).startswith("store") else STORE_TABLES[config.scheme]
        raise OptionsError(f"{path}: [{where}] {error}") from error
    try:
        Sweeper(store, **vars(config.sweeper))
    except OptionsError as error:
        raise OptionsError(f"{path}: [sweeper] {error}") from error


def _read_tables(path: Path) -> dict[str, dict[str, Any]]:
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # also a number of thousands of digits, a nest of brackets
        raise OptionsError(f"{path}: {error}") from error
    for name, content in tables.items():
        if name not in Config.__dataclass_fields__:
            raise OptionsError(f"{path}: [{name}]: no such table; known are {', '.join(Config.__dataclass_fields__)}")
        if not isinstance(content, dict):
            raise OptionsError(f"{path}: {name}: expected a table [{name}]")
    return tables


def secret_file(store: str) -> Path:
    """Where a secret that nobody has chosen is kept: beside the store, or in the working folder."""
    scheme, _, rest = store.partition(":")
    return Path(f"{rest.removeprefix('//')}.secret") if scheme == "sqlite" and rest else Path(".session-secret")


def kept_secret(file: Path) -> str:
    """The secret in a file, which is made, with mode 0600, where there is none. Raises OptionsError."""
    try:
        if not file.exists():
            with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=file.name, encoding="ascii") as made:
                made.write(f"{secrets.token_urlsafe(SECRET_BYTES)}\n")
                made.flush()
                with contextlib.suppress(FileExistsError):
                    os.link(made.name, file)  # whole or not at all, and the first of several servers wins
        secret = file.read_text(encoding="ascii").strip()
    except (FileNotFoundError, NotADirectoryError):  # is_dir() knows no other reason either, from Python 3.14 on
        raise OptionsError(f"store: the folder {file.parent} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise OptionsError(f"secret: none is given, and {file} cannot be made or read: {error}") from error
    if not secret:
        raise OptionsError(f"secret: {file} is empty; delete it and a new one will be made")
    return secret


def _check_secrets(config: Config, path: Path) -> None:
    for secret in config.session.keys:
        if secret == EXAMPLE_SECRET.encode():
            weakness = f"{EXAMPLE_SECRET!r} stands in every tutorial"
        elif len(secret) < SECRET_BYTES:
            weakness = f"it has {len(secret)} bytes, {SECRET_BYTES} are wanted"
        else:
            continue
        message = f"[session] secret: whoever guesses it can sign in as anybody, and {weakness}"
        if not config.server.is_local or config.session.proxy or config.server.xheaders:
            raise OptionsError(f"{path}: {message}")
        log.warning("%s. It is accepted on a loopback address only", message)


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
    store = config.open_store()
    if isinstance(store, PreparedStore):
        store.prepare()
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


def effective_options(config: Config) -> str:
    """Every option with the value that counts, secrets masked."""
    lines: list[str] = []
    for name, table in vars(config).items():
        lines += _shown(name, table)
    return "\n".join(lines)


def _shown(name: str, table: Any) -> list[str]:
    values = {shown: getattr(table, field) for shown, field in express_names(type(table)).items()}
    inner = {shown: value for shown, value in values.items() if is_dataclass(value)}
    lines = [f"[{name}]"]
    for shown, value in values.items():
        if shown not in inner:
            lines.append(f"{shown} = {'********' if shown == 'secret' else _toml(value)}")
    for shown, value in inner.items():
        lines += _shown(f"{name}.{shown}", value)
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, str):
        value = re.sub(r"(?<=://).*@", "********@", value)  # a store's user and password
        value = re.sub(r"(?<=password=)[^&]*", "********", value)
    return "(not set)" if value is None or value is ABSENT else json.dumps(value, default=str)


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
        print(effective_options(config))  # noqa: T201 # for a person
        return 0
    try:
        run(config)
    except (OSError, SessionError) as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 # for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
