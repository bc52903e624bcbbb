"""Owns the passes of a copy: FROM is read from end to end, and TO is given what differs from the journal.

Pages of FROM are read while earlier ones are written. What the journal has and FROM has no more is looked at last, by
its key: so a session that took a new id is at TO under the new one before the old one goes. rules.py has the rules.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from time import monotonic
from typing import TypeAlias

from ..clock import Clock, now_ms
from ..errors import OptionsError
from ..meta import HOPS
from ..store import Admin, Store, StoredSession, admin, by_key, key_of, name_of, users
from . import rules
from .journal import Journal
from .pipeline import Pipeline, asked
from .rules import Entry, Plan, Step
from .seen import Seen
from .sums import Sums, compared
from .tally import Tally
from .texts import Row, is_tombstone, row_of, successor_of, with_user
from .writing import Refused, Writing

PAGE = 1_000
"""Sessions that are written at once: some batches of a store."""

PAGE_CHARACTERS = 2_000_000
"""Characters of their text, more or less."""

_WRITERS = 2
"""Pages under way: one is written at TO while the journal stores the other."""

Advance: TypeAlias = Callable[[int], None]
"""Called with how many more sessions were read."""


class Copier:
    """Copies the sessions of an open store into another open one.

    `in_use` says that the servers have changed over to TO. `user_path` says under which keys of the data the user is,
    if sets of TO need it (Redis). `clock` returns milliseconds since the epoch. Raises OptionsError for a store that
    cannot list its sessions.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        journal: Journal,
        *,
        in_use: bool = False,
        user_path: tuple[str, ...] | None = None,
        refused: Refused = lambda _key, _error: None,
        clock: Clock = now_ms,
    ) -> None:
        if key_of(source, "x") not in ("x", key_of(target, "x")):
            raise OptionsError(
                "hashedIds: FROM has hashed ids, which TO finds only if it hashes them with the same key"
            )
        self._listed = _listed(source)
        self._listed_there = _listed(target)
        self._from = by_key(source)
        self._to = by_key(target)
        self._journal = journal
        self._in_use = in_use
        self._writing = Writing(self._to, journal, refused, clock)
        self._clock = clock
        power = users(target)
        self._noted_path = user_path if power is not None and power.by_meta else None
        self._seen = Seen()  # the entries that this pass has met
        self._under_way: set[str] = set()  # the keys that are being carried

    async def run_pass(self, advance: Advance = lambda _sessions: None) -> Tally:
        """Carry what has changed at FROM since the last pass. Raises StoreError; another pass goes on from there."""
        began = monotonic()
        tally = self._writing.tally = Tally()
        self._seen = Seen()
        async with aclosing(self._pages()) as pages, Pipeline(self._carry, _WRITERS) as pipeline:
            async for page in pages:
                await pipeline.put(page)
                advance(len(page))
        await self._journal.flush()
        async for entries in self._journal.all():
            await self._look_again([entry for entry in entries if entry.row not in self._seen])
        await self._journal.flush()
        tally.seconds = monotonic() - began
        return tally

    async def compare(self, advance: Advance = lambda _sessions: None) -> Sums:
        """Read both stores, and say what differs and why. Raises StoreError."""
        async with aclosing(self._pages()) as pages:
            return await compared(pages, self._to, self._listed_there, self._journal, self._clock, advance)

    # ---------------------------------------------------------------- FROM

    async def _pages(self) -> AsyncGenerator[dict[str, Row], None]:
        """Yield the living sessions of FROM in pages, tombstones left out."""
        page: dict[str, StoredSession] = {}
        characters = 0
        async for key, record in self._listed.all():
            page[key] = record
            characters += len(record.data)
            if len(page) >= PAGE or characters >= PAGE_CHARACTERS:
                yield await self._rows(page)
                page, characters = {}, 0
        if page:
            yield await self._rows(page)

    async def _rows(self, found: Mapping[str, StoredSession]) -> dict[str, Row]:
        """Return what is to be copied of some records: in place of a tombstone the session that goes on from there.

        It may have its new id only since that part of FROM was read.
        """
        now = self._clock()
        rows: dict[str, Row] = {}
        for _ in range(HOPS):
            closed: list[StoredSession] = []
            for key, record in found.items():
                if is_tombstone(record, now):
                    closed.append(record)
                else:
                    rows[key] = self._row(record)
            leads = {successor_of(record) for record in closed}
            successors = {key for key in leads if key is not None and key not in rows}
            if not successors:
                break
            found = await asked(self._from, successors)
        return rows

    def _row(self, record: StoredSession) -> Row:
        if self._noted_path is not None:
            record = record._replace(data=with_user(record.data, self._noted_path))
        return row_of(record)

    # ---------------------------------------------------------------- TO

    async def _carry(self, rows: Mapping[str, Row]) -> None:
        """Write what differs of some sessions that live at FROM.

        The way from a former id leads to a session that may be on the next page too: it is written once at a time.
        """
        rows = {key: row for key, row in rows.items() if key not in self._under_way}
        self._under_way |= rows.keys()
        try:
            self._writing.tally.read += len(rows)
            placed = await self._write(rows, has_place=False)
            if placed:
                await self._write(placed, has_place=True)
        finally:
            self._under_way -= rows.keys()

    async def _write(self, rows: Mapping[str, Row], *, has_place: bool) -> dict[str, Row]:
        """Write them; `has_place`: TO has a place for each already. Returns those that have only got their place."""
        entries = await self._journal.entries(rows.keys())
        changed: list[str] = []
        plans: dict[str, Plan] = {}
        for key, row in rows.items():
            entry = entries.get(key)
            if entry is None:
                entry = Entry(self._journal.new_row(), key, row.expires_at)
                plans[key] = Plan(Step.CREATE, entry)
            elif not rules.is_unchanged(entry, row):
                changed.append(key)
            self._seen.add(entry.row)
        there = await self._there(changed)
        now = self._clock()
        for key in changed:
            plans[key] = rules.for_living(entries[key], rows[key], there.get(key), now, in_use=self._in_use)
        return await self._writing.perform(plans, rows, there, has_place=has_place)

    async def _look_again(self, entries: list[Entry]) -> None:
        """Remove what FROM has no more; carry what was not met there only because it came after FROM was read."""
        if not entries:
            return
        rows = await self._rows(await asked(self._from, [entry.key for entry in entries]))
        if rows:
            await self._carry(rows)
        gone = {entry.key: entry for entry in entries if entry.key not in rows}
        there = await self._there(gone)
        now = self._clock()
        plans = {key: rules.for_gone(entry, there.get(key), now) for key, entry in gone.items()}
        await self._writing.perform(plans, {}, there, has_place=False)

    async def _there(self, keys: Mapping[str, Entry] | list[str]) -> dict[str, Row]:
        return {key: row_of(record) for key, record in (await asked(self._to, keys)).items()}


def _listed(store: Store) -> Admin:
    power = admin(store)
    if power is None:
        raise OptionsError(f"store: {name_of(store)} cannot list its sessions, so they cannot be copied")
    return power
