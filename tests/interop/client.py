"""Owns the visitor: an HTTP client with a cookie jar, so that what a test sees is what a browser would send.

The jar (http.cookiejar) honours path, domain, expiry and Secure. It does not know which server it talks to: cookies are
the host's, not the port's, and so one jar serves both.
"""

import http.client
import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from email.message import Message
from http.cookiejar import Cookie, CookieJar
from typing import Any, cast
from urllib.parse import urlencode
from urllib.request import Request

HOST = "127.0.0.1"
SECONDS = 60
"""Until an answer must be there; far above what a healthy server needs, so that only a hang meets it."""

Op = tuple[Any, ...]


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: Message
    body: str

    @property
    def set_cookies(self) -> list[str]:
        """The Set-Cookie headers."""
        return self.headers.get_all("Set-Cookie", [])

    @property
    def sid(self) -> str | None:
        """The session id that the server says the request had at its end."""
        return cast("str | None", json.loads(self.body)["sid"])

    @property
    def results(self) -> list[Any]:
        """One for each op."""
        assert self.status == 200, f"{self.status}: {self.body}"
        return cast("list[Any]", json.loads(self.body)["results"])


class Visitor:
    """One browser: its jar, and requests that may run side by side. `tls` plays one behind a proxy that ends TLS."""

    def __init__(self, *, tls: bool = False) -> None:
        self.jar = CookieJar()
        self._tls = tls

    def post(self, port: int, *ops: Op, path: str = "/", headers: dict[str, str] | None = None) -> Reply:
        """Do the ops in one request."""
        connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
        try:
            return self.post_over(connection, *ops, path=path, headers=headers)
        finally:
            connection.close()

    def post_over(
        self, connection: http.client.HTTPConnection, *ops: Op, path: str = "/", headers: dict[str, str] | None = None
    ) -> Reply:
        """The same over a connection that the caller keeps."""
        return self.send(
            connection, "POST", path, json.dumps(ops), {"Content-Type": "application/json", **(headers or {})}
        )

    def get(self, port: int, path: str) -> Reply:
        """Follow a link."""
        connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
        try:
            return self.send(connection, "GET", path, None, {})
        finally:
            connection.close()

    def submit(self, port: int, path: str, *, headers: dict[str, str] | None = None, **fields: str) -> Reply:
        """Send a form from a page of the same origin, and go where the answer leads."""
        sent = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Origin": f"http://{HOST}:{port}",
            **(headers or {}),
        }
        connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
        try:
            reply = self.send(connection, "POST", path, urlencode(fields), sent)
            return self.get(port, reply.headers["Location"]) if reply.status == 303 else reply
        finally:
            connection.close()

    def send(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: str | None,
        headers: dict[str, str],
    ) -> Reply:
        """One request and its answer, through the jar."""
        # The jar asks a Request for the URL and hands it the header; it is never opened.
        request = Request(f"{'https' if self._tls else 'http'}://{HOST}{path}")
        self.jar.add_cookie_header(request)
        forwarded = {"X-Forwarded-Proto": "https"} if self._tls else {}
        connection.request(method, path, body, {**dict(request.header_items()), **forwarded, **headers})
        response = connection.getresponse()
        text = response.read().decode()
        self.jar.extract_cookies(cast("Any", response), request)
        return Reply(response.status, response.headers, text)

    def start(self, pool: ThreadPoolExecutor, port: int, *ops: Op) -> "Future[Reply]":
        """Do the ops in one request that runs on while the test does something else."""
        return pool.submit(self.post, port, *ops)

    @property
    def cookies(self) -> dict[str, Cookie]:
        """What the jar holds now; an expired cookie is not there."""
        self.jar.clear_expired_cookies()
        return {cookie.name: cookie for cookie in self.jar}


def control(port: int, verb: str) -> Any:
    """Ask a server's control path, past its sessions."""
    connection = http.client.HTTPConnection(HOST, port, timeout=SECONDS)
    try:
        connection.request("POST", f"/control/{verb}")
        response = connection.getresponse()
        assert response.status == 200
        return json.loads(response.read())
    finally:
        connection.close()
