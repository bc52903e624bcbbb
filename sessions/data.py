"""Owns the values of a session and the text that they came from.

The values are decoded when a handler looks. An unchanged session keeps its text to the character, however Node or a
person spelled it.
"""

from typing import Any, NamedTuple

from .formats import json_text
from .merge import merged, restored


class Parts(NamedTuple):
    """The texts that a stored session consists of."""

    cookie: str
    data: str
    meta: str
    """The member `__meta`, which our own features keep with a session; "" where there is none."""

    def __repr__(self) -> str:
        return f"<Parts of {sum(map(len, self))} characters>"  # a repr comes into logs and error pages


class SessionData:
    """The data of one session, with its text as last read from the store or written to it."""

    __slots__ = ("_canonical", "_checked", "_values", "assigned", "text")

    def __init__(self, text: str = json_text.EMPTY) -> None:
        self.text: str = text
        """The data as it is in the store."""
        self.assigned: set[str] = set()
        """The keys that this request has set itself. A change inside a value does not count, nor does a merge."""
        self._values: dict[str, Any] | None = None
        self._canonical: str | None = None  # our spelling of `text`
        self._checked: str | None = None  # a text of ours that Node can read

    def read(self, text: str) -> None:
        """Take over the text of a stored session; what was changed here is dropped."""
        self.text = text
        self._values = self._canonical = None

    def wrote(self, text: str) -> None:
        """Note that the store has this text. The values stay: they may have changed since it was made."""
        self.text = text
        self._canonical = None

    @property
    def values(self) -> dict[str, Any]:
        """The values, decoded at the first look. Raises CorruptSession."""
        if self._values is None:
            self._values = json_text.read(self.text)
        return self._values

    def current(self) -> str:
        """Return the values as JSON text: `text` itself until they change.

        Raises DataError, naming the place, for a value that JSON, or Node, cannot hold.
        """
        if self._values is None:
            return self.text
        text = json_text.dumps(self._values)
        if text == self.text:
            return text
        if self._canonical is None:  # a row in another spelling is not modified by that
            self._canonical = json_text.dumps(json_text.read(self.text))
        if text == self._canonical:
            return self.text
        if text != self._checked:
            json_text.check(self._values)
            self._checked = text
        return text

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
        """Keep only what this request has assigned, as the data of a session that is not stored yet."""
        kept = {key: value for key, value in self.values.items() if key in self.assigned}
        self.read(json_text.EMPTY)
        self._values = kept

    def merge(self, text: str) -> None:
        """Apply what was changed here to a newer text, which is the stored text from here on."""
        mine, loaded = self.values, json_text.read(self.text)
        self.read(text)
        self._values = merged(loaded, mine, json_text.read(text))

    def restore(self, text: str) -> None:
        """Put the values back to a text that `current` gave."""
        self._values = restored(self.values, json_text.read(text))
