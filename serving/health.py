"""Owns what the server tells its operators, on a port of their own of this machine: /healthz and /metrics.

    with Health(9090, workers=2) as health:         # before the fork: it listens
        async with health.serving(manager, app):    # in each process that serves: whichever accepts answers
            ...
        health.ended(pid)                           # in the parent, when a worker has ended

Several workers count in files of one folder, so that each can answer for all: prometheus-client's multiprocess mode.
"""

import contextlib
import logging
import os
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Self

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from sessions import SessionManager
from sessions.observe import Observer

log: logging.Logger = logging.getLogger("sessions")

HOST = "127.0.0.1"
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""The environment variable of prometheus-client, which looks at it when it is imported."""

COUNTS = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_\d+\.db")
"""The names of its files. It reads everything in the folder that ends in .db."""

BODY_LIMIT = 65_536
"""Bytes of a body that is read, for nothing: no request here needs one."""

IDLE_SECONDS = 75
"""Until a connection is closed on which no request comes: longer than the pauses of a probe or of Prometheus."""


class Health:
    """The operators' port of one server; with `port` None there is none, and nothing is observed.

    Raises OSError if it cannot listen, or has no folder for the counts of several workers.
    """

    def __init__(self, port: int | None, workers: int) -> None:
        self.sockets = [] if port is None else _bound(port)
        self._owner = os.getpid()
        self._folder: Path | None = None
        self._is_mine = False  # a folder of this server's own making, which is removed at its end
        if self.sockets and (workers > 1 or FOLDER in os.environ):
            try:
                self._folder = self._clean_folder()
            except OSError:
                self._close()
                raise
        if self.sockets:
            log.info("metrics and health: http://%s:%d/metrics, /healthz", HOST, self.sockets[0].getsockname()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Listen no longer, and remove the folder; a worker leaves what its parent has made."""
        if os.getpid() != self._owner:
            return
        self._close()
        if self._folder is not None and self._is_mine:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _close(self) -> None:
        for each in self.sockets:
            each.close()

    def observers(self) -> Sequence[Observer]:
        """Return what observes the sessions of this process. Called in the process that serves."""
        if not self.sockets:
            return ()
        from sessions.observe import PrometheusObserver  # noqa: PLC0415 # it imports an optional package

        return (PrometheusObserver(),)

    @contextlib.asynccontextmanager
    async def serving(self, manager: SessionManager, app: Application) -> AsyncIterator[None]:
        """Answer for as long as the context lasts; `app` is what is served to everybody else."""
        health = HTTPServer(
            _application(manager, app, shared=self._folder is not None),
            max_body_size=BODY_LIMIT,
            idle_connection_timeout=IDLE_SECONDS,
            body_timeout=IDLE_SECONDS,
        )
        health.add_sockets(self.sockets)
        try:
            yield
        finally:
            health.stop()
            await health.close_all_connections()

    def ended(self, pid: int) -> None:
        """Forget the gauges of a worker that has ended; what it has counted stays."""
        if self._folder is not None:
            from prometheus_client.multiprocess import mark_process_dead  # noqa: PLC0415 # optional

            with contextlib.suppress(OSError):
                mark_process_dead(pid, str(self._folder))  # type: ignore[no-untyped-call] # of the package

    def _clean_folder(self) -> Path:
        """Return the folder, without what another run has left there."""
        if not os.environ.get(FOLDER):  # the library would take an empty one for this process's own folder
            os.environ[FOLDER] = tempfile.mkdtemp(prefix="sessions-metrics-")
            self._is_mine = True
        folder = Path(os.environ[FOLDER])
        folder.mkdir(exist_ok=True)
        found = list(folder.glob("*.db"))
        for each in found:
            if not COUNTS.fullmatch(each.name):  # a store's, perhaps
                raise OSError(f"{FOLDER}: {folder} must be a folder for metrics alone, but it holds {each.name}")
        for each in found:
            each.unlink()
        return folder


class Live(RequestHandler):
    """Says that this process answers."""

    def get(self) -> None:
        """Answer 200."""
        self.write("ok\n")

    head = get  # a balancer may ask so


class Ready(RequestHandler):
    """Says whether requests are welcome: not while the store is away, nor while the server drains."""

    def initialize(self, manager: SessionManager, app: Application) -> None:
        """Take what is looked at."""
        self.manager = manager
        self.app = app

    def set_default_headers(self) -> None:
        """Let nobody keep the answer."""
        self.set_header("Cache-Control", "no-store")

    async def get(self) -> None:
        """Answer 200, or 503 with the reason."""
        if self.app.settings.get("draining"):
            self._refuse("the server drains")
        elif not await self.manager.check_store():
            self._refuse("the store is away")
        else:
            self.write("ok\n")

    head = get

    def _refuse(self, why: str) -> None:
        self.set_status(503)
        self.write(f"{why}\n")


class Metrics(RequestHandler):
    """Gives Prometheus what was counted, by all workers."""

    def initialize(self, manager: SessionManager, *, shared: bool) -> None:
        """Take what is counted."""
        self.manager = manager
        self.shared = shared

    async def get(self) -> None:
        """Answer in the format that is asked for."""
        from prometheus_client import REGISTRY, CollectorRegistry, multiprocess  # noqa: PLC0415 # optional
        from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 # optional

        await self.manager.check_store()  # or the metric of a server that nobody visits would be old
        registry = CollectorRegistry() if self.shared else REGISTRY
        if self.shared:
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # of the package
        try:
            encode, content_type = choose_encoder(self.request.headers.get("Accept", ""))
        except (TypeError, ValueError):  # the library cannot read every header
            encode, content_type = choose_encoder("")
        self.set_header("Content-Type", content_type)
        self.write(encode(registry))


def _application(manager: SessionManager, app: Application, *, shared: bool) -> Application:
    ready = {"manager": manager, "app": app}
    routes: list[Any] = [
        (r"/healthz/live", Live),
        (r"/healthz(?:/ready)?", Ready, ready),
        (r"/metrics", Metrics, {"manager": manager, "shared": shared}),
    ]
    return Application(routes, log_function=lambda _handler: None)  # a probe each second is no news


def _bound(port: int) -> list[Any]:
    try:
        return bind_sockets(port, HOST)
    except OSError as error:
        raise OSError(f"metricsPort: port {port} on {HOST}: {error.strerror}") from error
