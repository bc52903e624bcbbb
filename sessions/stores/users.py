"""Owns what the stores repeat of the power `users`: to end sessions by their keys, and the write of a sign-in."""

from collections.abc import Collection, Iterable

from ..store import TAKEN, Outcome, Store, StoredSession, Update
from ..user_text import UserPlace

REMOVED = StoredSession('{"cookie":{"originalMaxAge":null,"expires":null,"path":"/"}}', 0)
"""The record that removes a session if it is unchanged: it has expired already, and it has no data."""


async def end_each(store: Store, keys: Iterable[str], names: Collection[str], place: UserPlace) -> list[str]:
    """Delete the sessions under some keys, whatever they hold by now, as long as they are of a user with these names.

    Returns the keys of those that ended. One that moves meanwhile is not followed.
    """
    ended = []
    for key in keys:
        record = await store.get(key)
        while record is not None and place.user_in(record.data) in names:
            update = await store.update(key, REMOVED, record)
            if update.outcome is Outcome.SAVED:
                await store.destroy(key)  # an expired row that a Node server touches would live again
                ended.append(key)
            record = update.record if update.outcome is Outcome.CONFLICT else None
    return ended


async def create_or_rename(
    store: Store,
    new: str,
    record: StoredSession,
    old: str | None,
    expected: StoredSession | None,
    tombstone: StoredSession | None,
) -> Update:
    """Write the session of a sign-in by the verbs of its store (`Job.to_create_or_rename` is the same as one job)."""
    if old is None or expected is None:
        return as_update(await store.create(new, record))
    return await store.rename(old, new, record, expected, tombstone)


def as_update(outcome: Update | StoredSession | None) -> Update:
    """Return what `rename` or `create` returned as a sign-in says it."""
    if isinstance(outcome, Update):
        return outcome
    return TAKEN if outcome is None else Update(Outcome.SAVED, outcome)
