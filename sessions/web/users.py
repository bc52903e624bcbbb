"""Owns what a handler asks of its user: sign-in and sign-out, where a login leads to, and whether it is fresh.

It knows Tornado's handler. What becomes of the session is the manager's.
"""

import asyncio
import functools
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeAlias
from urllib.parse import urlencode, urlsplit

from tornado.web import HTTPError, authenticated

from .. import flash
from ..errors import OptionsError, SessionError, StoreUnavailable
from ..login import Login, Stamp, User, agent_of, milliseconds
from ..stored_cookie import as_date
from ..validation import is_number
from . import xsrf
from .request import FAILED, RequestSession

Handler: TypeAlias = Any
"""A RequestHandler with the mixin."""

Method: TypeAlias = Callable[..., Awaitable[None] | None]
"""A verb of a handler: `get`, `post`."""

NO_ADDRESS = "0.0.0.0"  # noqa: S104 # nothing listens there
"""What Tornado has as the address of a client of a Unix socket, unless a proxy says it."""

CONFIRM_SETTING = "confirm_url"
"""The application's setting that names the page which asks for the password again."""


# ---------------------------------------------------------------- sign in and out


def sign_in(
    handler: Handler,
    session: RequestSession,
    user: User,
    remember: timedelta | None,
    stamp: Stamp | None,
    stamp_of: Callable[[User], Awaitable[Stamp | None]] | None,
) -> Awaitable[None]:
    """Sign a user in. Raises the handler's own errors at once."""
    manager, request = session.manager(handler), handler.request
    login = Login(user, milliseconds(remember), stamp, stamp_of)
    if manager.options.devices:
        login.agent = agent_of(request.headers.get("User-Agent"))
        login.ip = None if request.remote_ip == NO_ADDRESS else request.remote_ip
    verb = manager.sign_in(session.begun(handler), login)
    forget_user(handler)
    go_back = xsrf.renew(handler) if handler.settings.get("xsrf_cookies") else None
    verb.task.add_done_callback(functools.partial(_go_back_if_failed, handler, go_back))
    return verb


def confirm(handler: Handler, session: RequestSession, stamp: Stamp | None) -> Awaitable[None]:
    """Note that the user has given the password again. Raises NoSession if nobody is signed in."""
    return session.manager(handler).confirm(session.begun(handler), stamp)


def sign_out(handler: Handler, session: RequestSession, *, everywhere: bool) -> Awaitable[None]:
    """Sign the user out. A visitor without a session has nothing to end."""
    state = session.peek()
    if state is None and session.missing is not None:
        state = session.begun(handler)  # raises NoSession, which says why
    if state is None or state.end == "destroyed":
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done
    verb = session.manager(handler).sign_out(state, everywhere=everywhere)
    forget_user(handler)
    return verb


async def check_stamp(
    handler: Handler, session: RequestSession, stamp_of: Callable[[User], Awaitable[Stamp | None]]
) -> None:
    """End the session of a user with another stamp; the request goes on without one. Raises 503 if no store answers."""
    state, manager = session.peek(is_look=False), session.manager(handler)
    if state is None:
        return
    try:
        user = manager.user_of(state)
        if user is None or await manager.keep_if_stamped(state, await stamp_of(user)):
            return
        commit = manager.commit(state)  # says what becomes of the cookie
        if commit is not None:
            await commit
    except StoreUnavailable as error:
        raise session.unavailable(error) from error
    except Exception:
        session.abandon(FAILED)
        raise
    session.go_on_without(state)


def forget_user(handler: Handler) -> None:
    """Let Tornado ask again who the user is."""
    handler.__dict__.pop("_current_user", None)


def _go_back_if_failed(handler: Handler, go_back: Callable[[], None] | None, task: "asyncio.Task[None]") -> None:
    if task.cancelled() or task.exception() is not None:
        forget_user(handler)
        if go_back is not None:
            go_back()


def current_user(handler: Handler, session: RequestSession) -> User | None:
    """Return the user; None for nobody, and for a session that cannot be read."""
    state = session.peek()
    session.tell_if_on_demand(handler)
    try:
        return None if state is None else session.manager(handler).user_of(state)
    except SessionError:
        return None


def signed_in_at(handler: Handler, session: RequestSession) -> datetime | None:
    """Return when the user has signed in, or confirmed it."""
    state = session.peek()
    moment = None if state is None or current_user(handler, session) is None else state.meta.get("signedInAt")
    return as_date(int(moment)) if is_number(moment) else None  # type: ignore[arg-type] # a number, just asked


# ---------------------------------------------------------------- where to go


def is_navigation(handler: Handler) -> bool:
    """Return True if the browser shows the answer as a page. One that does not say so is taken for an old one."""
    return bool(handler.request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate")


def check_navigation(handler: Handler, session: RequestSession) -> None:
    """Raise 401 for a `fetch()`, which cannot use a login page, in an application that has users."""
    if session.manager(handler).options.user_key is not None and not is_navigation(handler):
        raise HTTPError(401)


def next_url(handler: Handler, default: str) -> str:
    """Return the path in the argument `next`, or the default where it leads to another origin."""
    try:
        url = handler.get_argument("next", default, strip=False)
    except HTTPError:  # it is no text
        return default
    if any(each <= " " or each in "\\\x7f" for each in url):  # browsers drop a tab, and read \ as /
        return default
    try:
        parts = urlsplit(url)
    except ValueError:
        return default
    if parts.scheme or parts.netloc:
        if parts.scheme not in ("http", "https") or parts.netloc != handler.request.host:
            return default
        url = parts._replace(scheme="", netloc="").geturl()
    return url if url.startswith("/") and not url.startswith("//") else default


# ---------------------------------------------------------------- a fresh login


def fresh(minutes: float = 10) -> Callable[[Method], Method]:
    """Let a method of a handler run only if the user has signed in, or confirmed it, in the last minutes.

    Nobody's request is answered as by Tornado's `authenticated`. If the login is older, a GET or HEAD that shows a page
    goes to the setting `confirm_url` (else to `login_url` with `fresh=1`), with where it came from as `next`; any other
    gets a 401. The page there asks for the password and awaits `self.confirm()`. Raises OptionsError without `userKey`.
    """
    limit = timedelta(minutes=minutes)

    def decorate(method: Method) -> Method:
        @authenticated
        @functools.wraps(method)
        def checked(self: Any, *args: Any, **kwargs: Any) -> Awaitable[None] | None:
            session: RequestSession = self._session_response.session
            if session.manager(self).options.user_key is None:
                raise OptionsError("userKey: is not set, so no login can be fresh")
            signed_in = signed_in_at(self, session)
            age = None if signed_in is None else as_date(session.manager(self).clock()) - signed_in
            if age is not None and abs(age) <= limit:  # of a clock that was wrong once the future has an end too
                return method(self, *args, **kwargs)
            if self.request.method not in ("GET", "HEAD") or not is_navigation(self):
                raise HTTPError(401)
            self.redirect(_confirm_url(self))
            return None

        return checked

    return decorate


def _confirm_url(handler: Handler) -> str:
    given = handler.settings.get(CONFIRM_SETTING)
    url = str(given or handler.get_login_url())
    came_from = handler.request.full_url() if urlsplit(url).scheme else handler.request.uri
    query = {"next": came_from} if given else {"next": came_from, "fresh": 1}
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"


# ---------------------------------------------------------------- messages


def take_messages(handler: Handler, session: RequestSession) -> dict[str, list[str]]:
    """Return the messages by kind, and take them out of the session."""
    state = session.peek()
    if state is None or (state.end is not None and not state.is_readable):
        return {}
    messages = flash.shown(state.values.get(flash.KEY))
    if messages:
        del session.session(handler)[flash.KEY]
    return messages
