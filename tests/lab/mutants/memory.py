"""Owns the mutants of the store in memory, of the batches that other stores share, and of the sweeper."""

import asyncio
from typing import Any

from .mutant import members, table

MUTANTS, breaks = table()

CONTRACT = "stores/test_contract.py"


@breaks(3, "an update inserts", CONTRACT, "stores.memory:MemoryStore.update")
def _(original: Any) -> Any:
    async def update(self: Any, sid: str, record: Any, expected: Any) -> Any:
        if self._living(sid) is None:
            self._rows[sid] = expected
        return await original(self, sid, record, expected)

    return update


@breaks(3, "a touch inserts", CONTRACT, "stores.memory:MemoryStore.touch")
def _(original: Any) -> Any:
    async def touch(self: Any, sid: str, expires_at: int, expected: Any) -> Any:
        if self._living(sid) is None:
            self._rows[sid] = expected
        return await original(self, sid, expires_at, expected)

    return touch


@breaks(5, "a touch writes the text that was loaded", CONTRACT, "stores.memory:MemoryStore.touch")
def _(original: Any) -> Any:
    async def touch(self: Any, sid: str, expires_at: int, expected: Any) -> Any:
        if self._living(sid) is not None:
            self._rows[sid] = self._rows[sid]._replace(data=expected.data)
        return await original(self, sid, expires_at, expected)

    return touch


@breaks(2, "a touch vouches for a text that was not loaded", CONTRACT, "stores.memory:MemoryStore.touch")
def _(original: Any) -> Any:
    async def touch(self: Any, sid: str, expires_at: int, expected: Any) -> Any:
        update = await original(self, sid, expires_at, expected)
        return update._replace(record=self._living(sid) or update.record)

    return touch


# ---------------------------------------------------------------- batches


@breaks(2, "a batch holds a new id twice", "stores/test_batching.py", "stores.batching:Batcher._take")
def _(original: Any) -> Any:
    def take(self: Any) -> Any:
        new = {job: job.new for job in self._waiting}
        for job in new:
            job.new = None
        batch = original(self)
        for job, sid in new.items():
            job.new = sid
        return batch

    return take


@breaks(7, "two jobs of one id in one transaction", "stores/test_sqlite_rename.py " + CONTRACT,
        "stores.batching:Batcher.__init__")  # fmt: skip
def _(original: Any) -> Any:
    return lambda self, perform, *, once: original(self, perform, once=False)


@breaks(7, "closing drops the writes that wait", "stores/test_sqlite_processes.py", "stores.batching:Batcher.close")
def _(_original: Any) -> Any:
    async def close(_self: Any) -> None:
        pass

    return close


@breaks(7, "a transaction holds any amount of text", "stores/test_batching.py", "stores.batching:Job.size")
def _(_original: Any) -> Any:
    return property(lambda _self: 0)


@breaks(7, "every write has a transaction of its own", "stores/test_sqlite.py", "stores.batching:MAX_BATCH")
def _(_original: Any) -> Any:
    return 1


@breaks(3, "a rename leaves no tombstone", "stores/test_sqlite_rename.py", "stores.base:StoreBase.rename")
def _(original: Any) -> Any:
    async def rename(self: Any, old: str, new: str, record: Any, expected: Any, _tombstone: Any = None) -> Any:
        return await original(self, old, new, record, expected)

    return rename


# ---------------------------------------------------------------- the sweeper


@breaks(6, "the sweeper stops at the first error", "test_sweeper.py", "sweeper:log")
def _(original: Any) -> Any:
    class Fatal(type(original)):  # type: ignore[misc] # a logger
        def warning(self, *_args: Any, **_options: Any) -> None:
            raise asyncio.CancelledError

    return Fatal("sessions")


@breaks(6, "the sweeper does not bound its batches", "test_sweeper.py", "sweeper:Sweeper.__init__")
def _(original: Any) -> Any:
    def init(self: Any, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self._batch = 10**9

    return init


@breaks(6, "the sweeper does not pause", "test_sweeper.py", "sweeper:Sweeper.sweep")
def _(original: Any) -> Any:
    async def sweep(self: Any) -> Any:
        kept = self._sleep
        self._sleep = lambda _seconds: kept(0)
        try:
            return await original(self)
        finally:
            self._sleep = kept

    return sweep


@breaks(6, "all processes sweep at the same time", "test_sweeper.py", "sweeper:random")
def _(original: Any) -> Any:
    return members(original, uniform=lambda _least, _most: 1)
