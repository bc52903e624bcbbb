"""Owns the commit of a WebSocket handshake: after its checks (Origin, version), before its answer.

The handshake calls `finish()` and takes the socket in the next statement, so its answer cannot wait in `finish()`.
After it no cookie can be sent, and a handler stores by `await self.session.save()`, which starts the lifetime again.
"""

from typing import Any

from tornado.web import RequestHandler

from . import sockets
from .ending import SocketEnding
from .handler import Handler
from .request import RequestSession

HEADERS = ("Host", "Sec-Websocket-Key", "Sec-Websocket-Version")
"""The headers without which Tornado refuses a WebSocket handshake."""


def commit_first(session: RequestSession, handler: Handler, protocol: Any) -> None:
    """Let a WebSocket protocol commit the session before it accepts. A handshake that is refused commits nothing."""
    accept = protocol.accept_connection

    async def accept_connection(accepted: RequestHandler) -> None:
        if all(accepted.request.headers.get(name) for name in HEADERS):  # or Tornado is about to refuse it
            session.keep_value()
            commit = session.commit(handler, handler.get_status())
            if commit is not None:
                await session.or_abandon(commit)
            session.opened()
        sockets.opened(accepted.application, protocol)
        ending = session.ending = SocketEnding(accepted, session, protocol)
        ending.watch()
        try:
            await accept(accepted)  # until the socket is closed
        finally:
            session.ending = None
            ending.closed()
            sockets.closed(accepted.application, protocol)

    protocol.accept_connection = accept_connection
