"""Owns the sessions that the tests of the pure core are made of, new or loaded, with no store behind them."""

import json
from collections.abc import Callable
from itertools import chain, count
from typing import Any

from clock import MovableClock

from sessions import Cookie, CookieOptions, SessionOptions, StoredSession
from sessions.session import Session

DATA = '"a":1,"list":[1,{"x":"é"}],"map":{"p":1,"q":2}'
"""What a loaded session holds where a test does not say."""


class Keeper:
    """Stands where the manager stands: notes the verbs that reach it, and stores nothing."""

    def __init__(self) -> None:
        self.verbs: list[str] = []

    async def save(self, session: Session) -> None:
        """Note it."""
        self.verbs.append(f"save {session.id}")

    async def destroy(self, session: Session) -> None:
        """Note it."""
        self.verbs.append(f"destroy {session.id}")

    async def regenerate(self, session: Session) -> None:
        """Note it."""
        self.verbs.append(f"regenerate {session.id}")

    async def reload(self, session: Session) -> None:
        """Note it."""
        self.verbs.append(f"reload {session.id}")

    async def rotate(self, session: Session) -> None:
        """Note it."""
        self.verbs.append(f"rotate {session.id}")

    async def mutate(self, session: Session, change: Callable[[dict[str, Any]], Any]) -> Any:
        """Note it, and change the data."""
        self.verbs.append(f"mutate {session.id}")
        return change(session.draft())


def options_of(clock: MovableClock, options: dict[str, Any]) -> tuple[SessionOptions, Callable[[], tuple[str, Cookie]]]:
    """Express's touchAfter unless another is given, and what makes new ids: "fresh", "fresh2", "fresh3", ..."""
    cookie = CookieOptions(max_age=options.pop("max_age", None))
    made = SessionOptions(**{"secret": "cat", "touch_after": 0, "cookie": cookie, **options})
    ids = chain(["fresh"], map("fresh{}".format, count(2)))
    return made, lambda: (next(ids), Cookie.new(cookie, clock, is_secure=lambda: False))


def new(clock: MovableClock, request_sid: str | None = None, **options: Any) -> Session:
    """A session that no store knows."""
    made, birth = options_of(clock, options)
    return Session.new(Keeper(), made, clock, birth, request_sid)


def loaded(
    clock: MovableClock, data: str = DATA, *, age: int = 0, cookie: dict[str, Any] | None = None, **options: Any
) -> Session:
    """The session "apple" with its data, last used `age` milliseconds ago; `cookie` is what its stored cookie has else."""
    max_age = options.get("max_age")
    made, birth = options_of(clock, options)
    stored_cookie = Cookie.new(CookieOptions(max_age=max_age), clock, is_secure=lambda: False).to_json()
    text = json.dumps({**stored_cookie, **(cookie or {})}, separators=(",", ":"))
    expires_at = clock() - age + (made.ttl if max_age is None else max_age)
    stored = StoredSession(f'{{"cookie":{text}{data and ","}{data}}}', int(expires_at))
    return Session.loaded(Keeper(), made, clock, birth, "apple", stored)


def owed(session: Session, *, ends: bool = True) -> str:
    """What is owed to the store, as a word."""
    return session.change(ends=ends)


def outcome(session: Session) -> tuple[str, str]:
    """What the end of the request owes to the store and to the browser, in two words."""
    return owed(session), session.reply
