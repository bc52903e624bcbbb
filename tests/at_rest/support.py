"""Owns what the tests of data at rest share: keys, sessions, stores behind a seal, and a look at what is stored."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from clock import DAY
from users.managing import SECRET, STORES

from sessions import (
    CookieOptions,
    HashedIds,
    SealedStore,
    SessionManager,
    SessionOptions,
    StoredSession,
    StoreWrapper,
    now_ms,
)
from sessions.store import users

OLD, NEW, OTHER = {"old": b"o" * 32}, {"new": b"n" * 32}, {"old": b"x" * 32}
"""Keys; the last has the id of the first."""

each_store = pytest.mark.parametrize("kind", STORES)


def session_of(user: str | None = None, **data: Any) -> StoredSession:
    """A session, as a manager writes it for a store without an index of its own."""
    meta = {} if user is None else {"__meta": {"user": user}, "user": user}
    whole = {"cookie": {"originalMaxAge": DAY, "path": "/"}, **meta, **data}
    return StoredSession(json.dumps(whole, separators=(",", ":"), ensure_ascii=False), now_ms() + DAY)


@asynccontextmanager
async def opened(kind: str, place: Path) -> AsyncIterator[Any]:
    """A store of a kind, open, in the clear."""
    async with StoreWrapper(STORES[kind](place)) as store:
        users(store.inner).index(("user",), node_peer=False)  # type: ignore[union-attr] # each of them has it
        yield store.inner


def sealed(inner: Any, keys: dict[str, bytes], **options: Any) -> SealedStore:
    """A store behind a seal, which knows where the user is."""
    store = SealedStore(inner, keys, **options)
    users(store).index(("user",), node_peer=False)  # type: ignore[union-attr] # each of them has it
    return store


def hashed(inner: Any, keys: dict[str, bytes], **options: Any) -> HashedIds:
    """A store with hashed ids."""
    return HashedIds(inner, keys, **options)


def manager_of(store: Any, **options: Any) -> SessionManager:
    """A manager of a store."""
    options = {"secret": SECRET, "user_key": "user", "cookie": CookieOptions(max_age=DAY), **options}
    return SessionManager(store, SessionOptions(**options))


async def rows(store: Any) -> dict[str, str]:
    """What the innermost store has: texts by their keys."""
    while isinstance(store, StoreWrapper):
        store = store.inner
    return {key: record.data async for key, record in store.all()}
