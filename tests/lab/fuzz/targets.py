"""Owns what is fuzzed: for each way in a function of bytes, which raises where a law is broken.

The errors that the contract names are caught here, and only those. What makes the bytes (atheris, or the suite's own small
mutator) must not be known here. Whatever happens in a target happens in memory and in one temporary folder.
"""

import asyncio
import atexit
import base64
import hashlib
import hmac
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tornado.httputil import HTTPHeaders, HTTPInputError, HTTPServerRequest, RequestStartLine
from tornado.web import Application, HTTPError

from handlers.base import BaseHandler, ClientError
from handlers.page import DeleteKey, SetKey
from serving.options import read_config
from sessions import (
    CookieOptions,
    CorruptSession,
    DataError,
    MemoryStore,
    OptionsError,
    SessionManager,
    SessionMixin,
    SessionOptions,
    StoredSession,
)
from sessions.config import effective_options
from sessions.formats.cookie_header import decoded, values
from sessions.formats.signing import Signer
from sessions.renewal import split
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie, set_cookie
from sessions.web import sent

NAME = "connect.sid"
KEYS = [b"the first secret of the fuzzer, which signs", b"an old secret of the fuzzer, which still verifies"]
NOW = 1_800_000_000_000
YEAR = 365 * 86_400_000

ISSUED = ("kEhQnXBQsVgAAf2rkYTkZ2yWXeSLkVd0", "a", "an id. with a dot", "ünïcode", "s:x.y", "%25=;,+/")
"""The ids that were signed. No other may ever be accepted."""

SIGNER = Signer(KEYS)
SIGNED = {sid: {Signer([key]).sign(sid) for key in KEYS} for sid in ISSUED}
GENUINE = [value for signed in SIGNED.values() for value in sorted(signed)]


def clock() -> int:
    """Always the same moment, so that an input does the same in every run."""
    return NOW


# ---------------------------------------------------------------- the signed value


def signed_value(data: bytes) -> None:
    """A cookie's value: the input as it is, or a genuine value that the input edits."""
    if data[:1] == b"~":  # ~ which one, then triples: where, how, a byte
        value = _edited(GENUINE[data[1] % len(GENUINE)] if len(data) > 1 else GENUINE[0], data[2:])
    else:
        value = text(data)
    _check_accepted(value, SIGNER.unsign(value))


def _edited(value: str, script: bytes) -> str:
    for where, how, byte in zip(script[::3], script[1::3], script[2::3], strict=False):
        place = where % (len(value) + 1)
        kind = how % 5
        if kind == 0:
            value = value[:place] + chr(byte) + value[place + 1 :]
        elif kind == 1:
            value = value[:place] + chr(byte) + value[place:]
        elif kind == 2:
            value = value[:place] + value[place + 1 + byte % 8 :]
        elif kind == 3:
            value = value[place:] + value[:place]
        else:
            value = value[:place] + GENUINE[byte % len(GENUINE)] + value[place:]
    return value


def _check_accepted(value: str, sid: str | None) -> None:
    """Accepted is what the standard library's HMAC accepts, and only what was issued."""
    expected = None
    head, dot, signature = value.removeprefix("s:").rpartition(".")
    if value.startswith("s:") and dot and signature in map(_signature, KEYS, [head] * len(KEYS)):
        expected = head
    assert sid == expected, "not what HMAC says"
    assert sid is None or value in SIGNED.get(sid, ()), "an accepted forgery"


def _signature(key: bytes, sid: str) -> str:
    made = hmac.digest(key, sid.encode("utf-8", "surrogatepass"), hashlib.sha256)
    return base64.b64encode(made).decode().rstrip("=")


# ---------------------------------------------------------------- the Cookie header


class _Noticing:
    """The signer, with what it was asked and what it has said."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []

    def id_in(self, sent: str) -> str:
        """Note it. Raises LookupError."""
        sid = None
        try:
            sid = SIGNER.id_in(sent)
        finally:
            self.asked.append((decoded(sent), sid))
        return sid


_STAND_FOR = {number: f"{NAME}={quote(value, safe='')}" for number, value in enumerate(GENUINE[:9], 1)}
_MANAGER = SessionManager(MemoryStore(clock=clock), SessionOptions(secret=KEYS[0], name=NAME), clock=clock)


def cookie_header(data: bytes) -> None:
    """Cookie headers, one a line, as Tornado hands them over. The bytes 1 to 9 stand for genuine cookies in them."""
    lines = data.decode("latin1").translate(_STAND_FOR)
    signer = _Noticing()
    _MANAGER.signer = signer  # type: ignore[assignment] # it signs nothing here
    sids, _, _ = sent.verified(_MANAGER, lines.split("\n"))
    assert len(signer.asked) <= 16, "more candidates than are tried"
    assert len(sids) <= 4, "more sessions than are asked for"
    assert sids == tuple(dict.fromkeys(split(accepted)[0] for _, accepted in signer.asked if accepted))
    for value, accepted in signer.asked:
        _check_accepted(value, accepted)


# ---------------------------------------------------------------- Set-Cookie


def set_cookie_header(data: bytes) -> None:
    """A value comes back from the header as it went in; no value and no attribute begins another attribute or header."""
    value, path, domain, rest = ([*text(data).split("\n"), "", "", "", ""])[:4]
    members = {"path": path or None, "domain": domain or None, "httpOnly": True, "sameSite": rest or None}
    try:
        header = set_cookie(NAME, value, members)
    except OptionsError:
        return
    except UnicodeEncodeError:  # half of a surrogate pair, which the signer has refused before
        assert any("\ud800" <= each <= "\udfff" for each in value)
        return
    pair, *attributes = header.split("; ")
    assert header.isascii()
    assert header.isprintable(), "a header that ends another one"
    assert [decoded(each) for each in values([pair], NAME)] == [value]
    names = [each.partition("=")[0] for each in header.split(";")[1:]]
    expected = [name for name, given in (("Domain", domain), ("Path", path)) if given]
    assert [name.strip() for name in names][: len(expected)] == expected
    assert len(names) == len(attributes) == len(expected) + 1 + bool(rest), "an attribute that nobody gave"


# ---------------------------------------------------------------- config.toml

_FOLDER = tempfile.TemporaryDirectory()
atexit.register(_FOLDER.cleanup)
_FILE = Path(_FOLDER.name, "config.toml")


def config(data: bytes) -> None:
    """config.toml, as `python server.py --check` reads it: what counts can be shown, or the file is refused."""
    _FILE.write_bytes(data)
    try:
        found = read_config(_FILE, make_secret=False)
    except OptionsError as error:
        assert str(error).startswith(str(_FILE)), "the error does not name the file"
        return
    shown = effective_options(found.tables)
    assert found.session.keys
    for secret in found.session.keys:
        assert len(secret) < 16 or secret.decode("utf-8", "replace") not in shown or secret in _PUBLIC, (
            "a secret is shown"
        )


_PUBLIC = {name.encode() for name in ("saveUninitialized", "originalMaxAge", "trustedDownstream")}
"""Words of the display that are long enough to be a secret."""


# ---------------------------------------------------------------- the stored row

_COOKIE = CookieOptions(max_age=YEAR)
_KINDS_OF_SESSION = (
    SessionOptions(secret=KEYS[0], resave=True, cookie=_COOKIE),
    SessionOptions(secret=KEYS[0], resave=True, cookie=_COOKIE, absolute_timeout=YEAR, max_bytes=0),
)
"""Without our own member in the row, and with it."""


def _generate() -> tuple[str, StoredCookie]:
    return "fresh", StoredCookie.new(_COOKIE, clock, is_secure=lambda: False)


def _load(row: str, options: SessionOptions) -> SessionState:
    return SessionState.loaded(options, clock, _generate, "sid", StoredSession(row, NOW + YEAR))


def stored_row(data: bytes) -> None:
    """A row of the store, written by anybody: it is a session that can be read, changed and written, or it is corrupt.

    What follows a NUL in the input is the row that another request has put there meanwhile.
    """
    first, _, second = data.partition(b"\0")
    for options in _KINDS_OF_SESSION:
        _check_row(text(first), text(second), options)


def _check_row(row: str, newer: str, options: SessionOptions) -> None:
    try:
        state = _load(row, options)
        before = dict(state.values)
        facts = state.facts()
        state.cookie.check()
    except (CorruptSession, DataError):
        return
    assert state.cookie.set_cookie(NAME, "v").isprintable()
    assert not facts.data_changed, "changed by being read"
    try:
        written = state.to_store().data
        assert _load(written, options).values == before, "changed by being written"
        state.data.set("new", 1)
        written = state.to_store().data
    except DataError:
        return
    assert _load(written, options).values == {**before, "new": 1}
    if newer:
        _merge(state, newer, options)


def _merge(state: SessionState, row: str, options: SessionOptions) -> None:
    try:
        theirs = dict(_load(row, options).values)
        merged = state.on(StoredSession(row, NOW + YEAR))
    except (CorruptSession, DataError):
        return
    found = _load(merged.data, options).values
    assert found["new"] == 1
    assert set(found) == {*theirs, "new"}, "a key was lost, or made"


# ---------------------------------------------------------------- bodies


class _Connection:
    """Takes the place of a connection in a request that came from none."""

    def set_close_callback(self, callback: object) -> None:
        """Never."""


_APP = Application(sessions=SessionManager(MemoryStore(clock=clock), SessionOptions(secret=KEYS[0]), clock=clock))
_KINDS = ("application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data; boundary=")
_LOOP = asyncio.new_event_loop()
atexit.register(_LOOP.close)


def _post(kind: str, body: bytes) -> HTTPServerRequest:
    connection: Any = _Connection()
    return HTTPServerRequest(
        start_line=RequestStartLine("POST", "/set", "HTTP/1.1"),
        headers=HTTPHeaders({"Content-Type": kind, "Host": "h"}),
        body=body,
        connection=connection,
    )


def json_body(data: bytes) -> None:
    """A body of application/json: an object or an array, or a 4xx. A first line may name another type."""
    kind, line_end, body = data.partition(b"\n")
    if not line_end or not kind.startswith(b"application/"):
        kind, body = b"application/json", data
    try:
        handler = BaseHandler(_APP, _post(kind.decode("latin1"), body))
        _LOOP.run_until_complete(handler.prepare())
    except HTTPInputError:  # no header value: Tornado answers 400 before any handler is made
        return
    except ClientError as error:
        assert error.status_code in (400, 413)
        assert error.message
        return
    assert handler.json is None or isinstance(handler.json, dict | list)


def form_body(data: bytes) -> None:
    """The body of the page's two forms with fields: a 4xx, or a session that holds what it says."""
    kind = _KINDS[data[0] % len(_KINDS)] if data else _KINDS[0]
    form = DeleteKey if data[1:2] == b"d" else SetKey
    request = _post(kind, data[2:])
    try:
        request._parse_body()
        handler = form(_APP, request)
        _LOOP.run_until_complete(SessionMixin.prepare(handler))
        _LOOP.run_until_complete(handler.act())
    except (HTTPError, HTTPInputError) as error:
        assert not isinstance(error, HTTPError) or 400 <= error.status_code < 500
        return
    assert form is DeleteKey or len(handler.session) == 1


# ---------------------------------------------------------------- all of them


def text(data: bytes) -> str:
    """The bytes as a text: UTF-8 (halves of surrogate pairs too), or else each byte a character."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return data.decode("latin1")


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (signed_value, cookie_header, set_cookie_header, config, stored_row, json_body, form_body)
}
