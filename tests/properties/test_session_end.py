"""What the end of a request owes to the store and to the browser, over every combination of options and changes.

The rules are those of express-session 1.19; a number in brackets is that of the row in docs/express.md.
"""

from itertools import product
from typing import Any

import pytest
from clock import DAY, MINUTE, MovableClock

from sessions import CorruptSession

from .made import loaded, new, outcome

# state, resave, saveUninitialized, rolling, maxAge, modified → store, browser; "-" is either. Rules 39 to 42, 49 to 51.
TABLE = """
new     -    no   -    -    no   nothing keep
new     -    no   -    -    yes  create  send
new     -    yes  -    -    -    create  send
loaded  no   -    no   -    no   touch   keep
loaded  no   -    yes  -    no   touch   send
loaded  no   -    no   no   yes  update  keep
loaded  no   -    no   yes  yes  update  send
loaded  no   -    yes  -    yes  update  send
loaded  yes  -    no   no   -    update  keep
loaded  yes  -    no   yes  no   update  keep
loaded  yes  -    no   yes  yes  update  send
loaded  yes  -    yes  -    -    update  send
"""


def rows() -> list[tuple[str, ...]]:
    """The table with every "-" written out."""
    written = []
    for line in TABLE.strip().splitlines():
        cells = [("no", "yes") if cell == "-" else (cell,) for cell in line.split()]
        written += list(product(*cells))
    return written


class TestEndOfRequest:
    """What the end of a request does to the store and to the browser's cookie."""

    @pytest.mark.parametrize("row", rows(), ids=" ".join)
    def test_the_options_and_the_change_decide(self, clock: MovableClock, row: tuple[str, ...]) -> None:
        """Every combination, as in Express with a store that knows touch."""
        state, *flags, change, reply = row
        resave, save_uninitialized, rolling, lives, modified = (flag == "yes" for flag in flags)
        session = (new if state == "new" else loaded)(
            clock,
            resave=resave,
            save_uninitialized=save_uninitialized,
            rolling=rolling,
            max_age=MINUTE if lives else None,
        )
        if modified:
            session["n"] = 1

        dirty = session.state.is_dirty()

        assert outcome(session) == (change, reply)
        assert dirty is modified

    def test_the_table_has_every_combination_once(self) -> None:
        """Two states, five options."""
        combinations = [row[:6] for row in rows()]

        assert sorted(combinations) == sorted(product(("new", "loaded"), *[("no", "yes")] * 5))

    @pytest.mark.parametrize("max_age", [False, 0])
    def test_false_counts_as_an_expiry(self, clock: MovableClock, max_age: Any) -> None:
        """A changed session of such a cookie is sent again (40, 71)."""
        session = loaded(clock, max_age=MINUTE)
        session.cookie.max_age = max_age
        session["n"] = 1

        assert outcome(session) == ("update", "send")

    def test_an_unknown_id_makes_a_new_session_under_another(self, clock: MovableClock) -> None:
        """The visitor's id is never adopted, so the new one has to be sent (14)."""
        session = new(clock, request_sid="unknown")
        session["n"] = 1

        assert outcome(session) == ("create", "send")
        assert session.id == "fresh"

    @pytest.mark.parametrize(("conflict", "reply"), [("merge", "send"), ("overwrite", "keep")])
    def test_cookie_settings_alone_are_stored_and_sent(self, clock: MovableClock, conflict: str, reply: str) -> None:
        """So that the browser knows what the row knows; to Express they are no modification (43)."""
        session = loaded(clock, max_age=MINUTE, conflict=conflict)
        session.cookie.max_age = DAY

        assert outcome(session) == ("update", reply)
        assert session.state.expires_at() == clock() + DAY

    def test_cookie_settings_that_were_so_before_are_no_change(self, clock: MovableClock) -> None:
        """What is assigned is compared with what is stored."""
        session = loaded(clock, max_age=MINUTE)
        session.cookie.max_age = MINUTE
        session.cookie.path = "/"

        assert session.commit() == "touch"

    @pytest.mark.parametrize("save_uninitialized", [True, False])
    def test_a_regenerated_session_is_always_sent(self, clock: MovableClock, save_uninitialized: bool) -> None:
        """Without data, with the cookie of the options: the old id is gone (46, 88)."""
        session = loaded(clock, save_uninitialized=save_uninitialized)
        cookie = session.cookie
        session["n"], cookie.path = 1, "/app"

        session.state.restart(keep=False)

        assert outcome(session) == ("create", "send")
        assert (session.id, dict(session), cookie.path) == ("fresh", {}, "/")
        assert session.cookie is cookie

    @pytest.mark.parametrize("keep", [True, False])
    def test_a_new_session_under_another_id_is_sent_too(self, clock: MovableClock, keep: bool) -> None:
        """Somebody asked for it: a login without a word of data."""
        session = new(clock)

        session.state.restart(keep=keep)

        assert outcome(session) == ("create", "send")

    def test_a_session_can_be_regenerated_after_its_end(self, clock: MovableClock) -> None:
        """A login is one, also where the session before it has just expired."""
        session = loaded(clock)
        session.over("gone")

        session.state.restart(keep=False)

        assert session.state.end is None
        assert outcome(session) == ("create", "send")

    def test_a_session_that_is_found_gone_while_it_is_written_sends_no_cookie(self, clock: MovableClock) -> None:
        """The browser may hold a newer one."""
        session = loaded(clock, max_age=MINUTE)
        session["n"] = 1
        before = outcome(session)

        session.over("gone")

        assert before == ("update", "send")
        assert session.reply == "keep"

    def test_a_stored_cookie_that_cannot_be_sent_stops_what_depends_on_it(self, clock: MovableClock) -> None:
        """Before anything is stored that no cookie could reach."""
        session = loaded(clock, cookie={"path": "/a;b"}, max_age=MINUTE)
        session["n"] = 1

        with pytest.raises(CorruptSession):
            session.commit()

    def test_a_stored_cookie_that_need_not_be_sent_does_no_harm(self, clock: MovableClock) -> None:
        """Without an expiry the browser has it for as long as it lives."""
        session = loaded(clock, cookie={"path": "/a;b"})
        session["n"] = 1

        assert outcome(session) == ("update", "keep")

    def test_a_rotated_session_keeps_its_data_and_its_cookie(self, clock: MovableClock) -> None:
        """A new id, nothing else."""
        session = loaded(clock)
        session.cookie.max_age = DAY

        session.state.restart(keep=True)

        assert outcome(session) == ("create", "send")
        assert (session.id, session["a"], session.cookie.original_max_age) == ("fresh", 1, DAY)

    def test_the_lifetime_starts_again_at_the_end(self, clock: MovableClock) -> None:
        """Once, at the first end: what follows does not move it again (67, 68)."""
        session = loaded(clock, max_age=MINUTE)
        clock.forward(1000)

        session.commit()
        clock.forward(1000)
        session.commit()

        assert session.state.expires_at() == clock() - 1000 + MINUTE

    def test_without_a_lifetime_it_is_kept_for_the_ttl(self, clock: MovableClock) -> None:
        """From the last use on."""
        session = loaded(clock, ttl=5000)
        clock.forward(1000)

        session.commit()

        assert session.state.expires_at() == clock() + 5000

    ENDED = [  # noqa: RUF012 # a constant
        ("destroyed", "keep", "nothing", "clear"),
        ("destroyed", "destroy", "destroy", "clear"),  # a second time, as in Express (87)
        ("unset", "keep", "nothing", "keep"),
        ("unset", "destroy", "destroy", "clear"),
        ("gone", "keep", "nothing", "keep"),
        ("gone", "destroy", "nothing", "keep"),
        ("failed", "keep", "nothing", "keep"),
        ("failed", "destroy", "nothing", "keep"),
    ]

    @pytest.mark.parametrize(("end", "unset", "change", "reply"), ENDED)
    def test_a_session_that_is_over_is_not_written(
        self, clock: MovableClock, end: Any, unset: str, change: str, reply: str
    ) -> None:
        """Whatever else was changed, and however much rolls (44, 86, 93); only an explicit end clears the cookie."""
        session = loaded(clock, unset=unset, rolling=True, resave=True)
        session["n"] = 1

        session.over(end)

        assert session.state.is_dirty() is False
        assert outcome(session) == (change, reply)
        assert [session.commit(), session.commit()] == ["nothing", "nothing"]

    @pytest.mark.parametrize("options", [{"clear_cookie": False}, {"request_sid": None}])
    def test_a_cookie_is_cleared_where_there_is_one_and_it_is_wanted(
        self, clock: MovableClock, options: dict[str, Any]
    ) -> None:
        """`clearCookie = false` is Express's way; a browser that sent no cookie has none to clear."""
        session = new(clock, **{"request_sid": "apple", **options})

        session.over("destroyed")

        assert outcome(session) == ("nothing", "keep")


class TestTouchAfter:
    """A request that changes nothing renews the expiry only when enough of the lifetime has gone."""

    @pytest.mark.parametrize(
        ("options", "due_from"),
        [
            ({"touch_after": None, "max_age": 20 * MINUTE}, MINUTE),
            ({"touch_after": None, "ttl": 40 * MINUTE}, 2 * MINUTE),
            ({"touch_after": None, "max_age": 20 * MINUTE, "ttl": 40 * MINUTE}, MINUTE),
            ({"touch_after": 5000, "max_age": 20 * MINUTE}, 5000),
            ({"touch_after": 5000}, 5000),
            ({"touch_after": 5000, "max_age": 20 * MINUTE, "rolling": True}, 5000),
            ({"touch_after": 0, "max_age": 20 * MINUTE}, 0),
            ({"touch_after": None, "max_age": 20 * MINUTE, "rolling": True}, 0),
        ],
    )
    def test_the_touch_is_due_when_that_much_has_gone(
        self, clock: MovableClock, options: dict[str, Any], due_from: int
    ) -> None:
        """A twentieth of maxAge, else of ttl; none of it when rolling; or what is given."""
        ages = [age for age in (0, due_from - 1, due_from, due_from + 1) if age >= 0]

        changes = {age: loaded(clock, age=age, **options).commit() for age in ages}

        assert changes == {age: "touch" if age >= due_from else "nothing" for age in ages}

    def test_a_cookie_rolls_only_with_a_touch(self, clock: MovableClock) -> None:
        """What the store does not confirm is not promised to the browser."""
        session = loaded(clock, age=4999, touch_after=5000, max_age=MINUTE, rolling=True)

        assert outcome(session) == ("nothing", "keep")

    def test_a_handler_that_touches_is_not_held_back(self, clock: MovableClock) -> None:
        """`session.touch()` says what it wants."""
        session = loaded(clock, touch_after=5000, max_age=MINUTE)

        session.touch()

        assert session.commit() == "touch"

    def test_a_touch_starts_the_lifetime_of_the_cookie_at_once(self, clock: MovableClock) -> None:
        """The change is written at the end (94)."""
        session = loaded(clock, max_age=MINUTE)
        clock.forward(1000)

        session.touch()

        assert session.cookie.max_age == MINUTE

    @pytest.mark.parametrize("touch_after", [0, 5000, None])
    def test_a_change_is_written_at_once(self, clock: MovableClock, touch_after: Any) -> None:
        """The throttle is for requests that change nothing."""
        session = loaded(clock, touch_after=touch_after, max_age=MINUTE)
        session["n"] = 1

        assert session.commit() == "update"

    def test_a_session_is_touched_once_in_a_request(self, clock: MovableClock) -> None:
        """A stream asks at its first bytes and at its end."""
        session = loaded(clock, age=1000, max_age=MINUTE)

        changes = [session.commit(), session.commit()]

        assert changes == ["touch", "nothing"]
