"""Owns the observation of a store: each call becomes an event, with its outcome and its time.

It is in front of the store only if there is an observer. `ready` is the store's own word; the event StoreReady follows
the calls: from one that finds the store away until one is answered.
"""

from collections.abc import Awaitable, Callable, Collection, Coroutine
from functools import partial
from typing import Any

from .observe import Batch, Reporter, StoreCall, StoreReady
from .store import (
    Limit,
    Overwriting,
    SignedIn,
    Store,
    StoredSession,
    Update,
    Users,
    batching,
    by_key,
    is_ready,
    overwriting,
    users,
)

VERBS = ("get", "create", "update", "touch", "rename", "destroy", "set", "rows", "end", "sign_in")
"""The verbs of a store, of its power to overwrite, and of its power `users`."""


def observed(store: Store, reporter: Reporter) -> Store:
    """Return the store itself if there is no observer, else the store behind one that reports each call."""
    if not reporter.has_observers:
        return store
    report_to = getattr(store, "report_to", None)  # a store that has events of its own
    if report_to is not None:
        report_to(reporter)
    batches = batching(store)
    if batches is not None:
        batches.report_batches(lambda kind, jobs: reporter.report(Batch(kind, jobs)))
    return ObservedStore(store, _Calls(reporter, store))


class _Calls:
    """The calls of a store and of what it offers."""

    def __init__(self, reporter: Reporter, store: Store) -> None:
        self._reporter = reporter
        self._is_ready: bool | None = None
        self._events = {verb: partial(self._event, verb) for verb in VERBS}
        self.look(is_ready=is_ready(store))

    def timed(
        self, verb: str, outcome_of: Callable[[Any], str], call: Callable[..., Awaitable[Any]], *args: Any
    ) -> Coroutine[Any, Any, Any]:
        """Await `call(*args)`, and report it."""
        return self._reporter.timed(self._events[verb], outcome_of, call, *args)

    def look(self, *, is_ready: bool) -> None:
        """Report that the store is away, or is back, if that has changed."""
        if is_ready is not self._is_ready:
            self._is_ready = is_ready
            self._reporter.report(StoreReady(is_ready))

    def _event(self, verb: str, outcome: str, seconds: float) -> StoreCall:
        is_ready = outcome != "unavailable"
        if is_ready is not self._is_ready and outcome not in ("error", "cancelled"):  # which do not say where it is
            self.look(is_ready=is_ready)
        return tuple.__new__(StoreCall, (verb, outcome, seconds))  # the class itself takes five times as long


class ObservedStore:
    """A store in front of one that is observed."""

    def __init__(self, inner: Store, calls: _Calls) -> None:
        self._inner = inner
        self._calls = calls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)  # the name, is_open, key_of, further powers

    @property
    def ready(self) -> bool:
        """True if the store is up, as far as it knows without asking."""
        ready = is_ready(self._inner)
        if not ready:
            self._calls.look(is_ready=False)
        return ready

    @property
    def by_key(self) -> Store:
        """The store with verbs that take keys, observed too."""
        inner = by_key(self._inner)
        return self if inner is self._inner else ObservedStore(inner, self._calls)

    def get(self, sid: str) -> Coroutine[Any, Any, StoredSession | None]:
        """Read the session of an id."""
        return self._calls.timed("get", _found, self._inner.get, sid)

    def create(self, sid: str, record: StoredSession) -> Coroutine[Any, Any, StoredSession | None]:
        """Insert a new session."""
        return self._calls.timed("create", _made, self._inner.create, sid, record)

    def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Coroutine[Any, Any, Update]:
        """Replace a session that is still the expected one."""
        return self._calls.timed("update", _updated, self._inner.update, sid, record, expected)

    def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Coroutine[Any, Any, Update]:
        """Move the expiry of a session that is still the expected one."""
        return self._calls.timed("touch", _updated, self._inner.touch, sid, expires_at, expected)

    def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Coroutine[Any, Any, Update]:
        """Move a session that is still the expected one to a new id."""
        return self._calls.timed("rename", _updated, self._inner.rename, old, new, record, expected, tombstone)

    def destroy(self, sid: str) -> Coroutine[Any, Any, None]:
        """Delete a session."""
        return self._calls.timed("destroy", _done, self._inner.destroy, sid)

    @property
    def overwriting(self) -> Overwriting | None:
        """This store, if the store inside can write blindly."""
        return None if overwriting(self._inner) is None else self

    def set(self, sid: str, record: StoredSession) -> Coroutine[Any, Any, StoredSession]:
        """Insert or replace a session."""
        return self._calls.timed("set", _made, overwriting(self._inner).set, sid, record)  # type: ignore[union-attr] # a caller has asked

    @property
    def users(self) -> Users | None:
        """What finds the sessions of a user, observed."""
        inner = users(self._inner)
        return None if inner is None else _ObservedUsers(inner, self._calls)


class _ObservedUsers:
    """The power to find the sessions of a user, in front of one that is observed."""

    def __init__(self, inner: Users, calls: _Calls) -> None:
        self._inner = inner
        self._calls = calls
        self.by_meta: bool = inner.by_meta
        self.refuses: bool = inner.refuses

    def index(self, path: tuple[str, ...], *, node_peer: bool, in_meta: bool = False) -> None:
        self._inner.index(path, node_peer=node_peer, in_meta=in_meta)

    def rows(self, user: str, aliases: Collection[str] = ()) -> Coroutine[Any, Any, list[tuple[str, StoredSession]]]:
        return self._calls.timed("rows", _done, self._inner.rows, user, aliases)

    def end(
        self,
        user: str,
        keys: Collection[str] | None = None,
        keep: str | None = None,
        aliases: Collection[str] = (),
    ) -> Coroutine[Any, Any, list[str]]:
        return self._calls.timed("end", _done, self._inner.end, user, keys, keep, aliases)

    def sign_in(
        self,
        limit: Limit,
        new: str,
        record: StoredSession,
        old: str | None = None,
        expected: StoredSession | None = None,
        tombstone: StoredSession | None = None,
    ) -> Coroutine[Any, Any, SignedIn]:
        return self._calls.timed(
            "sign_in", _signed_in, self._inner.sign_in, limit, new, record, old, expected, tombstone
        )


def _found(record: StoredSession | None) -> str:
    return "missing" if record is None else "found"


def _made(record: StoredSession | None) -> str:
    return "taken" if record is None else "saved"


def _updated(update: Update) -> str:
    return str(update.outcome.value)


def _done(_: object) -> str:
    return "done"


def _signed_in(signed: SignedIn) -> str:
    return "refused" if signed.update is None else _updated(signed.update)
