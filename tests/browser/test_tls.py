"""The reference server as it is deployed: the seed's second option set behind a real nginx that ends TLS, on loopback.

nginx runs docs/deployment/nginx.conf itself. What a proxy says of the client's connection decides about a Secure cookie:
the file says it, another proxy may say nothing (then `proxySecure` answers), and one may say that it was plain HTTP.
"""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from interop.processes import Process

from .chromium import cookies, press
from .servers import HOST, certificate, free_ports, nginx, reference_server, site

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

NEEDS = ("nginx", "openssl")

SECOND_SET = """
[server]
xheaders = true

[session]
store = "sqlite:{db}"
name = "mySession"
resave = false
saveUninitialized = true
rolling = true
TRUST

[session.cookie]
maxAge = 86400000
secure = true
httpOnly = true
sameSite = "strict"
"""

TRUST = {
    "proxySecure": "proxy = true\nproxySecure = true",  # the seed's
    "proxy": "proxy = true",
    "xheaders": "",  # Tornado's own reading of the same header, and of others
}
"""Three ways to believe a proxy."""

SILENT = """
server {{
    listen {host}:{https} ssl;
    ssl_certificate {pem};
    ssl_certificate_key {key};
    location / {{
        proxy_pass http://{host}:{upstream};
        proxy_set_header X-Forwarded-Proto "";
    }}
}}
"""
"""A proxy that ends TLS and does not say so."""

PLAIN = """
server {{
    listen {host}:{http};
    location / {{
        proxy_pass http://{host}:{upstream};
        proxy_set_header X-Forwarded-Proto $scheme;
    }}
}}
"""
"""A proxy that is asked in the clear, and says so."""


@dataclass(frozen=True)
class Answer:
    """What came back over one connection."""

    status: int
    headers: http.client.HTTPMessage
    body: str

    @property
    def cookie(self) -> tuple[str, list[str]] | None:
        """The session cookie that was sent: its value, its attributes without the date."""
        for header in self.headers.get_all("Set-Cookie", []):
            pair, *attributes = header.split("; ")
            name, _, value = pair.partition("=")
            if name == "mySession":
                return value, [each for each in attributes if not each.startswith("Expires=")]
        return None


@dataclass(frozen=True)
class Deployment:
    """One server behind several fronts, all of one nginx."""

    pem: Path
    server: Process
    redirecting: int
    deployed: int
    silent: int
    plain: int

    def get(self, port: int, path: str, **headers: str) -> Answer:
        """Ask a front, over TLS where it speaks it; the certificate is checked."""
        if port in (self.deployed, self.silent):
            context = ssl.create_default_context(cafile=self.pem)
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                HOST, port, timeout=20, context=context
            )
        else:
            connection = http.client.HTTPConnection(HOST, port, timeout=20)
        try:
            connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read().decode())
        finally:
            connection.close()


@pytest.fixture(scope="module")
def deployment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The server with the second option set, and one way to believe a proxy, behind nginx."""
    folder = tmp_path_factory.mktemp("tls")
    config = SECOND_SET.replace("TRUST", TRUST[request.param])
    pem, key = certificate(folder)
    with ExitStack() as stack:
        upstream, server = stack.enter_context(reference_server(folder, config))
        redirecting, deployed, silent, plain = free_ports(4)
        place = {"host": HOST, "upstream": upstream, "pem": pem, "key": key, "https": silent, "http": plain}
        stack.enter_context(
            nginx(
                folder,
                site(upstream=upstream, http=redirecting, https=deployed, pem=pem, key=key),
                SILENT.format(**place),
                PLAIN.format(**place),
            )
        )
        yield Deployment(pem, server, redirecting, deployed, silent, plain)


def trusting(*ways: str) -> pytest.MarkDecorator:
    """Run with each of these ways to believe a proxy."""
    return pytest.mark.parametrize("deployment", ways, indirect=True)


ATTRIBUTES = ["Path=/", "HttpOnly", "Secure", "SameSite=Strict"]


def holds_a_session(deployment: Deployment, port: int) -> None:
    """The seed's two requests over that front: data set, data read back, and a cookie with every answer (rolling)."""
    first = deployment.get(port, "/set-session")
    assert (first.status, first.body) == (200, "Session data set successfully")
    assert first.cookie is not None
    value, attributes = first.cookie
    assert attributes == ATTRIBUTES

    second = deployment.get(port, "/get-session", Cookie=f"mySession={value}")
    assert second.body == "Session data: exampleuser"
    assert second.cookie == first.cookie


@trusting(*TRUST)
class TestProxySaysHttps:
    """X-Forwarded-Proto: https, as docs/deployment/nginx.conf sends it."""

    def test_session(self, deployment: Deployment) -> None:
        """The cookie is sent, Secure and all, and the session works."""
        holds_a_session(deployment, deployment.deployed)

    def test_strict_transport(self, deployment: Deployment) -> None:
        """The server tells browsers to stay with TLS, on error pages too."""
        for path in ("/", "/nowhere"):
            assert "max-age=" in deployment.get(deployment.deployed, path).headers["Strict-Transport-Security"]

    def test_visitor_claims(self, deployment: Deployment) -> None:
        """What a visitor says about the connection is not passed on.

        Neither a lie that would take the cookie away, nor one that would bring it in the clear.
        """
        lie = deployment.get(deployment.deployed, "/set-session", X_Forwarded_Proto="http", X_Scheme="http")
        assert lie.cookie is not None
        lie = deployment.get(deployment.plain, "/set-session", X_Forwarded_Proto="https")
        assert lie.cookie is None

    def test_in_the_clear(self, deployment: Deployment) -> None:
        """The port without TLS answers no more than where to go, and sets no cookie."""
        answer = deployment.get(deployment.redirecting, "/set-session?a=1", Host="localhost")

        assert answer.status == 308
        assert answer.headers["Location"] == "https://localhost/set-session?a=1"
        assert answer.headers["Set-Cookie"] is None


class TestProxySaysNothing:
    """No X-Forwarded-Proto."""

    @trusting("proxySecure")
    def test_session(self, deployment: Deployment) -> None:
        """With `proxySecure` the hop from the proxy counts as secure: all is as with the header."""
        holds_a_session(deployment, deployment.silent)

    @trusting("proxy", "xheaders")
    def test_withheld(self, deployment: Deployment) -> None:
        """Without it the request counts as plain HTTP: no Secure cookie, and the log says once what is missing."""
        for _ in range(2):
            answer = deployment.get(deployment.silent, "/set-session")
            assert (answer.status, answer.cookie) == (200, None)

        complaints = [line for line in deployment.server.output.splitlines() if "X-Forwarded-Proto" in line]
        assert len(complaints) == 1
        assert "proxy" in complaints[0]


@trusting(*TRUST)
class TestProxySaysHttp:
    """X-Forwarded-Proto: http."""

    def test_withheld(self, deployment: Deployment) -> None:
        """The client's own connection is in the clear: no cookie, `proxySecure` or not, and no session from one."""
        assert deployment.get(deployment.plain, "/set-session").cookie is None
        good = deployment.get(deployment.deployed, "/set-session").cookie
        assert good is not None

        answer = deployment.get(deployment.plain, "/get-session", Cookie=f"mySession={good[0]}")

        assert answer.status == 200
        assert answer.cookie is None


@trusting(*TRUST)
class TestBrowser:
    """The same, seen by chromium."""

    def test_cookie_and_forms(self, driver: "Chrome", deployment: Deployment) -> None:
        """The browser keeps the cookie with its attributes, hides it from scripts, and the page's forms work."""
        driver.get(f"https://{HOST}:{deployment.deployed}/set-session")
        driver.get(f"https://{HOST}:{deployment.deployed}/")

        cookie = cookies(driver)["mySession"]
        assert (cookie["secure"], cookie["httpOnly"], cookie["sameSite"]) == (True, True, "Strict")
        assert 86_000 < cookie["expires"] - driver.execute_script("return Date.now() / 1000") <= 86_400
        assert "mySession" not in driver.execute_script("return document.cookie")
        assert "exampleuser" in driver.find_element("css selector", "table").text
        press(driver, "form[action='/delete'] button")
        assert "exampleuser" not in driver.find_element("css selector", "body").text

    def test_in_the_clear(self, driver: "Chrome", deployment: Deployment) -> None:
        """Over plain HTTP there is no cookie, and the page says why."""
        driver.get(f"http://{HOST}:{deployment.plain}/")

        assert "mySession" not in cookies(driver)
        assert "Not sent: the cookie is Secure" in driver.find_element("css selector", "body").text
