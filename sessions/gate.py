"""Owns the hold on a stream's first bytes while its session is being committed. It must not know sessions."""

import asyncio
from typing import Any

from tornado.httputil import HTTPConnection, HTTPHeaders, RequestStartLine, ResponseStartLine


class Gate(HTTPConnection):
    """Stands in for the connection while a stream's first commit is on its way, and keeps what is written."""

    headers: HTTPHeaders
    _start_line: RequestStartLine | ResponseStartLine

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
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
        return self.opened

    async def release(self) -> None:
        """Write it all, in one piece: a connection remembers the Future of its last write only."""
        sent = self.connection.write_headers(self._start_line, self.headers, b"".join(self._chunks))
        self.opened.set_result(None)
        await sent

    def refuse(self, error: Exception) -> None:
        """Forget what was written."""
        self.opened.set_exception(error)
        self.opened.exception()  # not every flush is awaited

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connection, name)
