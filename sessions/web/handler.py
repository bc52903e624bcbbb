"""Owns what a RequestSession asks of the handler, and of what ends its answer."""

from typing import Any, Protocol

from tornado.httputil import HTTPServerRequest


class Handler(Protocol):
    """What is asked of a handler: Tornado's RequestHandler with the mixin."""

    request: HTTPServerRequest
    session_on_demand: bool
    _headers_written: bool

    @property
    def settings(self) -> dict[str, Any]:
        """The application's settings."""

    def get_status(self) -> int:
        """Return the status of the answer."""

    def is_secure(self) -> bool:
        """Return True if the client's request came over TLS."""


class Ending(Protocol):
    """A socket or a stream that ends with its session."""

    def watch(self) -> None:
        """Begin to watch the session, if there is a stored one by now."""

    def close(self) -> None:
        """Watch no longer: the socket is closed, or the answer is finished."""
