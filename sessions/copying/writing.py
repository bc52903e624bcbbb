"""Owns the writes of a copy at TO: what is about to be written goes into the journal, then to TO.

What became of it goes into the journal with the next writes (rules.py says why that is enough).
"""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from ..clock import Clock
from ..errors import StoreError, StoreUnavailable
from ..store import Outcome, Store, StoredSession
from ..stores.users import REMOVED
from . import rules
from .journal import Journal
from .pipeline import side_by_side
from .rules import FOREIGN, REMOVAL, Entry, Plan, Step
from .tally import Happened, Tally
from .texts import Row, place_for, row_of

Refused = Callable[[str, StoreError], None]
"""Called with the key of a session that TO cannot keep, and why."""


class Writing:
    """Writes sessions at TO, by their keys, and counts them in `tally`."""

    def __init__(self, target: Store, journal: Journal, refused: Refused, clock: Clock) -> None:
        self.tally: Tally = Tally()
        self._to = target
        self._journal = journal
        self._refused = refused
        self._clock = clock

    async def perform(
        self, plans: Mapping[str, Plan], rows: Mapping[str, Row], there: Mapping[str, Row], *, has_place: bool
    ) -> dict[str, Row]:
        """Perform plans. Returns the sessions that have a place at TO and nothing else; `has_place`: these are such.

        `rows` is what FROM has, `there` what TO has. Raises StoreError.
        """
        begun: list[Entry] = []
        work: list[Callable[[], Awaitable[None]]] = []
        placed: dict[str, Row] = {}
        for key, (step, entry, keeps) in plans.items():
            match step:
                case Step.NOTHING:
                    self.tally.count("kept" if keeps else "ended", int(keeps or entry.ended))
                    self._journal.know(entry)
                case Step.FORGET:
                    self._journal.forget(entry)
                case Step.TOUCH:
                    work.append(partial(self._touch, entry, rows[key], there[key]))
                case Step.REMOVE:
                    begun.append(entry._replace(writing=REMOVAL))
                    work.append(partial(self._remove, entry, there[key]))
                case Step.UPDATE:
                    begun.append(entry._replace(writing=rows[key].digest))
                    counts: Happened = "created" if has_place else "updated"
                    work.append(partial(self._update, entry, rows[key], there[key], counts))
                case Step.CREATE:
                    row = rows[key]
                    if self._journal.is_settled:
                        row = row_of(place_for(row.record, self._clock()))
                        placed[key] = rows[key]
                    begun.append(entry._replace(writing=row.digest))
                    work.append(partial(self._create, entry, row, is_place=key in placed))
        await self._journal.begin(begun)
        await side_by_side(write() for write in work)
        if placed:
            await self._journal.flush()  # a session goes only into a place that the journal has
        return placed

    async def _create(self, entry: Entry, row: Row, *, is_place: bool) -> None:
        try:
            made = await self._to.create(entry.key, _record(row, row.expires_at))
        except StoreUnavailable:
            raise
        except StoreError as error:
            self._refuse(entry, error)
            return
        if made is not None:
            if not is_place:
                self.tally.count("created")
            self._journal.know(entry._replace(wrote=row.digest, expires_at=row.expires_at))
            return
        found = await self._to.get(entry.key)
        if found is None:  # it is gone by now; the next pass looks again
            self._journal.forget(entry)
            return
        wrote = row.digest if row_of(found).digest == row.digest else FOREIGN
        self._journal.know(entry._replace(wrote=wrote, expires_at=row.expires_at))

    async def _update(self, entry: Entry, row: Row, there: Row, counts: Happened) -> None:
        try:
            update = await self._to.update(entry.key, _record(row, rules.end_of(entry, row, there)), there.record)
        except StoreUnavailable:
            raise
        except StoreError as error:
            self._refuse(entry, error)
            return
        if update.outcome is Outcome.SAVED:
            self.tally.count(counts)
            entry = entry._replace(wrote=row.digest, expires_at=row.expires_at)
        elif update.outcome is Outcome.CONFLICT:
            self.tally.count("kept")
        else:
            self.tally.count("ended")
            entry = entry._replace(ended=True)
        self._journal.know(entry)

    async def _touch(self, entry: Entry, row: Row, there: Row) -> None:
        update = await self._to.touch(entry.key, row.expires_at, there.record)
        if update.outcome is Outcome.SAVED:
            self.tally.count("touched")
            entry = entry._replace(expires_at=row.expires_at)
        self._journal.know(entry)

    async def _remove(self, entry: Entry, there: Row) -> None:
        update = await self._to.update(entry.key, REMOVED, there.record)
        if update.outcome is Outcome.CONFLICT:
            self.tally.count("kept")
            self._journal.know(entry._replace(ended=True))
            return
        if update.outcome is Outcome.SAVED:
            self.tally.count("removed")
            await self._to.destroy(entry.key)  # an expired row that a Node server touches would live again
        self._journal.forget(entry)

    def _refuse(self, entry: Entry, error: StoreError) -> None:
        """Note that TO cannot keep a session. What it has of that stays."""
        self.tally.count("refused")
        self._refused(entry.key, error)
        if entry.wrote is None:
            self._journal.forget(entry)
        else:
            self._journal.know(entry)


def _record(row: Row, expires_at: int) -> StoredSession:
    return StoredSession(row.record.data, expires_at)
