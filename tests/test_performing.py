"""A commit that has begun: its turn, its deadline, and whoever waits for it, on a store that hands back plain Futures."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from tornado.httputil import HTTPHeaders
from tornado.web import Application, OutputTransform, RequestHandler

from sessions import (
    MemoryStore,
    SessionManager,
    SessionMixin,
    SessionOptions,
    StoredSession,
    StoreUnavailable,
    StoreWrapper,
    Update,
)
from sessions.formats.signing import new_id
from sessions.options import CookieOptions
from sessions.performing import BegunCommit
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie
from sessions.stores.sqlite import SQLiteStore
from sessions.testing import Browser

OPTIONS: dict[str, Any] = {"secret": "the-secret-of-these-tests-has-bytes-enough"}


@asynccontextmanager
async def managed(store: Any, **options: Any) -> AsyncIterator[SessionManager]:
    """A manager on a store, both open."""
    async with store:
        manager = SessionManager(store, SessionOptions(**OPTIONS, **options))
        yield manager
        await manager.close()


async def stored(manager: SessionManager) -> SessionState:
    """A session that is stored, with a further change."""

    def generate() -> tuple[str, StoredCookie]:
        return new_id(), StoredCookie.new(CookieOptions(), manager.clock, is_secure=lambda: False)

    state = manager.new(generate)
    manager.face(state)["n"] = 0
    await begun(manager, state)
    manager.face(state)["n"] = 1
    return state


def begun(manager: SessionManager, state: SessionState) -> BegunCommit:
    """A commit, of which the store was asked."""
    commit = manager.commit(state)
    assert isinstance(commit, BegunCommit)
    return commit


async def value(manager: SessionManager, sid: str) -> Any:
    """What the store has under "n"."""
    record = await manager.row_of(sid)
    return None if record is None else record.data.rpartition('"n":')[2]


async def done(awaitable: Awaitable[None]) -> None:
    """Wait for it, in a task of its own."""
    await awaitable


async def test_a_commit_that_was_cancelled_gives_its_turn_back(tmp_path: Path) -> None:
    """Or no later change of the session would ever be stored."""
    async with managed(SQLiteStore(tmp_path / "s.db")) as manager:
        state = await stored(manager)
        task = asyncio.ensure_future(done(begun(manager, state)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        await begun(manager, state)

        assert await value(manager, state.id) == "1}"


async def test_a_cancellation_that_comes_with_the_answer_counts(tmp_path: Path) -> None:
    """What the store has said is taken over, and whoever has cancelled finds the task cancelled."""
    async with managed(SQLiteStore(tmp_path / "s.db")) as manager:
        state = await stored(manager)
        commit = begun(manager, state)
        commit.call.add_done_callback(lambda _: task.cancel())  # before the callback that wakes the task
        task = asyncio.ensure_future(done(commit))

        with pytest.raises(asyncio.CancelledError):
            await task

        assert not state.is_dirty()


async def test_a_deadline_gives_the_turn_back(tmp_path: Path) -> None:
    """The Future has failed by the time that the store comes to an end with its job, and the next commit is stored."""
    async with managed(SQLiteStore(tmp_path / "s.db"), store_timeout=1_000) as manager:
        state = await stored(manager)
        with closing(sqlite3.connect(tmp_path / "s.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreUnavailable, match="did not answer within 1 s"):
                await begun(manager, state)

        manager.face(state)["n"] = 2
        await begun(manager, state)

        assert await value(manager, state.id) == "2}"


async def test_a_reload_beside_a_commit_undoes_no_other_change() -> None:
    """The record that was expected is the one of the commit's begin, whatever the session was read from meanwhile."""
    store = MemoryStore()
    async with managed(store) as manager:
        state = await stored(manager)
        assert state.base is not None
        await store.update(state.id, state.base._replace(data=f'{state.base.data[:-1]},"other":1}}'), state.base)
        commit = begun(manager, state)

        await manager.face(state).reload()
        await commit

        assert '"other":1' in (await manager.row_of(state.id) or state.base).data


class Conflicting(StoreWrapper):
    """A store in which each update meets a conflict at first, and then no answer."""

    def __init__(self) -> None:
        super().__init__(MemoryStore())
        self.met: Callable[[], None] | None = None

    async def update(self, sid: str, record: StoredSession, expected: StoredSession) -> Update:
        if self.met is None:
            await asyncio.get_running_loop().create_future()
        else:
            self.met()
            self.met = None
        return await super().update(sid, record, expected._replace(data="{}", version=None))


async def test_a_commit_has_one_deadline_with_what_follows_a_conflict(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the first answer took is not given again."""
    loop, store, passed = asyncio.get_running_loop(), Conflicting(), 0.0
    time = loop.time

    def pass_by() -> None:
        nonlocal passed
        passed = 59.9

    async with managed(store, store_timeout=60_000) as manager:
        state = await stored(manager)
        store.met = pass_by
        monkeypatch.setattr(loop, "time", lambda: time() + passed)

        async with asyncio.timeout(90):
            with pytest.raises(StoreUnavailable, match="did not answer within 60 s"):
                await begun(manager, state)


class Broken(OutputTransform):
    """Fails with the first piece of an answer that is no error page."""

    def transform_first_chunk(
        self,
        status_code: int,
        headers: HTTPHeaders,
        chunk: bytes,
        include_footers: bool,
    ) -> tuple[int, HTTPHeaders, bytes]:
        if status_code == 200 and not include_footers:
            raise LookupError
        return status_code, headers, chunk


class Streaming(SessionMixin, RequestHandler):
    """Counts, and sends the first bytes before the end."""

    async def get(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1
        await self.flush()

    def post(self) -> None:
        self.session["n"] = self.session.get("n", 0) + 1


async def test_a_flush_that_raises_leaves_the_turn_to_the_next_request(tmp_path: Path) -> None:
    """The commit had begun by then: it is performed, and the error page leaves behind it."""
    async with managed(SQLiteStore(tmp_path / "s.db"), store_timeout=2_000) as manager:
        app = Application([("/", Streaming)], sessions=manager, transforms=[Broken])
        async with Browser(app) as browser:
            first = await browser.fetch("/", form={})
            failed = await browser.fetch("/")
            last = await browser.fetch("/", form={})

            assert [first.code, failed.code, last.code] == [200, 500, 200]
            assert await browser.session() == {"n": 3}
