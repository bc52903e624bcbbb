"""Owns a store that fails when a test says so, in front of a real one."""

from ..errors import StoreUnavailable
from ..store import Store, StoredSession, Update
from ..stores.wrappers import StoreWrapper

VERBS = ("get", "create", "update", "touch", "rename", "destroy", "set")


class FailingStore(StoreWrapper):
    """A store in front of `inner` with verbs that a test lets fail: `store.fail("get")`, then `store.recover()`."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self._errors: dict[str, Exception] = {}

    def fail(self, *verbs: str, error: Exception | None = None) -> None:
        """Let some verbs fail from now on, all if none is named; with StoreUnavailable if no error is given."""
        for verb in verbs or VERBS:
            if verb not in VERBS:
                raise ValueError(f"a store has no verb {verb!r}: {', '.join(VERBS)}")
            self._errors[verb] = error or StoreUnavailable("the test has let the store fail")

    def recover(self) -> None:
        """Let all verbs work again."""
        self._errors.clear()

    def _check(self, verb: str) -> None:
        if verb in self._errors:
            raise self._errors[verb]

    async def get(self, sid: str) -> StoredSession | None:
        """Read the session of an id, or fail."""
        self._check("get")
        return await super().get(sid)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert a new session, or fail."""
        self._check("create")
        return await super().create(sid, record)

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Replace a session that is still the expected one, or fail."""
        self._check("update")
        return await super().update(sid, record, expected)

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Move the expiry of a session that is still the expected one, or fail."""
        self._check("touch")
        return await super().touch(sid, expires_at, expected)

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session that is still the expected one to a new id, or fail."""
        self._check("rename")
        return await super().rename(old, new, record, expected, tombstone)

    async def destroy(self, sid: str) -> None:
        """Delete a session, or fail."""
        self._check("destroy")
        await super().destroy(sid)

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Insert or replace a session, or fail."""
        self._check("set")
        return await super().set(sid, record)
