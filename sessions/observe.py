"""Owns what the log says of sessions: the events and their names. No id, cookie or header value is ever in the log.

The names are those of OWASP's Logging Vocabulary, if it has one. An event carries a fingerprint, never the id.
This file must not know sessions.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .formats.signing import fingerprint

log: logging.Logger = logging.getLogger("sessions")

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

SIGNED_IN = "signed_in"
SIGNED_OUT = "signed_out"
REVOKED = "revoked"
"""The sessions of a user were ended from elsewhere."""


@dataclass(frozen=True, slots=True)
class Event:
    """What an observer gets: an event that has a user, for an audit trail."""

    name: str
    """`signed_in`, `signed_out`, `revoked` or `session_reused`."""
    user: str = field(repr=False)
    """The user as text. It is personal data: no log of this library has it."""
    fingerprint: str | None
    """Eight hexadecimal digits that stand for the session's id in the log; None if several sessions ended."""


class Observer(Protocol):
    """Called with each event, after it has happened: a function of one argument. What it raises is logged."""

    def __call__(self, event: Event, /) -> object:
        """Take note of an event. It must not block; nothing is done with what it returns."""


def tell(observers: Sequence[Observer], event: Event) -> None:
    """Call the observers with an event."""
    for observer in observers:
        try:
            observer(event)
        except Exception:
            log.exception("the observer %r of the event %s", observer, event.name)


def note(event: str, secret: str, level: int = logging.INFO) -> None:
    """Log an event of a session, by the fingerprint of its id, or of the cookie's value where there is no id."""
    if log.isEnabledFor(level):
        log.log(level, "%s: %s", event, fingerprint(secret))
