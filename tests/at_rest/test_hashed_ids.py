"""HashedIds over every store: no id in a dump, rows that are taken over, keys that rotate, sockets and users beside it."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from clock import DAY
from tornado.web import Application, RequestHandler
from users.managing import SECRET, STORES, visit

from sessions import (
    CookieOptions,
    HashedIds,
    MemoryStore,
    SealedStore,
    Session,
    SessionMixin,
    StoreError,
    StoreWrapper,
    now_ms,
)
from sessions.formats.signing import Signer, new_id
from sessions.store import Limit, Outcome, users
from sessions.stored_cookie import StoredCookie
from sessions.testing import Browser
from sessions.watch import watch_of

from .support import NEW, OLD, each_store, hashed, manager_of, opened, rows, session_of

BOTH, TURNED = {**NEW, **OLD}, {**OLD, **NEW}
HASH = re.compile(r"h1\.[A-Za-z0-9_-]{43}")


class Page(SessionMixin, RequestHandler):
    """Shows the data of the session, and changes it with `?n=`."""

    async def get(self) -> None:
        if self.get_argument("n", None):
            self.session["n"] = self.get_argument("n")
        self.write(self.session)


def app_of(store: Any, **options: Any) -> Application:
    """An application with one page."""
    return Application([("/", Page)], sessions=manager_of(store, **options))


# ---------------------------------------------------------------- a dump


@pytest.mark.parametrize("wrap", [lambda inner: inner, lambda inner: SealedStore(inner, NEW)], ids=["clear", "sealed"])
async def test_a_dump_of_the_store_opens_nothing_even_with_the_secret(wrap: Callable[[Any], Any]) -> None:
    """Whatever text of the dump is signed, as it is or in parts: it is a new visitor's, and nothing comes of it."""
    inner = MemoryStore()
    async with Browser(app_of(hashed(wrap(inner), NEW))) as victim:
        await victim.sign_in("ada")
        await victim.fetch("/?n=1")
        dump = await rows(inner)
        words = {word for text in (*dump, *dump.values()) for word in re.findall(r"[\w.-]+", text)}
        words |= {part for word in words for part in word.split(".")} | set(dump)
        answers = []
        for word in words:
            thief = Browser(victim.port, manager=victim.manager)
            cookie = {"Cookie": f"connect.sid={quote(Signer((SECRET.encode(),)).sign(word), safe='')}"}
            answers.append((await thief.fetch("/", headers=cookie)).body)
        own = await victim.fetch("/")

    assert set(answers) == {b"{}"}
    assert b"ada" in own.body
    assert await rows(inner) == dump
    assert all(HASH.fullmatch(key) for key in dump)


@each_store
async def test_the_ids_in_the_store_are_hashes(kind: str, tmp_path: Path) -> None:
    """Of all that a session goes through: made, rotated, saved. Tombstones lead to the hash of the next id."""
    async with opened(kind, tmp_path) as inner:
        store = hashed(inner, NEW)
        manager = manager_of(store)

        async def rotate(session: Session) -> None:
            session["n"] = 1
            await session.rotate()

        made = await visit(manager, new_id(), lambda session: session.update(n=0))
        rotated = await visit(manager, made.id, rotate)
        found = await rows(inner)
        await manager.close()

        assert set(found) == {store.key_of(made.id), store.key_of(rotated.id)}
        assert all(HASH.fullmatch(key) for key in found)
        assert store.key_of(rotated.id) in found[store.key_of(made.id)]


async def test_an_id_that_looks_like_a_key_is_refused() -> None:
    """Also where rows under plain ids are taken over: a row from before may have such an id."""
    inner = MemoryStore()
    store = hashed(inner, NEW)
    key = store.key_of("a")
    await inner.create(key, session_of("ada"))
    record = session_of()

    assert await store.get(key) is None
    await store.destroy(key)
    for call in (
        store.create(key, record),
        store.update(key, record, record),
        store.touch(key, 1, record),
        store.rename(key, "b", record, record),
        store.rename("b", key, record, record),
        store.set(key, record),
        users(store).sign_in(Limit("ada", 1, refuses=False), key, record),  # type: ignore[union-attr] # it has it
    ):
        with pytest.raises(StoreError, match="must not look like a key"):
            await call
    assert (await rows(inner)).keys() == {key}


# ---------------------------------------------------------------- rows under another key

TAKEN_OVER = {
    "plain": ({}, [NEW, NEW]),
    "an older key": (OLD, [BOTH, BOTH]),
    "two orders of the keys": (OLD, [BOTH, TURNED]),
}
"""What the rows were written with, and the keys of two processes that serve."""


@pytest.mark.parametrize(
    ("kind", "before"),
    [
        (kind, before)
        for kind in STORES
        for before in TAKEN_OVER
        if kind not in ("redis cluster", "mongodb") or before != "two orders of the keys"  # docs/sealed.md says why
    ],
)
async def test_rows_are_taken_over_under_load_without_a_sign_out(kind: str, tmp_path: Path, before: str) -> None:
    """Each of 12 sessions is used by 8 requests at once, in two processes: none is a new visitor's, none is lost."""
    wrote, keys = TAKEN_OVER[before]
    async with opened(kind, tmp_path) as inner:
        sids = [new_id() for _ in range(12)]
        for sid in sids:
            await (hashed(inner, wrote) if wrote else inner).create(sid, session_of("ada", made=sid))
        managers = [manager_of(hashed(inner, each)) for each in keys]

        def use(n: int) -> Callable[[Session], None]:
            return lambda session: session.update({f"n{n}": session["made"]})

        made = [visit(managers[n % 2], sid, use(n)) for n in range(8) for sid in sids]
        seen = await asyncio.gather(*made)
        texts = [(await visit(managers[n % 2], sid)).copy() for n, sid in enumerate(sids)]
        await asyncio.gather(*(manager.close() for manager in managers))

        assert [session.id for session in seen] == sids * 8
        assert texts == [{"user": "ada", "made": sid, **{f"n{n}": sid for n in range(8)}} for sid in sids]
        assert all(HASH.fullmatch(key) for key in await rows(inner))
        assert len(await rows(inner)) == 12


async def test_a_row_that_was_taken_over_has_the_first_key_and_no_tombstone() -> None:
    """One row before and one after."""
    inner = MemoryStore()
    await inner.create("plain", session_of("ada"))
    await hashed(inner, OLD).create("old", session_of("ada"))
    store = hashed(inner, BOTH)

    assert await store.get("plain") is not None
    assert await store.get("old") is not None
    assert set(await rows(inner)) == {store.key_of("plain"), store.key_of("old")}


async def test_plain_rows_are_taken_over_until_the_day_that_is_said() -> None:
    """From then on an id of an old dump opens nothing."""
    inner, now = MemoryStore(), now_ms()
    for sid in "ab":
        await inner.create(sid, session_of("ada"))
    time = [now]
    store = hashed(inner, NEW, legacy_until=now + 1_000, clock=lambda: time[0])
    before = await store.get("a")
    time[0] += 1_000

    assert before is not None
    assert await store.get("b") is None
    assert await store.get("a") is not None


@pytest.mark.parametrize("verb", ["update", "touch", "rename", "sign_in"])
async def test_a_row_that_has_moved_is_written_where_it_is(verb: str) -> None:
    """Only a read moves it, so two processes with another first key each do not keep each other from writing."""
    inner = MemoryStore()
    mine, other = hashed(inner, BOTH), hashed(inner, TURNED)
    made = await mine.create("a", session_of("ada"))
    assert made is not None
    await other.get("a")
    new = session_of("ada", n=1)
    finds = users(mine)
    assert finds is not None
    finds.index(("user",), node_peer=False)
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "update": lambda: mine.update("a", new, made),
        "touch": lambda: mine.touch("a", made.expires_at, made),
        "rename": lambda: mine.rename("a", "b", new, made),
        "sign_in": lambda: finds.sign_in(Limit("ada", 5, refuses=False), "b", new, "a", made),
    }
    outcome = await calls[verb]()
    update = outcome.update if verb == "sign_in" else outcome

    assert update.outcome is Outcome.SAVED
    assert set(await rows(inner)) == {mine.key_of("b") if verb in ("rename", "sign_in") else other.key_of("a")}


async def test_an_id_that_is_taken_under_another_key_is_taken() -> None:
    """By a plain row, or one with an older key; a blind write leaves one row."""
    inner = MemoryStore()
    await inner.create("a", session_of("ada"))
    store = hashed(inner, NEW)

    assert await store.create("a", session_of("bob")) is None
    await inner.create("b", session_of("ada"))
    await store.set("b", session_of("bob"))
    assert set(await rows(inner)) == {store.key_of("a"), store.key_of("b")}


async def test_an_expired_row_under_the_first_key_is_not_in_the_way() -> None:
    """It is not swept yet; the living one is taken over."""
    inner = MemoryStore()
    store = hashed(inner, NEW)
    await inner.create("a", session_of("ada"))
    inner._rows[store.key_of("a")] = session_of("ada")._replace(expires_at=now_ms() - 1)

    assert await store.get("a") is not None


@each_store
async def test_a_destroyed_session_is_gone_under_every_key(kind: str, tmp_path: Path) -> None:
    """Also one that is under an older key still."""
    async with opened(kind, tmp_path) as inner:
        await inner.create("a", session_of("ada"))
        await hashed(inner, OLD).create("b", session_of("ada"))
        store = hashed(inner, BOTH)
        await asyncio.gather(*map(store.destroy, "ab"))

        assert await rows(inner) == {}


@pytest.mark.parametrize(("wrote", "keys"), [({}, NEW), (BOTH, TURNED)], ids=["plain", "two orders of the keys"])
async def test_a_session_that_moves_while_it_is_destroyed_is_gone(
    wrote: dict[str, bytes], keys: dict[str, bytes]
) -> None:
    """Another process takes it over just before the row under one of the keys is deleted."""
    inner = MemoryStore()
    other = hashed(inner, keys)

    class Slow(StoreWrapper):
        """A store that is slow to delete the row that the other process has not moved yet."""

        async def destroy(self, sid: str) -> None:
            if sid in await rows(inner):
                await other.get("a")
            await super().destroy(sid)

    await (hashed(inner, wrote) if wrote else inner).create("a", session_of("ada"))
    await hashed(Slow(inner), wrote or NEW).destroy("a")

    assert await rows(inner) == {}


# ---------------------------------------------------------------- users and sockets


@each_store
async def test_the_sessions_of_a_user_are_listed_and_ended(kind: str, tmp_path: Path) -> None:
    """By keys: the current one is marked, one is ended by its handle, and all others end."""
    async with opened(kind, tmp_path) as inner:
        store = hashed(SealedStore(inner, NEW), NEW)
        manager = manager_of(store, hashed_ids=True)
        sids = [new_id() for _ in range(4)]
        for sid in sids:
            await store.create(sid, session_of("ada"))
        current = await visit(manager, sids[0])
        listed = await manager.sessions_of("ada", current=current)
        other = next(info for info in listed if not info.is_current)
        counts = [await manager.revoke("ada", other.handle), await manager.revoke_all("ada", keep=current)]
        await manager.close()

        assert len(listed) == 4
        assert sum(info.is_current for info in listed) == 1
        assert counts == [1, 2]
        assert set(await rows(inner)) == {store.key_of(sids[0])}


async def test_a_socket_stays_open_while_the_key_rotates_and_ends_with_its_session() -> None:
    """Its row is under another hash from one moment to the next, moved by this process or by another one."""
    inner = MemoryStore()
    store = HashedIds(inner, OLD)
    manager = manager_of(store, watch_interval=100)
    watch, ended = watch_of(manager), list[tuple[str, str]]()

    def generate() -> Any:
        return new_id(), StoredCookie.new(CookieOptions(max_age=DAY), manager.clock, is_secure=lambda: False)

    sids = [new_id() for _ in range(2)]
    for sid in sids:
        await store.create(sid, session_of("ada"))
        state = await manager.load([sid], generate)
        watch.add(state, partial(lambda sid, end: ended.append((sid, end)), sid))
    others = HashedIds(inner, BOTH)
    await others.get(sids[0])  # another process has the new key first; this one still has the old one alone

    async def until(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not condition():  # noqa: ASYNC110 # of a watch, which has no event for it
                await asyncio.sleep(0.01)

    store.use_keys(BOTH)
    await until(lambda: others.key_of(sids[0]) in watch.keys)
    await others.get(sids[1])
    await until(lambda: watch.keys == {others.key_of(sid) for sid in sids})
    open_before = list(ended)
    await others.destroy(sids[1])
    await until(lambda: bool(ended))
    await manager.close()

    assert open_before == []
    assert ended == [(sids[1], "ended")]
