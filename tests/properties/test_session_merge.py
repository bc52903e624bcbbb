"""Two requests that changed one session: what each of them meant survives, by key and by cookie attribute."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from clock import DAY, MINUTE, START, MovableClock
from hypothesis import given
from hypothesis import strategies as st

from sessions import Cookie, StoredSession
from sessions.formats.json_text import dumps, join, loads, read, split
from sessions.stored_cookie import iso

from .made import CoreSession, loaded

ATTRIBUTES = {"originalMaxAge": MINUTE, "expires": iso(START + MINUTE), "httpOnly": True, "path": "/"}
VALUES = st.sampled_from([0, 1, True, None, "x", [], [1], {}, {"a": 1}])
DATA = st.dictionaries(st.sampled_from("abcdef"), VALUES)


def members(data: dict[str, Any]) -> str:
    """The data as a row has it after the cookie."""
    return dumps(data)[1:-1]


def row(data: dict[str, Any], **cookie: Any) -> StoredSession:
    """What another request has stored meanwhile."""
    return StoredSession(join(dumps({**ATTRIBUTES, **cookie}), dumps(data)), START + MINUTE)


def put(session: CoreSession, data: dict[str, Any]) -> None:
    """Make the data of a session what is given."""
    for key in session.keys() - data.keys():
        del session[key]
    session.update(data)


def spelled(data: dict[str, Any]) -> dict[str, str]:
    """The values as text, because to Python 1 equals True."""
    return {key: dumps(value) for key, value in data.items()}


def three_way(mine: dict[str, str], loaded: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """By the design: a key that I set or deleted is mine, every other is theirs."""
    merged = {}
    for key in mine.keys() | theirs.keys():
        value = theirs.get(key) if mine.get(key) == loaded.get(key) else mine.get(key)
        if value is not None:
            merged[key] = value
    return merged


class TestData:
    """The keys."""

    @given(start=DATA, mine=DATA, theirs=DATA)
    def test_what_i_changed_is_mine_and_the_rest_is_theirs(
        self, start: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
    ) -> None:
        """In what is stored, and in what the handler sees from then on."""
        session = loaded(MovableClock(), members(start), max_age=MINUTE)
        put(session, mine)

        stored = session.state.on(row(theirs))

        expected = three_way(spelled(mine), spelled(start), spelled(theirs))
        assert spelled(read(split(stored.data)[1])) == expected
        assert spelled(dict(session)) == expected

    @given(start=DATA, mine=DATA, theirs=DATA, others=DATA)
    def test_a_second_conflict_is_merged_on_the_first(
        self, start: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any], others: dict[str, Any]
    ) -> None:
        """The merged data is measured by the row that it was merged with."""
        session = loaded(MovableClock(), members(start), max_age=MINUTE)
        put(session, mine)
        session.state.on(row(theirs))
        merged = spelled(dict(session))

        session.state.on(row(others))

        assert spelled(dict(session)) == three_way(merged, spelled(theirs), spelled(others))

    @given(start=DATA, mine=DATA, theirs=DATA)
    def test_once_saved_nothing_is_pending(
        self, start: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
    ) -> None:
        """The merged data is the new baseline."""
        session = loaded(MovableClock(), members(start), max_age=MINUTE)
        put(session, mine)
        session.commit()

        session.saved(session.state.on(row(theirs)))

        assert not session.state.is_dirty()
        assert session.commit() == "nothing"

    @given(start=DATA, theirs=DATA)
    def test_a_request_that_changed_nothing_takes_what_is_there(
        self, start: dict[str, Any], theirs: dict[str, Any]
    ) -> None:
        """To the byte."""
        session = loaded(MovableClock(), members(start), max_age=MINUTE)
        newer = row(theirs)

        assert session.state.on(newer) == newer

    def test_my_keys_come_behind_theirs(self) -> None:
        """Theirs are in the row already, in their order; mine are new to it."""
        session = loaded(MovableClock(), '"a":1', max_age=MINUTE)
        session["mine"] = 1

        session.state.on(row({"z": 1, "a": 1, "b": 1}))

        assert list(session) == ["z", "a", "b", "mine"]

    @pytest.mark.parametrize("key", ["changed", "kept"])
    def test_what_a_handler_holds_stays_part_of_the_session(self, key: str) -> None:
        """A list taken before the merge is the session's after it, as long as nobody else has changed it."""
        session = loaded(MovableClock(), '"changed":[1],"kept":[1]', max_age=MINUTE)
        held = session[key]
        session["changed"].append(2)
        session.saved(session.state.on(row({"changed": [1], "kept": [1], "new": 1})))

        held.append(3)

        assert session[key][-1] == 3
        assert session.state.is_dirty()

    def test_a_row_that_is_spelled_in_another_way_conflicts_with_nothing(self) -> None:
        """Values are compared, not their spelling: Node's own save of the same data changes no key."""
        session = loaded(MovableClock(), '"a" : "\\u00e9", "b": 1', max_age=MINUTE)
        session["b"] = 2

        session.state.on(row({"a": "theirs", "b": 1}))

        assert dict(session) == {"a": "theirs", "b": 2}


class TestCookie:
    """The attributes: each request applies what its handler assigned, and nothing else."""

    def test_only_what_was_assigned_is_applied(self, clock: MovableClock) -> None:
        """The other's attributes stay."""
        session = loaded(clock, max_age=MINUTE)
        session.cookie.same_site = "strict"

        session.state.on(row({}, secure=True, domain="a.com"))

        cookie = session.cookie
        assert (cookie.same_site, cookie.secure, cookie.domain) == ("strict", True, "a.com")

    def test_a_counter_does_not_undo_a_parallel_remember_me(self, clock: MovableClock) -> None:
        """The expiry is computed from the merged lifetime, not taken from the request that merges."""
        session = loaded(clock, '"n":1', max_age=MINUTE)
        session["n"] = 2
        session.commit()
        clock.forward(1000)

        stored = session.state.on(row({"n": 1}, originalMaxAge=30 * DAY))

        assert session.cookie.original_max_age == 30 * DAY
        assert stored.expires_at == START + 1000 + 30 * DAY
        assert loads(split(stored.data)[0])["expires"] == iso(stored.expires_at)

    @pytest.mark.parametrize("assign", [
        lambda cookie: setattr(cookie, "max_age", DAY),
        lambda cookie: setattr(cookie, "expires", cookie.expires + timedelta(milliseconds=DAY - MINUTE)),
        lambda cookie: setattr(cookie, "original_max_age", DAY),
    ], ids=["max_age", "expires", "original_max_age"])  # fmt: skip
    def test_a_lifetime_that_was_assigned_wins(self, clock: MovableClock, assign: Callable[[Cookie], None]) -> None:
        """Whichever of the three views it was assigned through."""
        session = loaded(clock, max_age=MINUTE)
        assign(session.cookie)

        stored = session.state.on(row({}, originalMaxAge=5000))

        assert (session.cookie.original_max_age, stored.expires_at) == (DAY, START + DAY)

    def test_what_was_assigned_is_applied_at_every_conflict(self, clock: MovableClock) -> None:
        """A third request may come in between."""
        session = loaded(clock, max_age=MINUTE)
        session.cookie.priority = "high"

        session.state.on(row({}, domain="a.com"))
        session.state.on(row({}, domain="b.com"))

        assert (session.cookie.priority, session.cookie.domain) == ("high", "b.com")
