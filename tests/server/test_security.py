"""What docs/security.md says of the reference server as a whole."""

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from processes import SECONDS, Server

from server import make_app
from sessions import MemoryStore, SessionManager, SessionOptions, now_ms


def test_the_server_has_no_debug_mode() -> None:
    """Neither tracebacks in answers, nor code that is read again while it runs."""
    app = make_app(SessionManager(MemoryStore(), SessionOptions(secret="x" * 32)))

    assert [name for name in ("debug", "serve_traceback", "autoreload") if app.settings.get(name)] == []


async def test_the_server_sweeps(start: Callable[..., Server]) -> None:
    """What has expired is not only left unread: its row leaves the file while the server serves."""
    config = '[session]\nstore = "sqlite:sessions.db"\nsaveUninitialized = false\n[sweeper]\ninterval = 1000\n'
    server = await start(config).serving()
    with closing(sqlite3.connect(server.folder / "sessions.db", isolation_level=None)) as other:
        text = '{"cookie":{"originalMaxAge":null,"expires":null,"path":"/"}}'
        other.execute("INSERT INTO sessions VALUES (?, ?, ?)", ("over", now_ms() - 1_000, text))
        other.execute("INSERT INTO sessions VALUES (?, ?, ?)", ("alive", now_ms() + 600_000, text))
        deadline = asyncio.get_running_loop().time() + SECONDS

        while (left := {sid for (sid,) in other.execute("SELECT sid FROM sessions")} & {"over", "alive"}) != {"alive"}:
            if asyncio.get_running_loop().time() > deadline:
                pytest.fail(f"left after {SECONDS} s: {left}")
            await asyncio.sleep(0.05)
