"""Owns the mutants of docs/security.md: its row comes first in each name.

They have the number 0: what they break is no promise between requests.
"""

import hashlib
import time
from typing import Any
from urllib.parse import unquote

from .mutant import table

MUTANTS, breaks = table()

REQUEST = "web.request:RequestSession"


@breaks(0, "14.2.1: an id is read from the query as well", "trips/test_ids.py", f"{REQUEST}.load")
def _(original: Any) -> Any:
    async def load(self: Any, handler: Any) -> None:
        given = handler.get_query_argument("connect.sid", None)
        if given is not None:
            handler.request.headers["Cookie"] = f"connect.sid={given.replace(':', '%3A')}"
        await original(self, handler)

    return load


@breaks(0, "14.2.1: an id is read from another header as well", "trips/test_ids.py", f"{REQUEST}.load")
def _(original: Any) -> Any:
    async def load(self: Any, handler: Any) -> None:
        given = handler.request.headers.get("X-Session-Id")
        if given is not None:
            handler.request.headers["Cookie"] = f"connect.sid={given}"
        await original(self, handler)

    return load


@breaks(0, "14.2.7: the server does not sweep", "server/test_security.py", "sweeper:Sweeper.__aenter__")
def _(_original: Any) -> Any:
    async def enter(self: Any) -> Any:
        return self

    return enter


@breaks(0, "7.2.3: an id is a hash of the clock", "formats/test_signing.py", "formats.signing:new_id")
def _(_original: Any) -> Any:
    return lambda: hashlib.sha256(str(time.time_ns()).encode()).hexdigest()[:32]


@breaks(0, "7.2.3: an id has fewer bytes", "formats/test_signing.py", "formats.signing:ID_BYTES")
def _(_original: Any) -> Any:
    return 16


@breaks(
    0, "11.2.4: a wrong first character ends the comparison", "formats/test_signing.py", "formats.signing:Signer.unsign"
)
def _(original: Any) -> Any:
    def unsign(self: Any, value: str) -> Any:
        sid, _, signature = value.removeprefix("s:").rpartition(".")
        right = [self.__class__.__new__(self.__class__) for _ in self._keys]
        for signer, key in zip(right, self._keys, strict=True):
            signer._keys = [key]
        try:
            begins = {signer.sign(sid).rpartition(".")[2][:1] for signer in right}
        except UnicodeEncodeError:
            return None
        return original(self, value) if signature[:1] in begins else None

    return unsign


@breaks(0, "16.2.5: a refused value is in the message", "trips/test_values.py", "formats.json_text:_look_at")
def _(original: Any) -> Any:
    def look_at(value: Any) -> None:
        try:
            original(value)
        except Exception as refused:
            refused.args = (f"{refused}: {value!r}",)
            raise

    return look_at


@breaks(0, "3.3.1: a Secure cookie is sent over plain HTTP", "trips/test_secure.py", "web.mixin:SessionMixin.is_secure")
def _(_original: Any) -> Any:
    return lambda _self: True


@breaks(
    0,
    "14.2.2: an answer with the cookie may be stored",
    "trips/test_cookies_out.py",
    "web.headers:_keep_out_of_shared_caches",
)
def _(_original: Any) -> Any:
    return lambda _headers, _manager: None


@breaks(0, "CS-dupe: of duplicates only the first is tried", "trips/test_cookies_in.py", "web.request:MAX_CANDIDATES")
def _(_original: Any) -> Any:
    return 1


@breaks(0, "one Set-Cookie of a name: a handler's own stays", "trips/test_cookies_out.py", "web.headers:_remove_own")
def _(_original: Any) -> Any:
    return lambda _headers, _manager: None


@breaks(0, "WS-origin: a refused handshake commits", "trips/test_sockets.py", f"{REQUEST}.noted_origin")
def _(_original: Any) -> Any:
    return lambda _self, *, allowed: allowed


@breaks(0, "3.5.1: a form's token is not the session's", "trips/test_xsrf.py", "web.xsrf:check")
def _(_original: Any) -> Any:
    return lambda _handler, _state: None


@breaks(0, "CS-log: a tampered cookie is not logged", "trips/test_log.py", "observe:note")
def _(original: Any) -> Any:
    return lambda event, *rest: None if event == "session_tampered" else original(event, *rest)


@breaks(0, "CS-strict: an unknown id is not logged", "trips/test_log.py", "observe:note")
def _(original: Any) -> Any:
    return lambda event, *rest: None if event == "session_use_after_expire" else original(event, *rest)


@breaks(0, "16.2.5: an event carries the id", "trips/test_log.py", "observe:fingerprint")
def _(_original: Any) -> Any:
    return unquote


@breaks(0, "11.2.3: a short secret serves everybody", "server/test_server_secret.py", "validation:SECRET_BYTES")
def _(_original: Any) -> Any:
    return 4


@breaks(
    0, "15.3.7: only the first verified id is asked for", "trips/test_several_cookies.py", "web.request:MAX_SESSIONS"
)
def _(_original: Any) -> Any:
    return 1


@breaks(
    0, "7.4.1: a sign-out leaves the browser's other sessions", "trips/test_several_cookies.py", "writes:Writes.end"
)
def _(original: Any) -> Any:
    return lambda self, row, _others: original(self, row, ())
