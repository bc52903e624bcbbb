"""Owns what a deployment may say of the keys of data at rest: the tables [session.encryption] and [session.hashing].

A key is named and lies in a file; it is no part of the options. This file must not read it (config/keys.py does).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .errors import OptionsError
from .validation import read_table

_MEMBERS = {"id", "file"}


@dataclass(frozen=True, kw_only=True)
class EncryptionOptions:
    """The table [session.encryption]: what is in the store is sealed (docs/sealed.md)."""

    keys: Sequence[Mapping[str, str]] = ()
    """`{ id, file }` of each key: the first seals, all open. A key is 32 bytes as base64 or hex.
    SESSION_ENCRYPTION_KEYS = "id:key" in the environment takes the place of this option; SIGHUP reads the files
    again (docs/sealed.md). Not set: sessions are stored in the clear."""

    def __post_init__(self) -> None:
        check_keys("encryption.keys", self.keys)


@dataclass(frozen=True, kw_only=True)
class HashingOptions:
    """The table [session.hashing]: what an id is hashed with, where `hashedIds` is on."""

    keys: Sequence[Mapping[str, str]] = ()
    """`{ id, file }` of each key: with the first the ids are hashed, with all they are looked for. Not set:
    SESSION_HASH_KEYS in the environment."""
    legacy_until: datetime | None = None
    """Until when rows under plain ids are taken over. Not set: without an end."""

    def __post_init__(self) -> None:
        check_keys("hashing.keys", self.keys)
        if self.legacy_until is not None and (
            not isinstance(self.legacy_until, datetime) or self.legacy_until.tzinfo is None
        ):
            raise OptionsError("hashing.legacyUntil: expected a date and time with a time zone")

    @property
    def legacy_until_ms(self) -> float | None:
        """`legacy_until` in milliseconds since the epoch."""
        return None if self.legacy_until is None else self.legacy_until.timestamp() * 1000


def check_keys(name: str, keys: object) -> None:
    """Raise OptionsError unless an option is a list of `{ id, file }`."""
    expected = f'{name}: expected a list of {{ id = "…", file = "…" }}'
    if not isinstance(keys, list | tuple):
        raise OptionsError(f"{expected}, got {type(keys).__name__}")
    for each in keys:
        if not isinstance(each, Mapping) or each.keys() != _MEMBERS:
            raise OptionsError(expected)
        if not all(isinstance(value, str) and value and "\0" not in value for value in each.values()):
            raise OptionsError(f"{expected}, with texts in both")


def table_of(kind: type[Any], name: str, given: object) -> Any:
    """Return the options of a table inside [session]. Raises OptionsError."""
    if isinstance(given, kind) or given is None:
        return given
    if not isinstance(given, Mapping):
        raise OptionsError(f"{name}: expected a table [session.{name}], got {type(given).__name__}")
    return kind(**read_table(kind, given, f"{name}."))
