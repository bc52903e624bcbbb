"""Owns which session a request has: its cookie, its path, the load, the commit, and why there is none.

A `RequestSession` holds no handler, because then each request would leave a reference cycle to the garbage collector:
the caller passes the handler.
"""

import logging
from collections.abc import Awaitable
from functools import partial

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import HTTPError

from ..errors import NoSession, SessionError, StoreUnavailable
from ..formats.signing import new_id
from ..manager import SessionManager
from ..options import CookieOptions, SessionOptions
from ..policy import no_session
from ..session import Session
from ..state import SessionState
from ..stored_cookie import StoredCookie
from . import xsrf
from .handler import Ending, Handler
from .headers import add_id, vary
from .sent import NOTHING, Sent, is_below, sent

log: logging.Logger = logging.getLogger("sessions")

SETTING = "sessions"
"""The application's setting that holds its SessionManager."""

SWITCHING = 101
"""The status of a WebSocket handshake: the session was committed before it."""

RETRY_AFTER = 1
"""Seconds that a 503 asks the client to wait: a locked or restarting store is mostly back by then."""

SERVER_ERROR = 500
"""The least status of an error of the server (RFC 9110, section 15.6)."""

FAILED = "it could not be loaded or committed"
ON_DEMAND = "this handler has session_on_demand: `await self.load_session()` comes first"


class RequestSession:
    """The session of one request. What stays in most requests as it is at first is an attribute of the class."""

    missing: str | None = (
        "prepare() has not run: the request was refused before, or"
        " prepare() was overridden without `await super().prepare()`"
    )
    """Why there is no session; None where there is one."""
    is_refused_upgrade: bool = False
    """Whether `check_origin` has refused a WebSocket handshake."""
    checks_xsrf: bool = False
    """Whether Tornado has checked an XSRF token, which has to be the session's then."""
    head_status: int | None = None
    """The status of a head that has left, or is held: what a handler sets after that does not count."""
    ending: Ending | None = None
    """What ends the answer with its session, if it is a socket or an event stream."""
    _manager: SessionManager | None = None
    _state: SessionState | None = None
    _face: Session | None = None
    _sent: Sent = NOTHING
    _ended: SessionState | None = None  # the session that the stamp of its user has ended
    _is_looked_at = _is_finished = _is_socket = _is_down = False

    # ---------------------------------------------------------------- what the handler asks

    def session(self, handler: Handler) -> Session:
        """Return the visitor's session; a new one if there is none yet. Raises NoSession."""
        if self.missing is not None:
            raise NoSession(f"no session: {self.missing}")
        self._is_looked_at = True
        state = self._state or self._begin(handler)
        if state.end is not None and not state.is_readable:
            raise no_session(state.end)
        if self._face is None:
            self._face = (self._manager or self.manager(handler)).face(state)
        return self._face

    def begun(self, handler: Handler) -> SessionState:
        """Return what the request knows of its session; of a new one where there is none yet. Raises NoSession."""
        if self.missing is not None:
            raise NoSession(f"no session: {self.missing}")
        return self._state or self._begin(handler)

    def peek(self, *, is_look: bool = True) -> SessionState | None:
        """Return what the request knows of its session if it has one; asking makes none. A look makes it vary."""
        self._is_looked_at = self._is_looked_at or is_look
        return self._state if self.missing is None else None

    def unset(self, handler: Handler) -> None:
        """End the session as `unset` says, at the end of the request. Raises NoSession where reading does."""
        state = self.begun(handler)
        if state.end is None:
            state.over("unset")

    def has_session(self) -> bool:
        """Return True if `session` gives one; asking makes none."""
        return self.missing is None and (self._state is None or self._state.end is None or self._state.is_readable)

    def session_id(self) -> str | None:
        """Return the id that the request is bound to, also after its session has ended; None before there is one."""
        self._is_looked_at = True
        return next(iter(self._sent[0]), None) if self._state is None else self._state.id

    def fingerprint(self) -> str | None:
        """Return the fingerprint of the session that is or was stored; None if there was none."""
        state = self._state or self._ended
        return None if state is None or state.base is None else state.fingerprint

    def has_change(self) -> bool:
        """Return True if a change of the session is not committed."""
        return self._state is not None and self._state.is_dirty()

    # ---------------------------------------------------------------- load

    def load(self, handler: Handler) -> Awaitable[SessionState] | None:
        """Return the load of the session that the request belongs to; None if it is on demand, or there is none.

        What it gives is to be handed to `loaded`.
        """
        if handler.session_on_demand:
            self.missing = ON_DEMAND
            return None
        return self._load(handler)

    def loaded(self, state: SessionState) -> None:
        """Take over the session that was loaded."""
        self._state = state

    def go_on_without(self, ended: SessionState) -> None:
        """Go on as an anonymous request after its session was ended; a new one may begin."""
        self._state, self._face, self._ended = None, None, ended

    def check_xsrf(self, handler: Handler) -> None:
        """Refuse with 403 a form with a token that is not the session's, if Tornado has checked one."""
        if self.checks_xsrf and self.missing is None:
            xsrf.check(handler, self._state)

    async def load_on_demand(self, handler: Handler) -> None:
        """Load a session that is on demand and not loaded yet. If the store fails, nothing has happened."""
        if self.missing != ON_DEMAND:
            return
        loading = self._load(handler)
        if self.missing is not None:
            return
        self.missing = ON_DEMAND  # until it is loaded
        state = None if loading is None else await loading
        if self.missing != ON_DEMAND:
            return  # by another call that was first, or the answer has failed meanwhile
        self.missing, self._state = None, state
        if state is not None:
            self._catch_up(handler, state)

    def tell_if_on_demand(self, handler: Handler) -> None:
        """Log an error, once for a kind of handler, if its user is asked for before its session is loaded."""
        if self.missing != ON_DEMAND:
            return
        warning = f"{type(handler).__name__}: current_user is None, because {ON_DEMAND}"
        if warning not in self.manager(handler).warned:
            self.manager(handler).warned.add(warning)
            log.error("%s", warning)

    def keep_value(self) -> None:
        """Note that the answer is a WebSocket's handshake: it brings no new value of the cookie."""
        if self._state is not None:
            self._state.keeps_value = True

    def _load(self, handler: Handler) -> Awaitable[SessionState] | None:
        """Return the load of what the browser has sent, and note why there is no session, or that there is one."""
        manager, request = self.manager(handler), handler.request
        options = manager.options
        if options.store_down == "none" and not manager.is_ready:
            self.missing = "the store is not ready"
            return None
        path = _cookie_options(options, request).path
        if not is_below(request, path or "/"):
            self.missing = f"the request's path is outside cookie.path {path!r}"
            return None
        self.missing = None
        sids, tags, _ = self._sent = sent(manager, request.headers)
        if not sids:
            return None
        counts_time = bool(tags) or options.renew_after is not None
        waited = max(0.0, 1000 * request.request_time()) if counts_time else 0
        return manager.load(sids, partial(_generate, manager, handler), tags, waited)

    def bind_xsrf(self, handler: Handler) -> None:
        """Tie the XSRF token that is about to be rendered to the session, if the visitor has one."""
        if self.missing is None and self._state is not None:
            xsrf.bind(handler, self._state, self.manager(handler).signer)

    def manager(self, handler: Handler) -> SessionManager:
        """Return the application's SessionManager. Raises SessionError."""
        if self._manager is None:
            manager = handler.settings.get(SETTING)
            if not isinstance(manager, SessionManager):
                raise SessionError(f"the application's setting {SETTING!r} is not a SessionManager")
            self._manager = manager
        return self._manager

    def _begin(self, handler: Handler) -> SessionState:
        manager, sids = self._manager or self.manager(handler), self._sent[0]
        state = self._state = manager.new(partial(_generate, manager, handler), sids[0] if sids else None)
        self._catch_up(handler, state)
        return state

    def _catch_up(self, handler: Handler, state: SessionState) -> None:
        """Let a session that comes late know how far the answer has come."""
        if handler._headers_written:  # noqa: SLF001 # Tornado's word for "the head has left"
            state.seal()
        if self._is_finished:
            state.finish()
        if self._is_socket:
            state.is_socket = True
            state.answered()
        if self.ending is not None:
            self.ending.watch()

    # ---------------------------------------------------------------- commit

    def commit(self, handler: Handler, status: int, *, ends: bool = True) -> Awaitable[None] | None:
        """Return the commit of the session; None where there is nothing to do. Raises what cannot be stored.

        `status` is what the handler says; that of a head that has left, or is held, comes before it. A WebSocket
        handshake that is accepted was committed before, one that is refused commits nothing.
        """
        if self.head_status is not None:
            status = self.head_status
        if not ends:
            self.head_status = status
        if self.missing is not None or self.is_refused_upgrade or status == SWITCHING:
            return None
        manager, state = self._manager or self.manager(handler), self._state
        if state is None:
            if not manager.options.save_uninitialized:
                return None
            state = self._begin(handler)
        state.is_discarded = status >= SERVER_ERROR and not manager.options.save_on_error
        try:
            return manager.commit(state, ends=ends)
        except Exception:
            self.abandon(FAILED)
            raise

    async def or_abandon(self, commit: Awaitable[None]) -> None:
        """Await a commit. If it fails, nothing of the session is stored or sent any more."""
        try:
            await commit
        except StoreUnavailable as error:
            raise self.unavailable(error) from error
        except Exception:
            self.abandon(FAILED)
            raise

    def seal(self, *, has_left: bool = True) -> None:
        """Note that the response's head is made, or has left."""
        if self._state is not None:
            self._state.seal(has_left=has_left)

    def finish(self, status: int) -> None:
        """Note that the handler has finished its answer: a change of the session comes too late, but on a socket."""
        self._is_finished = status != SWITCHING
        if self.head_status is None:
            self.head_status = status  # a commit that waits for the first bytes looks at it later
        if self._state is not None:
            if self._is_finished:
                self._state.finish()
            else:
                self._state.seal(has_left=False)

    def let_go(self) -> None:
        """Note that a stream is complete, or has left us by `detach()`: it does not end with its session any more."""
        if self.ending is not None and not self._is_socket:
            self.ending.close()
            self.ending = None

    def noted_origin(self, *, allowed: bool) -> bool:
        """Note whether a WebSocket handshake's Origin is allowed, and return it."""
        self.is_refused_upgrade = not allowed
        return allowed

    def answered(self) -> None:
        """Note that the commit is done."""
        if self._state is not None:
            self._state.answered()

    def opened(self) -> None:
        """Note that the answer is a WebSocket."""
        self._is_socket = True
        self.seal()
        self.answered()
        if self._state is not None:
            self._state.is_socket = True

    def tell_if_uncommitted(self, handler: Handler) -> None:
        """Log an error where an answer leaves by a `finish()` that is not ours while a change is not committed."""
        if self.missing is None and handler.get_status() != SWITCHING and self.has_change():
            log.error(
                "%s: RequestHandler.finish() was called past the SessionMixin: a change of the session was not stored",
                type(handler).__name__,
            )

    def abandon(self, why: str) -> None:
        """Store and send nothing more of the session; a row that has moved still tells the browser its new id."""
        if self._state is not None:
            self._state.failed()
            if self._state.renamed:
                self._face, self.missing = None, why
                return
        self._state, self.missing = None, why

    def unavailable(self, error: Exception) -> HTTPError:
        """Return the answer to a store that is away for the moment: 503 with Retry-After."""
        self.abandon(FAILED)
        self._is_down = True
        return HTTPError(503, "session store: %s", error)

    def add_headers(self, handler: Handler, headers: HTTPHeaders) -> None:
        """Add the session's headers to a head that leaves now, because `send_error` clears what was set earlier."""
        if self._is_down:
            headers["Retry-After"] = str(RETRY_AFTER)
        state, manager = self._state, self._manager
        if manager is None:
            return
        if self._ended is not None and (state is None or state.cookie_act == "keep"):
            state = self._ended
        sends = state is not None and state.cookie_act != "keep" and (self.missing is None or state.renamed)
        if sends or (self._is_looked_at and self.missing is None):
            if manager.options.cache_headers:
                vary(headers, manager)
            if sends and state is not None:
                _, _, by_header = self._sent
                add_id(headers, state, manager, handler.request, handler.is_secure, by_header=by_header)
        self.seal()


def store_unavailable(error: object) -> StoreUnavailable | None:
    """Return the StoreUnavailable that an exception is, or that an ExceptionGroup holds."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(store_unavailable, error.exceptions)), None)
    return error if isinstance(error, StoreUnavailable) else None


def _generate(manager: SessionManager, handler: Handler) -> tuple[str, StoredCookie]:
    """Make the id and the cookie of a new session."""
    options, request = manager.options, handler.request
    sid = new_id() if options.genid is None else options.generated(request)
    return sid, StoredCookie.new(_cookie_options(options, request), manager.clock, is_secure=handler.is_secure)


def _cookie_options(options: SessionOptions, request: HTTPServerRequest) -> CookieOptions:
    cookie = options.cookie
    return cookie if isinstance(cookie, CookieOptions) else cookie(request)
