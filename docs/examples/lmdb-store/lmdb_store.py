"""Keeps sessions in LMDB: a folder with a B+tree in a memory map, for all processes of one machine.

The database `rows` has the sessions by id, `ends` has their expiries in order, for the sweep. Every verb is one
transaction, in a thread: a write waits for those of other processes and for the disk.
"""

import asyncio
import fcntl
import os
import struct
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import ClassVar, Self, TypeVar

import lmdb

from sessions import OptionsError, Outcome, StoredSession, StoreError, StoreUnavailable, Update, now_ms
from sessions.store import GONE, TAKEN

LONGEST_ID = 503  # bytes: LMDB's longest key has 511, and a key of `ends` begins with 8 bytes of expiry
PAGE = 200
END = struct.Struct(">Q")  # big-endian: the order of the bytes is the order of the numbers
MAY_PASS = (lmdb.MapFullError, lmdb.MapResizedError, lmdb.ReadersFullError, lmdb.DiskError, lmdb.MemoryError, OSError)
Answer = TypeVar("Answer")


class Environment:
    """The open folder. LMDB forbids to open one twice in a process, so all stores of a process share it."""

    _open: ClassVar[dict[tuple[int, Path], "Environment"]] = {}
    _lock = threading.Lock()

    def __init__(self, path: Path, map_size: int, *, sync: bool) -> None:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.users = 0
        self.env = lmdb.open(str(path), map_size=map_size, sync=sync, max_dbs=2, mode=0o600)
        self.env.reader_check()  # forgets the readers of processes that were killed
        self.rows, self.ends = self.env.open_db(b"rows"), self.env.open_db(b"ends")
        self.threads = ThreadPoolExecutor(4, thread_name_prefix="lmdb")

    @classmethod
    def acquire(cls, path: Path, map_size: int, *, sync: bool) -> "Environment":
        key = (os.getpid(), path.resolve())  # an environment is of no use behind a fork
        with cls._lock:
            if key not in cls._open:
                cls._open[key] = cls(path, map_size, sync=sync)
            cls._open[key].users += 1
            return cls._open[key]

    def release(self, path: Path) -> None:
        with self._lock:
            self.users -= 1
            if not self.users:
                del self._open[os.getpid(), path.resolve()]
                self.threads.shutdown()  # waits for the steps of cancelled callers: a close under them would crash
                self.env.close()


class Rows:
    """One transaction, and what the verbs do in it."""

    def __init__(self, where: Environment, txn: lmdb.Transaction, now: int) -> None:
        self.where, self.txn, self.now = where, txn, now

    def get(self, key: bytes) -> StoredSession | None:
        value = self.txn.get(key, db=self.where.rows)
        found = None if value is None else unpack(bytes(value))
        return found if found is not None and found.expires_at > self.now else None

    def put(self, key: bytes, record: StoredSession) -> StoredSession:
        end, data = END.pack(record.expires_at), record.data.encode("utf-8", "surrogatepass")
        self.delete(key)
        self.txn.put(key, end + data, db=self.where.rows)
        self.txn.put(end + key, b"", db=self.where.ends)
        return StoredSession(record.data, record.expires_at)  # no version: the text is compared

    def delete(self, key: bytes) -> None:
        value = self.txn.pop(key, db=self.where.rows)
        if value is not None:
            self.txn.delete(bytes(value[: END.size]) + key, db=self.where.ends)

    def refusal(self, key: bytes, expected: StoredSession) -> Update | None:
        found = self.get(key)
        if found is None:
            return GONE
        return None if found.same_as(expected) else Update(Outcome.CONFLICT, found)

    def expired(self, limit: int) -> list[bytes]:
        keys: list[bytes] = []
        for end in self.txn.cursor(self.where.ends).iternext(values=False):
            if len(keys) >= limit or END.unpack_from(end)[0] > self.now:
                break
            keys.append(bytes(end)[END.size :])
        return keys

    def sweep(self, limit: int) -> int:
        keys = self.expired(limit)
        for key in keys:
            self.delete(key)
        return len(keys)

    def length(self) -> int:
        total = int(self.txn.stat(self.where.rows)["entries"])
        return total - len(self.expired(total))

    def clear(self) -> None:
        for db in (self.where.rows, self.where.ends):
            self.txn.drop(db, delete=False)

    def page(self, after: bytes) -> list[tuple[bytes, StoredSession]]:
        cursor, found = self.txn.cursor(self.where.rows), list[tuple[bytes, StoredSession]]()
        more = cursor.set_range(after + b"\0")  # the least key behind it
        while more and len(found) < PAGE:
            found.append((bytes(cursor.key()), unpack(bytes(cursor.value()))))
            more = cursor.next()
        return found


class LmdbStore:
    """The store: `lmdb:PATH`, a folder that is made if it is not there."""

    def __init__(
        self, url: str, *, map_size: int = 1 << 30, sync: bool = True, clock: Callable[[], int] = now_ms
    ) -> None:
        if not url.removeprefix("lmdb:"):
            raise OptionsError("store: expected lmdb:PATH, the path of a folder")
        if map_size < 1 << 20:
            raise OptionsError(f"mapSize: expected at least 1048576 bytes, got {map_size}")
        self.name = url
        self._path, self._map_size, self._sync, self._clock = Path(url.removeprefix("lmdb:")), map_size, sync, clock
        self._where: Environment | None = None
        self.sweepable = self.admin = self.overwriting = self

    @property
    def ready(self) -> bool:
        return self._where is not None

    async def __aenter__(self) -> Self:
        acquire = partial(Environment.acquire, self._path, self._map_size, sync=self._sync)
        self._where = await asyncio.to_thread(self._guarded, acquire)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        where, self._where = self._where, None
        if where is not None:
            await asyncio.to_thread(where.release, self._path)

    # ------------------------------------------------------------ the six verbs

    async def get(self, sid: str) -> StoredSession | None:
        key = key_or_none(sid)
        return None if key is None else await self._step(lambda rows: rows.get(key), write=False)

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        key = self._key(sid)
        return await self._step(lambda rows: None if rows.get(key) else rows.put(key, record))

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        key = self._key(sid)
        return await self._step(
            lambda rows: rows.refusal(key, expected) or Update(Outcome.SAVED, rows.put(key, record))
        )

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        return await self.update(sid, expected._replace(expires_at=expires_at), expected)

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        source, target = self._key(old), self._key(new)

        def step(rows: Rows) -> Update:
            refused = rows.refusal(source, expected) or (TAKEN if rows.get(target) else None)
            if refused is not None:
                return refused
            rows.delete(source)
            if tombstone is not None:
                rows.put(source, tombstone)
            return Update(Outcome.SAVED, rows.put(target, record))

        return await self._step(step)

    async def destroy(self, sid: str) -> None:
        key = key_or_none(sid)
        if key is not None:
            await self._step(lambda rows: rows.delete(key))

    # ------------------------------------------------------------ the powers

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        key = self._key(sid)
        return await self._step(lambda rows: rows.put(key, record))

    def lead(self) -> bool:
        return self._guarded(partial(leads, self._path.resolve() / "sweep.lock"))

    async def sweep(self, limit: int) -> int:
        return await self._step(partial(Rows.sweep, limit=limit))

    async def backlog(self, limit: int) -> int:
        return await self._step(lambda rows: len(rows.expired(limit)), write=False)

    async def length(self) -> int:
        return await self._step(Rows.length, write=False)

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        last = b""
        while page := await self._step(partial(Rows.page, after=last), write=False):
            for last, record in page:
                if record.expires_at > self._clock():
                    yield last.decode(), record

    async def clear(self) -> None:
        await self._step(Rows.clear)

    # ------------------------------------------------------------ a step

    async def _step(self, step: Callable[[Rows], Answer], *, write: bool = True) -> Answer:
        where = self._where
        if where is None:
            raise StoreUnavailable(f"{self.name}: not open")

        def run() -> Answer:
            with where.env.begin(write=write) as txn:  # commits at the end, and aborts if the step raises
                return step(Rows(where, txn, self._clock()))

        return await asyncio.get_running_loop().run_in_executor(where.threads, self._guarded, run)

    def _guarded(self, call: Callable[[], Answer]) -> Answer:
        try:
            return call()
        except MAY_PASS as error:
            raise StoreUnavailable(f"{self.name}: {type(error).__name__}") from error
        except (lmdb.Error, ValueError, struct.error) as error:
            raise StoreError(f"{self.name}: {type(error).__name__}") from error

    def _key(self, sid: str) -> bytes:
        key = key_or_none(sid)
        if key is None:
            raise StoreError(f"{self.name}: an id has 1 to {LONGEST_ID} bytes of UTF-8")
        return key


def key_or_none(sid: str) -> bytes | None:
    """Return the id as a key, or None if LMDB cannot keep it."""
    try:
        key = sid.encode()
    except UnicodeEncodeError:
        return None
    return key if 0 < len(key) <= LONGEST_ID else None


def unpack(value: bytes) -> StoredSession:
    """Read what `Rows.put` wrote."""
    return StoredSession(value[END.size :].decode("utf-8", "surrogatepass"), END.unpack_from(value)[0])


_sweep_locks: dict[Path, int] = {}


def leads(path: Path) -> bool:
    """Take the lock that one process has until it ends. A child that is forked does not inherit it."""
    if path not in _sweep_locks:
        _sweep_locks[path] = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # stays open: a close would unlock
    try:
        fcntl.lockf(_sweep_locks[path], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
