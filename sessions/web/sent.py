"""Owns what a request brings of a session: the verified ids in its Cookie headers, and the path that it is for."""

from urllib.parse import urlsplit

from tornado.httputil import HTTPServerRequest
from tornado.web import HTTPError

from ..formats.cookie_header import values
from ..manager import SessionManager
from ..observe import TAMPERED
from ..validation import COOKIE_BYTES

MAX_SESSIONS = 4
"""Verified ids that are asked for in one request: a browser may hold a cookie for each path and parent domain."""

MAX_CANDIDATES = 16
"""Cookies of our name that are looked at in one request, junk included."""


def verified(manager: SessionManager, headers: list[str]) -> tuple[str, ...]:
    """Return the ids in the Cookie headers that one of the secrets has signed, each once, at most four."""
    found: dict[str, None] = {}
    for tried, value in enumerate(values(headers, manager.options.name)):
        if tried == MAX_CANDIDATES or len(found) == MAX_SESSIONS:
            break
        if len(value) > COOKIE_BYTES:
            continue  # no browser has kept it, so it is not ours
        if sid := manager.signer.unsign(value):
            found[sid] = None
        else:
            manager.reporter.note(TAMPERED, value, may_log=manager.tampered.takes)
    return tuple(found)


def is_below(request: HTTPServerRequest, cookie_path: str) -> bool:
    """Return True if the request's path is one for which a browser would send a cookie of that path. Raises 400."""
    return _path_matches(_path(request), cookie_path)


def _path_matches(path: str, cookie_path: str) -> bool:
    """Return True if a browser would send a cookie of that path (RFC 6265, section 5.1.4)."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def _path(request: HTTPServerRequest) -> str:
    """Return the path as the client sent it, of an absolute-form target (RFC 9112, section 3.2.2) too. Raises 400."""
    path = str(request.path)
    try:
        return path if path.startswith("/") else urlsplit(path).path or "/"
    except ValueError:  # it is no URL, or its host is none
        raise HTTPError(400) from None
