"""Owns what a request brings of a session: verified ids in its header or its cookies, and the path that it is for."""

from itertools import islice
from typing import TypeAlias
from urllib.parse import urlsplit

from tornado.httputil import HTTPHeaders, HTTPServerRequest
from tornado.web import HTTPError

from ..formats.cookie_header import decoded, values
from ..manager import SessionManager
from ..observe import TAMPERED
from ..renewal import NO_TAGS, TagsOf, split
from ..validation import COOKIE_BYTES

MAX_SESSIONS = 4
"""Verified ids that are asked for in one request: a browser may hold a cookie for each path and parent domain."""

MAX_CANDIDATES = 16
"""Cookies of our name that are looked at in one request, junk included."""

NEW = "new"
"""What a client sends in the header `header` to get an id there."""


Sent: TypeAlias = tuple[tuple[str, ...], TagsOf, bool]
"""What a request brings of a session. A plain tuple, as each request makes one.

The verified ids, each once. The tags that came with each id, "" for a value without one; empty if no value had one.
Whether the client sends its id in the header `header`, and gets it there.
"""

NOTHING: Sent = (), NO_TAGS, False


def sent(manager: SessionManager, headers: HTTPHeaders) -> Sent:
    """Return what the headers of a request bring: the option's header comes first, and then no cookie counts."""
    name = manager.options.header
    if name is not None and (given := headers.get_list(name)):
        return _in_header(manager, given)
    cookies = headers.get_list("Cookie")
    return verified(manager, cookies) if cookies else NOTHING


def is_signed_by_header(manager: SessionManager, headers: HTTPHeaders) -> bool:
    """Return True if a request brings one verified value in the option's header. It notes nothing: `sent` does."""
    name = manager.options.header
    given = () if name is None else headers.get_list(name)
    return len(given) == 1 and _id_in(manager, given[0].strip(" \t")) is not None


def verified(manager: SessionManager, headers: list[str]) -> Sent:
    """Return the ids in the Cookie headers that one of the secrets has signed, each once, at most four."""
    found: dict[str, tuple[str, ...]] = {}
    tagged = ""
    for value in islice(values(headers, manager.options.name), MAX_CANDIDATES):
        try:
            sid, tag = split(manager.signer.id_in(value))
        except LookupError:
            if len(value) <= COOKIE_BYTES:  # no browser has kept a longer one, so it is not ours
                _note_tampered(manager, value)
            continue
        before = found.get(sid, ())
        if tag not in before and (before or len(found) < MAX_SESSIONS):
            found[sid] = (*before, tag)
            tagged = tagged or tag
    return tuple(found), found if tagged else NO_TAGS, False


def _in_header(manager: SessionManager, given: list[str]) -> Sent:
    """Return the id in the header: none of several, of a bad one, or where the client asks for a new one."""
    value = given[0].strip(" \t")
    if len(given) > 1 or decoded(value) == NEW:
        return (), NO_TAGS, True
    signed = _id_in(manager, value)
    if signed is None:
        _note_tampered(manager, value)
        return (), NO_TAGS, True
    sid, tag = split(signed)
    return (sid,), {sid: (tag,)} if tag else NO_TAGS, True


def _id_in(manager: SessionManager, value: str) -> str | None:
    try:
        return manager.signer.id_in(value)
    except LookupError:
        return None


def _note_tampered(manager: SessionManager, value: str) -> None:
    manager.reporter.note(TAMPERED, decoded(value), may_log=manager.tampered.takes)


def is_below(request: HTTPServerRequest, cookie_path: str) -> bool:
    """Return True if the request's path is one for which a browser would send a cookie of that path. Raises 400."""
    if cookie_path == "/" and request.path.startswith("/"):
        return True
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
