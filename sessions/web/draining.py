"""Owns `DrainingServer`: an HTTP server for any Tornado application that can stop without cutting off a request.

    server = DrainingServer(application)            # where `tornado.httpserver.HTTPServer` would be
    server.add_sockets(sockets)
    ...
    await server.drain(10)                          # then leave `async with store`

It closes nothing but connections: the store is open until the last answer has left. It must not know what is served.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Iterable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine

from . import sockets
from .accepting import PausingAcceptor

log: logging.Logger = logging.getLogger("sessions")

IDLE_SECONDS = 0.2
"""How long no request must come until the connections that are kept alive count as idle, and are closed."""

POLL_SECONDS = 0.01
"""How often the drain looks whether requests are in flight."""


class DrainingServer(HTTPServer):
    """An HTTP server that can be stopped without cutting off a request. It takes the arguments of Tornado's HTTPServer.

    A connection is busy from the head of a request until its answer has left.
    """

    _busy: set[object]
    _is_cut: bool

    def initialize(self, *args: Any, **kwargs: Any) -> None:
        """Set the server up. Tornado calls this instead of `__init__`, with the same arguments."""
        super().initialize(*args, **kwargs)
        self._busy = set()
        self._is_cut = False

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Begin to wait for a request on a connection: the one before is answered. Tornado calls this."""
        self._busy.discard(server_conn)
        return _BusyMark(super().start_request(server_conn, request_conn), self._busy, server_conn)

    def on_close(self, server_conn: object) -> None:
        """Note that a connection is closed. Tornado calls this."""
        self._busy.discard(server_conn)
        super().on_close(server_conn)

    def add_sockets(self, listening: Iterable[socket.socket]) -> None:
        """Begin to take connections on these sockets, with pauses while there are no descriptors left."""
        for each in listening:
            self._sockets[each.fileno()] = each
            self._handlers[each.fileno()] = PausingAcceptor(each, self._handle_connection).stop

    async def drain(self, seconds: float) -> None:
        """Stop: take no new connection, answer every request, and close the connections.

        Requests that come on an open connection meanwhile are answered too, and their answers say `Connection: close`.
        WebSockets of handlers with the SessionMixin are closed with 1001; what their handlers save then is stored.
        Returns when no request has come for 0.2 s, or after `seconds`, when the requests in flight are cut off and
        their number is logged.
        """
        self._accept_waiting()
        self.stop()
        self.conn_params.no_keep_alive = True
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        idle_since = loop.time()
        while sockets.close_all(self.request_callback) or loop.time() < idle_since + IDLE_SECONDS:
            if self._is_cut or loop.time() >= end:
                break
            await asyncio.sleep(POLL_SECONDS)
            if self._busy:
                idle_since = loop.time()
        if self._busy:
            log.warning("%d requests were not answered within the %g s of drain", len(self._busy), seconds)
        await self.close_all_connections()
        for _ in range(int(IDLE_SECONDS / POLL_SECONDS)):  # until each on_close() has run: it may save
            if not sockets.cut_all(self.request_callback):
                break
            await asyncio.sleep(POLL_SECONDS)

    def cut(self) -> None:
        """End the drain that is under way at once."""
        self._is_cut = True

    def _accept_waiting(self) -> None:
        """Take the connections that the kernel has accepted: if their socket were closed now, they would be reset."""
        for listening in self._sockets.values():
            with contextlib.suppress(OSError):  # none waits any more
                while True:
                    with contextlib.suppress(ConnectionAbortedError):  # one client has left the queue
                        self._handle_connection(*listening.accept())


class _BusyMark(HTTPMessageDelegate):
    """Passes a request on, and marks its connection as busy when the head has come."""

    def __init__(self, delegate: HTTPMessageDelegate, busy: set[object], server_conn: object) -> None:
        self._delegate, self._busy, self._server_conn = delegate, busy, server_conn

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._busy.add(self._server_conn)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._busy.discard(self._server_conn)
        self._delegate.on_connection_close()
