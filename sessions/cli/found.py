"""Owns how a command finds sessions: all, those of a user, the one with a handle. It reads them in pages.

Nothing here gives an id away: a session is shown by its handle. A tombstone is no session.
"""

import re
from collections.abc import AsyncIterator
from typing import NamedTuple

from ..clock import now_ms
from ..errors import CorruptSession, OptionsError
from ..meta import is_closed
from ..store import Admin, Store, StoredSession, Users, admin, name_of, users
from ..users import SessionInfo, checked_user, handle_of, info_of
from .output import Output
from .target import Target

DIGITS = 32
"""Hexadecimal digits of a handle."""

_HANDLE = re.compile(r"[0-9a-f]{8,32}")


class Found(NamedTuple):
    """A session that was found."""

    key: str
    record: StoredSession
    info: SessionInfo
    is_readable: bool = True
    """False for a row that is no session; then the info says its handle and its expiry only."""

    def __repr__(self) -> str:
        return f"<Found {self.info.handle}>"


def found(key: str, record: StoredSession, target: Target) -> Found:
    """Return what is known of a row."""
    try:
        return Found(key, record, info_of(key, record, target.options))
    except CorruptSession:
        unknown = SessionInfo(handle_of(key), "", None, None, None, record.expires_at, None, None, is_current=False)
        return Found(key, record, unknown, is_readable=False)


def lists(store: Store) -> Admin:
    """Return what counts and lists the sessions. Raises OptionsError if the store cannot."""
    power = admin(store)
    if power is None:
        raise OptionsError(f"store: {name_of(store)} cannot list its sessions: it lacks the power admin")
    return power


def finds(target: Target, store: Store) -> Users:
    """Return what finds the sessions of a user. Raises OptionsError if the store cannot, or nobody says who is one."""
    if target.options.user_path is None:
        says = "give --user-key PATH" if target.file is None else "set it in the configuration"
        raise OptionsError(f"userKey: is not set, so no session has a user: {says}")
    power = users(store)
    if power is None:
        raise OptionsError(f"store: {name_of(store)} cannot find the sessions of a user: it lacks the power users")
    return power


async def every(target: Target, store: Store) -> AsyncIterator[Found]:
    """Yield every session."""
    async for key, record in lists(store).all():
        if not is_closed(record, now_ms()):
            yield found(key, record, target)


async def of_user(target: Target, store: Store, user: str) -> list[Found]:
    """Return the sessions of a user, the last sign-in first. Raises DataError for what is no user."""
    text = checked_user(user)
    rows = await finds(target, store).rows(text)
    theirs = [found(key, record, target) for key, record in rows if not is_closed(record, now_ms())]
    return sorted(
        (each for each in theirs if each.info.user == text),
        key=lambda each: (each.info.signed_in or 0, each.info.expires),
        reverse=True,
    )


def checked_handle(handle: str) -> str:
    """Return a handle, or the first digits of one. Raises OptionsError, without what was given: it may be an id."""
    if _HANDLE.fullmatch(handle.lower()) is None:
        raise OptionsError(
            f"HANDLE: expected 8 to {DIGITS} hexadecimal digits, as `list` and the servers' logs have it"
        )
    return handle.lower()


async def by_handle(store: Store, out: Output, handle: str) -> tuple[str, StoredSession] | None:
    """Return the key and the record with a handle, a tombstone too; None if there is none. It reads all sessions.

    Raises OptionsError if the digits are those of several.
    """
    power = lists(store)
    matches: list[tuple[str, StoredSession]] = []
    with out.progress("reading", await power.length()) as bar:
        async for key, record in power.all():
            bar.advance()
            if handle_of(key).startswith(handle):
                matches.append((key, record))
                if len(handle) == DIGITS:
                    break
    return one_of(matches, handle)


def one_of(matches: list[tuple[str, StoredSession]], handle: str) -> tuple[str, StoredSession] | None:
    """Return the only match, or None. Raises OptionsError if there are several."""
    if len(matches) > 1:
        raise OptionsError(f"HANDLE: {len(matches)} sessions begin with {handle}; give more digits")
    return matches[0] if matches else None
