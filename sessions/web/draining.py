"""Owns the end of serving: an HTTP server that stops without cutting off a request. It must not know what is served."""

import asyncio
import contextlib
import logging
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine

log = logging.getLogger("server")

LINGER = 0.2
"""Seconds without a request after which the connections that are kept alive are idle, and are closed at the end."""


class DrainingServer(HTTPServer):
    """An HTTP server that can be stopped without cutting off a request. It counts the connections that have one."""

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """What Tornado calls instead of __init__."""
        super().initialize(*args, **kwargs)
        self._busy: set[object] = set()

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Called when a connection begins to wait for a request: the one before is answered."""
        self._busy.discard(server_conn)
        return _Noticing(super().start_request(server_conn, request_conn), self._busy, server_conn)

    def on_close(self, server_conn: object) -> None:
        """Called when a connection has been closed."""
        self._busy.discard(server_conn)
        super().on_close(server_conn)

    async def drain(self, seconds: float) -> None:
        """Take no new connection, answer what was asked and what is asked until nobody asks any more; then close.

        A connection whose request comes during the drain is told, and closed with the answer.
        """
        self._accept_waiting()
        self.stop()
        self.conn_params.no_keep_alive = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        idle_since = loop.time()
        while loop.time() < min(end, idle_since + LINGER):
            await asyncio.sleep(0.01)
            if self._busy:
                idle_since = loop.time()
        if self._busy:
            log.warning("%d requests were not answered within the %g s of drain", len(self._busy), seconds)
        await self.close_all_connections()

    def _accept_waiting(self) -> None:
        """Take the connections that the kernel has taken already: to close the socket would cut them."""
        for listening in self._sockets.values():
            with contextlib.suppress(OSError):  # none waits any more
                while True:
                    self._handle_connection(*listening.accept())


class _Noticing(HTTPMessageDelegate):
    """Passes a request on, and notes on which connection it came."""

    def __init__(self, delegate: HTTPMessageDelegate, busy: set[object], server_conn: object) -> None:
        self._delegate, self._busy, self._server_conn = delegate, busy, server_conn

    def headers_received(self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders) -> Any:
        self._busy.add(self._server_conn)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Any:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._busy.discard(self._server_conn)
        self._delegate.on_connection_close()
