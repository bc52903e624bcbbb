"""Owns the way to a site: two requests at most, without redirects, as a browser without extras would send them."""

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import SplitResult, quote, urlsplit

from ..errors import OptionsError
from ..findings import Finding, fault
from ..options import SessionOptions
from .site import Answer, first_visit, second_visit, session_cookies

SECONDS = 10.0
"""How long a site may take until it takes the connection, and again until the head of its answer is there."""


def site_of(text: str) -> SplitResult:
    """Return the address of a site. Raises OptionsError, which does not show it: it may hold a password."""
    try:
        url = urlsplit(text)
        port = url.port
        (url.hostname or "").encode("idna")
    except ValueError:  # a UnicodeError is one
        raise OptionsError("URL: expected an address such as https://example.com/") from None
    if url.scheme not in ("http", "https") or not url.hostname or url.username is not None or port == 0:
        raise OptionsError("URL: expected an address such as https://example.com/, without a user")
    return url._replace(path=quote(url.path, safe="/%:@!$&'()*+,;=~"), fragment="", query="")


def visited(url: SplitResult, options: SessionOptions | None) -> Iterator[Finding]:
    """Visit a site, and again with the cookie that it has set. Yields what is wrong."""
    name = None if options is None else options.name
    try:
        first = _fetch(url)
        yield from first_visit(first, url, options)
        cookies = session_cookies(first, name)
        if cookies:
            second = _fetch(url, f"{cookies[0].name}={cookies[0].value}")
            yield from second_visit(first, second, url, name)
    except (OSError, http.client.HTTPException) as error:
        words = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        yield fault(
            "site.away", f"{url.geturl()}: does not answer: {words}", "start the server, or see its address and TLS"
        )


def _fetch(url: SplitResult, cookie: str | None = None) -> Answer:
    host, port = url.hostname or "", url.port
    if url.scheme == "https":
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=SECONDS)
    else:
        connection = http.client.HTTPConnection(host, port, timeout=SECONDS)
    headers = {"User-Agent": "sessions-doctor", "Accept": "text/html,*/*"}
    if cookie is not None:
        headers["Cookie"] = cookie
    with closing(connection):
        connection.connect()
        with _limited(connection.sock):
            connection.request("GET", url.path or "/", headers=headers)
            answer = connection.getresponse()
        return Answer(answer.status, tuple(answer.getheaders()))


@contextmanager
def _limited(connection: socket.socket) -> Iterator[None]:
    """End a connection if the body takes too long: the limit of a socket is one of each byte. Raises TimeoutError."""
    is_late = threading.Event()

    def end() -> None:
        is_late.set()
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)

    limit = threading.Timer(SECONDS, end)
    limit.start()
    try:
        yield
    finally:
        limit.cancel()
        limit.join()
    if is_late.is_set():
        raise TimeoutError(f"its answer was not there in {SECONDS:.0f} s")
