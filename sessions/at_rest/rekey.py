"""Owns `rekey`: every row of a sealed store is sealed with the first key, beside the servers that use it.

A row is read and replaced if it is still the same, so no change of a visitor is lost. What is done is seen in the rows:
whoever was interrupted begins again, and reads only. Who calls it is not known here.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from ..errors import CorruptSession, OptionsError
from ..store import Outcome, Store, StoredSession, admin, by_key, name_of
from .sealed_store import RefusedSession, SealedStore

AT_ONCE = 64
"""Rows that are replaced side by side: a store that batches makes one step of them."""

PAUSE = 0.002
"""Seconds between two such steps, in which others have the store for themselves."""


class Rekeyed(NamedTuple):
    """What became of the rows."""

    seen: int
    sealed: int
    """Rows that are sealed with the first key now and were not before."""
    refused: int
    """Rows in the clear that were left as they are, because `requireSealed` is on: they may be anybody's work."""
    failed: list[str]
    """The keys of rows that cannot be opened, or are no sessions. They are left as they are."""


async def rekey(store: Store, progress: Callable[[int], None] = lambda _rows: None) -> Rekeyed:
    """Seal each row with the first key that is not, and say what was done. `progress` gets how many rows more.

    Raises OptionsError if the store is not sealed, or cannot list its rows, and StoreError.
    """
    sealed = by_key(store)
    rows = admin(sealed.inner) if isinstance(sealed, SealedStore) else None
    if not isinstance(sealed, SealedStore) or rows is None:
        raise OptionsError(f"encryption: {name_of(store)}: has no sealed rows, or cannot list them")
    counts: dict[str, int] = {}
    failed: list[str] = []
    batch: list[tuple[str, StoredSession]] = []

    async def work() -> None:
        outcomes = await asyncio.gather(*(_resealed(sealed, key, record) for key, record in batch))
        for (key, _), outcome in zip(batch, outcomes, strict=True):
            counts[outcome] = counts.get(outcome, 0) + 1
            if outcome == "failed":
                failed.append(key)
        progress(len(batch))
        batch.clear()
        await asyncio.sleep(PAUSE)

    async for row in rows.all():
        batch.append(row)
        if len(batch) == AT_ONCE:
            await work()
    await work()
    return Rekeyed(sum(counts.values()), counts.get("sealed", 0), counts.get("refused", 0), failed)


async def _resealed(store: SealedStore, key: str, listed: StoredSession) -> str:
    """Seal one row, if it needs it."""
    try:
        if store.resealed(key, listed) is None:
            return "is so"
        record = await store.inner.get(key)  # some time has passed since: a touch meanwhile is not to be undone
        while record is not None:
            sealed = store.resealed(key, record)
            if sealed is None:
                return "is so"
            update = await store.inner.update(key, sealed, record)
            if update.outcome is Outcome.SAVED:
                return "sealed"
            record = update.record
    except RefusedSession:
        return "refused"
    except CorruptSession:
        return "failed"
    return "gone"
