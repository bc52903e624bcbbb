"""Owns what every handler shares: the session, the JSON body, HEAD as GET, and the page that reports an error."""

import json
import re
from http import HTTPStatus
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from tornado.web import HTTPError

from sessions import SessionMixin

if TYPE_CHECKING:
    from asyncio import Future

READ_LIMIT = 100 * 1024
"""Bytes of a JSON body, or of a form, that are read, as `express.json()` and `express.urlencoded()` have it."""

BODIES = {
    "application/json": "JSON body",
    "application/x-www-form-urlencoded": "form",
    "multipart/form-data": "form",
}
"""What is read, by its Content-Type, and the word for it."""

DEPTH_LIMIT = 500
"""Levels of arrays and objects that are read; PHP has 512, Jackson 1,000, and Python has what its version can."""

ADVICE = {
    403: "The form was not accepted. Open its page again, and send it once more.",
    404: "There is nothing at this address.",
    409: "The session has changed meanwhile. Open the page again.",
    503: "Try again in a moment.",
}
"""What a visitor can do about an error that has no message of its own."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class BaseHandler(SessionMixin):
    """A handler with `self.session`, and `self.json` for a request that carries JSON."""

    json: Any = None
    """The decoded JSON body; None where the request has none."""

    def set_default_headers(self) -> None:
        """Headers of every answer, the errors too. None of them names the server or its version."""
        self.clear_header("Server")
        for name, value in SECURITY_HEADERS.items():
            self.set_header(name, value)

    async def prepare(self) -> None:
        """Look at the size of the body, read it if it is JSON, then load the session."""
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in BODIES and len(self.request.body) > READ_LIMIT:
            raise ClientError(413, f"the {BODIES[kind]} has more than {READ_LIMIT} bytes")
        if kind == "application/json" and self.request.body:
            self.json = self._read_json(self.request.body)
        await super().prepare()

    async def head(self, *args: str, **kwargs: str) -> None:
        """Answer as GET does, without the body, as Express does."""
        result = self.get(*args, **kwargs)
        if result is not None:
            await result

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> "Future[None]":
        """End the answer. While the server drains it says that it is the connection's last."""
        if self.settings.get("draining") and not self._headers_written:
            self.set_header("Connection", "close")
        return super().finish(chunk)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Say what went wrong, and nothing about how the server is made."""
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = error.message if isinstance(error, ClientError) else ADVICE.get(status_code)
        self.render("error.html", status=status_code, title=_phrase(status_code), message=message)

    def _read_json(self, body: bytes) -> Any:
        try:
            value = read_json(body)
        except json.JSONDecodeError as error:
            raise ClientError(
                400, f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
            ) from None
        except UnicodeDecodeError:
            raise ClientError(400, "the body is not JSON: it is not UTF-8") from None
        except RecursionError:
            raise ClientError(400, "the body is nested too deeply") from None
        except ValueError as error:
            raise ClientError(400, f"the body holds a number that cannot be read: {error}") from None
        if not isinstance(value, dict | list):
            raise ClientError(400, "the body is not a JSON object or array")
        return value


class ClientError(HTTPError):
    """An error with a message for the client, and not for the log: it may name what the client has sent."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status)
        self.message = message


class NotFound(BaseHandler):
    """Answers what no route answers."""

    async def prepare(self) -> None:
        """Refuse; a malformed body is answered first, as Express does."""
        await super().prepare()
        raise HTTPError(404)

    def check_xsrf_cookie(self) -> None:
        """Nothing is changed here, so there is nothing to protect."""


def read_json(text: str | bytes) -> Any:
    """The value of a JSON text. Raises ValueError, for what only Python takes for JSON too, and RecursionError."""
    if isinstance(text, bytes):
        text = text.decode(json.detect_encoding(text), "surrogatepass")  # as json.loads does
    if _is_too_deep(text):
        raise RecursionError(f"more than {DEPTH_LIMIT} levels")
    return json.loads(text, parse_constant=_refuse)


_NO_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|[^][{}"]+', re.DOTALL)
"""Strings, and what is neither a bracket nor the begin of a string."""


def _is_too_deep(text: str) -> bool:
    """Whether the text opens more brackets in each other than are read; known before the reader descends into them."""
    if text.count("[") + text.count("{") <= DEPTH_LIMIT:
        return False
    steps = {"[": 1, "{": 1, "]": -1, "}": -1}
    return max(accumulate(steps.get(each, 0) for each in _NO_BRACKETS.sub("", text))) > DEPTH_LIMIT


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
