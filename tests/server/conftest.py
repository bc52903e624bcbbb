"""Owns the fixture of the server's tests: servers that are ended with the test."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from processes import Server
from tornado.ioloop import IOLoop


@pytest.fixture
def start(io_loop: IOLoop, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """`start(config, *arguments, ...)` → a server at work in the test's folder."""
    with ExitStack() as stack:

        def start(config: str = "", *arguments: object, **further: Any) -> Server:
            server = stack.enter_context(Server(tmp_path, config, *arguments, **further))
            stack.callback(io_loop.run_sync, server.hang_up)
            return server

        yield start
