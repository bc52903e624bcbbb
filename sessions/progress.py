"""Owns how far an answer has come: what can still be sent, and which verbs of its session are under way.

It must not know what a session holds.
"""

from collections.abc import Callable
from typing import TypeAlias

from .errors import HeadersSent, NoSession
from .pending import Pending
from .stored_cookie import StoredCookie

Generate: TypeAlias = Callable[[], tuple[str, StoredCookie]]
"""Makes the id and the cookie of a new session, as express-session's `generate` does."""


def no_new_id() -> tuple[str, StoredCookie]:
    """Refuse a new id: the `Generate` of a session outside a request. Raises NoSession."""
    raise NoSession("no new id can be made outside a request")


class Progress:
    """The answer of one request, for its session. SessionState makes one.

    What stays in most requests as it is at first is an attribute of the class: that costs a request nothing.
    """

    cookie: StoredCookie
    """One object from first to last: a handler may hold it."""
    is_finished: bool = False
    """Whether the answer is finished: a change comes too late."""
    is_socket: bool = False
    """Whether the answer is a WebSocket: to save is what uses the session, so it starts the lifetime again."""
    _generate: Generate | None  # leads to the handler, which holds the session: until it is sealed
    _pending: Pending | None = None  # made for the first verb
    _is_sealed = _has_left = _is_answered = False

    def seal(self, *, has_left: bool = True) -> None:
        """Note that the response's head is made, or has left: a handler can ask for no new cookie any more."""
        self._is_sealed = True
        if has_left:  # until then a commit may find that an id is taken
            self._has_left = True
            self._generate = None  # or each request would leave a cycle to the garbage collector

    def finish(self) -> None:
        """Note that a handler has finished its answer: what is asked after it could not be stored, and is refused."""
        self.is_finished = self.cookie.is_sealed = self._is_sealed = True

    def answered(self) -> None:
        """Note that the commit is done: an unseen failure of a later verb can only be logged."""
        self._is_answered = True
        if self._pending is not None:
            self._pending.is_answered = True

    def check_change(self, key: object) -> None:
        """Raise HeadersSent for a change after the answer was finished."""
        if self.is_finished:
            raise HeadersSent(
                f"session[{key!r}] was changed after the answer was finished: it could not be stored with it."
                " For work after the answer there is manager.open()"
            )

    def check_can_send(self) -> Generate:
        """Return what makes a new id and its cookie. Raises HeadersSent if the cookie cannot be sent any more."""
        if self._generate is None or self._is_sealed:
            raise HeadersSent("the headers have left: a new session, or a new id, could not be sent to the browser")
        return self._generate

    def verbs(self) -> Pending:
        """Return the verbs of this session that are under way."""
        if self._pending is None:
            self._pending = Pending()
            self._pending.is_answered = self._is_answered
        return self._pending

    @property
    def pending(self) -> Pending | None:
        """The verbs that the answer has to wait for, or that have failed unseen; None: none."""
        return None if self._pending is None or self._pending.is_clear else self._pending
