"""Owns where the keys of data at rest come from: the environment, or the files that the configuration names.

    SESSION_ENCRYPTION_KEYS    [session.encryption] keys = [{ id, file }]     seal what is stored
    SESSION_HASH_KEYS          [session.hashing] keys = [{ id, file }]        hash the ids

A variable has `id:key`, several with commas or lines between them. A key is 32 bytes as base64, base64url or hex.
The first writes, all read. Both for one purpose is a mistake, and so is a file that others can read. No message has a
key.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..at_rest import sealed_store_class
from ..at_rest.hashed_ids import HashedIds
from ..at_rest.keyring import KEY_BYTES, KEY_ID, Keyring, key_bytes
from ..errors import OptionsError
from ..key_options import EncryptionOptions, HashingOptions
from ..options import SessionOptions
from ..store import OpenableStore

ENCRYPTION_VARIABLE = "SESSION_ENCRYPTION_KEYS"
HASH_VARIABLE = "SESSION_HASH_KEYS"

_OTHERS = 0o006
"""The bits of a mode by which others than owner and group read or write."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The keys of a configuration. A store that was opened with them follows when they are replaced."""

    encryption: Keyring | None = None
    """Seals what is stored; None: it is in the clear."""
    hashing: Keyring | None = None
    """Hashes the ids; None: they are in the clear."""

    @classmethod
    def of(cls, options: SessionOptions) -> "Keys":
        """Read the keys that some options name. Raises OptionsError."""
        encryption = _read("encryption", options.encryption, ENCRYPTION_VARIABLE)
        hashing = _read("hashing", options.hashing, HASH_VARIABLE)
        if options.require_sealed and encryption is None:
            raise OptionsError(f"requireSealed: needs encryption.keys, or {ENCRYPTION_VARIABLE}")
        if options.hashed_ids and hashing is None:
            raise OptionsError(f"hashedIds: needs hashing.keys, or {HASH_VARIABLE}")
        if hashing is not None and not options.hashed_ids:
            raise OptionsError("hashing: there are keys, but hashedIds is false")
        if options.hashed_ids and options.node_peer:
            raise OptionsError(
                "hashedIds: no Node server finds a session under a hash, and nodePeer says that one writes"
            )
        return cls(encryption=encryption, hashing=hashing)

    def use(self, newer: "Keys") -> None:
        """Take over the keys that were read again. Raises OptionsError if there are none any more, or were none."""
        pairs = (("encryption", self.encryption, newer.encryption), ("hashing", self.hashing, newer.hashing))
        for name, mine, theirs in pairs:
            if mine is not None and theirs is None:
                raise OptionsError(f"{name}: no keys are given any more")
            if mine is None and theirs is not None:
                raise OptionsError(f"{name}: the server was started without keys; to switch it on takes a restart")
        for _, mine, theirs in pairs:
            if mine is not None and theirs is not None:
                mine.take(theirs)

    def around(self, store: OpenableStore, options: SessionOptions) -> OpenableStore:
        """Return a store behind what the options ask for: the only place where the wrappers are put together."""
        if self.encryption is not None:
            store = sealed_store_class()(store, self.encryption, require_sealed=options.require_sealed)
        if self.hashing is not None:
            until = None if options.hashing is None else options.hashing.legacy_until_ms
            store = HashedIds(store, self.hashing, legacy_until=until)
        return store


def _read(option: str, table: EncryptionOptions | HashingOptions | None, variable: str) -> Keyring | None:
    """Return the keys for one purpose, in their order; None if there are none."""
    given, listed = os.environ.get(variable), () if table is None else table.keys
    if given and listed:
        raise OptionsError(f"{option}: {option}.keys and {variable} are both given; one of them is enough")
    found: dict[str, bytes] = {}
    pairs = _of_variable(option, variable, given) if given else [_of_file(option, each) for each in listed]
    for name, key in pairs:
        if name in found:
            raise OptionsError(f"{option}: two keys have the id {name!r}")
        if key in found.values():
            raise OptionsError(f"{option}: the key {name!r} is there twice")
        found[name] = key
    return Keyring(found) if found else None


def _of_variable(option: str, variable: str, given: str) -> list[tuple[str, bytes]]:
    pairs = []
    for number, each in enumerate(filter(None, map(str.strip, re.split("[,\n]", given))), start=1):
        name, _, text = each.partition(":")
        key = key_bytes(text)
        if not KEY_ID.fullmatch(name) or key is None:
            raise OptionsError(f"{option}: {variable}: number {number}: expected id:key, {_EXPECTED}")
        pairs.append((name, key))
    if not pairs:
        raise OptionsError(f"{option}: {variable} is empty")
    return pairs


_EXPECTED = f"an id of 1 to 16 letters, digits, '-' and '_', and a key of {KEY_BYTES} bytes as base64, base64url or hex"


def _of_file(option: str, entry: Mapping[str, str]) -> tuple[str, bytes]:
    name, file = entry["id"], Path(entry["file"])
    if not KEY_ID.fullmatch(name):
        raise OptionsError(f"{option}.keys: id: expected 1 to 16 letters, digits, '-' and '_'")
    if key_bytes(entry["file"]) is not None:  # no message below may show it
        raise OptionsError(f"{option}.keys: {name}: file: expected the path of a file, got a key")
    try:
        mode = file.stat().st_mode
        text = file.read_text("ascii")
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise OptionsError(f"{option}.keys: {name}: {file}: {error.strerror}") from error
    if mode & _OTHERS:
        raise OptionsError(
            f"{option}.keys: {name}: others can read or write {file} (its mode is {mode & 0o777:04o}): chmod 600"
        )
    key = key_bytes(text)
    if key is None:
        raise OptionsError(f"{option}.keys: {name}: {file}: expected {KEY_BYTES} bytes as base64, base64url or hex")
    return name, key
