"""Owns the check that a store from elsewhere keeps the contract of store.py.

A verb that raises a foreign error, returns a wrong type or blocks the event loop is reported by the names of the store
and the verb. Our own stores are not checked: the contract suite does that. What options promise of data at rest is
asked of every store.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Generator
from typing import Any, TypeVar

from .errors import OptionsError, SessionError, StoreError
from .options import SessionOptions
from .store import Outcome, Overwriting, Store, StoredSession, Update, is_ready, is_sealed, key_of, name_of, overwriting

log: logging.Logger = logging.getLogger("sessions")

Result = TypeVar("Result")

BLOCKED = 0.5
"""Seconds for which a verb may keep the event loop from everything else before the log says so."""

_OWN = "sessions.stores."
_WRAPPERS = "sessions.at_rest."


def checked(store: Store) -> Store:
    """Return the store itself if it is one of ours, else the store behind a check."""
    kind, inner = type(store).__module__, store
    while kind.startswith(_WRAPPERS):
        inner = inner.inner  # type: ignore[attr-defined] # of a wrapper
        kind = type(inner).__module__
    return store if kind.startswith(_OWN) and kind != f"{_OWN}wrappers" else CheckedStore(store)


def check_at_rest(store: Store, options: SessionOptions) -> None:
    """Raise OptionsError if the options promise what the store does not do."""
    if (options.encryption is not None or options.require_sealed) and not is_sealed(store):
        raise OptionsError(f"encryption: needs a SealedStore, as sessions.config makes it, unlike {name_of(store)}")
    if options.hashed_ids and key_of(store, "x") == "x":
        raise OptionsError(f"hashedIds: needs HashedIds, as sessions.config makes it, unlike {name_of(store)}")


class CheckedStore:
    """A store in front of one from elsewhere."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.name: str = name_of(inner)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # powers, keys, is_open

    @property
    def ready(self) -> bool:
        """True if the store is up, as far as it knows without asking."""
        return is_ready(self._inner)

    async def get(self, sid: str) -> StoredSession | None:
        """Read the session of an id."""
        return self._record_or_none("get", await self._call("get", sid))

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session."""
        return self._record_or_none("create", await self._call("create", sid, record))

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session that is still the expected one."""
        return self._update("update", await self._call("update", sid, record, expected))

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one."""
        return self._update("touch", await self._call("touch", sid, expires_at, expected))

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session that is still the expected one to a new id."""
        return self._update("rename", await self._call("rename", old, new, record, expected, tombstone))

    async def destroy(self, sid: str) -> None:
        """Delete a session."""
        await self._call("destroy", sid)

    @property
    def overwriting(self) -> Overwriting | None:
        """This check, if the store can write blindly."""
        return None if overwriting(self._inner) is None else self

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session."""
        made = self._record_or_none("set", await self._call("set", sid, record, of=overwriting(self._inner)))
        if made is None:
            raise self._broken("set", "a StoredSession", made)
        return made

    # ---------------------------------------------------------------- the check

    async def _call(self, verb: str, *args: Any, of: Any = None) -> Any:
        try:
            return await _Watched(getattr(of or self._inner, verb)(*args), f"{self.name}: {verb}()")
        except SessionError:
            raise
        except asyncio.CancelledError:
            raise asyncio.CancelledError(f"{self.name}: {verb}()") from None  # the deadline names what was too slow
        except Exception as error:
            raise StoreError(f"{self.name}: {verb}() raised {type(error).__name__}") from error

    def _record_or_none(self, verb: str, result: object) -> StoredSession | None:
        if result is None or (
            isinstance(result, StoredSession) and isinstance(result.data, str) and isinstance(result.expires_at, int)
        ):
            return result
        raise self._broken(verb, "a StoredSession of a str and an int, or None", result)

    def _update(self, verb: str, result: object) -> Update:
        if not isinstance(result, Update) or not isinstance(result.outcome, Outcome):
            raise self._broken(verb, "an Update", result)
        if result.outcome is Outcome.TAKEN and verb != "rename":
            raise self._broken(verb, "an Update other than TAKEN", result)
        if self._record_or_none(verb, result.record) is None and result.outcome in (Outcome.SAVED, Outcome.CONFLICT):
            raise self._broken(verb, f"an Update that has a record, as {result.outcome.name} needs one", result)
        return result

    def _broken(self, verb: str, expected: str, result: object) -> StoreError:
        return StoreError(f"{self.name}: {verb}() has to return {expected}, and returned {type(result).__name__}")


class _Watched:
    """Awaits a verb, and logs when one of its steps keeps the event loop for too long."""

    def __init__(self, awaitable: Awaitable[Result], name: str) -> None:
        self._awaitable = awaitable
        self._name = name

    def __await__(self) -> Generator[Any, Any, Any]:
        steps = self._awaitable.__await__()
        sent: Any = None
        error: BaseException | None = None
        while True:
            started = time.monotonic()
            try:
                waited_for = steps.send(sent) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            finally:
                took = time.monotonic() - started
                if took > BLOCKED:
                    log.error("%s blocked the event loop for %.1f s: a verb has to await", self._name, took)
            sent = error = None
            try:
                sent = yield waited_for
            except BaseException as raised:  # noqa: BLE001 # whatever is thrown in belongs to the verb
                error = raised
