"""Owns what the stores repeat of the power `users`: to end sessions by their keys, and the write of a sign-in."""

from collections.abc import Collection, Iterable
from typing import Any

from ..store import TAKEN, Limit, Outcome, SignedIn, Store, StoredSession, Update
from ..user_text import UserPlace, surplus

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


async def sign_in_and_end(  # noqa: PLR0913, PLR0917 # those of a sign-in
    store: Any,
    place: UserPlace,
    limit: Limit,
    new: str,
    record: StoredSession,
    old: str | None,
    expected: StoredSession | None,
    tombstone: StoredSession | None,
) -> SignedIn:
    """Write the session of a sign-in, and then end what is beyond the limit: where the two cannot be one step."""
    update = await create_or_rename(store, new, record, old, expected, tombstone)
    ended: list[str] = []
    while update.outcome is Outcome.SAVED:
        beyond = surplus(await living(store, place, limit), new, limit.most)
        if not beyond:
            break
        ended += await end_each(store, beyond, (limit.user, *limit.aliases), place)
    return SignedIn(update, ended)


async def living(store: Any, place: UserPlace, limit: Limit) -> list[tuple[str, str]]:
    """Return the ids and the texts of a user's living sessions."""
    names = (limit.user, *limit.aliases)
    rows = await store.users.rows(limit.user, limit.aliases)
    return [(sid, row.data) for sid, row in rows if place.user_in(row.data) in names]
