"""Owns `self.session`, the session as a handler uses it: a mapping of JSON values, its cookie, and its verbs.

What a request knows of its session is in state.py; the manager performs the verbs. An editor that completes
`self.session.` offers what a handler may use, and nothing else.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from copy import deepcopy
from typing import Any, Protocol, Self, TypeVar, cast

from .cookie import Cookie
from .errors import DataError
from .formats import json_text
from .state import SessionState

Result = TypeVar("Result")
Shape = TypeVar("Shape", bound=Mapping[str, object])


class Verbs(Protocol):
    """What the manager does for a handler; the docstrings are in `SessionManager`."""

    def save(self, state: SessionState) -> Awaitable[None]: ...  # noqa: D102 # see the manager
    def destroy(self, state: SessionState) -> Awaitable[None]: ...  # noqa: D102 # see the manager
    def regenerate(self, state: SessionState) -> Awaitable[None]: ...  # noqa: D102 # see the manager
    def rotate(self, state: SessionState) -> Awaitable[None]: ...  # noqa: D102 # see the manager
    def reload(self, state: SessionState) -> Awaitable[None]: ...  # noqa: D102 # see the manager
    def mutate(self, state: SessionState, change: Callable[[dict[str, Any]], Result]) -> Awaitable[Result]: ...  # noqa: D102 # see the manager


class Session(MutableMapping[str, Any]):
    """The session in a handler. Values are JSON values; nested changes are seen at the end of the request.

    `|` and copies work as with a dict and give a dict: plain data, which no longer belongs to the session.

    Assigning a key that is not a string, or that express-session uses itself, raises DataError; a change after the
    answer was finished raises HeadersSent. Each verb changes this object at once, and the store soon. Await what it
    returns; if you do not, the answer waits for it, and its failure becomes the answer.
    """

    __slots__ = ("_cookie", "_state", "_verbs")  # they also refuse `session.user = ...`, Express's way to set a key

    def __init__(self, state: SessionState, verbs: Verbs) -> None:
        self._state = state
        self._verbs = verbs
        self._cookie: Cookie | None = None

    @property
    def id(self) -> str:
        """The session id. It is a secret: a client that sends it, signed, is taken for the visitor."""
        return self._state.id

    @property
    def is_new(self) -> bool:
        """True if the browser does not know this session's id yet."""
        return not self._state.is_known

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits in place of the id, for a log, which must not show the id."""
        return self._state.fingerprint

    @property
    def cookie(self) -> Cookie:
        """The cookie's attributes and lifetime, which can be assigned."""
        if self._cookie is None:
            self._cookie = Cookie(self._state.cookie)
        return self._cookie

    def typed(self, shape: type[Shape]) -> Shape:  # noqa: ARG002 # for the type checker alone
        """Return this very session, which a type checker takes for a TypedDict: its keys and their types.

        Nothing is checked when it runs: what is stored may lack a key, so the class says `total=False`.
        """
        return cast("Shape", self)

    def touch(self) -> None:
        """Start the lifetime again. The end of the request stores it, even if `touchAfter` has not passed."""
        self._state.touch()

    def save(self) -> Awaitable[None]:
        """Write the session to the store now; on a WebSocket its lifetime starts again.

        Raises StoreError, DataError for a value that JSON cannot hold, and NoSession if the session is over.
        """
        return self._verbs.save(self._state)

    def destroy(self) -> Awaitable[None]:
        """End the session, and every other session for which the request has a cookie: for every logout.

        `self.session` raises NoSession from here on.
        """
        return self._verbs.destroy(self._state)

    def regenerate(self) -> Awaitable[None]:
        """Go on as a new session, with a new id, no data and a new cookie, and end the stored one: for every login."""
        return self._verbs.regenerate(self._state)

    def rotate(self) -> Awaitable[None]:
        """Go on under a new id with the same data and cookie, and move the row: for a login that keeps the basket.

        The changes of this request are stored in the same step. If the session is gone by then, it goes on as a
        new one with only what this request itself assigned.
        """
        return self._verbs.rotate(self._state)

    def reload(self) -> Awaitable[None]:
        """Read the session again and drop what was changed here. Raises SessionError if it is not stored."""
        return self._verbs.reload(self._state)

    def mutate(self, change: Callable[[dict[str, Any]], Result]) -> Awaitable[Result]:
        """Read, change and write the session as one step, now; return what `change` returns.

        `change` gets the newest data with this request's changes in it. It may run again when another request comes in
        between: it should do nothing but change the data.
        """
        return self._verbs.mutate(self._state, change)

    def clear(self) -> None:
        """Delete all data at once; the id and the cookie stay."""
        self._state.check_change("…")
        _ = self._state.values
        self._state.data.clear()

    def __getitem__(self, key: str) -> Any:
        return self._state.values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise DataError(f"session: the key {key!r} is not a string")
        if key in json_text.RESERVED:
            raise DataError(f"session[{key!r}]: {json_text.RESERVED_BECAUSE}")
        state = self._state
        state.check_change(key)
        _ = state.values  # raises before anything is changed
        state.data.set(key, value)

    def __delitem__(self, key: str) -> None:
        self._state.check_change(key)
        _ = self._state.values
        self._state.data.delete(key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._state.values)

    def __len__(self) -> int:
        return len(self._state.values)

    def __or__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._state.values, **other}

    def __ror__(self, other: Mapping[str, Any]) -> dict[str, Any]:
        return {**other, **self._state.values}

    def __ior__(self, other: Mapping[str, Any]) -> Self:
        self.update(other)
        return self

    def copy(self) -> dict[str, Any]:
        """Return the data as a dict, as `dict(session)` does."""
        return self._state.values.copy()

    def __copy__(self) -> dict[str, Any]:
        return self._state.values.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return deepcopy(self._state.values, memo)

    def __repr__(self) -> str:
        return f"<Session {self.fingerprint}>"
