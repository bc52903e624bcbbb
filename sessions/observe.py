"""Owns what the log says of sessions: the events and their names. No id, cookie or header value is ever in the log.

The names are those of OWASP's Logging Vocabulary, if it has one. An event carries a fingerprint, never the id.
This file must not know sessions.
"""

import logging

from .formats.signing import fingerprint

log: logging.Logger = logging.getLogger("sessions")

CREATED = "session_created"
RENEWED = "session_renewed"
"""The session goes on under another id."""
DESTROYED = "session_destroyed"
UNKNOWN = "session_use_after_expire"
"""An id that we have signed, and that the store does not know any more."""
AMBIGUOUS = "session_ambiguous"
"""A further living session in one request: the first counts."""
TAMPERED = "session_tampered"
"""A cookie of our name that no secret has signed."""
REVOKED = "revoked"
"""The session of a user was ended from elsewhere: by another session, by an administrator, or by a newer sign-in."""
DROPPED = "session_dropped"
"""A change is dropped, because its session has ended meanwhile."""


def note(event: str, secret: str, level: int = logging.INFO) -> None:
    """Log an event of a session, by the fingerprint of its id, or of the cookie's value where there is no id."""
    if log.isEnabledFor(level):
        log.log(level, "%s: %s", event, fingerprint(secret))
