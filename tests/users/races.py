"""Owns the race: fifty visitors of one user sign in, save and rotate, and all their sessions are revoked meanwhile.

None may live afterwards if its sign-in was answered before the call. The visitors are spread over two managers, each with
a store of its own on the same data, as two processes would be. Its short form is test_races.py, its long one
tests/lab/users.
"""

import asyncio
import random
from pathlib import Path
from typing import NamedTuple

from sessions import NoSession, Session, SessionManager, StoredSession, StoreError, now_ms

from .managing import managing, visit

VISITORS = 50
STEPS = 40
HOUR = 3_600_000
ANONYMOUS = '{"cookie":{"originalMaxAge":3600000,"expires":null,"httpOnly":true,"path":"/"}}'


class Race(NamedTuple):
    """What became of one."""

    answered: int
    """Visitors that had the answer to their sign-in before the call."""
    racing: int
    """Visitors that were still busy when the call began: with none of them the race was void."""
    ended: int
    escaped: int
    """Answered visitors with a session that lives: none may."""


class Visitor:
    """One of them, on one manager."""

    def __init__(
        self, manager: SessionManager, number: int, chance: random.Random, signed_in: asyncio.Semaphore
    ) -> None:
        self.manager = manager
        self.number = number
        self.chance = chance
        self.signed_in = signed_in
        self.is_signed_in = False
        """True once a sign-in was answered."""
        self.is_done = False

    async def run(self) -> None:
        """Sign in, and go on until the session is gone."""
        sid = f"{self.number} {self.chance.random()}"
        await self.manager.store.create(sid, StoredSession(ANONYMOUS, now_ms() + HOUR))
        await asyncio.sleep(self.chance.random() / 50)
        try:
            sid = (await visit(self.manager, sid, self._sign_in)).id
            self.is_signed_in = True
            self.signed_in.release()
            for _ in range(STEPS):
                session = await visit(self.manager, sid, self.chance.choice((self._save, self._rotate, self._nothing)))
                if session.get("user") is None:
                    return  # a new session: the one before is gone
                sid = session.id
        except (NoSession, StoreError):
            pass  # ended under the request, or so busy that the store gave up
        finally:
            self.is_done = True

    async def _sign_in(self, session: Session) -> None:
        session["user"] = "ada"
        session["who"] = self.number
        await (session.rotate() if self.chance.random() < 0.8 else session.save())

    async def _save(self, session: Session) -> None:
        session["n"] = self.chance.random()

    async def _rotate(self, session: Session) -> None:
        if "user" in session:
            await session.rotate()

    async def _nothing(self, session: Session) -> None:
        session.get("n")


async def race(managers: tuple[SessionManager, SessionManager], seed: int) -> Race:
    """Run one."""
    chance = random.Random(seed)  # a test's
    signed_in = asyncio.Semaphore(0)
    chances = [random.Random(chance.random()) for _ in range(VISITORS)]  # the same
    visitors = [Visitor(managers[n % 2], n, each, signed_in) for n, each in enumerate(chances)]
    running = [asyncio.create_task(visitor.run()) for visitor in visitors]
    for _ in range(chance.randint(1, VISITORS // 2)):  # the call comes when so many are in, and others on their way
        await signed_in.acquire()
    answered = {visitor.number for visitor in visitors if visitor.is_signed_in}
    racing = sum(not visitor.is_done for visitor in visitors)
    ended = await managers[0].revoke_all("ada")
    await asyncio.gather(*running)
    store = managers[0].store
    left = [record.data async for _, record in store.all()]  # type: ignore[attr-defined] # each store has it
    escaped = sum(f'"who":{number},' in f"{text[:-1]}," for number in answered for text in left)
    await store.clear()  # type: ignore[attr-defined] # the same
    return Race(len(answered), racing, ended, escaped)


async def races(kind: str, place: Path, rounds: int, seed: int = 0) -> list[Race]:
    """Run some on a store of a kind."""
    async with managing(kind, place, store_timeout=60_000) as one:
        if kind == "memory":
            return [await race((one, one), seed + n) for n in range(rounds)]
        async with managing(kind, place, store_timeout=60_000) as two:
            return [await race((one, two), seed + n) for n in range(rounds)]
