"""Owns the keys of what is kept at rest: what a key may be, which one writes and which ones read.

Where keys come from is not known here (config/keys.py), nor what is done with them (seal.py, hashed_ids.py).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping

from ..errors import OptionsError

KEY_BYTES = 32
"""An AES-256 key's length, and that of an HMAC-SHA-256's output, as RFC 2104 (section 3) asks of a key."""

KEY_ID = re.compile("[A-Za-z0-9_-]{1,16}")
"""A key's name. It is in every row that the key has sealed."""

_HEX = re.compile("[0-9A-Fa-f]{64}")
_BASE64 = re.compile("[A-Za-z0-9+/_-]{43}=?")
_NO_SALT = bytes(32)  # RFC 5869, section 2.2: a hash's length of zeros


class Key:
    """A key and its id."""

    __slots__ = ("_prk", "id", "master")

    def __init__(self, name: str, master: bytes) -> None:
        self.id: str = name
        self.master: bytes = master
        self._prk = hmac.digest(_NO_SALT, master, hashlib.sha256)

    def derived(self, info: str) -> bytes:
        """Return the 32 bytes of HKDF-SHA-256 (RFC 5869) of this key, without a salt: a key for one purpose."""
        return hmac.digest(self._prk, info.encode("utf-8", "surrogatepass") + b"\x01", hashlib.sha256)

    def __repr__(self) -> str:
        return f"<Key {self.id}>"


class Keyring:
    """Some keys by their ids, in their order: the first writes, all read. Raises OptionsError, which shows no key."""

    def __init__(self, keys: Mapping[str, bytes | str]) -> None:
        self.keys: tuple[Key, ...] = ()
        """In their order."""
        self.use(keys)

    def use(self, keys: Mapping[str, bytes | str]) -> None:
        """Use other keys from now on. Raises OptionsError and keeps those that were there."""
        found = tuple(_key(name, key) for name, key in keys.items())
        if not found:
            raise OptionsError("keys: expected at least one")
        self.keys = found

    def take(self, newer: "Keyring") -> None:
        """Use the keys of another keyring from now on."""
        self.keys = newer.keys

    @property
    def first(self) -> Key:
        """The key that writes."""
        return self.keys[0]

    def __repr__(self) -> str:
        return f"<Keyring of {', '.join(key.id for key in self.keys)}>"


def key_bytes(text: str) -> bytes | None:
    """Return the 32 bytes of a text in base64, base64url or hex, with blanks around it; None if it is none of these."""
    text = text.strip()
    if _HEX.fullmatch(text):
        return bytes.fromhex(text)
    if not _BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode(f"{text[:43]}=".translate(_STANDARD), validate=True)
    except binascii.Error:
        return None


_STANDARD = str.maketrans("-_", "+/")


def _key(name: object, key: object) -> Key:
    if not isinstance(name, str) or not KEY_ID.fullmatch(name):
        raise OptionsError("keys: expected an id of 1 to 16 letters, digits, '-' and '_'")
    found = key_bytes(key) if isinstance(key, str) else key
    if not isinstance(found, bytes) or len(found) != KEY_BYTES:
        raise OptionsError(f"keys: {name}: expected {KEY_BYTES} bytes, as base64, base64url or hex")
    return Key(name, found)
