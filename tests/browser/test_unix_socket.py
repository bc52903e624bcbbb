"""The reference server at a Unix socket behind a real nginx, which runs docs/deployment/nginx.conf with its socket.

nginx reaches the socket as it does where it is deployed: it is in the group that the file has, and no user of the server.
"""

import grp
import http.client
import os
import re
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from interop.processes import Process

from .servers import HOST, ROOT, SECRET, certificate, free_ports, nginx, site

NEEDS = ("nginx", "openssl")

CONFIG = """
[server]
address = "unix:{socket}"
xheaders = true
workers = 2

[session]
store = "sqlite:{db}"
name = "__Host-sid"
userKey = "username"

[session.cookie]
secure = true
"""

USER = "www-data"
"""Whom Debian's nginx runs as."""


@dataclass(frozen=True)
class Deployment:
    """A server at a socket, and nginx in front of it."""

    server: Process
    port: int
    context: ssl.SSLContext

    def get(self, path: str, **headers: str) -> http.client.HTTPResponse:
        """Ask nginx over TLS."""
        connection = http.client.HTTPSConnection(HOST, self.port, timeout=60, context=self.context)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            response.read()
            return response
        finally:
            connection.close()

    def line(self, path: str) -> re.Match[str]:
        """The line of the log about a path: the request's id, the client's address, the session's fingerprint."""
        return self.server.find(rf" (\S+) tornado\.access: \d+ GET {re.escape(path)} \((\S+)\) \S+ms (\S+)\n")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder in which new files belong to nginx's group, if this user can make one; nobody else looks into it."""
    with tempfile.TemporaryDirectory(prefix="sessions-") as folder:
        if os.getuid() == 0:
            os.chown(folder, 0, grp.getgrnam(USER).gr_gid)
            Path(folder).chmod(0o2750)
        yield Path(folder)


@pytest.fixture(scope="module")
def deployment(place: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Both at work."""
    folder, socket = tmp_path_factory.mktemp("unix"), place / "http.sock"
    pem, key = certificate(folder)
    file = folder / "config.toml"
    file.write_text(CONFIG.format(socket=socket, db=folder / "sessions.db"))
    command = [sys.executable, ROOT / "server.py", "--config", file]
    redirecting, port = free_ports(2)
    front = site(upstream=socket, http=redirecting, https=port, pem=pem, key=key)
    main = f"user {USER};" if os.getuid() == 0 else ""
    with ExitStack() as stack:
        env = {"PATH": os.environ["PATH"], "SESSION_SECRET": SECRET}
        server = stack.enter_context(Process(command, cwd=folder, env=env))
        server.find(r"Server listening on unix:")
        stack.enter_context(nginx(folder, front, main=main))
        yield Deployment(server, port, ssl.create_default_context(cafile=pem))


def test_a_session_holds_behind_nginx(deployment: Deployment) -> None:
    """The cookie is Secure, as nginx says that the visitor has TLS."""
    first = deployment.get("/set-session?first")
    pair, *attributes = (first.headers["Set-Cookie"] or "").split("; ")

    second = deployment.get("/get-session?second", Cookie=pair)

    assert (first.status, second.status) == (200, 200)
    assert "Secure" in attributes
    assert deployment.line("/set-session?first")[3] == deployment.line("/get-session?second")[3] != "-"


def test_the_visitors_address_is_what_nginx_says(deployment: Deployment) -> None:
    """Whatever the visitor claims; the connection itself has none."""
    deployment.get("/get-session?claimed", X_Real_IP="192.0.2.1", X_Forwarded_For="192.0.2.2")

    assert deployment.line("/get-session?claimed")[2] == HOST


def test_nginx_names_the_request(deployment: Deployment) -> None:
    """By 32 digits of its own, whatever the visitor claims."""
    deployment.get("/get-session?named", X_Request_Id="claimed")

    assert re.fullmatch("[0-9a-f]{32}", deployment.line("/get-session?named")[1])
