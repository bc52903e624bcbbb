"""Owns a client's WebSocket in these tests, which run without a loop: what it hears when its session ends."""

import asyncio
from collections.abc import Callable

from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from .client import HOST, SECONDS, Visitor


def end_of_socket(visitor: Visitor, port: int, act: Callable[[], object]) -> tuple[str, int | None, str | None]:
    """Open a socket, say something, then act. Returns the answer, and the close code and the reason that follow."""
    headers = {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies.values())}

    async def talk() -> tuple[str, int | None, str | None]:
        client = await websocket_connect(HTTPRequest(f"ws://{HOST}:{port}/socket", headers=headers))
        await client.write_message("hello")
        answer = await asyncio.wait_for(client.read_message(), SECONDS)
        await asyncio.to_thread(act)
        assert await asyncio.wait_for(client.read_message(), SECONDS) is None
        client.close()
        return str(answer), client.close_code, client.close_reason

    return asyncio.run(talk())
