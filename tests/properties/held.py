"""Owns a store in front of another: a call waits in it until a test lets it go on, makes it fail, or loses its reply."""

import asyncio
from collections.abc import Callable
from typing import Any

from sessions.errors import StoreError, StoreUnavailable
from sessions.store import StoredSession, Update

HOW = ("go", "perform", "fail", "lose", "late", "refuse", "timeout")
"""What may become of a call: it is performed and answered; performed, and answered when it is let go on again; not
performed; performed without a reply; reported as failed and performed later; refused; cut off by the deadline."""


class Call:
    """One call of the store that waits."""

    def __init__(self, work: Callable[[], Any], name: str) -> None:
        self._work = work
        self.name = name
        self.task = asyncio.current_task()
        self.reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.is_performed = False
        self._result: Any = None

    @property
    def is_late(self) -> bool:
        """True if nobody waits for it any more."""
        return self.reply.done()

    async def perform(self) -> None:
        """Perform it, once. A real failure is its result."""
        if not self.is_performed:
            self.is_performed = True
            try:
                self._result = await self._work()
            except StoreError as error:
                self._result = error

    def answer(self, error: StoreError | None = None) -> None:
        """Answer whoever waits."""
        result = error or self._result
        if self.reply.done():
            return
        if isinstance(result, StoreError):
            self.reply.set_exception(result)
        else:
            self.reply.set_result(result)


class HeldStore:
    """The store. `waiting` has the calls that are under way, the oldest first."""

    overwriting = None

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.waiting: list[Call] = []

    async def _held(self, verb: str, *arguments: Any) -> Any:
        call = Call(lambda: getattr(self.inner, verb)(*arguments), verb)
        self.waiting.append(call)
        return await call.reply

    async def get(self, sid: str) -> StoredSession | None:
        """Read."""
        return await self._held("get", sid)  # type: ignore[no-any-return] # what the store inside returns

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Insert."""
        return await self._held("create", sid, record)  # type: ignore[no-any-return] # the same

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Compare and set."""
        return await self._held("update", sid, record, expected)  # type: ignore[no-any-return] # the same

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Prolong."""
        return await self._held("touch", sid, expires_at, expected)  # type: ignore[no-any-return] # the same

    async def rename(
        self, old: str, new: str, record: StoredSession, expected: StoredSession, tombstone: StoredSession | None = None
    ) -> Update:
        """Move."""
        return await self._held("rename", old, new, record, expected, tombstone)  # type: ignore[no-any-return] # the same

    async def destroy(self, sid: str) -> None:
        """Delete."""
        await self._held("destroy", sid)

    async def step(self, number: int, how: str, cut: Callable[[asyncio.Task[Any]], bool]) -> None:
        """Let one of the calls that wait go on; `cut` has the deadline of a task come, and says if it had one."""
        call = self.waiting[number % len(self.waiting)]
        if call.is_late:  # it is performed after all, or dropped
            self.waiting.remove(call)
            if how != "fail":
                await call.perform()
            return
        if how == "timeout" and call.task is not None and cut(call.task):
            self._leave_late(call)
            return
        if how == "perform" and not call.is_performed:
            await call.perform()
            return
        if how in ("late", "fail", "lose", "refuse"):
            if how == "lose":
                await call.perform()
            if how == "refuse" and not call.is_performed:
                call.answer(StoreError("refused"))
            else:
                call.answer(StoreUnavailable(f"no reply: {how}"))
            if how == "late":
                self._leave_late(call)
            else:
                self.waiting.remove(call)
            return
        await call.perform()
        call.answer()
        self.waiting.remove(call)

    def _leave_late(self, call: Call) -> None:
        if call.is_performed or call.name == "get":
            self.waiting.remove(call)
