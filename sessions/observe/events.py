"""Owns what an observer gets: the kinds of events, and the names of those of sessions.

The names are those of OWASP's Logging Vocabulary, if it has one. No event has an id, a cookie or data. This file must
not know sessions.
"""

from typing import Literal, NamedTuple, Protocol, TypeAlias

CREATED = "session_created"
RENEWED = "session_renewed"
"""The session goes on under another id."""
COOKIE_RENEWED = "session_cookie_renewed"
"""The session's cookie got a new value; its id stays."""
DESTROYED = "session_destroyed"
UNKNOWN = "session_use_after_expire"
"""An id that we have signed, and that the store does not know any more."""
AMBIGUOUS = "session_ambiguous"
"""A further living session in one request: the first counts."""
TAMPERED = "session_tampered"
"""A cookie of our name that no secret has signed."""
REUSED = "session_reused"
"""A value of a session's cookie came that a newer one has replaced: somebody uses a copy."""
DROPPED = "session_dropped"
"""A change is dropped, because its session has ended meanwhile."""

CORRUPT = "session_corrupt"
"""A row cannot be opened: its key is missing, or it was changed. It is left as it is."""
REFUSED = "session_refused"
"""A row, or a part of it, is not sealed, and `requireSealed` is on."""

SIGNED_IN = "signed_in"
SIGNED_OUT = "signed_out"
REVOKED = "revoked"
"""The sessions of a user were ended from elsewhere."""


class SessionEvent(NamedTuple):
    """Something happened to a session."""

    name: str
    """One of the names above."""
    user: str | None
    """The user as text, of `signed_in`, `signed_out`, `revoked` and `session_reused`; else None. It is personal
    data: no log of this library has it, and no metric."""
    fingerprint: str | None
    """Eight hexadecimal digits that stand for the session's id in the log; None if several sessions ended."""

    def __repr__(self) -> str:
        return f"<{self.name} of {self.fingerprint}>"  # without the user: a repr comes into logs


class Load(NamedTuple):
    """A request has loaded its session."""

    outcome: Literal["found", "over", "unavailable", "cancelled", "error"]
    """over: no session lives under the ids that the browser has sent. unavailable: the store is away, or too slow."""
    seconds: float


class Commit(NamedTuple):
    """A request that has changed its session has written it, at its end or before the first bytes of its answer."""

    change: Literal["nothing", "create", "update", "touch", "destroy"]
    """What was to be done to the store. A request that changes nothing has no event."""
    outcome: Literal["done", "unavailable", "cancelled", "error"]
    seconds: float


class StoreCall(NamedTuple):
    """The store has answered a call, or failed."""

    verb: str
    """A verb of a store, or one of its power `users`: rows, end, sign_in."""
    outcome: str
    """What the verb returned: found, missing, saved, conflict, gone, taken, refused, done; or unavailable, cancelled
    (`storeTimeout` has cut it off) or error."""
    seconds: float


class Batch(NamedTuple):
    """A store has begun a batch."""

    kind: Literal["read", "write"]
    jobs: int


class Sweep(NamedTuple):
    """The process that sweeps has looked for expired sessions, and deleted them."""

    backlog: int
    """Expired sessions that waited as it began, counted up to 10,000."""
    deleted: int
    failed: bool
    """True if the store has failed; then some may be deleted."""
    seconds: float


class StoreReady(NamedTuple):
    """The store is away, or is back: when that has changed, and at each `SessionManager.check_store`."""

    is_ready: bool


class Sockets(NamedTuple):
    """Open WebSockets and event streams with a stored session have become more, or fewer."""

    change: int


Event: TypeAlias = SessionEvent | Load | Commit | StoreCall | Batch | Sweep | StoreReady | Sockets
"""What an observer is called with. There may be further kinds: pass over what you do not know."""


class Observer(Protocol):
    """Called with each event, after it has happened: a function of one argument. What it raises is logged.

    It may have an attribute `ignores`: kinds that are not made for it alone, since to make them costs time.
    """

    def __call__(self, event: Event, /) -> object:
        """Take note of an event. It must not block; nothing is done with what it returns."""
