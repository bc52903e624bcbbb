"""Owns the log of the reference server: the form of a line, and the id that the lines of one request share.

    2026-11-26T19:12:58.123+01:00 INFO 4711 6f1d0c2b9a3e8f57 tornado.access: 200 GET / (127.0.0.1) 1.09ms 5d41402a

As JSON a line is an object: time, level, pid, request, logger, message, exc_info where there is a traceback, and of an
answer status, method, uri, ip, ms and session (its fingerprint) as well. What there is none of is "-": the id outside a
request, the session, the address of a client of a Unix socket.
"""

import logging
import re
from contextvars import ContextVar
from datetime import datetime
from secrets import token_hex
from typing import Any, Literal

from tornado.httputil import HTTPConnection, HTTPMessageDelegate, HTTPServerRequest
from tornado.log import LogFormatter, access_log
from tornado.web import Application, RequestHandler

from sessions import OptionsError, SessionMixin

LEVELS = ("debug", "info", "warning", "error")

HEAD = "%(time)s %(levelname)s %(process)d %(request)s"
MEMBERS = ("time", "levelname", "process", "request", "name", "message")

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
"""What a proxy may call a request. Nothing else comes into the log, so that no header forges a line of it."""

NO_ADDRESS = "0.0.0.0"  # noqa: S104 # nothing listens there
"""What Tornado has as the address of a client of a Unix socket, unless a proxy says it."""

CONTROLS = re.compile("[\x7f-\x9f\u2028\u2029]")
"""What some readers of a log, or terminals, take for the end of a line or a command. Those of ASCII Tornado refuses."""

_request: ContextVar[str] = ContextVar("request", default="-")


class LoggingApplication(Application):
    """An application with a log that names each request.

    With the setting `xheaders` a request has the id that the proxy gives it in X-Request-Id, if that is one.
    """

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        """Make the id of the next request on a connection. Tornado calls this before the head has come."""
        _request.set(token_hex(8))
        return super().start_request(server_conn, request_conn)

    def find_handler(self, request: HTTPServerRequest, **kwargs: Any) -> Any:
        """Take the proxy's id of a request. Tornado calls this when the head has come."""
        given = request.headers.get("X-Request-Id")
        if given is not None and self.settings.get("xheaders") and REQUEST_ID.fullmatch(given):
            _request.set(given)
        return super().find_handler(request, **kwargs)

    def log_request(self, handler: RequestHandler) -> None:
        """Log an answer, with its parts as members for JSON."""
        request, status = handler.request, handler.get_status()
        level = logging.INFO if status < 400 else logging.WARNING if status < 500 else logging.ERROR  # noqa: PLR2004 # the classes of HTTP
        parts = {
            "status": status,
            "method": request.method,
            "uri": request.uri,
            "ip": "-" if request.remote_ip == NO_ADDRESS else request.remote_ip,
            "ms": round(request.request_time() * 1000, 2),
            "session": (handler.session_fingerprint if isinstance(handler, SessionMixin) else None) or "-",
        }
        access_log.log(level, "%(status)d %(method)s %(uri)s (%(ip)s) %(ms).2fms %(session)s", parts, extra=parts)


def start(form: Literal["text", "json"], level: Literal["debug", "info", "warning", "error"]) -> None:
    """Write the log of this process to the standard error output."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    handler.addFilter(_tied)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())


def formatter(form: str) -> logging.Formatter:
    """Return what formats the lines. Raises OptionsError for another form, and if the package for JSON is missing."""
    if form == "text":
        return _Text(f"%(color)s{HEAD}%(end_color)s %(name)s: %(message)s")
    if form != "json":
        raise OptionsError(f'log: expected "text" or "json", got {form!r}')
    try:
        from pythonjsonlogger.json import JsonFormatter  # noqa: PLC0415 # optional
    except ImportError as error:
        raise OptionsError('log: "json" needs a package: pip install python-json-logger') from error
    return JsonFormatter(MEMBERS, rename_fields={"levelname": "level", "process": "pid", "name": "logger"})


class _Text(LogFormatter):
    """Tornado's formatter, which colours the head of a line on a terminal. Bytes of an address break no line here."""

    def format(self, record: logging.LogRecord) -> str:
        return CONTROLS.sub(lambda found: ascii(found[0])[1:-1], super().format(record))


def _tied(record: logging.LogRecord) -> bool:
    """Give a record what the formats ask for."""
    record.request = _request.get()
    record.time = datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
    return True
