"""What a manager says of the sessions of a user, and how it ends them: on every store, through its public verbs."""

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from clock import DAY, MINUTE, START, MovableClock

from sessions import (
    DataError,
    OptionsError,
    Session,
    SessionManager,
    SessionOptions,
    Store,
    StoredSession,
    now_ms,
)
from sessions.stores.memory import MemoryStore
from sessions.stores.redis import RedisStore

from .managing import SECRET, STORES, managing, visit

each_store = pytest.mark.parametrize("kind", STORES)


def text_of(user: object, key: str = "user", **meta: Any) -> str:
    """A session as Node may have written it."""
    cookie = {"originalMaxAge": DAY, "expires": None, "httpOnly": True, "path": "/"}
    return json.dumps({"cookie": cookie, **({"__meta": meta} if meta else {}), key: user}, separators=(",", ":"))


async def plant(manager: SessionManager, sid: str, user: object, **meta: Any) -> None:
    """Store a session, and load it once, as its visitor's next request does."""
    await manager.store.create(sid, StoredSession(text_of(user, **meta), now_ms() + DAY))
    await visit(manager, sid)


@each_store
async def test_the_sessions_of_a_user_are_listed(kind: str, tmp_path: Path) -> None:
    """With what a list of devices shows, and no id."""
    async with managing(kind, tmp_path) as manager:
        signed = {"signedInAt": START, "createdAt": START - 1, "agent": "Firefox", "ip": "::1"}
        await plant(manager, "a", "ada", **signed)
        await plant(manager, "b", "ada")
        await plant(manager, "c", "bob")
        session = await visit(manager, "b")
        first, second = await manager.sessions_of("ada", current=session)

    assert first.handle == hashlib.sha256(b"a").hexdigest()[:32]
    assert second.handle.startswith(session.fingerprint)
    assert (first.user, first.signed_in, first.created, first.agent, first.ip) == (
        "ada",
        START,
        START - 1,
        "Firefox",
        "::1",
    )
    assert (second.signed_in, second.created, second.agent, second.ip) == (None, None, None, None)
    assert [first.is_current, second.is_current] == [False, True]
    assert abs(first.expires - now_ms() - DAY) < MINUTE
    assert first.seen is not None
    assert abs(first.seen - now_ms()) < MINUTE


@each_store
async def test_a_session_is_revoked_by_its_handle(kind: str, tmp_path: Path) -> None:
    """Its user's alone: another user's handle, and one that is none, end nothing."""
    async with managing(kind, tmp_path) as manager:
        for sid, user in (("a", "ada"), ("b", "ada"), ("c", "bob")):
            await plant(manager, sid, user)
        (other,) = await manager.sessions_of("bob")
        handle = hashlib.sha256(b"a").hexdigest()[:32]
        counts = [await manager.revoke("ada", each) for each in (other.handle, "", "x" * 9_999, handle, handle)]
        left = [await manager.store.get(sid) is not None for sid in "abc"]

    assert counts == [0, 0, 0, 1, 0]
    assert left == [False, True, True]


@each_store
async def test_a_change_of_password_ends_the_others(kind: str, tmp_path: Path) -> None:
    """And keeps the session of the request, with the id that it has just got."""
    async with managing(kind, tmp_path) as manager:
        for sid, user in (("a", "ada"), ("b", "ada"), ("c", "ada"), ("d", "bob")):
            await plant(manager, sid, user)

        async def change_password(session: Session) -> None:
            session.rotate()
            ended.append(await manager.revoke_all("ada", keep=session))

        ended: list[int] = []
        session = await visit(manager, "b", change_password)
        (mine,) = await manager.sessions_of("ada", current=session)
        bobs = await manager.sessions_of("bob")

    assert ended == [2]
    assert mine.is_current
    assert len(bobs) == 1


@each_store
async def test_an_integer_and_its_text_are_one_user(kind: str, tmp_path: Path) -> None:
    """As a database's key is a number here and a text there."""
    async with managing(kind, tmp_path) as manager:
        await plant(manager, "a", 7)
        await plant(manager, "b", "7")
        listed = [len(await manager.sessions_of(user)) for user in (7, "7", "07")]
        ended = await manager.revoke_all(7)

    assert listed == [2, 2, 0]
    assert ended == 2


@each_store
async def test_a_user_is_found_down_a_path(kind: str, tmp_path: Path) -> None:
    """Passport keeps its user in an object."""
    async with managing(kind, tmp_path, user_key="passport.user") as manager:
        await manager.store.create("a", StoredSession(text_of({"user": "ada"}, "passport"), now_ms() + DAY))
        await visit(manager, "a")
        (info,) = await manager.sessions_of("ada")

    assert info.user == "ada"


@each_store
async def test_a_user_who_signs_out_has_no_session(kind: str, tmp_path: Path) -> None:
    """Whoever deletes or changes the key moves the session."""
    async with managing(kind, tmp_path) as manager:
        await plant(manager, "a", "ada")
        await plant(manager, "b", "ada")
        await visit(manager, "a", lambda session: session.__delitem__("user"))
        await visit(manager, "b", lambda session: session.__setitem__("user", "bob"))
        listed = [len(await manager.sessions_of(user)) for user in ("ada", "bob")]

    assert listed == [0, 1]


@each_store
async def test_a_session_that_a_request_changes_stays_ended(kind: str, tmp_path: Path) -> None:
    """A request that loaded it before does not bring it back."""
    async with managing(kind, tmp_path) as manager:
        await plant(manager, "a", "ada")

        async def meanwhile(session: Session) -> None:
            session["n"] = 1
            await manager.revoke_all("ada")

        await visit(manager, "a", meanwhile)

        assert await manager.sessions_of("ada") == []
        assert await manager.store.get("a") is None


@pytest.mark.parametrize("user", [None, True, 1.0, "", "x" * 10_000, "a\0", ["ada"], "\ud83d", 2**64])
@pytest.mark.parametrize(
    "ask",
    [
        lambda manager, user: manager.sessions_of(user),
        lambda manager, user: manager.revoke(user, "x"),
        lambda manager, user: manager.revoke_all(user),
    ],
    ids=["sessions_of", "revoke", "revoke_all"],
)
async def test_what_is_no_user_is_refused(
    ask: Callable[[SessionManager, Any], Awaitable[Any]], user: object, tmp_path: Path
) -> None:
    """By name; the message does not repeat a text of 10 kB."""
    async with managing("memory", tmp_path) as manager:
        with pytest.raises(
            DataError, match=r"^user: expected a string or an integer, of 1 to 200 characters"
        ) as refusal:
            await ask(manager, user)

    assert len(str(refusal.value)) < 200


async def test_nobody_is_known_without_a_user_key(tmp_path: Path) -> None:
    """The option is named."""
    async with managing("memory", tmp_path, user_key=None) as manager:
        for ask in (manager.sessions_of("ada"), manager.revoke("ada", "x"), manager.revoke_all("ada")):
            with pytest.raises(OptionsError, match=r"^userKey: is not set"):
                await ask


class Bare:
    """A store with six verbs and no power."""

    def __init__(self, inner: Store) -> None:
        for verb in ("get", "create", "update", "touch", "rename", "destroy"):
            setattr(self, verb, getattr(inner, verb))


def test_a_store_that_finds_no_user_is_refused() -> None:
    """When the manager is made."""
    store: Any = Bare(MemoryStore())

    with pytest.raises(OptionsError, match=r"^userKey: needs a store that finds the sessions of a user, unlike Bare"):
        SessionManager(store, SessionOptions(secret=SECRET, user_key="user"))


def test_a_cluster_refuses_no_sign_in(tmp_path: Path) -> None:
    """It has no step over two nodes, so it cannot count and write in one."""
    store = RedisStore("redis+cluster://nowhere.invalid")

    with pytest.raises(OptionsError, match=r'^atLimit: "refuse" needs'):
        SessionManager(store, SessionOptions(secret=SECRET, user_key="user", max_per_user=5, at_limit="refuse"))


async def test_a_revoked_session_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """By its fingerprint, which begins its handle."""
    caplog.set_level(logging.INFO, "sessions")
    async with managing("memory", tmp_path) as manager:
        await plant(manager, "a", "ada")
        (info,) = await manager.sessions_of("ada")
        caplog.clear()
        await manager.revoke_all("ada")

    assert caplog.messages == [f"revoked: {info.handle[:8]}"]


async def test_a_tombstone_is_not_listed(tmp_path: Path) -> None:
    """Nor one that Node has filled, as long as it counts; revoking ends that as well."""
    async with managing("memory", tmp_path) as manager:
        closed = text_of("ada", closed=now_ms() + MINUTE, next="b")
        await manager.store.create("a", StoredSession(closed, now_ms() + DAY))
        await plant(manager, "b", "ada")
        listed = await manager.sessions_of("ada")

        assert [info.handle for info in listed] == [hashlib.sha256(b"b").hexdigest()[:32]]
        assert await manager.revoke_all("ada") == 2


async def test_a_session_that_moves_while_it_is_revoked_ends(tmp_path: Path) -> None:
    """Its tombstone says where it goes on."""
    async with managing("memory", tmp_path) as manager:
        await plant(manager, "a", "ada")
        store: Any = manager.store
        end = store.end

        async def moved_first(user: str, keys: Any = None, keep: Any = None) -> list[str]:
            store.end = end
            await visit(manager, "a", lambda session: session.rotate())
            return await end(user, keys, keep)  # type: ignore[no-any-return] # the store's

        store.end = moved_first
        ended = await manager.revoke("ada", hashlib.sha256(b"a").hexdigest()[:32])

        assert ended == 1
        assert await manager.sessions_of("ada") == []


async def test_an_absolute_end_says_nothing_of_the_last_use(clock: MovableClock) -> None:
    """The expiry is the session's end by then, however it was used."""
    options = SessionOptions(secret=SECRET, user_key="user", absolute_timeout=DAY)
    store = MemoryStore(clock=clock)
    manager = SessionManager(store, options, clock=clock)
    for sid, expires_at in (("a", START + DAY), ("b", START + DAY - MINUTE)):
        await store.create(sid, StoredSession(text_of("ada", createdAt=START), expires_at))
    seen = {info.expires: info.seen for info in await manager.sessions_of("ada")}

    assert seen == {START + DAY: None, START + DAY - MINUTE: START - MINUTE}


async def test_many_calls_at_once_end_each_session_once(tmp_path: Path) -> None:
    """What one call has ended another does not count."""
    async with managing("sqlite", tmp_path) as manager:
        for n in range(20):
            await manager.store.create(f"{n}", StoredSession(text_of("ada"), now_ms() + DAY))
        counts = await asyncio.gather(*(manager.revoke_all("ada") for _ in range(5)))

    assert sum(counts) == 20
