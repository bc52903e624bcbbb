"""Owns the seam to Tornado's RequestHandler: the methods that a handler calls or overrides, and nothing behind them.

Which session a request has is in request.py, what waits for a commit in held_response.py, the handshake in
websocket.py.
"""

import functools
import logging
from collections.abc import Awaitable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from tornado.iostream import IOStream, SSLIOStream
from tornado.web import RequestHandler
from tornado.websocket import WebSocketClosedError

from .. import flash
from ..errors import NoSession, SessionConflict, SessionError, StoreUnavailable, TooManySessions
from ..login import Stamp
from ..session import Session
from . import users
from .held_response import HeldResponse, is_written
from .request import FAILED, SWITCHING, RequestSession, store_unavailable
from .sent import is_signed_by_header
from .websocket import commit_first

if TYPE_CHECKING:
    from asyncio import Future
    from types import TracebackType

log: logging.Logger = logging.getLogger("sessions")


class _HeldResponseOf:
    """Makes a handler's HeldResponse at the first look, which leaves it in the handler for the next ones.

    `functools.cached_property` does the same; on Python 3.11 it takes a lock for it.
    """

    def __get__(self, handler: RequestHandler, _owner: type) -> HeldResponse:
        response = handler.__dict__["_session_response"] = HeldResponse()
        return response


class SessionMixin(RequestHandler):
    """Gives a handler `self.session`. Put it before Tornado's class: `class Main(SessionMixin, RequestHandler)`.

    The application's settings name the manager: `Application(routes, sessions=SessionManager(...))`. A handler that
    overrides `prepare` has to `await super().prepare()`.
    """

    _session_response = _HeldResponseOf()
    """The one attribute that this mixin has in a handler. It works where `initialize` is overridden."""

    # ---------------------------------------------------------------- what a handler uses

    session_on_demand: bool = False
    """Whether nothing is loaded, renewed or stored until the handler awaits `load_session()`."""

    end_with_session: bool | None = None
    """Whether the answer is cut off when its session ends. None: a WebSocket and an event stream are, nothing else."""

    keep_alive: bool = False
    """Whether the messages of a WebSocket keep its session alive: its lifetime starts again, as `touchAfter` says."""

    def on_session_end(self) -> None:
        """Do what is to be done when a socket or a stream was ended with its session. To be overridden.

        `self.session` raises NoSession, and no message comes any more. Tornado's `on_close` or `on_connection_close`
        follows.
        """

    async def load_session(self) -> None:
        """Load the session of a handler with `session_on_demand`; if it is loaded already, do nothing.

        Raises what the store or the stored row raises, and may be tried again then. Raises 403 as `prepare` does.
        """
        session = self._session_response.session
        await session.load_on_demand(self)
        users.forget_user(self)
        await _check(self, session)

    @property
    def session(self) -> Session:
        """The visitor's session; a new one where there is none yet. Raises NoSession, which says why there is none."""
        return self._session_response.session.session(self)

    @session.setter
    def session(self, value: Session | None) -> None:
        if value is None:
            self._session_response.session.unset(self)
        elif not isinstance(value, Session) or value is not self._session_response.session.session(self):
            # `self.session |= {…}` assigns what it was
            raise TypeError("self.session can only be set to None, which unsets it; change its keys instead")

    @session.deleter
    def session(self) -> None:
        self._session_response.session.unset(self)

    @property
    def has_session(self) -> bool:
        """True if `self.session` gives a session; reading this makes none."""
        return self._session_response.session.has_session()

    @property
    def session_id(self) -> str | None:
        """The id that this request is bound to, even after the session was destroyed; None before there is one."""
        return self._session_response.session.session_id()

    @property
    def session_fingerprint(self) -> str | None:
        """Eight hexadecimal digits for a log, as its events have them, also after the session ended; None without one.

        A new session has none before it is stored; after a sign-in they are those of the new id.
        """
        return self._session_response.session.fingerprint()

    # ---------------------------------------------------------------- the user of the session

    def sign_in(
        self, user: str | int, remember: timedelta | None = None, stamp: Stamp | None = None
    ) -> Awaitable[None]:
        """Sign a user in, under a new id. An anonymous visitor's data is kept, and the same user's; another's is not.

        `remember` is how long the cookie and the session live at most; None: as the options say. A session with another
        `stamp` than `user_stamp()` returns ends; None: what `user_stamp()` returns now. Raises DataError for what names
        no user, OptionsError without `userKey`, HeadersSent, and TooManySessions where `atLimit` is "refuse".
        """
        stamp_of = self.user_stamp if type(self).user_stamp is not SessionMixin.user_stamp else None
        return users.sign_in(self, self._session_response.session, user, remember, stamp, stamp_of)

    def sign_out(self, everywhere: bool = False) -> Awaitable[None]:
        """End the session, or `everywhere` all sessions of its user. A visitor who has none is no error."""
        return users.sign_out(self, self._session_response.session, everywhere=everywhere)

    def confirm(self, stamp: Stamp | None = None) -> Awaitable[None]:
        """Note that the user has given the password again: a new id, the same rights, a fresh login.

        `stamp` is that of a password which has just been changed; None keeps the one that the session has.
        Raises NoSession if nobody is signed in; what is awaited raises it if the session was ended meanwhile.
        """
        return users.confirm(self, self._session_response.session, stamp)

    @property
    def signed_in_at(self) -> datetime | None:
        """When the user has signed in, or confirmed it (UTC); None if that is not known."""
        return users.signed_in_at(self, self._session_response.session)

    async def user_stamp(self, user: str | int) -> Stamp | None:  # noqa: ARG002 # for who overrides it
        """Return what a user's password is known by, such as its hash; None if there is no such user. To be overridden.

        It is then asked at each request of a signed-in session, and another stamp than at the sign-in ends the session.
        """
        return None

    def next_url(self, default: str = "/") -> str:
        """Return where to go after a login: the argument `next` if it is a path of this site, else the default."""
        return users.next_url(self, default)

    def flash(self, text: str, kind: str = "info") -> None:
        """Keep a message in the session until a page shows it; at most 20, of which the oldest goes."""
        session = self._session_response.session.session(self)  # a class may have given ours another name
        session[flash.KEY] = flash.added(session.get(flash.KEY), kind, text)

    def flashes(self) -> dict[str, list[str]]:
        """Return the messages by kind, once: they are taken out of the session. No session is made for it."""
        return users.take_messages(self, self._session_response.session)

    # ---------------------------------------------------------------- the connection

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
        """Load the session. Raises 503 if the store is down, and what the store or the stored row raises."""
        session = self._session_response.session
        loading = session.load(self)
        if loading is not None:
            try:
                session.loaded(await loading)
            except StoreUnavailable as error:
                raise session.unavailable(error) from error
            except Exception:
                session.abandon(FAILED)
                raise
        if session.checks_xsrf or type(self).user_stamp is not SessionMixin.user_stamp:
            await _check(self, session)
        parent = super().prepare()
        if parent is not None:
            await parent

    def write(self, chunk: str | bytes | dict[str, Any] | Session) -> None:
        """Write a chunk as Tornado does; the session as the JSON object that its data is."""
        super().write(_plain(chunk))

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None, *args: Any, **kwargs: Any) -> "Future[None]":
        """Commit the session, then end the response.

        The Future resolves when the answer has been sent. It fails with StreamClosedError if the client has left, and
        with CommitFailed if the session could not be committed and the answer became an error page.
        """
        if self._finished:
            raise RuntimeError("finish() called twice")
        finish = super().finish
        if chunk is not None and _is_tornados(finish):
            self.write(chunk)
            chunk = None
        if chunk is not None or args or kwargs:
            finish = functools.partial(finish, _plain(chunk), *args, **kwargs)
        return self._session_response.finish(self, finish)

    def flush(self, include_footers: bool = False) -> "Future[None]":
        """Send what was written. The first flush sends the headers; the session is committed before they are sent."""
        return self._session_response.flush(self, super().flush, is_finishing=include_footers)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Answer with an error. After bytes have left the connection is cut, so that no half answer looks whole."""
        response = self._session_response
        if self._finished or is_written(self.request.connection):
            log.error("no error %d can be sent: the answer is finished", status_code)
            return
        error = kwargs.get("exc_info", (None, None))[1]
        away = store_unavailable(error)
        if _is_over(error):
            status_code = 409
        if away is not None:  # it left the handler, which had awaited a verb of the session
            status_code = response.session.unavailable(away).status_code
        if not response.replace(self, error):
            response.session.abandon("the response broke off")
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
        """Log an exception that left the handler; what another request or the store has caused gets one line."""
        away = store_unavailable(value)
        if away is not None:
            log.warning("%s %s: session store: %s", self.request.method, self.request.path, away)
        elif _is_over(value):
            log.info("%s %s: %s", self.request.method, self.request.path, value)
        elif isinstance(value, WebSocketClosedError) and not self._session_response.session.has_session():
            log.info("%s %s: an answer came after the session's end", self.request.method, self.request.path)
        else:
            super().log_exception(typ, value, tb)

    def detach(self) -> IOStream:
        """Take the socket over. Raises SessionError if a change of the session is not committed.

        A WebSocket's handshake takes it over too: there a change waits for `self.session.save()`.
        """
        response = self._session_response
        if response.phase == "waiting":
            raise RuntimeError("detach() after finish()")
        if response.phase == "held":
            raise SessionError("detach() while the first bytes wait for their commit: await self.flush() first")
        if self.get_status() != SWITCHING and response.session.has_change():
            raise SessionError("detach() with a changed session: await self.session.save() first")
        response.session.let_go()
        return super().detach()

    def get_current_user(self) -> Any:
        """Return the user: as a class behind says, else the one that `userKey` names in the session, else None.

        It raises nothing of its own and makes no session. May be overridden, as in Tornado.
        """
        behind = super().get_current_user
        if getattr(behind, "__func__", None) is RequestHandler.get_current_user:
            return users.current_user(self, self._session_response.session)
        return behind()

    def get_login_url(self) -> str:
        """Return Tornado's setting `login_url`. With `userKey` it raises 401 for a `fetch()`: that cannot log in."""
        users.check_navigation(self, self._session_response.session)
        return super().get_login_url()

    @property
    def current_user(self) -> Any:
        """Tornado's property. A `get_current_user` that finds no session says None, which is not remembered.

        Tornado's error pages, and every template, ask for it.
        """
        try:
            return super().current_user
        except NoSession:
            self._session_response.session.tell_if_on_demand(self)
            return None

    @current_user.setter
    def current_user(self, value: Any) -> None:
        RequestHandler.current_user.fset(self, value)  # type: ignore[attr-defined] # a property's setter

    @property
    def xsrf_token(self) -> bytes:
        """Tornado's token for a form, tied to the session."""
        self._session_response.session.bind_xsrf(self)
        return super().xsrf_token

    def check_xsrf_cookie(self) -> None:
        """Let Tornado check the form's token; `prepare` asks then whether it is the session's. May be overridden.

        A request that brings a verified id in the option's `header` needs no token: no other site can set it.
        """
        session = self._session_response.session
        if is_signed_by_header(session.manager(self), self.request.headers):
            return
        super().check_xsrf_cookie()
        session.checks_xsrf = True

    def check_origin(self, origin: str) -> bool:
        """Note what a WebSocketHandler says: a handshake that is refused commits nothing."""
        allowed: bool = super().check_origin(origin)  # type: ignore[misc] # only called where WebSocketHandler has it
        return self._session_response.session.noted_origin(allowed=allowed)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = vars(cls).get("check_origin")
        if own is not None:

            @functools.wraps(own)
            def check_origin(self: SessionMixin, origin: str) -> bool:
                return self._session_response.session.noted_origin(allowed=bool(own(self, origin)))

            cls.check_origin = check_origin  # type: ignore[method-assign] # noted, whoever overrides it
        _refuse_clashes(cls)

    def get_websocket_protocol(self) -> Any:
        """Return Tornado's step between the checks of a handshake and its answer, where the session is committed."""
        protocol = super().get_websocket_protocol()  # type: ignore[misc] # only called where WebSocketHandler has it
        if protocol is not None:
            commit_first(self._session_response.session, self, protocol)
        return protocol


OWN_NAMES = (
    "session", "has_session", "session_id", "session_fingerprint", "session_on_demand", "load_session", "is_tls",
    "is_secure", "sign_in", "sign_out", "confirm", "signed_in_at", "user_stamp", "next_url", "flash", "flashes",
    "end_with_session", "keep_alive", "on_session_end",
)  # fmt: skip
"""What the mixin brings that Tornado does not have."""


async def _check(handler: SessionMixin, session: RequestSession) -> None:
    """Check the session that was loaded: the stamp of its user, and the token of a form. Raises 403, and 503."""
    if type(handler).user_stamp is not SessionMixin.user_stamp:
        await users.check_stamp(handler, session, handler.user_stamp)
    session.check_xsrf(handler)


def _refuse_clashes(cls: type) -> None:
    """Raise TypeError if the mixin hides a name of a class behind it, and no class in front of it decides the name."""
    at = cls.__mro__.index(SessionMixin)
    decided = {name for kind in cls.__mro__[:at] for name in vars(kind)}
    for base in cls.__mro__[at + 1 :]:
        for name in OWN_NAMES:
            if name in vars(base) and name not in decided:
                raise TypeError(
                    f"{cls.__qualname__}: SessionMixin.{name} hides {base.__module__}.{base.__qualname__}.{name}:"
                    " give one of the two another name, or define it in the class itself"
                )


def _is_over(error: object) -> bool:
    """Return True for what other requests did: they ended the session, changed the same key, or signed in. 409."""
    return isinstance(error, SessionConflict | TooManySessions) or (isinstance(error, NoSession) and error.is_over)


def _plain(chunk: Any) -> Any:
    """Return the data of a session as a dict, and anything else as it is."""
    if isinstance(chunk, str):  # the usual case: a question about an abstract class takes its time
        return chunk
    return chunk | {} if isinstance(chunk, Session) else chunk


def _is_tornados(finish: Any) -> bool:
    """Return True if no class behind the mixin overrides `finish`: what was written may be checked at the call."""
    return getattr(finish, "__func__", None) is RequestHandler.finish
