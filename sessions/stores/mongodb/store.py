"""Owns the store in MongoDB, in the collection of the npm package connect-mongo (documents.py has its documents).

Reads that wait together are one `find` of their ids. A write is one command that updates, inserts or deletes one
document, if it is still the expected one; writes go side by side (writes.py). MongoDB has no step over two documents
without a transaction, which a single server does not have: so a `rename` takes three steps (`rename_in_steps`).

What has expired is by this host's clock, as in connect-mongo. The server deletes it by a TTL index, which is exactly
connect-mongo's; where it has none, the `Sweeper` does. This file must not know what is in the text.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, ClassVar, Self

from pymongo.errors import DuplicateKeyError

from ...clock import Clock, now_ms
from ...errors import SessionError, StoreError
from ...store import GONE, Outcome, StoredSession, Update
from ...user_text import user_in_meta
from ...validation import is_number, wrong
from ..base import Itself, Queue, StoreBase, rename_in_steps
from ..batching import Job, Read
from ..tables import MongoOptions
from .connection import Connection
from .documents import (
    READ,
    Document,
    expired,
    free,
    is_session_text,
    living,
    record_of,
    touching,
    unchanged,
    untouched,
    writing,
)
from .errors import DRIVER, is_id_taken, translated
from .start import find_collection, has_expiry_index, rehearse
from .url import parse
from .users import MongoUsers
from .writes import SideBySide

_PAGE = 500

_CLEARED = 1_000
"""Sessions that one step of `clear` deletes."""

_SET_TRIES = 3
"""Of an update that may insert."""


class MongoStore(StoreBase):
    """Keeps sessions in a MongoDB collection, which is made where it is missing.

    `url` is described in url.py. `collection` is its name. `timeout` is how many milliseconds a call may take,
    connecting included; it must be below the session's `storeTimeout`. `clock` returns milliseconds since the epoch.
    Raises OptionsError for any of them that is wrong.
    """

    driver: ClassVar[tuple[type[Exception], ...]] = DRIVER
    prepared: ClassVar[Itself] = Itself()
    admin: ClassVar[Itself] = Itself()
    overwriting: ClassVar[Itself] = Itself()
    existing: ClassVar[Itself] = Itself()

    def __init__(
        self,
        url: str,
        *,
        collection: str = MongoOptions.collection,
        timeout: float = MongoOptions.timeout,
        clock: Clock = now_ms,
    ) -> None:
        if not _is_collection(collection):
            raise wrong("collection", "a name of 1 to 120 bytes without $ that does not begin with system.", collection)
        if not is_number(timeout) or timeout < 1:
            raise wrong("timeout", "a number of milliseconds, 1 or more", timeout)
        self._target = parse(url)
        super().__init__(f"{self._target.place}.{collection}")
        self._collection = collection
        self._timeout = timeout
        self._clock = clock
        self._connection: Connection | None = None
        self._queue: SideBySide
        self._steps: set[asyncio.Task[Any]] = set()  # renames under way
        self._expires = False  # whether the server deletes what has expired
        self.makes: bool = True
        """Whether a collection or an index that is missing is made."""
        self._reads_only = False
        self.users: MongoUsers = MongoUsers(self)

    # ---------------------------------------------------------------- open and closed

    @property
    def ready(self) -> bool:
        """True if the store is open, and the server is up or worth another try."""
        return self._connection is not None and self._connection.ready

    async def __aenter__(self) -> Self:
        connection = self._connection = Connection(self._target, self._collection, self._timeout)
        self._queue = SideBySide(self._perform, self._write_reports)
        try:
            with self.driver_errors():
                await find_collection(connection, self.name, makes=self.makes)
                if not self._reads_only:
                    await rehearse(connection)
                self._expires = await has_expiry_index(connection, makes=self.makes)
            self.is_open: bool | None = True
            await self.users.look()
        except BaseException:
            self.is_open = False
            self._connection = None
            await connection.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._steps:
            await asyncio.wait(self._steps)
        await self._reads.close()
        if self.is_open:
            await self._queue.close()
        self.is_open = False
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    def take_existing(self, *, reads: bool) -> None:
        """Say that no collection or index is to be made, and with `reads` that nothing is written."""
        self.makes, self._reads_only = False, reads

    # ---------------------------------------------------------------- the powers

    @property
    def sweepable(self) -> Self | None:
        """This store, unless the server is known to delete what has expired by itself."""
        return None if self._expires else self

    async def length(self) -> int:
        """Return how many sessions live."""
        with self.driver_errors():
            return int(await self.opened().sessions.count_documents(living(self._clock())))

    async def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Yield every living session with its id, in the order of their ids. Raises CorruptSession (`record_of`)."""
        async for document in self.documents():
            record = record_of(document, self._clock())
            if record is not None:
                yield document["_id"], record

    async def documents(self) -> AsyncIterator[Document]:
        """Yield the document of every living session, in the order of their ids."""
        after: Document = {"$gte": ""}  # an id that is no text is nobody's (`transformId`)
        while True:
            where = {"_id": after, **living(self._clock())}
            with self.driver_errors():
                page = await self.opened().sessions.find(where, READ).sort("_id").limit(_PAGE).to_list()
            for document in page:
                yield document
            if len(page) < _PAGE:
                return
            after = {"$gt": page[-1]["_id"]}

    async def clear(self) -> None:
        """Delete every session, in steps. A session that is made meanwhile may be deleted or not."""
        after: Document = {"$gte": ""}
        while True:
            with self.driver_errors():
                sessions = self.opened().sessions
                page = await sessions.find({"_id": after}, {"_id": 1}).sort("_id").limit(_CLEARED).to_list()
                ids = [document["_id"] for document in page]
                await sessions.delete_many({"_id": {"$in": ids}})
            if len(ids) < _CLEARED:
                return
            after = {"$gt": ids[-1]}

    def lead(self) -> bool:
        """Return True, unless the server deletes what has expired by itself.

        Of several processes each may sweep: who comes later finds that the documents are gone.
        """
        return not self._expires

    async def sweep(self, limit: int) -> int:
        """Delete at most `limit` expired sessions, the oldest first. Returns how many it deleted."""
        where = expired(self._clock())
        with self.driver_errors():
            sessions = self.opened().sessions
            found = await sessions.find(where, {"_id": 1}).sort("expires").limit(limit).to_list()
            ids = [document["_id"] for document in found]
            if not ids:
                return 0
            return int((await sessions.delete_many({"_id": {"$in": ids}, **where})).deleted_count)

    async def backlog(self, limit: int) -> int:
        """Return how many expired sessions wait to be swept, counted up to `limit`."""
        with self.driver_errors():
            return int(await self.opened().sessions.count_documents(expired(self._clock()), limit=limit))

    # ---------------------------------------------------------------- the verbs

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Move a session that is still the expected one to a new id, in three steps.

        A caller that is cancelled here stops none of them.
        """
        self._check(old, record, expected, tombstone)
        self._check(new)
        update: Update = await self.whole(rename_in_steps(self, old, new, record, expected, tombstone, self.remove))
        return update

    async def whole(self, steps: Coroutine[Any, Any, Any]) -> Any:
        """Take several steps, of which a caller that is cancelled here stops none. Returns what they return."""
        task = asyncio.create_task(steps)
        self._steps.add(task)
        task.add_done_callback(self._done)
        await asyncio.wait({task})
        return task.result()

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._steps.discard(task)
        if not task.cancelled():
            task.exception()  # it has been seen: a caller that was cancelled does not look

    async def remove(self, sid: str, expected: StoredSession) -> Update:
        """Delete a session that is still the expected one."""
        update: Update = await self._queue.add(Job("remove", sid, None, expected))
        return update

    def _writer(self, _sid: str) -> Queue:
        return self._queue

    async def _read(self, jobs: list[Read]) -> None:
        """Perform all by one `find`."""
        sids = list({job.sid for job in jobs})
        with self.driver_errors():
            found = await self._found(sids)
        now = self._clock()
        for job in jobs:
            document = found.get(job.sid)
            try:
                job.resolve(None if document is None else record_of(document, now))
            except SessionError as error:
                job.fail(error)

    async def _found(self, sids: list[str]) -> dict[str, Document]:
        """Return the documents of some ids. Raises DRIVER."""
        connection = self.opened()
        where = {"_id": sids[0] if len(sids) == 1 else {"$in": sids}}
        cursor = connection.sessions.find(where, READ, limit=len(sids), batch_size=len(sids))
        return {document["_id"]: document for document in await connection.ask(cursor.to_list())}

    async def _perform(self, job: Job) -> Any:
        """Perform a write. Returns its outcome."""
        connection = self.opened()
        sessions, now = connection.sessions, self._clock()
        sid, record = job.sid, job.record
        expected: Any = job.expected
        with self.driver_errors():
            update = touching(job.expires_at) if record is None else self._writing(record)
            match job.verb:
                case "create":
                    return await self._create(job, update, now)
                case "set":
                    return await self._set(job, update)
                case "destroy":
                    await connection.ask(sessions.delete_one({"_id": sid}))
                    return None
                case "remove":
                    done = (await connection.ask(sessions.delete_one(unchanged(sid, expected, now)))).deleted_count
                case "touch":
                    done = await self._matched(untouched(sid, expected, now), update)
                case _:
                    done = await self._matched(unchanged(sid, expected, now), update)
            if done:
                return _saved(job)
            found = (await self._found([sid])).get(sid)
        newer = None if found is None else record_of(found, self._clock())
        return GONE if newer is None else Update(Outcome.CONFLICT, newer)

    async def _create(self, job: Job, update: Document, now: int) -> StoredSession | None:
        """Insert a session, or replace an expired one. Returns None if a living one has the id. Raises DRIVER."""
        made = await self._inserted(self.opened().sessions.insert_one({"_id": job.sid, **update["$set"]}))
        if not made:  # what is there may have expired
            made = await self._inserted(self._upsert(free(job.sid, now), update))
        return _plain(job.record) if made else None

    async def _set(self, job: Job, update: Document) -> StoredSession:
        """Insert or replace a session. Raises DRIVER.

        Of several that insert one may find another's document, which is there when it is tried again. What is still in
        the way at the last try is a unique index of somebody else's, of which an old server does not say so.
        """
        for _ in range(_SET_TRIES - 1):
            if await self._inserted(self._upsert({"_id": job.sid}, update)):
                return _plain(job.record)
        await self.opened().ask(self._upsert({"_id": job.sid}, update))
        return _plain(job.record)

    def _upsert(self, where: Document, update: Document) -> Awaitable[Any]:
        """Update the document that a filter finds, or insert one."""
        result: Awaitable[Any] = self.opened().sessions.update_one(where, update, upsert=True)
        return result

    async def _inserted(self, call: Awaitable[Any]) -> bool:
        """Await a call that may insert. Returns False if another document has the id. Raises DRIVER."""
        try:
            await self.opened().ask(call)
        except DuplicateKeyError as error:
            if not is_id_taken(error):
                raise
            return False
        return True

    async def _matched(self, where: Document, update: Document) -> bool:
        """Update the one document that a filter finds. Returns False if it finds none. Raises DRIVER."""
        connection = self.opened()
        return bool((await connection.ask(connection.sessions.update_one(where, update))).matched_count)

    def _writing(self, record: StoredSession) -> Document:
        notes_user = bool(self.users.place.path)
        return writing(record, user_in_meta(record.data) if notes_user else None, notes_user=notes_user)

    # ---------------------------------------------------------------- what is asked before

    def opened(self) -> Connection:
        """Return the connection of an open store. Raises StoreUnavailable."""
        self.check_open()
        return self._connection  # type: ignore[return-value] # an open store has one

    def translated(self, error: Exception) -> StoreError:
        """Return our error for one of pymongo's."""
        return translated(self.name, error)

    def _check(self, sid: str, *records: StoredSession | None) -> None:
        super()._check(sid, *records)
        if not all(record is None or is_session_text(record.data) for record in records):
            raise StoreError(f"{self.name}: cannot keep this text: it is no JSON")


def _saved(job: Job) -> Update:
    """Return what a verb that expects a record returns if it was done."""
    record: Any = job.record
    if record is None:
        record = job.expected._replace(expires_at=job.expires_at)  # type: ignore[union-attr] # it has one
    return Update(Outcome.SAVED, _plain(record))


def _plain(record: Any) -> StoredSession:
    """Return a record without the version that another store has given it."""
    plain: StoredSession = record if record.version is None else record._replace(version=None)
    return plain


def _is_collection(name: object) -> bool:
    if not isinstance(name, str) or name.startswith("system.") or "$" in name or "\0" in name:
        return False
    return 1 <= len(name.encode("utf-8", "replace")) <= 120 and not name.startswith(".") and not name.endswith(".")  # noqa: PLR2004 # MongoDB's limit of database and collection together before 4.4
