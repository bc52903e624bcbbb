"""Owns the format of a sealed session: the text that a store keeps, and the way back. docs/sealed.md describes it.

    {"cookie":{…},"__sealed":"1.<key id>.<nonce and ciphertext in base64url>","__meta":{…}}

The text of the session without its cookie is encrypted by AES-256-GCM, with a key that belongs to one row: HKDF-SHA-256
of the key, with `sessions/1/data/<key id>/<key of the row>` as its info. So a text that is put under another id is
refused like one that was changed. In the clear is the cookie, which a Node server's touch rewrites, and of `__meta`
what a store finds rows by; nothing of either is believed where the sealed text says it too.

What this file must not know: stores, and where keys come from.
"""

import hashlib
import hmac
import os
import re
from binascii import Error, a2b_base64, b2a_base64
from collections.abc import Iterator
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from ..errors import CorruptSession
from ..formats import json_text
from .keyring import KEY_ID, Key, Keyring

_MEMBER = json_text.SEALED
_VERSION = "1"
_NONCE = 12  # bytes, as NIST SP 800-38D (5.2.1.1) recommends; a row's key seals some thousand texts and not 2**32
_TAG = 16

_FLAT = r'\{[^{}"\\]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^{}"\\]*)*\}'
_COOKIE_FIRST = re.compile(rf'\{{"cookie":({_FLAT})(?=[,}}])')
_SEALED_FIRST = re.compile(rf'\{{(?:"cookie":({_FLAT}),)?{_MEMBER}:"')
_BEHIND = re.compile(rf'"(?:,{json_text.META}:{_FLAT})?\}}')

_FOUND_BY = ("signedInAt", "closed", "next")
"""The members of `__meta` that stay in the clear beside the user's HMAC: what a store finds and orders rows by."""

_TO_URL, _FROM_URL = bytes.maketrans(b"+/", b"-_"), bytes.maketrans(b"-_", b"+/")


class Opened(NamedTuple):
    """What a row holds."""

    text: str
    """The session in the clear."""
    key_id: str | None
    """The id of the key that has sealed it; None if it is in the clear."""
    is_later: bool
    """True if all of it, or members beside the seal, were written without a key: by a Node server, or before."""

    def __repr__(self) -> str:
        return f"<Opened by {self.key_id}>"  # without the text: a repr comes into logs and error pages


class Seal:
    """Seals and opens the texts of rows with the keys of a keyring. A row is named by its key in the store."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring: Keyring = keyring

    # ---------------------------------------------------------------- seal

    def sealed(self, key: str, text: str, user: str | None) -> str:
        """Return the text to store for a session of a user. It is another one each time."""
        writes = self.keyring.first
        cookie, data = _halves(text)
        nonce = os.urandom(_NONCE)
        box = nonce + AESGCM(_row_key(writes, key)).encrypt(nonce, data.encode("utf-8", "surrogatepass"), None)
        head = f'{{"cookie":{cookie},' if cookie else "{"
        meta = self._in_the_clear(data, user)
        behind = f",{json_text.META}:{meta}" if meta else ""
        return f'{head}{_MEMBER}:"{_VERSION}.{writes.id}.{_url(box)}"{behind}}}'

    def _in_the_clear(self, data: str, user: str | None) -> str:
        members = {}
        if user is not None:
            members["user"] = self.name(user)
        if json_text.META in data:
            try:
                whole = json_text.loads(json_text.split_meta(data)[0] or json_text.EMPTY)
            except CorruptSession:
                whole = {}
            if json_text.is_meta(whole):
                members |= {name: whole[name] for name in _FOUND_BY if name in whole}
        return json_text.dumps(members) if members else ""

    def name(self, user: str | None) -> str | None:
        """Return what a user is called in the clear, under the first key; None for nobody."""
        return None if user is None else hidden(self.keyring.first, user)

    def names(self, user: str) -> Iterator[str]:
        """Yield what a user is called in the clear, under each key."""
        return (hidden(key, user) for key in self.keyring.keys)

    # ---------------------------------------------------------------- open

    def opened(self, key: str, text: str) -> Opened:
        """Open the text of a row. Raises CorruptSession for what no key of ours has sealed for this row."""
        head = _SEALED_FIRST.match(text)
        if head is not None:
            end = text.find('"', head.end())
            if end > 0 and _BEHIND.fullmatch(text, end):
                data, by = self._unsealed(key, text[head.end() : end])
                return Opened(_joined(head[1], data), by, is_later=False)
        if _MEMBER not in text and "\\u00" not in text:
            return Opened(text, None, is_later=True)
        return self._opened_slowly(key, text)

    def _opened_slowly(self, key: str, text: str) -> Opened:
        """Open a text in any spelling. What a Node server has added beside the seal comes over what is sealed."""
        whole = json_text.loads(text)
        if not isinstance(whole, dict) or json_text.SEALED[1:-1] not in whole:
            return Opened(text, None, is_later=True)
        sealed, cookie = whole.pop(json_text.SEALED[1:-1]), whole.pop("cookie", None)
        whole.pop("__meta", None)
        if not isinstance(sealed, str):
            raise CorruptSession("its member __sealed is no text")
        data, by = self._unsealed(key, sealed)
        if whole:
            inner = json_text.loads(data)
            if not isinstance(inner, dict):
                raise CorruptSession("what it seals is no session")
            data = json_text.dumps({**inner, **whole})
        return Opened(_joined(None if cookie is None else json_text.dumps(cookie), data), by, is_later=bool(whole))

    def _unsealed(self, key: str, sealed: str) -> tuple[str, str]:
        """Return what was sealed, and the id of its key."""
        version, _, rest = sealed.partition(".")
        name, _, body = rest.partition(".")
        if version != _VERSION or not KEY_ID.fullmatch(name):
            raise CorruptSession("it is sealed in a format that this version does not know")
        by = next((each for each in self.keyring.keys if each.id == name), None)
        if by is None:
            raise CorruptSession(f"it is sealed with the key {name!r}, which is not given")
        box = _decoded(body)
        try:
            data = AESGCM(_row_key(by, key)).decrypt(box[:_NONCE], box[_NONCE:], None)
        except InvalidTag:
            raise CorruptSession(
                f"its seal is broken: it was changed, or put under another id, or the key {name!r} is another one"
            ) from None
        return data.decode("utf-8", "surrogatepass"), name


def hidden(key: Key, user: str) -> str:
    """Return what a user is called in the clear: an HMAC under a key for this purpose, 43 characters of base64url."""
    secret = key.derived(f"sessions/1/user/{key.id}")
    return _url(hmac.digest(secret, user.encode("utf-8", "surrogatepass"), hashlib.sha256))


def _row_key(key: Key, row: str) -> bytes:
    return key.derived(f"sessions/1/data/{key.id}/{row}")


def _url(data: bytes) -> str:
    return b2a_base64(data, newline=False).translate(_TO_URL).rstrip(b"=").decode("ascii")


def _decoded(body: str) -> bytes:
    """Return the bytes of base64url in its only spelling, or one changed bit of a text could make no difference."""
    coded = body.encode("ascii", "replace").translate(_FROM_URL, b"+/")
    try:
        box = a2b_base64(coded + b"=" * (-len(coded) % 4), strict_mode=True)
    except Error:
        raise CorruptSession("its seal is no base64url") from None
    last = len(box) - (len(box) % 3 or 3)
    if len(coded) != len(body) or len(box) < _NONCE + _TAG or not body.endswith(_url(box[last:])):
        raise CorruptSession("its seal is cut off, or spelled in another way")
    return box


def _halves(text: str) -> tuple[str, str]:
    """Return the texts of a session's cookie and of its data; "" and the text where it is spelled in another way."""
    found = _COOKIE_FIRST.match(text)
    if found is not None:
        if text.startswith(',"', found.end()) and text.endswith("}"):
            return found[1], "{" + text[found.end() + 1 :]
        if found.end() == len(text) - 1:
            return found[1], json_text.EMPTY
    return "", text


def _joined(cookie: str | None, data: str) -> str:
    if cookie is None:
        return data
    if not data.startswith("{"):
        raise CorruptSession("what it seals is no session")
    return json_text.join(cookie, data)
