"""Owns the comparison of both stores: a count and a sum of each, and why they differ.

A sum is that of the digests of all sessions, each with its key, so the order in which they are read is of no concern.
"""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..clock import Clock
from ..store import Admin, Store, StoredSession
from .journal import Journal
from .pipeline import asked
from .rules import Entry
from .seen import Seen
from .texts import Row, is_tombstone, row_of

_MODULUS = 2**128

_TOLERANCE_MS = 60_000
"""How much earlier a session may end at TO: a busy Redis says late how much time was left when it was asked."""

_PAGE = 1_000


@dataclass(slots=True)
class Sums:
    """What both stores have, in living sessions without tombstones."""

    source: int = 0
    target: int = 0
    source_sum: int = 0
    target_sum: int = 0
    same: int = 0
    """Of FROM: the same at TO."""
    newer: int = 0
    """Of FROM: TO has another one, which was written there and stays."""
    ended: int = 0
    """Of FROM: ended at TO."""
    left: int = 0
    """Changed or ended at FROM since the pass, or refused by TO. Another pass carries what TO takes."""
    made: int = 0
    """Of TO: made there."""
    only_there: int = 0
    """Of TO: gone at FROM, and newer at TO, or expired at FROM and used on at TO."""

    @property
    def is_equal(self) -> bool:
        """True if both stores have the same sessions."""
        return self.source == self.target and self.source_sum == self.target_sum

    def as_dict(self) -> dict[str, Any]:
        """Return the numbers by their names; the sums as 32 hexadecimal digits."""
        sums = {"source_sum": f"{self.source_sum:032x}", "target_sum": f"{self.target_sum:032x}"}
        return {**asdict(self), **sums, "is_equal": self.is_equal}


async def compared(
    pages: AsyncIterator[Mapping[str, Row]],
    target: Store,
    listed: Admin,
    journal: Journal,
    clock: Clock,
    advance: Callable[[int], None],
) -> Sums:
    """Return the sums of FROM, in pages, and of TO. Raises StoreError."""
    sums = Sums()
    seen = Seen()
    async for rows in pages:
        found = await asked(target, rows)
        entries = await journal.entries(rows.keys())
        for key, row in rows.items():
            sums.source += 1
            sums.source_sum = (sums.source_sum + _number(key, row.digest)) % _MODULUS
            entry = entries.get(key)
            if entry is not None:
                seen.add(entry.row)
            _explain(sums, row, found.get(key), entry)
        advance(len(rows))
    page: dict[str, bytes] = {}
    async for key, record in listed.all():
        if is_tombstone(record, clock()):
            continue
        page[key] = row_of(record).digest
        if len(page) >= _PAGE:
            await _add(sums, page, journal, seen, clock())
            page = {}
    await _add(sums, page, journal, seen, clock())
    return sums


def _explain(sums: Sums, row: Row, found: StoredSession | None, entry: Entry | None) -> None:
    """Count a session of FROM by what TO has of it."""
    digest = None if found is None else row_of(found).digest
    if found is not None and digest == row.digest:
        if found.expires_at < row.expires_at - _TOLERANCE_MS:
            sums.left += 1  # it was used since
        else:
            sums.same += 1
    elif entry is None or (entry.wrote is None and not entry.ended):
        sums.left += 1
    elif found is None:
        sums.ended += 1
    elif digest == entry.wrote:
        sums.left += 1
    else:
        sums.newer += 1


async def _add(sums: Sums, page: Mapping[str, bytes], journal: Journal, seen: Seen, now: int) -> None:
    """Count sessions of TO."""
    if not page:
        return
    known = await journal.entries(page.keys())
    for key, digest in page.items():
        sums.target += 1
        sums.target_sum = (sums.target_sum + _number(key, digest)) % _MODULUS
        entry = known.get(key)
        if entry is None:
            sums.made += 1
        elif entry.row in seen:
            continue  # counted as FROM's
        elif digest == entry.wrote and not entry.ended and entry.expires_at > now:
            sums.left += 1  # ended at FROM since the pass
        else:
            sums.only_there += 1


def _number(key: str, digest: bytes) -> int:
    whole = hashlib.blake2b(digest + key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return int.from_bytes(whole, "big")
