"""Owns the fixture that serves the application of server.py, made from a config.toml."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from clock import MovableClock
from stage import SECRET, Serve, Site
from tornado.ioloop import IOLoop
from tornado.netutil import bind_sockets

from server import BODY_LIMIT, make_app
from serving.options import read_config
from sessions import MemoryStore, SessionManager
from sessions.web.draining import DrainingServer


@pytest.fixture
def serve(io_loop: IOLoop, tmp_path: Path, clock: MovableClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """A function that serves the application of a configuration, the text of its file."""
    monkeypatch.setenv("SESSION_SECRET", SECRET)
    sites: list[Site] = []

    async def serve(text: str = "") -> Site:
        (tmp_path / "config.toml").write_text(text)
        config = read_config(tmp_path / "config.toml")
        store = await MemoryStore(clock=clock).__aenter__()
        app = make_app(SessionManager(store, config.session, clock=clock))
        server = DrainingServer(app, xheaders=config.server.xheaders, max_body_size=BODY_LIMIT)
        sockets = bind_sockets(0, "127.0.0.1")
        server.add_sockets(sockets)
        sites.append(Site(sockets[0].getsockname()[1], store, clock, server, app))
        return sites[-1]

    async def close(site: Site) -> None:
        site.server.stop()
        await site.server.close_all_connections()
        await site.store.__aexit__(None, None, None)

    yield serve
    for site in sites:
        io_loop.run_sync(partial(close, site))
