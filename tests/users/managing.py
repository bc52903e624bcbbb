"""Owns what the tests of users share: a manager on a store of each kind, and a visit without HTTP."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from clock import DAY
from stores.redis_server import shared_cluster, shared_server
from stores.support import mongodb, postgres, prefix

from sessions import CookieOptions, Session, SessionManager, SessionOptions, StoreWrapper
from sessions.formats.signing import new_id
from sessions.stored_cookie import StoredCookie
from sessions.stores.memory import MemoryStore
from sessions.stores.redis import RedisStore
from sessions.stores.sqlite import SQLiteStore

SECRET = "a secret that is as long as it has to be"
STORES: dict[str, Callable[[Path], Any]] = {
    "memory": lambda _: MemoryStore(),
    "sqlite": lambda place: SQLiteStore(place / "sessions.db"),
    "postgres": postgres,
    "mongodb": mongodb,
    "redis": lambda place: RedisStore(shared_server().url, prefix=prefix(place)),
    "redis cluster": lambda place: RedisStore(shared_cluster().url, prefix=prefix(place)),
}


@asynccontextmanager
async def managing(kind: str, place: Path, **options: Any) -> AsyncIterator[SessionManager]:
    """Open a store of a kind, and give its manager."""
    async with StoreWrapper(STORES[kind](place)) as store:
        options = {"secret": SECRET, "user_key": "user", "cookie": CookieOptions(max_age=DAY), **options}
        manager = SessionManager(store.inner, SessionOptions(**options))
        yield manager
        await manager.close()


async def visit(
    manager: SessionManager, sid: str, act: Callable[[Session], Awaitable[None] | None] = lambda _: None
) -> Session:
    """Do what a request does: load, act, commit. Returns its session."""

    def generate() -> Any:
        return new_id(), StoredCookie.new(CookieOptions(max_age=DAY), manager.clock, is_secure=lambda: False)

    state = await manager.load([sid], generate)
    session = manager.face(state)
    done = act(session)
    if done is not None:
        await done
    commit = manager.commit(state)
    if commit is not None:
        await commit
    return session
