"""Owns a world of the generic test application: its clock, gates and faults, and the stores that its apps share.

The library is used as anybody would use it: a `MemoryStore` keeps the data, and a small store of our own in
front of it records the calls and can fail, be late or be down. Nothing here knows HTTP.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from sessions import MemoryStore, Outcome, StoredSession, StoreError, Update

Json = dict[str, Any]

TTL = 86_400_000
"""Milliseconds that the Node stores, and this library, keep a session if its cookie has no expiry."""

FROZEN_AT = 1_925_467_200_123
"""2031-01-06T12:00:00.123Z, the first time of a clock that moves only by the scenario."""

MEMBERS = (
    "originalMaxAge", "partitioned", "priority", "expires", "secure", "httpOnly", "domain", "path", "sameSite",
)  # fmt: skip
"""The members of a cookie in the order in which Express writes them (session/cookie.js, `get data`)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Record:
    """What is kept of one request for its report."""

    resave: bool
    finished: Callable[[], bool] = lambda: True
    """Whether nothing of the request is under way any more."""
    ops: list[Json] = field(default_factory=list)
    calls: list[Json] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    outstanding: int = 0
    """Store calls that have not returned."""
    origin: str | None = None
    """The session id that the request began with: what the cookie named, or the first that was made for it."""
    saving: bool = False
    """Whether the handler waits for `session.save()`."""
    saved: dict[str, str] = field(default_factory=dict)
    """By session id the data that express-session would not save again (its `savedHash`)."""
    known: set[str] = field(default_factory=set)
    """Stored texts that this request was shown."""


current_record: ContextVar[Record | None] = ContextVar("current_record", default=None)
"""The record of the current request: the code runs in its task, or in a task that it has started."""


@dataclass
class Fault:
    """A store method that fails from now on."""

    error: object = None
    delay_ms: float = 0
    skip: int = 0

    async def strike(self) -> bool:
        """Be late, and raise what is to be raised. True for the code ENOENT, which is Node's way to say "not found"."""
        await asyncio.sleep(self.delay_ms / 1000)
        if self.error is None:
            return False
        if isinstance(self.error, dict):
            if self.error.get("code") == "ENOENT":
                return True
            raise StoreError(self.error["message"])
        raise StoreError(self.error)


class Gate:
    """Holds requests until it is opened, for good."""

    def __init__(self) -> None:
        self._opened = asyncio.Event()
        self._reached = asyncio.Event()

    async def wait(self) -> None:
        """Wait at the gate."""
        self._reached.set()
        await self._opened.wait()

    async def reached(self) -> None:
        """Return when a request waits at the gate."""
        await self._reached.wait()

    def open(self) -> None:
        """Let all through, now and later."""
        self._opened.set()


class World:
    """One set of stored sessions, one clock, a set of gates."""

    def __init__(self, *, has_touch: bool, frozen: bool) -> None:
        self.has_touch = has_touch
        self.frozen = frozen
        """True if only the scenario moves the clock, as in the recorder."""
        self.offset = 0
        self.down = False
        self.faults: dict[str, Fault] = {}
        self.records: dict[str, Record] = {}
        self.touched: dict[str, str] = {}
        """By session id the stored text that a touch has left as it was."""
        self._gates: dict[str, Gate] = {}
        self.data = MemoryStore(clock=self.now)

    def now(self) -> int:
        """The world's time in milliseconds since the epoch."""
        return (FROZEN_AT if self.frozen else time.time_ns() // 1_000_000) + self.offset

    def gate(self, name: str) -> Gate:
        """A gate; it is there as soon as anybody asks."""
        return self._gates.setdefault(name, Gate())

    async def view(self) -> list[Json]:
        """Every living session as express-session would show it."""
        return [{"sid": sid, "json": self.shown(sid, stored)} async for sid, stored in self.data.all()]

    def shown(self, sid: str, stored: StoredSession) -> str:
        """A stored session as express-session would show it."""
        return shown(stored, touched=self.touched.get(sid) == stored.data)

    async def control(self, do: Json) -> Json:  # noqa: C901, PLR0912 - the protocol's words
        """One control of the protocol."""
        match do["do"]:
            case "advance":
                self.offset += do["ms"]
            case "fault":
                error = do.get("error", do.get("throw"))
                self.faults[do["method"]] = Fault(error, do.get("delay_ms", 0), do.get("skip", 0))
            case "unfault":
                for method in [do["method"]] if "method" in do else list(self.faults):
                    self.faults.pop(method, None)
            case "clear":
                await self.data.clear()
            case "put":
                await self._put(do["sid"], json.dumps(self._dated(do["json"]), ensure_ascii=False))
            case "put_raw":
                await self._put(do["sid"], do["text"])
            case "destroy":
                await self.data.destroy(do["sid"])
            case "disconnect":
                self.down = True
            case "connect":
                self.down = False
            case "await_gate":
                await self.gate(do["gate"]).reached()
            case "open_gate":
                self.gate(do["gate"]).open()
            case other:
                return {"unsupported": other}
        return {"ok": True}

    async def _put(self, sid: str, text: str) -> None:
        self.touched.pop(sid, None)
        await self.data.set(sid, StoredSession(text, self._expiry(text)))

    def _expiry(self, text: str) -> int:
        """When a Node store would let the session expire that this JSON text is."""
        try:
            expires = json.loads(text)["cookie"]["expires"]
        except (ValueError, TypeError, KeyError):
            expires = None
        if isinstance(expires, str):
            expires = to_ms(datetime.fromisoformat(expires))
        return self.now() + TTL if expires is None or expires is False else int(expires)

    def _dated(self, value: Any) -> Any:
        """The JSON with every {"$in_ms": n} made a date n milliseconds from the world's now."""
        if isinstance(value, dict):
            if "$in_ms" in value:
                return to_iso(self.now() + value["$in_ms"])
            return {key: self._dated(each) for key, each in value.items()}
        return value


class RecordingStore:
    """One app's store object over the world's data.

    The names of the calls are express-session's: create, update and set are "set". Changed cookie settings
    alone are an update here, because a touch carries no text, and a touch in Express; so a write is named
    "touch" where Express would touch, by its own rule (index.js, `isSaved`): the session still has the id
    that the request began with, its data is what was saved last, and nobody asked for a save. `resave = true`
    is such a wish (Express then holds nothing as saved at load), `session.save()` another.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._removed: set[str] = set()  # ids with a recorded removal; their rows are deleted after it

    @property
    def ready(self) -> bool:
        """Whether the store announces that it is up."""
        return not self._world.down

    @property
    def overwriting(self) -> Self:
        """Express's `set`."""
        return self

    @property
    def admin(self) -> Self:
        """What the scenarios look at."""
        return self

    async def get(self, sid: str) -> StoredSession | None:
        """Recorded as "get"."""
        async with self._call("get", sid) as call:
            if call.not_found:
                return None
            stored = await self._world.data.get(sid)
            if stored is not None:
                call.record.known.add(stored.data)
                if not call.record.resave:
                    call.record.saved.setdefault(sid, data_of(stored.data))
            return stored

    async def create(self, sid: str, record: StoredSession) -> StoredSession | None:
        """Recorded as "set"."""
        async with self._call("set", sid) as call:
            created = await self._world.data.create(sid, record)
            if created is not None:
                call.keep(created)
            return created

    async def set(self, sid: str, record: StoredSession) -> StoredSession:
        """Recorded as "set", or as "touch" where Express would touch."""
        async with self._write(sid, record) as call:
            if call.left_out:
                return record
            made = await self._world.data.set(sid, record)
            call.keep(made)
            return made

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        """Recorded as "set", or as "touch" where Express would touch; as "destroy" if it removes the session."""
        removes = record.expires_at <= self._world.now()
        async with self._call("destroy", sid) if removes else self._write(sid, record, expected.data) as call:
            if call.left_out:
                return Update(Outcome.SAVED, record)
            update = await self._world.data.update(sid, record, expected)
            if update.outcome is Outcome.SAVED:
                call.keep(record)
                if removes:
                    self._removed.add(sid)
            return update

    async def touch(self, sid: str, expires_at: int, expected: StoredSession) -> Update:
        """Recorded as "touch"."""
        async with self._call("touch", sid) as call:
            if call.left_out:
                return Update(Outcome.SAVED, expected._replace(expires_at=expires_at))
            update = await self._world.data.touch(sid, expires_at, expected)
            if update.outcome is Outcome.SAVED:
                self._world.touched[sid] = expected.data
            return update

    async def rename(
        self,
        old: str,
        new: str,
        record: StoredSession,
        expected: StoredSession,
        tombstone: StoredSession | None = None,
    ) -> Update:
        """Not recorded: no scenario of Express's rotates."""
        return await self._world.data.rename(old, new, record, expected, tombstone)

    async def destroy(self, sid: str) -> None:
        """Recorded as "destroy", unless that was recorded of its update."""
        if sid in self._removed:
            self._removed.discard(sid)
            await self._world.data.destroy(sid)
            return
        async with self._call("destroy", sid):
            await self._world.data.destroy(sid)

    async def length(self) -> int:
        """Not part of a request."""
        return await self._world.data.length()

    def all(self) -> AsyncIterator[tuple[str, StoredSession]]:
        """Not part of a request."""
        return self._world.data.all()

    async def clear(self) -> None:
        """Not part of a request."""
        await self._world.data.clear()

    def _write(self, sid: str, stored: StoredSession, expected: str | None = None) -> "_Call":
        record = current_record.get() or Record(resave=False)
        saved = record.saved.get(sid)
        if expected is not None and expected not in record.known:
            saved = data_of(expected)  # merged into a row that this request has never read: that row is what was saved
        unchanged = data_of(stored.data) == saved and sid == record.origin and not record.saving
        return self._call("touch" if unchanged else "set", sid)

    def _call(self, method: str, sid: str) -> "_Call":
        return _Call(self._world, method, sid)


class _Call:
    """One call of the session layer: recorded, late and failing as the world has it."""

    def __init__(self, world: World, method: str, sid: str) -> None:
        self.record = current_record.get() or Record(resave=False)
        self.left_out = method == "touch" and not world.has_touch
        """The world's stores have no touch: nothing happens, and nothing is recorded."""
        self.not_found = False
        self._sid = sid
        self._fault = world.faults.get(method)
        if not self.left_out:
            self.record.calls.append({"m": method, "sid": sid})

    async def __aenter__(self) -> Self:
        self.record.outstanding += 1
        fault = self._fault
        if self.left_out or fault is None:
            return self
        if fault.skip > 0:
            fault.skip -= 1
            return self
        try:
            self.not_found = await fault.strike()
        except BaseException:
            self.record.outstanding -= 1
            raise
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.record.outstanding -= 1

    def keep(self, stored: StoredSession) -> None:
        """The store has it: the request need not save it again."""
        self.record.saved[self._sid] = data_of(stored.data)
        self.record.known.add(stored.data)


def data_of(text: str) -> str:
    """The data of a stored session, without its cookie, as text in which the order of the keys counts."""
    try:
        session = json.loads(text)
        session.pop("cookie", None)
    except (ValueError, AttributeError):
        return text
    return json.dumps(session)


def shown(stored: StoredSession, *, touched: bool) -> str:
    """The stored session as Express would show it.

    A touch of ours moves the row's expiry and never rewrites the text, so the expiry in the text may be an older
    one. Express's touch rewrites the cookie as it was loaded, so a foreign row gets there what its cookie lacked of
    the defaults; ours gets it at the next save, which is what a reader makes of the row in any case.
    """
    try:
        session = json.loads(stored.data)
        cookie = session["cookie"]
        if touched:
            filled = {"httpOnly": True, "path": "/", **cookie}
            cookie = session["cookie"] = {name: filled[name] for name in MEMBERS if name in filled}
        if isinstance(cookie.get("expires"), str | int | float) and cookie["expires"] is not False:
            cookie["expires"] = to_iso(stored.expires_at)
    except (ValueError, TypeError, KeyError, AttributeError):
        return stored.data
    return json.dumps(session)


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch; a time without zone counts as UTC, the zone of the recorder."""
    return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH) // timedelta(milliseconds=1)


def to_datetime(ms: float) -> datetime:
    """The moment that a number of milliseconds since the epoch is."""
    return _EPOCH + timedelta(milliseconds=ms)


def to_iso(ms: float) -> str:
    """JavaScript's `toISOString`."""
    return to_datetime(int(ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
