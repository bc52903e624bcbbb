"""Owns HTTP/1.1 from the client's side, byte by byte: what was on the wire, and whether it ended as it should.

Tornado's own client does not fit: it joins repeated headers, follows its own ideas of a Cookie header, and
turns a connection that was cut in the middle of an answer into an exception without the half that had
arrived.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

TIMEOUT = 20.0
"""Seconds for one whole exchange."""

_NO_BODY = {204, 304}


@dataclass
class Response:
    """One answer. `headers` keeps lower-cased names with every value in order."""

    status: int
    headers: dict[str, list[str]] = field(default_factory=dict)
    body: str = ""
    aborted: bool = False


class Cut(Exception):
    """The connection ended before an answer began."""


class Client:
    """A pool of kept-alive connections to one server."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str | Sequence[str]],
        body: bytes = b"",
        on_head: Callable[[], None] = lambda: None,
    ) -> Response:
        """Send one request. `on_head` is called when the answer's headers are in. Raises Cut, or TimeoutError."""
        head = [f"{method} {path} HTTP/1.1", f"Host: {self._host}:{self._port}"]
        for name, value in headers.items():
            head += [f"{name}: {one}" for one in ([value] if isinstance(value, str) else value)]
        # One character of a header's text is one byte, as in Node.
        wire = "\r\n".join([*head, "", ""]).encode("latin-1") + body
        reader, writer = await self._connection()
        reusable = False
        try:
            async with asyncio.timeout(TIMEOUT):
                writer.write(wire)
                try:
                    response = await _read_head(reader)
                except (asyncio.IncompleteReadError, ConnectionError):
                    raise Cut from None
                on_head()
                complete = await _read_body(reader, method, response)
            response.aborted = not complete
            reusable = complete and "close" not in response.headers.get("connection", [])
        finally:
            if reusable:
                self._idle.append((reader, writer))
            else:
                writer.close()
        return response

    async def close(self) -> None:
        """Close the pooled connections."""
        for _, writer in self._idle:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
        self._idle.clear()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)


async def _read_head(reader: asyncio.StreamReader) -> Response:
    status_line, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
    response = Response(int(status_line.split(" ", 2)[1]))
    for line in lines:
        name, _, value = line.partition(":")
        response.headers.setdefault(name.lower(), []).append(value.strip())
    return response


async def _read_body(reader: asyncio.StreamReader, method: str, response: Response) -> bool:
    """Read the body into the response; False when the connection ended before the body did."""
    chunks: list[bytes] = []
    complete = True
    try:
        if method == "HEAD" or response.status in _NO_BODY:
            pass
        elif "chunked" in response.headers.get("transfer-encoding", []):
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await _read_into(chunks, reader, size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        elif "content-length" in response.headers:
            await _read_into(chunks, reader, int(response.headers["content-length"][0]))
        else:
            chunks.append(await reader.read())
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        complete = False
    response.body = b"".join(chunks).decode("utf-8", "replace")
    return complete


async def _read_into(chunks: list[bytes], reader: asyncio.StreamReader, size: int) -> None:
    try:
        chunks.append(await reader.readexactly(size))
    except asyncio.IncompleteReadError as error:
        chunks.append(error.partial)
        raise
