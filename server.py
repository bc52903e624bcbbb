"""The reference server, and its composition root: reads config.toml, listens, serves, drains, stops.

It owns the processes and their signals. `serving/` owns the table [server], `sessions/` what a session is and the rest
of the file, `handlers/` what is answered and logged.
"""

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from handlers import NotFound, log, routes
from serving.health import Health
from serving.listening import listening
from serving.options import Config, ServerOptions, is_secure, read_config
from sessions import OptionsError, SessionError, SessionManager, Sweeper
from sessions.config import effective_options
from sessions.late_store import opened
from sessions.store import prepared
from sessions.web.draining import DrainingServer
from sessions.web.workers import STOPPING, fork_workers, hold_signals

HERE = Path(__file__).parent
BODY_LIMIT = 10 * 1024 * 1024
"""Bytes of a body beyond which the connection is refused; of JSON far less is read (handlers/base.py)."""
IDLE_SECONDS = 75
"""Until a connection is closed on which no whole head has come: longer than nginx keeps its own idle, 60 s."""
BODY_SECONDS = 300
"""Until a connection is closed on which no whole body has come: Node's `requestTimeout`."""


def make_app(manager: SessionManager, *, xheaders: bool = False) -> log.LoggingApplication:
    """The application: its routes, its sessions, XSRF protection for its forms. `xheaders`: as [server] has it."""
    secure = is_secure(manager.options.cookie)
    return log.LoggingApplication(
        routes,
        sessions=manager,
        xheaders=xheaders,
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


async def serve(config: Config, sockets: Sequence[socket.socket], health: Health, parent: int | None = None) -> None:
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
    observer = health.observers()
    async with opening as store, Sweeper(store, **vars(config.sweeper), observer=observer):
        manager = SessionManager(store, config.session, observer=observer)

        loop.add_signal_handler(signal.SIGHUP, lambda: manager.use_secrets(config.with_new_secrets().session.keys))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
        app = make_app(manager, xheaders=config.server.xheaders)
        server = make_server(app, config.server)
        server.add_sockets(sockets)
        async with health.serving(manager, app):
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
    with (
        listening(options.address, options.port, options.path) as (sockets, text),
        Health(options.metrics_port, options.workers) as health,
    ):
        preparation = prepared(config.open_store())
        if preparation is not None:
            preparation.prepare()
        hold_signals()
        _say(text)
        _run_processes(config, sockets, health)


def _run_processes(config: Config, sockets: Sequence[socket.socket], health: Health) -> None:
    parent = None
    if config.server.workers > 1:

        def reload() -> bool:
            nonlocal config  # a worker that starts later has the new secrets
            before, config = config, config.with_new_secrets()
            return config is not before

        def stop() -> None:
            for each in sockets:  # or clients would still connect, to a server that is leaving
                each.close()

        parent = fork_workers(config.server.workers, reload=reload, stop=stop, ended=health.ended)
        if parent is None:
            return
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve(config, sockets, health, parent))


def _loop_factory() -> Any:
    """Uvloop's event loop where it is installed (the extra `speed`)."""
    try:
        import uvloop  # noqa: PLC0415 # optional
    except ImportError:
        return None
    return uvloop.new_event_loop


def _say(text: str) -> None:
    """Print for a person, who may have seen enough: `| head` closes the pipe."""
    try:
        print(text, flush=True)  # noqa: T201 # for a person
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more when it exits


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
        said = [f"# {option} is set: a Node server cannot share this store" for option in config.session.without_node]
        _say("\n".join((effective_options(config.tables), *said)))
        return 0
    try:
        run(config)
    except (OSError, SessionError) as error:
        print(f"cannot start: {error}", file=sys.stderr)  # noqa: T201 # for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
