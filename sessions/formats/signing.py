"""Owns the signed session id: making ids, signing them, verifying them with rotated secrets.

It must not know sessions or HTTP; how a value is encoded in a cookie is in cookie_header.py. The format is that of the
npm package cookie-signature 1.0 inside the prefix that express-session's index.js (`setcookie`, `getcookie`) adds:

    s:<id>.<signature>        signature = base64(HMAC-SHA-256(secret, id)), standard alphabet, without "="

The id may hold anything, dots too: the last dot divides. The signature is compared as text, so padding, the URL-safe
alphabet and a second spelling of the last character are refused.
"""

import hashlib
import hmac
import secrets
from binascii import b2a_base64
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

from ..validation import COOKIE_BYTES
from .cookie_header import decoded

if TYPE_CHECKING:
    _Keyed: TypeAlias = tuple[hashlib._Hash, hashlib._Hash]  # noqa: SLF001 # the name that typeshed gives it

PREFIX = "s:"
ID_BYTES = 24
"""Bytes of entropy in a session id, as express-session takes them from uid-safe."""

RECENT = 1024
"""Good values that a signer remembers; of 4,096 characters at most (COOKIE_BYTES), so that they take 4 MB at most."""

_BLOCK = 64
_MAC_LENGTH = 43  # of 32 bytes in base64, without the "=" and the line feed that would follow
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


def new_id() -> str:
    """A fresh session id: 24 bytes of the system's CSPRNG as 32 base64url characters."""
    return secrets.token_urlsafe(ID_BYTES)


class Signer:
    """Signs with the first secret and verifies with every one of them."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = [_keyed(key) for key in keys]
        self.id_in: Callable[[str], str] = lru_cache(RECENT)(self._id_in)  # no exception is remembered
        """Returns the id in a value as a client sends it, encoded. Raises LookupError if there is no signed id in it.

        A good value that came lately is not verified again: a browser sends the same one with each request. It is
        found by its hash, which is keyed at random, so how long that takes tells nothing about another value.
        """

    def sign(self, sid: str) -> str:
        """`s:<id>.<signature>`, signed with the first secret."""
        return f"{PREFIX}{sid}.{_mac(self._keys[0], sid.encode()).decode('ascii')}"

    def derived(self, purpose: str, text: str) -> bytes:
        """Return 32 bytes that only a holder of the first secret can make of a text, others for each purpose."""
        return _derived(self._keys[0], purpose, text)

    def derived_by_all(self, purpose: str, text: str) -> list[bytes]:
        """Return the same by each of the secrets, the first one first."""
        return [_derived(key, purpose, text) for key in self._keys]

    def unsign(self, value: str) -> str | None:
        """Return the id in a signed value, or None for anything that none of the secrets has signed."""
        if not value.startswith(PREFIX):
            return None
        sid, dot, signature = value[len(PREFIX) :].rpartition(".")
        if not dot:
            return None
        try:
            message, given = sid.encode(), signature.encode("ascii")
            for key in self._keys:
                if hmac.compare_digest(_mac(key, message), given):
                    return sid
        except UnicodeEncodeError:  # a signature beyond ASCII, or an id that is half of a surrogate pair
            pass
        return None

    def _id_in(self, sent: str) -> str:
        sid = self.unsign(decoded(sent)) if len(sent) <= COOKIE_BYTES else None
        if not sid:  # an empty one is nobody's
            raise LookupError
        return sid


def fingerprint(sid: str) -> str:
    """Eight hexadecimal digits that stand for an id in a log, where the id itself must never appear."""
    return hashlib.sha256(sid.encode("utf-8", "surrogatepass")).hexdigest()[:8]


def _keyed(key: bytes) -> "_Keyed":
    """The two halves of HMAC (RFC 2104) with the key already taken in: copying them is cheaper than hmac.new()."""
    if len(key) > _BLOCK:
        key = hashlib.sha256(key).digest()
    key = key.ljust(_BLOCK, b"\0")
    return hashlib.sha256(key.translate(_INNER_PAD)), hashlib.sha256(key.translate(_OUTER_PAD))


def _derived(keyed: "_Keyed", purpose: str, text: str) -> bytes:
    key = _mac(keyed, f"\0{purpose}".encode())  # no id begins so
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), "sha256")


def _mac(keyed: "_Keyed", message: bytes) -> bytes:
    inner, outer = keyed[0].copy(), keyed[1].copy()
    inner.update(message)
    outer.update(inner.digest())
    return b2a_base64(outer.digest())[:_MAC_LENGTH]
