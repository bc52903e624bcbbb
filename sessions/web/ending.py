"""Owns how a socket or an event stream ends with its session, and how a socket in use keeps its session alive.

A socket is closed with 4401 or 4402, and no further message reaches its handler: Tornado alone goes on for five seconds
with a client that does not answer the close frame. A stream's connection is closed without a last chunk, as if the
client had left: half an answer must not look whole. When that is so is the watch's (sessions/watch.py).
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from tornado.httputil import HTTPHeaders

from ..ends import End
from ..errors import StoreError
from ..state import SessionState
from ..watch import Watched, watch_of
from .request import RequestSession
from .users import forget_user

log: logging.Logger = logging.getLogger("sessions")

Handler: TypeAlias = Any
"""A RequestHandler with the mixin."""

CODES: dict[End, tuple[int, str]] = {
    "ended": (4401, "session ended"),
    "changed": (4402, "session changed, connect again"),
}
"""The close codes, of the range for private use (RFC 6455, section 7.4.2), after HTTP's 401; and their reasons."""

EVENTS = "text/event-stream"
"""The content type of an answer that goes on for as long as its visitor looks (HTML, section 9.2)."""


class _Ending:
    """A socket or a stream, its handler and its session."""

    def __init__(self, handler: Handler, session: RequestSession) -> None:
        self._handler = handler
        self._session = session
        self._watched: Watched | None = None
        self._is_over = handler.end_with_session is False

    def watch(self) -> None:
        """Begin to watch the session, if there is a stored one by now."""
        state = self._session.peek(is_look=False)
        if self._is_over or self._watched is not None or state is None or state.base is None:
            return
        if state.end is None:
            self._watched = watch_of(self._session.manager(self._handler)).add(state, self._end)
        elif state.end == "closed":  # the client came with the id that its session has just left
            state.is_readable = False
            asyncio.get_running_loop().call_soon(self._end, "changed")  # behind the 101

    def close(self) -> None:
        """Watch no longer."""
        self._is_over = True
        if self._watched is not None:
            watch_of(self._session.manager(self._handler)).remove(self._watched)
            self._watched = None

    def _end(self, end: End) -> None:
        if self._is_over:
            return
        self.close()
        forget_user(self._handler)
        try:
            self._cut(end)
            self._handler.on_session_end()
        except Exception:
            log.exception("%s.on_session_end()", type(self._handler).__name__)

    def _cut(self, end: End) -> None:
        raise NotImplementedError


class SocketEnding(_Ending):
    """A WebSocket and its session."""

    def __init__(self, handler: Handler, session: RequestSession, protocol: Any) -> None:
        super().__init__(handler, session)
        self._protocol = protocol
        self._kept_until = 0  # the end to which messages have moved the session
        self._is_keeping = self._is_said = False
        if handler.keep_alive:
            self._heard: Callable[[str | bytes], Awaitable[None] | None] = handler.on_message
            handler.on_message = self._on_message

    def closed(self) -> None:
        """Let go of a handler that is done with its socket."""
        self.close()
        for name in MESSAGES:
            self._handler.__dict__.pop(name, None)

    def _cut(self, end: End) -> None:
        for name in MESSAGES:
            setattr(self._handler, name, _ignore)
        self._protocol.close(*CODES[end])

    # ---------------------------------------------------------------- a socket in use

    def _on_message(self, message: str | bytes) -> Awaitable[None] | None:
        """Keep the session alive, and hand the message to the handler."""
        state = self._session.peek(is_look=False)
        if state is not None and state.base is not None and state.end is None and not self._is_keeping:
            expires_at = max(self._kept_until, state.base.expires_at)  # a page may have moved it further
            if state.is_touch_due(expires_at):
                self._is_keeping = True
                self._session.manager(self._handler).background.start(self._keep(state))
        return self._heard(message)

    async def _keep(self, state: SessionState) -> None:
        try:
            self._kept_until = await self._session.manager(self._handler).keep_alive(state)
            self._is_said = False
        except StoreError as error:  # the next message tries again
            if not self._is_said:
                self._is_said = True
                log.warning("session %s: keep_alive: %s", state.fingerprint, error)
        finally:
            self._is_keeping = False


class StreamEnding(_Ending):
    """An event stream and its session."""

    def __init__(self, handler: Handler, session: RequestSession, connection: Any) -> None:
        super().__init__(handler, session)
        self._stream = connection.stream
        connection.set_close_callback(self._left)

    def _left(self) -> None:
        """Do what Tornado does when the client has left."""
        self.close()
        self._handler.on_connection_close()

    def _cut(self, _end: End) -> None:
        self._stream.close()


MESSAGES = ("on_message", "on_ping", "on_pong")
"""What a WebSocketHandler is called with when something comes from its client."""


def _ignore(_message: str | bytes) -> None:
    """Let a message that came after the session's end reach nobody."""


def begin_stream(handler: Handler, session: RequestSession, headers: HTTPHeaders) -> None:
    """Let an answer end with its session, now that its first bytes leave, if it is an event stream or is asked to."""
    wanted = handler.end_with_session
    if wanted is None:
        wanted = headers.get("Content-Type", "").partition(";")[0].strip().lower() == EVENTS
    stream = getattr(handler.request.connection, "stream", None)
    if not wanted or stream is None or stream.closed():
        return
    session.ending = StreamEnding(handler, session, handler.request.connection)
    session.ending.watch()
