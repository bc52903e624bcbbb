"""Owns a visitor for the tests of an application: requests by Tornado's client, a cookie jar, and a way past the login.

It works under any runner with a running event loop: pytest, or an `AsyncHTTPTestCase` under `@gen_test`.
"""

from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import unquote, urlencode, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.netutil import bind_sockets
from tornado.web import Application
from tornado.websocket import WebSocketClientConnection, websocket_connect

from ..errors import NoSession, SessionError
from ..formats.signing import new_id
from ..login import Login
from ..manager import SessionManager
from ..options import CookieOptions
from ..renewal import split
from ..stored_cookie import StoredCookie
from .jar import Jar

HOST = "127.0.0.1"


class Browser:
    """A visitor of an application on this machine.

    `Browser(app)` serves the application on a port of its own, until `close()` or the end of `async with`.
    `Browser(port, manager=…)` visits a server that runs already. With `https` the requests count as such: they say
    X-Forwarded-Proto. The jar follows the clock of the manager, so that a test can move both.
    """

    def __init__(self, app: Application | int, *, manager: SessionManager | None = None, https: bool = False) -> None:
        found = app.settings.get("sessions") if isinstance(app, Application) else None
        given = manager or found
        if not isinstance(given, SessionManager):
            raise SessionError("Browser: needs the SessionManager, as `manager` or as the application's setting")
        self.manager: SessionManager = given
        """The manager of the application."""
        self.jar: Jar = Jar(given.clock)
        """The cookies of this visitor."""
        self._https = https
        self._server: HTTPServer | None = None
        self._sockets: list[WebSocketClientConnection] = []
        if isinstance(app, int):
            self.port: int = app
            return
        (socket,) = bind_sockets(0, HOST)
        self._server = HTTPServer(app, xheaders=True)
        self._server.add_sockets([socket])
        self.port = socket.getsockname()[1]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the WebSockets, and stop the server, if it is this visitor's own."""
        for socket in self._sockets:
            socket.close()
        self._sockets.clear()
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()

    async def fetch(
        self,
        path: str = "/",
        *,
        form: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **request: Any,
    ) -> HTTPResponse:
        """Send a request, and return its answer, an error too. No redirect is followed.

        `form` is sent by POST; what else `request` takes is that of Tornado's HTTPRequest (`method`, `body`, …).
        """
        if form is not None:
            request = {"method": "POST", "body": urlencode(form), **request}
        url, sent = f"http://{HOST}:{self.port}{path}", self._headers(path, headers)
        response = await AsyncHTTPClient().fetch(
            url, headers=sent, follow_redirects=False, raise_error=False, **request
        )
        for header in response.headers.get_list("Set-Cookie"):
            self.jar.receive(header, HOST, urlsplit(path).path, secure=self._https)
        return response

    async def connect(self, path: str, *, headers: Mapping[str, str] | None = None) -> WebSocketClientConnection:
        """Open a WebSocket as a page of the application does. Raises Tornado's HTTPClientError if it is refused.

        `await` its `read_message()`, which is None at the end; then `close_code` says why.
        """
        sent = self._headers(
            path, {"Origin": f"http{'s' if self._https else ''}://{HOST}:{self.port}", **(headers or {})}
        )
        url = f"ws://{HOST}:{self.port}{path}"
        socket = await websocket_connect(HTTPRequest(url, headers=HTTPHeaders(sent)))
        self._sockets.append(socket)
        return socket

    async def sign_in(self, user: str | int, **data: Any) -> None:
        """Sign in as a user, without a login form: a new session with some more data, and its cookie in the jar.

        Raises what `SessionMixin.sign_in` raises.
        """
        manager = self.manager
        state = manager.new(self._generate)
        state.data.values.update(data)
        await manager.sign_in(state, Login(user))
        cookie = state.cookie.set_cookie(manager.options.name, manager.signer.sign(state.cookie_value))
        self.jar.receive(cookie, HOST, str(state.cookie.member("path") or "/"), secure=True)

    async def session(self) -> dict[str, Any] | None:
        """Return the data of this visitor's session as the store has it; None if there is none."""
        for cookie in self.jar.all():
            if cookie.name == self.manager.options.name:
                sid, _ = split(self.manager.signer.unsign(unquote(cookie.value)) or "")
                try:
                    async with self.manager.open(sid) as session:
                        return dict(session)
                except NoSession:
                    pass
        return None

    def _headers(self, path: str, headers: Mapping[str, str] | None) -> dict[str, str]:
        """Return what a request sends: the test's headers, and the cookies."""
        sent = dict(headers or {})
        if self._https:
            sent["X-Forwarded-Proto"] = "https"
        cookies = self.jar.cookies(HOST, urlsplit(path).path, secure=self._https)
        if cookies:
            sent["Cookie"] = "; ".join(f"{each.name}={each.value}" for each in cookies)
        return sent

    def _generate(self) -> tuple[str, StoredCookie]:
        options = self.manager.options
        line, headers = RequestStartLine("GET", "/", "HTTP/1.1"), HTTPHeaders({"Host": HOST})
        request = HTTPServerRequest(start_line=line, headers=headers)
        cookie = options.cookie if isinstance(options.cookie, CookieOptions) else options.cookie(request)
        sid = new_id() if options.genid is None else options.generated(request)
        return sid, StoredCookie.new(cookie, self.manager.clock, is_secure=lambda: self._https)
