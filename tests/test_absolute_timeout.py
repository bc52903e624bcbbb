"""The absolute timeout: its arithmetic, its place in the stored text, and that no history leads past a session's end."""

import json
from contextlib import suppress
from typing import Any

import pytest
from clock import HOUR, MINUTE, START, MovableClock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from properties.made import loaded, new
from tornado.ioloop import IOLoop

from sessions import CookieOptions, MemoryStore, NoSession, SessionError, SessionManager, SessionOptions, StoredSession
from sessions.absolute_timeout import AbsoluteTimeout
from sessions.errors import CorruptSession
from sessions.formats.json_text import join, split, split_meta
from sessions.session import Session
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie

LIMIT = HOUR


# ---------------------------------------------------------------- its place in the text


class TestText:
    """`__meta` is taken out of the data of a stored text, and put behind its cookie."""

    @pytest.mark.parametrize(
        ("data", "meta", "rest"),
        [
            ("{}", "", "{}"),
            ('{"a":1}', "", '{"a":1}'),
            ('{"__meta":{"createdAt":5}}', '{"createdAt":5}', "{}"),
            ('{"__meta":{"createdAt":5},"a":1}', '{"createdAt":5}', '{"a":1}'),
            ('{"a":1,"__meta":{"createdAt":5}}', '{"createdAt":5}', '{"a":1}'),
            ('{ "a": 1, "__meta" : { "createdAt": 5 } , "b": 2 }', '{"createdAt":5}', '{"a":1,"b":2}'),
            ('{"__meta":{"createdAt":5,"x":{}},"a":1}', '{"createdAt":5,"x":{}}', '{"a":1}'),
            ('{"__meta":{"agent":"a{b}\\"c\\\\","x":1},"a": 1}', '{"agent":"a{b}\\"c\\\\","x":1}', '{"a": 1}'),
            ('{"__meta":null,"a":1}', "null", '{"a":1}'),
            ('{"a":{"__meta":{"createdAt":5}}}', "", '{"a":{"__meta":{"createdAt":5}}}'),
            ('{"a":"\\"__meta\\":{"}', "", '{"a":"\\"__meta\\":{"}'),
            ('{"a":"__meta"}', "", '{"a":"__meta"}'),
            ('{"__meta":{"createdAt":5},"a":{"__meta":1}}', '{"createdAt":5}', '{"a":{"__meta":1}}'),
            ('{"__meta":{"createdAt":5},"__meta":{"createdAt":6}}', '{"createdAt":6}', "{}"),
        ],
    )
    def test_it_is_found_at_any_place(self, data: str, meta: str, rest: str) -> None:
        """At the top only. Of two the later counts, as for every reader of JSON."""
        assert split_meta(data) == (meta, rest)

    def test_what_is_no_json_is_corrupt(self) -> None:
        """Where it has to be read at all."""
        with pytest.raises(CorruptSession):
            split_meta('{"a":,"__meta":1}')

    @pytest.mark.parametrize("data", ["{}", '{"a":1}', '{"a":{"__meta":"}"}}'])
    def test_join_puts_it_behind_the_cookie(self, data: str) -> None:
        """Where the quick way finds it again."""
        text = join('{"path":"/"}', data, '{"createdAt":5}')

        assert list(json.loads(text))[:2] == ["cookie", "__meta"]
        cookie, rest = split(text)
        assert (cookie, *split_meta(rest)) == ('{"path":"/"}', '{"createdAt":5}', data)


# ---------------------------------------------------------------- its arithmetic


class TestArithmetic:
    """When a session ends, and what it says about it."""

    @pytest.mark.parametrize(
        ("meta", "created"),
        [({"createdAt": 5}, 5), ({"createdAt": 0}, 0), ({"createdAt": -7}, -7), ({"createdAt": 5.9}, 5)],
    )
    def test_what_is_recorded_counts(self, meta: dict[str, Any], created: int) -> None:
        """In whole milliseconds."""
        timeout = AbsoluteTimeout(LIMIT, 1_000)

        timeout.read(meta, 1_000)

        assert (timeout.ends_at, timeout.is_recorded) == (created + LIMIT, True)

    @pytest.mark.parametrize(
        "meta", [{}, {"xsrf": "x"}, {"createdAt": None}, {"createdAt": True}, {"createdAt": "5"}, {"createdAt": 1001}]
    )
    def test_what_is_none_leaves_what_is_known(self, meta: dict[str, Any]) -> None:
        """In the future is none: it would last longer than the limit."""
        timeout = AbsoluteTimeout(LIMIT, 7)

        timeout.read(meta, 1_000)

        assert (timeout.ends_at, timeout.is_recorded) == (7 + LIMIT, False)

    @pytest.mark.parametrize(
        ("renewed", "expires_at", "after", "due"),
        [
            (50, 40, 10, True), (50, 41, 10, False), (50, 50, 0, True),
            (100, 90, 10, True), (120, 91, 10, False), (120, 99, 0, True), (120, 100, 0, False), (100, 100, 0, False),
            (120, 101, 10, True), (120, 101, 0, True),
        ],
    )  # fmt: skip
    def test_a_touch_is_due(self, renewed: int, expires_at: int, after: int, due: bool) -> None:
        """When it moves the expiry by `after`, but never when it cannot move; a later one is moved back. It ends at 100."""
        assert AbsoluteTimeout(100, 0).is_touch_due(renewed, expires_at, after) is due


class TestSession:
    """What the end of a request writes for it."""

    def test_a_session_without_it_is_updated(self, clock: MovableClock) -> None:
        """Also where its first bytes leave before its end; nobody's data is in it, and no cookie is sent."""
        session = loaded(clock, absolute_timeout=LIMIT, max_age=MINUTE, touch_after=MINUTE - 1)

        assert (session.state.is_dirty(), session.commit(ends=False), session.reply) == (False, "update", "keep")

        session.saved(session.to_store())
        assert session.commit() == "nothing"

    def test_a_new_session_that_is_empty_is_not_written(self, clock: MovableClock) -> None:
        """There is no row to record it in."""
        assert new(clock, absolute_timeout=LIMIT).commit() == "nothing"

    def test_a_cookie_is_capped_whatever_is_assigned(self, clock: MovableClock) -> None:
        """And `original_max_age` keeps what was meant."""
        session = new(clock, absolute_timeout=LIMIT)

        session.cookie.max_age = 2 * LIMIT
        assert (session.cookie.max_age, session.cookie.original_max_age) == (LIMIT, 2 * LIMIT)

        session.cookie.max_age = None
        assert (session.cookie.max_age, session.state.expires_at()) == (None, clock() + LIMIT)


# ---------------------------------------------------------------- whatever happens


COOKIES = st.sampled_from([None, MINUTE, 20 * MINUTE, 3 * LIMIT])
OPTIONS = st.fixed_dictionaries({
    "rolling": st.booleans(),
    "resave": st.booleans(),
    "conflict": st.sampled_from(["merge", "overwrite"]),
    "touch_after": st.sampled_from([None, 0, MINUTE - 1]),
    "ttl": st.sampled_from([MINUTE, 30 * MINUTE, 3 * LIMIT]),
})  # fmt: skip
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 50 * MINUTE)),
        st.tuples(
            st.just("request"),
            st.lists(
                st.sampled_from(["set", "touch", "rotate", "save", "mutate", "reload", "long", "regenerate"]),
                max_size=4,
            ),
        ),
        st.tuples(st.just("node"), st.sampled_from(["save", "touch", "move"])),
    ),
    max_size=30,
)


class Visitor:
    """One visitor of a site beside which Node works on the same store; every session holds when it was created."""

    def __init__(self, cookie: float | None, options: dict[str, Any]) -> None:
        self.clock = MovableClock()
        self.store = MemoryStore(clock=self.clock)
        self.cookie = CookieOptions(max_age=cookie)
        made = SessionOptions(secret="cat", absolute_timeout=LIMIT, cookie=self.cookie, **options)
        self.manager = SessionManager(self.store, made, clock=self.clock)
        self.ids = 0
        self.sid = "none yet"

    def generate(self) -> tuple[str, StoredCookie]:
        """A new id, and its cookie."""
        self.ids += 1
        return f"sid{self.ids}", StoredCookie.new(self.cookie, self.clock, is_secure=lambda: False)

    async def wait(self, milliseconds: int) -> None:
        """Time passes."""
        self.clock.forward(milliseconds)

    async def request(self, acts: list[str]) -> None:
        """Load, act, commit. What is loaded is younger than the limit."""
        state = await self.manager.load([self.sid], self.generate)
        session = self.manager.face(state)
        if state.base is not None:
            assert self.clock() - session["created"] < LIMIT, "served past its end"
        session.setdefault("created", self.clock())
        for act in acts:
            if state.end is not None:
                break
            await getattr(self, f"_{act}")(session, state)
        commit = self.manager.commit(state)
        if commit is not None:
            await commit
        if state.cookie_act == "send":
            self.sid = state.id
        row = await self.store.get(state.id)
        if row is not None:
            assert json.loads(row.data)["__meta"] == {"createdAt": session["created"]}

    async def _set(self, session: Session, _: SessionState) -> None:
        session["n"] = self.clock()

    async def _mutate(self, session: Session, state: SessionState) -> None:
        try:
            await session.mutate(lambda data: data.update(m=self.clock()))
        except SessionError:
            assert state.end is not None, "gone meanwhile, or it is a failure"

    async def _reload(self, session: Session, _: SessionState) -> None:
        with suppress(SessionError):
            await session.reload()
            assert self.clock() - session["created"] < LIMIT, "reloaded past its end"

    async def _long(self, _: Session, __: SessionState) -> None:
        self.clock.forward(7 * MINUTE)

    async def _touch(self, session: Session, _: SessionState) -> None:
        session.touch()

    async def _rotate(self, session: Session, state: SessionState) -> None:
        was_stored = state.base is not None
        await session.rotate()
        if was_stored and state.base is None:  # gone meanwhile: a new one goes on
            session["created"] = self.clock()

    async def _save(self, session: Session, _: SessionState) -> None:
        with suppress(NoSession):
            await session.save()

    async def _regenerate(self, session: Session, _: SessionState) -> None:
        await session.regenerate()
        session["created"] = self.clock()

    async def node(self, act: str) -> None:
        """What a Node server does, which keeps `__meta` and knows no limit."""
        row = await self.store.get(self.sid)
        if row is None:
            return
        if act == "move":
            members = json.loads(row.data)
            members["__meta"] = members.pop("__meta")
            row = row._replace(data=json.dumps(members))
        later = self.clock() + (MINUTE if act == "save" else 5 * LIMIT)
        await self.store.set(self.sid, StoredSession(row.data, later))


def test_no_history_serves_a_session_past_its_end(io_loop: IOLoop) -> None:
    """Whatever sequence of requests, saves, touches, new ids, Node's writes and time: the limit holds, the moment stays."""

    @given(cookie=COOKIES, options=OPTIONS, steps=STEPS)
    @settings(suppress_health_check=[HealthCheck.too_slow])
    def any_history(cookie: float | None, options: dict[str, Any], steps: list[tuple[str, Any]]) -> None:
        visitor = Visitor(cookie, options)

        async def history() -> None:
            for step, what in steps:
                await getattr(visitor, step)(what)

        io_loop.run_sync(history)

    any_history()


async def test_a_history_can_fail() -> None:
    """A session that is served past its end is noticed."""
    visitor = Visitor(3 * LIMIT, {})
    await visitor.request(["set"])
    row = await visitor.store.get(visitor.sid)
    assert row is not None
    forged = row.data.replace(f'"createdAt":{START}', f'"createdAt":{START + LIMIT}')
    await visitor.store.set(visitor.sid, StoredSession(forged, START + 5 * LIMIT))
    visitor.clock.forward(LIMIT)

    with pytest.raises(AssertionError, match="served past its end"):
        await visitor.request([])
