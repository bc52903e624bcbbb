"""Owns a store that is away when a process starts: the process serves all the same, and the store is opened later.

Until then requests that need the store get 503, or no session if `storeDown` says so. This file must not know which
store it is.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from .errors import StoreError, StoreUnavailable
from .store import OpenableStore, Store, StoredSession, name_of
from .stores.wrappers import StoreWrapper

log: logging.Logger = logging.getLogger("sessions")

RETRY_SECONDS = 1.0
"""Until the next try to open the store: as long as an open store that was lost is left alone (stores/base.py)."""


@contextlib.asynccontextmanager
async def opened(store: OpenableStore) -> AsyncIterator[Store]:
    """Open a store for as long as the context lasts. If it is away, give one that opens it in the background."""
    try:
        await store.__aenter__()
    except StoreError as error:
        log.warning("goes on without the store: %s", error)
    else:
        try:
            yield store
        finally:
            await store.__aexit__(None, None, None)
        return
    late = LateStore(store)
    opening = asyncio.create_task(late.open(), name="session store")
    try:
        yield late
    finally:
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        if late.is_open:
            await store.__aexit__(None, None, None)


class LateStore(StoreWrapper):
    """A store that is not open yet. Verbs that need no record of it raise StoreUnavailable until it is."""

    def __init__(self, inner: OpenableStore) -> None:
        super().__init__(inner)
        self._openable: OpenableStore = inner
        self.is_open: bool = False
        """True if the store inside is open."""

    @property
    def ready(self) -> bool:
        """True if the store is open and up, as far as it knows without asking."""
        return self.is_open and super().ready

    async def open(self) -> None:
        """Try to open the store until it can be opened."""
        while not self.is_open:
            await asyncio.sleep(RETRY_SECONDS)
            try:
                await self._openable.__aenter__()
                self.is_open = True
            except StoreError:
                pass  # it is away still, as the log has said
            except Exception:  # nobody awaits this task
                log.exception("the store cannot be opened: %s", self.name)
        log.info("the store is back: %s", self.name)

    async def get(self, sid: str) -> StoredSession | None:
        """Read the session of an id. Returns None if there is none or it has expired."""
        self._check()
        return await super().get(sid)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session. Returns None if a living one has the id."""
        self._check()
        return await super().create(sid, record)

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session, whatever is there."""
        self._check()
        return await super().set(sid, record)

    async def destroy(self, sid: str) -> None:
        """Delete a session; an id that has none is not an error."""
        self._check()
        await super().destroy(sid)

    def _check(self) -> None:
        if not self.is_open:
            raise StoreUnavailable(f"{name_of(self.inner)}: is not open yet")
