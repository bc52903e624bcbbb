"""Owns the seam to Tornado's RequestHandler: the methods that a handler calls or overrides, and nothing behind them.

Which session a request has is in request.py, what waits for a commit in held_response.py, the handshake in
websocket.py.
"""

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from tornado.iostream import IOStream, SSLIOStream
from tornado.web import RequestHandler

from ..errors import SessionError
from ..session import Session
from .held_response import HeldResponse
from .request import store_unavailable
from .websocket import commit_first

if TYPE_CHECKING:
    from asyncio import Future
    from types import TracebackType

log: logging.Logger = logging.getLogger("sessions")


class SessionMixin(RequestHandler):
    """Gives a handler `self.session`. Put it before Tornado's class: `class Main(SessionMixin, RequestHandler)`.

    The application's settings name the manager: `Application(routes, sessions=SessionManager(...))`. A handler that
    overrides `prepare` has to `await super().prepare()`.
    """

    @cached_property
    def _session_response(self) -> HeldResponse:
        """The one attribute that this mixin has in a handler. It works where `initialize` is overridden."""
        return HeldResponse()

    # ---------------------------------------------------------------- what a handler uses

    @property
    def session(self) -> Session:
        """The visitor's session; a new one where there is none yet. Raises NoSession, which says why there is none."""
        return self._session_response.session.session(self)

    @session.setter
    def session(self, value: None) -> None:
        if value is not None:
            raise TypeError("self.session can only be set to None, which unsets it; change its keys instead")
        self._session_response.session.unset(self)

    @session.deleter
    def session(self) -> None:
        self._session_response.session.unset(self)

    @property
    def has_session(self) -> bool:
        """True if `self.session` gives one; asking makes none."""
        return self._session_response.session.has_session()

    @property
    def session_id(self) -> str | None:
        """The id that this request is bound to, also after the session was destroyed; None before there is one."""
        return self._session_response.session.session_id()

    def is_tls(self) -> bool:
        """Return True if the connection itself is TLS. May be overridden."""
        connection = self.request.connection
        return isinstance(getattr(connection, "stream", None), SSLIOStream)

    def is_secure(self) -> bool:
        """Return True if the client's request came over TLS, as far as it can be known here. May be overridden."""
        options = self._session_response.session.manager(self).options
        if self.is_tls():
            return True
        if options.proxy is None:
            return bool(self.request.protocol == "https")
        if not options.proxy:
            return False
        stated = self.request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
        return stated == "https" or (options.proxy_secure and stated != "http")

    # ---------------------------------------------------------------- what Tornado calls

    async def prepare(self) -> None:
        """Load the session. Raises 503 where the store is down, and what the store or the stored row raises."""
        await self._session_response.session.load(self)
        parent = super().prepare()
        if parent is not None:
            await parent

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "Future[None]":
        """Commit the session, then end the response. The Future resolves when that is done."""
        if self._finished:
            raise RuntimeError("finish() called twice")
        if chunk is not None:
            self.write(chunk)
        return self._session_response.finish(self, super().finish)

    def flush(self, include_footers: bool = False) -> "Future[None]":
        """Send what was written. The first flush sends the headers, and the session is committed before they leave."""
        flush = super().flush
        if self._headers_written:
            return flush(include_footers)
        response = self._session_response
        return response.flush(self, lambda: flush(include_footers), is_finishing=include_footers)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error. After the headers have left the connection is cut: no half answer looks whole."""
        if self._finished:
            log.error("no error %d can be sent: the answer is finished", status_code)
            return
        self._session_response.forgive()
        away = store_unavailable(kwargs.get("exc_info", (None, None))[1])
        if away is not None:  # it left the handler, who had awaited a verb of the session
            status_code = self._session_response.session.unavailable(away).status_code
        if self._headers_written:
            self._session_response.session.abandon("the response broke off")
            close = getattr(self.request.connection, "close", None)
            if close is not None:
                close()
        super().send_error(status_code, **kwargs)

    def log_exception(
        self,
        typ: type[BaseException] | None,
        value: BaseException | None,
        tb: "TracebackType | None",
    ) -> None:
        """Log an exception that left the handler; a store that is away gets one line and no traceback."""
        away = store_unavailable(value)
        if away is None:
            super().log_exception(typ, value, tb)
        else:
            log.warning("%s %s: session store: %s", self.request.method, self.request.path, away)

    def detach(self) -> IOStream:
        """Take the socket over. Raises SessionError where a change of the session is not committed."""
        if self._session_response.session.has_change():
            raise SessionError("detach() with a changed session: await self.session.save() first")
        return super().detach()

    def get_websocket_protocol(self) -> Any:
        """Return Tornado's step between the checks of a handshake and its answer, where the session is committed."""
        protocol = super().get_websocket_protocol()  # type: ignore[misc] # only called where WebSocketHandler has it
        if protocol is not None:
            commit_first(self._session_response.session, self, protocol)
        return protocol
