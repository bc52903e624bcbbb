"""Owns the values of a session and the text that they came from.

The values are decoded when a handler reads them first. An unchanged session keeps its text to the character, in any
spelling that Node or a person has used.
"""

from typing import Any, NamedTuple

from .clock import Clock
from .errors import CorruptSession
from .formats import json_text
from .formats.signing import fingerprint
from .merge import Changes, changes, clashes, merged, restored
from .meta import parsed
from .store import StoredSession
from .stored_cookie import StoredCookie

SMALL = 16_384
"""Characters of data up to which it is looked at as a whole; in more, what has changed is found first."""


class Parts(NamedTuple):
    """The texts that a stored session consists of."""

    cookie: str
    data: str
    meta: str
    """The member `__meta`, which our own features keep with a session; "" where there is none."""

    def __repr__(self) -> str:
        return f"<Parts of {sum(map(len, self))} characters>"  # a repr comes into logs and error pages


NO_PARTS = Parts(json_text.EMPTY, json_text.EMPTY, "")
"""Those of a session that is not stored."""


def parts_of(sid: str, record: StoredSession, clock: Clock) -> tuple[Parts, StoredCookie]:
    """Return the texts of a record, and its cookie. Raises CorruptSession."""
    try:
        try:
            text, data = json_text.split(record.data)
            cookie = StoredCookie.load(text, record.expires_at, clock)
        except CorruptSession:
            text, data = json_text.split_slowly(record.data)
            cookie = StoredCookie.load(text, record.expires_at, clock)
        meta = ""
        if json_text.OURS in data:
            if json_text.META in data:
                found, rest = json_text.split_meta(data)
                if parsed(found) is not None:  # or it is another application's, and data
                    meta, data = found, rest
            if json_text.SEALED in data and json_text.is_sealed(data):
                raise CorruptSession("it is sealed, and no key of encryption is given")  # noqa: TRY301 # named like all others
    except CorruptSession as error:
        raise CorruptSession(f"session {fingerprint(sid)}: {error}") from None
    return Parts(text, data, meta), cookie


class SessionData:
    """The data of one session, with its text as last read from the store or written to it."""

    _values: dict[str, Any] | None = None
    _loaded: dict[str, Any] | None = None  # `text` once more, which no handler changes
    _canonical: str | None = None  # our spelling of `text`
    _compared: tuple[str, Changes] | None = None  # a text of the values, and how it differs from `text`
    _checked: str | None = None  # a text of ours that Node can read

    def __init__(self, text: str = json_text.EMPTY) -> None:
        self.text: str = text
        """The data as it is in the store."""
        self.assigned: set[str] = set()
        """The keys that this request has set itself. A change inside a value does not count, nor does a merge."""

    def copy(self) -> "SessionData":
        """Return another one with the same text and the same keys; a value below a key is the same object."""
        other = SessionData(self.text)
        other.assigned = self.assigned.copy()
        other._values = None if self._values is None else self._values.copy()
        return other

    def read(self, text: str) -> None:
        """Take over the text of a stored session; what was changed here is dropped."""
        self.wrote(text)
        self._values = None
        self.assigned = set()

    def wrote(self, text: str) -> None:
        """Note that the store has this text. The values stay: they may have changed since it was made."""
        self.text = text
        self._loaded = self._canonical = self._compared = None

    @property
    def values(self) -> dict[str, Any]:
        """The values, decoded at the first look. Raises CorruptSession."""
        if self._values is None:
            self._values = json_text.read(self.text)
        return self._values

    @property
    def is_untouched(self) -> bool:
        """True if the values are, to the character, those of `text`. Raises DataError."""
        return self._values is None or json_text.dumps(self._values) == self.text

    def current(self) -> str:
        """Return the values as JSON text: `text` itself until they change.

        Raises DataError for a value that JSON cannot hold.
        """
        if self._values is None:
            return self.text
        text = json_text.dumps(self._values)
        if text == self.text:
            return self.text  # one copy is enough: the state keeps what this returns
        if self._compared is not None and self._compared[0] == text and self._compared[1]:
            return text
        if self._canonical is None:  # a row in another spelling is not modified by that
            self._canonical = self.text if self.text == json_text.EMPTY else json_text.dumps(self._before())
        return self.text if text == self._canonical else text

    def check(self, text: str) -> None:
        """Look at what has changed in a text that `current` gave.

        Raises DataError, naming the place, for a value that JSON, or Node, cannot hold.
        """
        if text in (self.text, self._checked):
            return
        values = self.values
        if len(text) > SMALL or not json_text.is_plain(values):
            for key in self._changes(text).assigned:
                json_text.check(key, values[key])
        self._checked = text

    def _before(self) -> dict[str, Any]:
        if self._loaded is None:
            self._loaded = json_text.read(self.text)
        return self._loaded

    def _changes(self, text: str) -> Changes:
        """Return how the values differ from what was loaded; this is their text. They are compared once."""
        if self._compared is None or self._compared[0] != text:
            self._compared = text, changes(self._before(), self.values)
        return self._compared[1]

    def set(self, key: str, value: Any) -> None:
        """Set a key. A loaded list or dict that is put back under its key is not assigned by that."""
        values = self.values
        if key not in self.assigned and not (isinstance(value, list | dict) and values.get(key) is value):
            self.assigned.add(key)
        values[key] = value

    def delete(self, key: str) -> None:
        """Delete a key. Raises KeyError."""
        del self.values[key]
        self.assigned.discard(key)

    def clear(self) -> None:
        """Delete all keys."""
        self.values.clear()
        self.assigned.clear()

    def keep_assigned(self) -> None:
        """Keep only the keys that this request has assigned, as the data of a session that is not stored yet."""
        kept = {key: value for key, value in self.values.items() if key in self.assigned}
        self.wrote(json_text.EMPTY)
        self._values = kept

    def clashes(self, text: str) -> list[str]:
        """Return the keys that were changed here, and to something else in a newer text."""
        mine = self.values
        return clashes(self._changes(json_text.dumps(mine)), self._before(), mine, json_text.read(text))

    def merge(self, text: str) -> None:
        """Apply what was changed here to a newer text, which is the stored text from here on."""
        mine = self.values
        change, loaded = self._changes(json_text.dumps(mine)), self._before()
        self.wrote(text)
        self._values, left = merged(change, loaded, mine, json_text.read(text))
        encoded = json_text.dumps(self._values)
        self._compared = encoded, left
        self._canonical = None if left else encoded

    def restore(self, text: str) -> None:
        """Put the values back to a text that `current` gave."""
        self._values = restored(self.values, json_text.read(text))
