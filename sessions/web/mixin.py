"""Owns the seam to Tornado: when a request's session is loaded, and that it is committed before the headers leave.

The only file that knows Tornado's request handlers. Every way in which a response ends meets in `finish()`, and a
stream's headers leave in its first `flush()`: both are held back here while a commit is on its way. What is committed
is not decided here.
"""

import asyncio
import logging
from collections.abc import Awaitable
from http.cookies import SimpleCookie
from typing import Any, cast
from urllib.parse import urlsplit

from tornado.httputil import HTTPConnection, HTTPHeaders, HTTPServerRequest
from tornado.iostream import IOStream, SSLIOStream, StreamClosedError
from tornado.web import HTTPError, RequestHandler
from tornado.websocket import WebSocketHandler

from ..cookie import Cookie
from ..errors import NoSession, SessionError, StoreUnavailable
from ..formats.cookie_header import values
from ..formats.signing import new_id
from ..manager import SessionManager
from ..observe import TAMPERED, note
from ..options import CookieOptions
from ..session import Session
from ..states import End
from .headers import SEALED, add_cookie, vary_by_cookie
from .held_response import Gate

log = logging.getLogger("sessions")

SETTING = "sessions"
"""The application's setting that holds its SessionManager."""

MAX_CANDIDATES = 4
"""Cookies of our name that are tried in one request: a browser may hold one for each path and parent domain."""

RETRY_AFTER = 1
"""Seconds that a 503 asks the client to wait: a locked or restarting store is mostly back by then."""
_FAILED = "it could not be loaded or committed"
_Answer = tuple[int, str, HTTPHeaders, list[bytes], SimpleCookie]
"""What a RequestHandler keeps of its answer until the headers leave: status, reason, headers, body, cookies."""
_HANDSHAKE = ("Host", "Sec-Websocket-Key", "Sec-Websocket-Version")
"""The headers without which Tornado refuses a WebSocket handshake."""


class SessionMixin(RequestHandler):
    """Gives a handler `self.session`. Put it before Tornado's class: `class Main(SessionMixin, RequestHandler)`.

    The application's settings name the manager: `Application(routes, sessions=SessionManager(...))`. A handler that
    overrides `prepare` has to `await super().prepare()`.
    """

    # Class attributes, because a subclass may override `initialize` without calling it here.
    _session_manager: SessionManager | None = None
    _session: Session | None = None
    _session_sid: str | None = None
    _session_missing: str | None = (
        "prepare() has not run: the request was refused before, or"
        " prepare() was overridden without `await super().prepare()`"
    )
    _session_looked_at = False
    _session_failure: Exception | None = None  # of a stream's first commit, until it is answered
    _session_gate: "Gate | None" = None
    _session_is_down = False
    _session_task: "asyncio.Task[None] | None" = None  # the loop itself keeps no strong reference to a task

    # ---------------------------------------------------------------- what a handler uses

    @property
    def session(self) -> Session:
        """The visitor's session; a new one where there is none yet. Raises NoSession where none is to be had."""
        if self._session_missing is not None:
            raise NoSession(f"no session: {self._session_missing}")
        self._session_looked_at = True
        if self._session is None:
            self._session = self._new_session()
        over = self._session.over
        if over is not None and over is not End.GONE:
            raise NoSession(f"no session: {over.value}")
        return self._session

    @session.setter
    def session(self, value: None) -> None:
        if value is not None:
            raise TypeError("self.session can only be set to None, which unsets it; change its keys instead")
        if self._session_missing is None:
            if self._session is None:
                self._session = self._new_session()
            if self._session.over is None:
                self._session.end(End.UNSET)

    @session.deleter
    def session(self) -> None:
        self.session = None

    @property
    def has_session(self) -> bool:
        """Whether `self.session` gives one; asking makes none."""
        return self._session_missing is None and (
            self._session is None or self._session.over is None or self._session.over is End.GONE
        )

    @property
    def session_id(self) -> str | None:
        """The id that this request is bound to, also after the session was destroyed; None before there is one."""
        self._session_looked_at = True
        return self._session_sid if self._session is None else self._session.id

    def is_tls(self) -> bool:
        """Whether the connection itself is TLS. May be overridden."""
        connection = self.request.connection
        return isinstance(getattr(connection, "stream", None), SSLIOStream)

    def is_secure(self) -> bool:
        """Whether the client's request came over TLS, as far as it can be known here. May be overridden."""
        options = self._sessions.options
        if self.is_tls():
            return True
        if options.proxy is None:
            return bool(self.request.protocol == "https")
        if not options.proxy:
            return False
        stated = self.request.headers.get("X-Forwarded-Proto", "").partition(",")[0].strip().lower()
        return stated == "https" or (options.proxy_secure and stated != "http")

    # ---------------------------------------------------------------- the trip: load

    async def prepare(self) -> None:
        """Load the session. Raises 503 where the store is down, and what the store or the stored row raises."""
        manager = self._sessions
        sid = self._session_asked_for(manager)
        if sid is not None:
            try:
                self._session = await manager.load(sid, self._birth)
            except StoreUnavailable as error:
                raise self._unavailable(error) from error
            except Exception:
                self._abandon(_FAILED)
                raise
        parent = super().prepare()
        if parent is not None:
            await parent

    def _session_asked_for(self, manager: SessionManager) -> str | None:
        """The id of the session that the request belongs to; None where that is a new one, or none is to be had."""
        options = manager.options
        if options.store_down == "none" and not manager.store.ready:
            self._session_missing = "the store is not ready"
            return None
        cookie = options.cookie if isinstance(options.cookie, CookieOptions) else options.cookie(self.request)
        if not _path(self.request).startswith(cookie.path or "/"):
            self._session_missing = f"the request's path is outside cookie.path {cookie.path!r}"
            return None
        self._session_missing = None
        headers = self.request.headers.get_list("Cookie")
        if headers:
            self._session_sid = self._verified(headers)
        return self._session_sid

    def _verified(self, headers: list[str]) -> str | None:
        """The first id in the Cookie headers that one of the secrets has signed."""
        manager = self._sessions
        for tried, value in enumerate(values(headers, manager.options.name)):
            if tried == MAX_CANDIDATES:
                break
            if sid := manager.signer.unsign(value):
                return sid
            note(TAMPERED, value)
        return None

    def _new_session(self) -> Session:
        session = self._sessions.new(self._birth, self._session_sid)
        if self._headers_written:
            session.seal()
        return session

    def _birth(self) -> tuple[str, Cookie]:
        manager = self._sessions
        options = manager.options
        sid = new_id() if options.genid is None else options.generated(self.request)
        cookie = options.cookie if isinstance(options.cookie, CookieOptions) else options.cookie(self.request)
        return sid, Cookie.new(cookie, manager.clock, is_secure=self.is_secure)

    @property
    def _sessions(self) -> SessionManager:
        manager = self._session_manager
        if manager is None:
            manager = self.settings.get(SETTING)
            if not isinstance(manager, SessionManager):
                raise SessionError(f"the application's setting {SETTING!r} is not a SessionManager")
            self._session_manager = manager
        return manager

    # ---------------------------------------------------------------- the trip: commit

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "asyncio.Future[None]":
        """Commit the session, then end the response. The Future resolves when that is done."""
        if self._finished:
            raise RuntimeError("finish() called twice")
        if self._session_failure is not None:  # nobody awaited the first flush of this stream
            return self._answer(self._session_failure)
        if chunk is not None:
            self.write(chunk)
        commit = self._commit() if self._session_gate is None else self._commit_behind(self._session_gate)
        if commit is None:
            return super().finish()
        answer = self._put_aside()
        self._seal(has_left=False)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()  # to stop waiting stops no commit
        self._session_task = loop.create_task(self._finish_after(commit, answer, done))
        return done

    def _put_aside(self) -> _Answer:
        """The answer as it is now. Nothing may be added to it: a verb after a redirect in prepare() must not run."""
        cookies: Any = getattr(self, "_new_cookie", None) or SimpleCookie()
        answer = self._status_code, self._reason, self._headers, self._write_buffer, cookies
        self._headers, self._write_buffer, self._new_cookie, self._finished = SEALED, [], SimpleCookie(), True
        return answer

    def _take_back(self, answer: _Answer) -> None:
        self._status_code, self._reason, self._headers, self._write_buffer, self._new_cookie = answer
        self._finished = False

    async def _finish_after(self, commit: Awaitable[None], answer: _Answer, done: "asyncio.Future[None]") -> None:
        try:
            await commit
            self._take_back(answer)
            await super().finish()
        except StreamClosedError:
            pass  # the client has left; what it asked for is committed
        except Exception as error:  # noqa: BLE001 # nobody has to await this, so it is answered here
            self._take_back(answer)
            self._answer(error)
        finally:
            if not done.done():
                done.set_result(None)

    def flush(self, include_footers: bool = False) -> "asyncio.Future[None]":
        """Send what was written. The first flush sends the headers, and the session is committed before they leave."""
        if self._headers_written:
            return super().flush(include_footers)
        if not include_footers:  # a stream; finish() has committed already
            if self._session_failure is not None:
                raise self._session_failure
            commit = self._commit(ends=False)
            if commit is not None:
                return self._flush_behind(commit)
        self._add_session_headers(self._headers)
        self._seal()
        return super().flush(include_footers)

    def _flush_behind(self, commit: Awaitable[None]) -> "asyncio.Future[None]":
        """The first flush of a stream: status, headers and chunk as they are now, held back until the commit."""
        connection = cast("HTTPConnection", self.request.connection)  # None only in a request made by hand
        gate = self._session_gate = Gate(connection)
        self.request.connection = gate
        self._seal()
        super().flush()
        self._session_task = asyncio.get_running_loop().create_task(self._open(gate, commit))
        return gate.sent

    async def _open(self, gate: "Gate", commit: Awaitable[None]) -> None:
        try:
            await self._or_abandon(commit)
            self._add_session_headers(gate.headers)
        except Exception as error:  # noqa: BLE001 # whatever it is, it is as if nothing had been flushed
            self._session_failure = error
            self._headers_written = False
            self.request.connection = gate.connection
            self._session_gate = None
            gate.refuse(error)
        else:
            self.request.connection = gate.connection
            self._session_gate = None
            await gate.release()

    async def _commit_behind(self, gate: "Gate") -> None:
        """A stream that ends before its first bytes have left: what came after them is committed after them."""
        await gate.opened
        commit = self._commit()
        if commit is not None:
            await commit

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error. After the headers have left the connection is cut: no half answer looks whole."""
        if self._finished:
            log.error("no error %d can be sent: the answer is finished", status_code)
            return
        self._session_failure = None  # this is its answer
        if self._headers_written:
            self._abandon("the response broke off")
            self._cut()
        super().send_error(status_code, **kwargs)

    def detach(self) -> IOStream:
        """Take the socket over. Raises SessionError where a change of the session is not committed."""
        if self._session is not None and self._session.is_dirty():
            raise SessionError("detach() with a changed session: await self.session.save() first")
        return super().detach()

    def get_websocket_protocol(self) -> Any:
        """Tornado's step between the checks of a WebSocket handshake (Origin, version) and its answer.

        The session is committed there. A handshake that is refused commits nothing.
        """
        protocol = super().get_websocket_protocol()  # type: ignore[misc] # only called where WebSocketHandler has it
        if protocol is not None:
            accept = protocol.accept_connection

            async def accept_connection(handler: RequestHandler) -> None:
                if all(handler.request.headers.get(name) for name in _HANDSHAKE):  # or Tornado is about to refuse it
                    commit = self._commit(accepted=True)
                    if commit is not None:
                        await self._or_abandon(commit)
                await accept(handler)

            protocol.accept_connection = accept_connection
        return protocol

    def _commit(self, *, ends: bool = True, accepted: bool = False) -> Awaitable[None] | None:
        """What the session owes to the store; None where that is nothing. Raises what cannot be stored."""
        if self._session is None:
            if self._session_missing is not None or not self._sessions.options.save_uninitialized:
                return None
            self._session = self._new_session()
        if isinstance(self, WebSocketHandler) and not accepted:
            return None
        try:
            return self._sessions.commit(self._session, ends=ends)
        except Exception:
            self._abandon(_FAILED)
            raise

    def _seal(self, *, has_left: bool = True) -> None:
        if self._session is not None:
            self._session.seal(has_left=has_left)

    # ---------------------------------------------------------------- failures

    def _abandon(self, why: str) -> None:
        self._session, self._session_missing = None, why

    async def _or_abandon(self, call: Awaitable[None]) -> None:
        """Await a load or a commit. Where it fails nothing of the session is stored or sent any more."""
        try:
            await call
        except StoreUnavailable as error:
            raise self._unavailable(error) from error
        except Exception:
            self._abandon(_FAILED)
            raise

    def _unavailable(self, error: StoreUnavailable) -> HTTPError:
        """The answer to a store that is away for the moment: 503 with Retry-After."""
        self._abandon(_FAILED)
        self._session_is_down = True
        return HTTPError(503, "session store: %s", error)

    def _answer(self, error: Exception) -> "asyncio.Future[None]":
        """Answer a request whose commit failed where no handler can: 5xx, or a cut connection."""
        self._abandon(_FAILED)
        answer = self._unavailable(error) if isinstance(error, StoreUnavailable) else error
        try:
            self.log_exception(type(answer), answer, error.__traceback__)
        except Exception:  # as Tornado does around this call
            log.exception("error in log_exception")
        status = answer.status_code if isinstance(answer, HTTPError) else 500
        self.send_error(status, exc_info=(type(answer), answer, error.__traceback__))
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    def _cut(self) -> None:
        close = getattr(self.request.connection, "close", None)
        if close is not None:
            close()

    def _add_session_headers(self, headers: HTTPHeaders) -> None:
        """Right before they leave, because `send_error` clears what was set earlier. Ours comes after the handler's."""
        if not self._headers_written and hasattr(self, "_new_cookie"):  # a stream has the handler's cookies already
            for cookie in self._new_cookie.values():
                headers.add("Set-Cookie", cookie.OutputString(None))
            del self._new_cookie
        if self._session_is_down:
            headers["Retry-After"] = str(RETRY_AFTER)
        if self._session_missing is None and (self._session is not None or self._session_looked_at):
            if self._session_looked_at and self._sessions.options.cache_headers:
                vary_by_cookie(headers)
            if self._session is not None:
                add_cookie(headers, self._session, self._sessions, self.is_secure)


def _path(request: HTTPServerRequest) -> str:
    """The path as the client sent it, of an absolute-form target (RFC 9112, section 3.2.2) too."""
    path = str(request.path)
    return path if path.startswith("/") else urlsplit(path).path or "/"
