"""Owns the rules of a copy: what is done with one session, by what the journal has of it and what both stores have.

All of it is pure. The journal has an entry for each session that a copy wrote, or was about to write:

    expires_at  the session's end at FROM, as the copy saw it last
    wrote       the digest of what the copy wrote last   None: nothing yet   FOREIGN: another copy or program wrote it
    writing     the digest of what it was about to write   None: the copy knows what became of that
    ended       True if it has ended at TO, or lives there only: nothing is written any more

An entry is stored before TO is written, and what became of the write is stored after it. So a copy that is killed
leaves a `writing`. The next copy asks TO, which has what was there before, what was being written, or something newer.
One question would have no answer: a session that is not at TO, was it not written yet, or was it written and has ended
since? Before a copy says that the servers may change over, nobody ends a session at TO, so it was not written. From
then on a session gets a place first, by a row that is a tombstone, and is written in a second step. With the
place in the journal and no row at TO, it has ended; with neither it was never there.

A session may expire at TO while visitors still use it at FROM. So what was not at TO any more when its expiry had
passed is written again, unless the servers have changed over (`in_use`): then it may have been ended there.
"""

from enum import Enum
from typing import NamedTuple

from .texts import Row

TOLERANCE_MS = 2_000
"""Expiries that are no further apart are equal: Redis counts the time that is left, and Node writes whole seconds."""

REMOVAL = b"-"
"""`writing` of a session that is being removed."""

FOREIGN = b""
"""`wrote` of a session that was at TO before, and is another one than at FROM. No digest is equal to it."""


class Entry(NamedTuple):
    """What the journal has of a session."""

    row: int
    key: str
    expires_at: int
    wrote: bytes | None = None
    writing: bytes | None = None
    ended: bool = False

    def __repr__(self) -> str:
        return f"<Entry {self.row}>"  # without the key, which may be an id


class Step(Enum):
    """What is done at TO."""

    NOTHING = "nothing"
    CREATE = "create"
    UPDATE = "update"
    TOUCH = "touch"
    REMOVE = "remove"
    FORGET = "forget"
    """Nothing at TO; the journal forgets the session."""


class Plan(NamedTuple):
    """What is done, and the entry as it is then known to be."""

    step: Step
    entry: Entry
    keeps: bool = False
    """True if TO has something newer, which stays."""


def is_unchanged(entry: Entry, row: Row) -> bool:
    """Return True if a session at FROM is as it was when it was copied, or has ended at TO: TO need not be asked."""
    if entry.ended:
        return True
    is_same = entry.writing is None and row.digest == entry.wrote
    return is_same and row.expires_at <= entry.expires_at + TOLERANCE_MS


def settled(entry: Entry, there: Row | None) -> Entry:
    """Return an entry without the write that was interrupted: TO says whether it was done."""
    if entry.writing is None:
        return entry
    wrote = entry.wrote
    if entry.writing == REMOVAL:
        if there is None:
            wrote = None
    elif there is not None and there.digest != wrote:
        wrote = entry.writing  # it was done, or something newer has followed it
    return entry._replace(wrote=wrote, writing=None)


def for_living(entry: Entry, row: Row, there: Row | None, now: int, *, in_use: bool) -> Plan:
    """Return what is done with a session that lives at FROM. `there` is what TO has; `now` is in milliseconds."""
    if entry.ended:
        return Plan(Step.NOTHING, entry)
    entry = settled(entry, there)
    if there is None:
        return _for_absent(entry, row, now, in_use=in_use)
    if there.digest == row.digest:
        entry = entry._replace(wrote=row.digest)
        if row.expires_at > max(entry.expires_at, there.expires_at) + TOLERANCE_MS:
            return Plan(Step.TOUCH, entry)
    elif there.digest == entry.wrote:
        return Plan(Step.UPDATE, entry)
    keeps = there.digest != row.digest
    return Plan(Step.NOTHING, entry._replace(expires_at=row.expires_at), keeps)


def _for_absent(entry: Entry, row: Row, now: int, *, in_use: bool) -> Plan:
    """Return what is done with a session that lives at FROM and is not at TO."""
    has_expired = entry.expires_at <= now + TOLERANCE_MS  # at TO, which did not know that it was used again
    if entry.wrote is None or (has_expired and not in_use):
        return Plan(Step.CREATE, entry._replace(wrote=None, expires_at=row.expires_at))
    return Plan(Step.NOTHING, entry._replace(ended=True))


def for_gone(entry: Entry, there: Row | None, now: int) -> Plan:
    """Return what is done with a session that FROM has no more."""
    if entry.expires_at <= now + TOLERANCE_MS:
        return Plan(Step.FORGET, entry)  # it expired there by itself, which ends nobody who goes on at TO
    if entry.ended:
        return Plan(Step.NOTHING, entry)
    entry = settled(entry, there)
    if there is None:
        return Plan(Step.FORGET, entry) if entry.wrote is None else Plan(Step.NOTHING, entry._replace(ended=True))
    if there.digest == entry.wrote:
        return Plan(Step.REMOVE, entry)
    return Plan(Step.NOTHING, entry._replace(ended=True), keeps=True)


def end_of(entry: Entry, row: Row, there: Row) -> int:
    """Return when a changed session ends at TO: as at FROM, or later if it was used at TO since it was copied."""
    if there.expires_at > entry.expires_at + TOLERANCE_MS:
        return max(row.expires_at, there.expires_at)
    return row.expires_at
