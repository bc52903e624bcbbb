"""Owns the sessions that the tests of the pure core are made of, new or loaded, with no store behind them."""

import json
from collections.abc import Callable
from itertools import chain, count
from typing import Any

from clock import MovableClock

from sessions import CookieOptions, Session, SessionOptions, StoredSession
from sessions.policy import Change, CookieAct, EndReason, decide
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie

DATA = '"a":1,"list":[1,{"x":"é"}],"map":{"p":1,"q":2}'
"""What a loaded session holds where a test does not say."""


class Verbs:
    """Takes the manager's place: notes the verbs that reach it, and stores nothing."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    async def save(self, state: SessionState) -> None:
        """Note it."""
        self.noted.append(f"save {state.id}")

    async def destroy(self, state: SessionState) -> None:
        """Note it."""
        self.noted.append(f"destroy {state.id}")

    async def regenerate(self, state: SessionState) -> None:
        """Note it."""
        self.noted.append(f"regenerate {state.id}")

    async def reload(self, state: SessionState) -> None:
        """Note it."""
        self.noted.append(f"reload {state.id}")

    async def rotate(self, state: SessionState) -> None:
        """Note it."""
        self.noted.append(f"rotate {state.id}")

    async def mutate(self, state: SessionState, change: Callable[[dict[str, Any]], Any]) -> Any:
        """Note it, and change the data."""
        self.noted.append(f"mutate {state.id}")
        return change(state.values)


class CoreSession(Session):
    """A handler's session with its state in reach, and with what the manager does for it but for the store."""

    __slots__ = ("options", "state", "verbs")

    def __init__(self, state: SessionState, options: SessionOptions) -> None:
        self.state = state
        self.options = options
        self.verbs = Verbs()
        super().__init__(state, self.verbs)

    def commit(self, *, ends: bool = True) -> Change:
        """Do what `SessionManager.commit` does with a store that always saves; the change, as a word."""
        plan = decide(self.state.facts(), self.options, ends=ends)
        if plan.refuses:
            self.state.check_can_send()
        if plan.cookie == "send":
            self.state.cookie.check()
        if plan.renews:
            self.state.renew()
        if plan.change not in ("nothing", "destroy", "touch"):
            self.state.to_store()
        self.state.settle(plan, "saved")
        return plan.change

    def over(self, reason: EndReason) -> None:
        """End it."""
        self.state.over(reason)

    @property
    def reply(self) -> CookieAct:
        """What the response does to the browser's cookie."""
        return self.state.cookie_act

    def saved(self, record: StoredSession) -> None:
        """Note that the store holds what was sent."""
        self.state.saved(record, record, self.state.row)

    def to_store(self) -> StoredSession:
        """The record to store."""
        return self.state.to_store()


def options_of(
    clock: MovableClock, options: dict[str, Any]
) -> tuple[SessionOptions, Callable[[], tuple[str, StoredCookie]]]:
    """Express's touchAfter unless another is given, and what makes new ids: "fresh", "fresh2", "fresh3", ..."""
    cookie = CookieOptions(max_age=options.pop("max_age", None))
    made = SessionOptions(**{"secret": "cat", "touch_after": 0, "cookie": cookie, **options})
    ids = chain(["fresh"], map("fresh{}".format, count(2)))
    return made, lambda: (next(ids), StoredCookie.new(cookie, clock, is_secure=lambda: False))


def new(clock: MovableClock, request_sid: str | None = None, **options: Any) -> CoreSession:
    """A session that no store knows."""
    made, generate = options_of(clock, options)
    return CoreSession(SessionState.new(made, clock, generate, request_sid), made)


def loaded(
    clock: MovableClock, data: str = DATA, *, age: int = 0, cookie: dict[str, Any] | None = None, **options: Any
) -> CoreSession:
    """The session "apple" with its data, last used `age` milliseconds ago; `cookie` is what its stored cookie has else."""
    max_age = options.get("max_age")
    ttl = SessionOptions(secret="cat", **{key: options[key] for key in ("ttl",) if key in options}).ttl
    stored_cookie = StoredCookie.new(CookieOptions(max_age=max_age), clock, is_secure=lambda: False).to_json()
    text = json.dumps({**stored_cookie, **(cookie or {})}, separators=(",", ":"))
    expires_at = clock() - age + (ttl if max_age is None else max_age)
    record = StoredSession(f'{{"cookie":{text}{data and ","}{data}}}', int(expires_at))
    return loaded_from(clock, record, **options)


def loaded_from(clock: MovableClock, record: StoredSession, **options: Any) -> CoreSession:
    """The session "apple" of a record."""
    made, generate = options_of(clock, options)
    return CoreSession(SessionState.loaded(made, clock, generate, "apple", record), made)


def outcome(session: CoreSession) -> tuple[str, str]:
    """What the end of the request does to the store and to the browser, in two words."""
    return session.commit(), session.reply
