"""The errors of the library: one tree, in which each name says where the fault is.

A bad cookie is no error: its visitor is a new one. This file knows nothing else of the project.
"""

from collections.abc import Iterable


class SessionError(Exception):
    """The root of every error that this library raises."""


class OptionsError(SessionError, ValueError):
    """The deployment's fault: an option has a wrong name, type or value. The message names it and what was expected."""


class NoSession(SessionError):
    """The handler's fault: it uses `self.session` although there is none. The message says why.

    If a handler does not catch it, the answer is 500; it is 409 if `is_over`, because then it is nobody's fault.
    """

    def __init__(self, message: str, *, is_over: bool = False) -> None:
        super().__init__(message)
        self.is_over: bool = is_over
        """Whether the session ended, or went on under another id, in another request."""


class TooManySessions(SessionError):
    """The user's: a sign-in beyond `maxPerUser`, where `atLimit` is "refuse". Nothing was changed.

    Where it leaves a handler the answer is 409.
    """


class SessionConflict(SessionError):
    """Nobody's: with `conflict = "reject"` another request has changed what this one has changed, to something else.

    Nothing of this request is stored. Where it leaves a handler the answer is 409.
    """

    def __init__(self, message: str, keys: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.keys: tuple[str, ...] = tuple(keys)
        """The keys that both have changed; "cookie" means an attribute of the cookie."""


class DataError(SessionError, ValueError):
    """The handler's fault: a value in the session that JSON, or Node, cannot hold. The message names its place."""


class HeadersSent(SessionError):
    """The handler's fault: a change that needs a new cookie came after the response's headers were sent."""


class CorruptSession(SessionError):
    """The stored row's fault: it cannot be read as a session. The row is left as it is."""


class StoreError(SessionError):
    """The store's fault: it refused or failed. The driver's error is the cause (`__cause__`)."""


class StoreUnavailable(StoreError):
    """The store's fault, for the moment: locked, full, gone or too slow. It is unknown whether a write took effect."""
