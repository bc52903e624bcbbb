"""Owns visitors at two stores: what they do at FROM, and later at TO, and what must be true of them after a move.

A visitor changes its session, touches it, takes a new id and signs out. The copy is somewhere else.
"""

import asyncio
import json
import random

from clock import MINUTE, SECOND

from sessions.clock import Clock
from sessions.copying.rules import TOLERANCE_MS
from sessions.copying.texts import digest_of, is_tombstone
from sessions.store import Outcome, Store, StoredSession

LIFE = 30 * MINUTE
GRACE = 30 * SECOND
_AT_ONCE = 500


class Visitor:
    """A browser with one session, and what is true of it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.ids: list[str] = [f"visitor {number} id 0"]
        """The ids that it had, the present one last."""
        self.writes = 0
        self.text = ""
        """What it has stored last, at either store."""
        self.is_out = False
        """It has signed out."""
        self.is_over = False
        """It has come to TO, and stays there."""

    @property
    def sid(self) -> str:
        return self.ids[-1]

    def next_text(self) -> str:
        self.writes += 1
        data = {"visitor": self.number, "writes": self.writes, "basket": "x" * (self.number % 200)}
        return json.dumps({"cookie": {"originalMaxAge": None, "expires": None, "path": "/"}, **data})


class Visitors:
    """Some visitors, and the two stores that they use.

    `tolerance` is how many milliseconds an expiry may be early: a busy Redis says late how much time was left.
    """

    def __init__(
        self,
        source: Store,
        target: Store,
        clock: Clock,
        number: int,
        seed: int = 0,
        *,
        tolerance: int = 2 * TOLERANCE_MS,
    ) -> None:
        self.tolerance = tolerance
        self.random = random.Random(seed)
        self.source = source
        self.target = target
        self.clock = clock
        self.all = [Visitor(each) for each in range(number)]
        self.may_come_over = False
        self.must_come_over = False
        """Nobody uses FROM any more."""

    async def begin(self) -> None:
        """Sign everybody in at FROM."""
        for first in range(0, len(self.all), _AT_ONCE):
            await asyncio.gather(*map(self._sign_in, self.all[first : first + _AT_ONCE]))

    async def _sign_in(self, visitor: Visitor) -> None:
        visitor.text = visitor.next_text()
        assert await self.source.create(visitor.sid, self._record(visitor.text)) is not None

    async def act(self, number: int = 1) -> None:
        """Let so many visitors do something."""
        await asyncio.gather(*map(self._act, self.random.sample(self.all, number)))

    async def _act(self, visitor: Visitor) -> None:
        if visitor.is_out:
            return
        if self.may_come_over and not visitor.is_over and (self.must_come_over or self.random.random() < 0.5):
            visitor.is_over = await self._living(self.target, visitor) is not None
        if self.must_come_over and not visitor.is_over:
            return
        store = self.target if visitor.is_over else self.source
        row = await self._living(store, visitor)
        if row is not None:
            verbs = [self._change, self._change, self._touch, self._rename, self._sign_out]
            await self.random.choice(verbs)(store, visitor, row)

    async def _living(self, store: Store, visitor: Visitor) -> StoredSession | None:
        row = await store.get(visitor.sid)
        return None if row is None or is_tombstone(row, self.clock()) else row

    async def _change(self, store: Store, visitor: Visitor, row: StoredSession) -> None:
        text = visitor.next_text()
        update = await store.update(visitor.sid, self._record(text), row)
        if update.outcome is Outcome.SAVED:
            visitor.text = text

    async def _touch(self, store: Store, visitor: Visitor, row: StoredSession) -> None:
        await store.touch(visitor.sid, self.clock() + 2 * LIFE, row)  # far above the tolerance: none is lost unseen

    async def _rename(self, store: Store, visitor: Visitor, row: StoredSession) -> None:
        text, new = visitor.next_text(), f"visitor {visitor.number} id {len(visitor.ids)}"
        closed = self.clock() + GRACE
        meta = {"cookie": {"path": "/"}, "__meta": {"closed": closed, "next": new}}
        tombstone = StoredSession(json.dumps(meta), closed) if self.random.random() < 0.5 else None
        update = await store.rename(visitor.sid, new, self._record(text), row, tombstone)
        if update.outcome is Outcome.SAVED:
            visitor.ids.append(new)
            visitor.text = text

    async def _sign_out(self, store: Store, visitor: Visitor, _row: StoredSession) -> None:
        if self.random.random() < 0.5:
            visitor.is_out = True
            await store.destroy(visitor.sid)

    def _record(self, text: str) -> StoredSession:
        return StoredSession(text, self.clock() + LIFE)

    # ---------------------------------------------------------------- what must be true

    async def problems(self) -> list[str]:
        """Return what is not as it was promised, after the last pass and with nobody at FROM."""
        found: list[str] = []
        for first in range(0, len(self.all), _AT_ONCE):
            for wrong in await asyncio.gather(*map(self._problems, self.all[first : first + _AT_ONCE])):
                found += wrong
        return found

    async def _problems(self, visitor: Visitor) -> list[str]:
        found: list[str] = []
        for former in visitor.ids[:-1]:
            row = await self.target.get(former)
            if row is not None and not is_tombstone(row, self.clock()):
                found.append(f"{visitor.number} has a session under a former id")
        row = await self._living(self.target, visitor)
        if visitor.is_out:
            return [*found, f"{visitor.number} was signed in again"] if row is not None else found
        if row is None:
            return [*found, f"{visitor.number} was signed out"]
        if digest_of(row.data) != digest_of(visitor.text):
            found.append(f"{visitor.number} has lost a change")
        here = await self.source.get(visitor.sid)
        is_copy = here is not None and digest_of(here.data) == digest_of(row.data)  # else TO's own expiry counts
        if here is not None and is_copy and row.expires_at < here.expires_at - self.tolerance:
            found.append(f"{visitor.number} ends too early")
        return found
