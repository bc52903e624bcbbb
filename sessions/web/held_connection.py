"""Owns the connection that takes the place of another while a stream's first commit is on its way.

It keeps the head and the pieces of the body that are written meanwhile.
"""

import asyncio
from typing import Any

from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine


class HeldConnection(HTTPConnection):
    """A connection that writes nothing until it is released."""

    headers: HTTPHeaders
    _start_line: RequestStartLine | ResponseStartLine

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        loop = asyncio.get_running_loop()
        self.released: asyncio.Future[None] = loop.create_future()
        """Resolves when the hold is over and more may be written to the connection itself."""
        self.sent: asyncio.Future[None] = loop.create_future()
        """Resolves when what was kept has been written, for flow control."""
        self._chunks: list[bytes] = []

    def write_headers(
        self,
        start_line: RequestStartLine | ResponseStartLine,
        headers: HTTPHeaders,
        chunk: bytes | None = None,
    ) -> "asyncio.Future[None]":
        """Keep the head as it is now."""
        self._start_line = start_line
        self.headers = headers.copy()
        return self.write(chunk or b"")

    def write(self, chunk: bytes) -> "asyncio.Future[None]":
        """Keep a piece of the body."""
        self._chunks.append(chunk)
        return self.sent

    def release(self) -> None:
        """Write it all, in one piece: a connection remembers, and resolves, the Future of its last write only."""
        try:
            sent = self.connection.write_headers(self._start_line, self.headers, b"".join(self._chunks))
        except Exception as error:  # noqa: BLE001 # it concerns those who await the flush, and the end
            self.refuse(error)
            return
        self.released.set_result(None)
        sent.add_done_callback(lambda done: settle(self.sent, done.exception()))

    def refuse(self, error: Exception) -> None:
        """Forget what was kept."""
        settle(self.released, error)
        settle(self.sent, error)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)


def settle(future: "asyncio.Future[None]", error: BaseException | None) -> None:
    """Resolve a Future that may have been resolved, or cancelled by its only reader, and that need not be awaited."""
    if not future.done():
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
            future.exception()
