"""A session that is written more than once in a request: streams, `save()`, `reload()`, `mutate()`.

The rules are those of express-session 1.19; a number in brackets is that of the row in docs/express.md.
"""

from collections.abc import Callable
from typing import Any

import pytest
from clock import DAY, MINUTE, MovableClock

from sessions import HeadersSent, StoredSession

from .made import CoreSession, loaded, new, outcome


class TestStream:
    """The first bytes of a stream owe what was changed; the renewal waits for the end."""

    def test_the_touch_waits_for_the_end(self, clock: MovableClock) -> None:
        """The session is in use until then."""
        session = loaded(clock, max_age=MINUTE)

        changes = [session.commit(ends=False), session.commit()]

        assert changes == ["nothing", "touch"]

    def test_a_rolling_cookie_leaves_with_the_first_bytes_and_so_does_its_touch(self, clock: MovableClock) -> None:
        """The cookie goes out once the touch is confirmed."""
        session = loaded(clock, max_age=MINUTE, rolling=True)

        assert (session.commit(ends=False), session.reply) == ("touch", "send")
        assert session.commit() == "nothing"

    def test_with_overwrite_the_cookie_is_sent_on_trust(self, clock: MovableClock) -> None:
        """As Express does: the touch comes at the end."""
        session = loaded(clock, max_age=MINUTE, rolling=True, conflict="overwrite")

        assert (session.commit(ends=False), session.reply) == ("nothing", "send")
        assert session.commit() == "touch"

    def test_a_change_is_written_before_the_first_bytes_and_one_after_them_at_the_end(
        self, clock: MovableClock
    ) -> None:
        """Each is committed once."""
        session = loaded(clock)
        session["n"] = 1
        changes = [session.commit(ends=False)]
        session.saved(session.to_store())

        changes.append(session.commit())
        session["n"] = 2
        changes.append(session.commit())

        assert changes == ["update", "nothing", "update"]

    @pytest.mark.parametrize("is_known", [False, True], ids=["new", "rotated"])
    def test_after_the_first_bytes_no_session_can_begin(self, clock: MovableClock, is_known: bool) -> None:
        """Its cookie could not be sent any more: an error, not an orphan (60)."""
        session = loaded(clock) if is_known else new(clock)
        session["n"] = 1
        if is_known:
            session.state.restart(keep=True)
        session.state.seal()

        with pytest.raises(HeadersSent):
            session.commit()

    def test_after_the_first_bytes_a_known_session_may_change(self, clock: MovableClock) -> None:
        """The browser has its id."""
        session = loaded(clock)
        session.state.seal()
        session["n"] = 1

        assert session.commit() == "update"


class TestSaved:
    """What `save()` has stored need not be stored again."""

    def test_after_a_save_only_the_renewal_is_pending(self, clock: MovableClock) -> None:
        """The save did not start the lifetime again, the touch does (57)."""
        session = loaded(clock, age=1000, max_age=MINUTE)
        session["n"] = 1
        session.saved(session.to_store())

        assert outcome(session) == ("touch", "send")

    def test_a_change_after_a_save_is_saved_again(self, clock: MovableClock) -> None:
        """Also one that goes back to what was loaded (58)."""
        session = loaded(clock)
        session["a"] = 2
        session.saved(session.to_store())

        session["a"] = 1

        assert session.commit() == "update"

    def test_a_new_session_that_was_saved_is_sent(self, clock: MovableClock) -> None:
        """Also an empty one with saveUninitialized false, which Express leaves an orphan (59)."""
        session = new(clock)
        session.saved(session.to_store())

        assert outcome(session) == ("nothing", "send")

    def test_a_new_session_that_was_saved_is_not_saved_twice(self, clock: MovableClock) -> None:
        """The save has stored it whole; what is left is to send its cookie."""
        session = new(clock)
        session["n"] = 1
        session.saved(session.to_store())

        assert outcome(session) == ("nothing", "send")

    @pytest.mark.parametrize(("conflict", "change"), [("merge", "update"), ("overwrite", "nothing")])
    def test_cookie_settings_after_the_first_save_are_stored(
        self, clock: MovableClock, conflict: str, change: str
    ) -> None:
        """Express forgets them, and so does `conflict = "overwrite"`."""
        session = new(clock, conflict=conflict)
        session.saved(session.to_store())

        session.cookie.path = "/app"

        assert outcome(session) == (change, "send")

    @pytest.mark.parametrize("conflict", ["merge", "overwrite"])
    def test_cookie_settings_of_a_session_that_was_loaded_are_never_forgotten(
        self, clock: MovableClock, conflict: str
    ) -> None:
        """Nor are those that come after a stream has begun."""
        session, streamed = loaded(clock, conflict=conflict), new(clock, conflict=conflict)
        streamed["n"] = 1
        streamed.commit(ends=False)
        streamed.saved(streamed.to_store())

        session.cookie.path = streamed.cookie.path = "/app"

        assert (session.commit(), streamed.commit()) == ("update", "update")

    @pytest.mark.parametrize("change", [
        lambda session: session.update(late=1), lambda session: session["list"].append(2),
        lambda session: setattr(session.cookie, "path", "/late"),
    ])  # fmt: skip
    def test_a_change_made_while_the_store_writes_is_not_taken_for_saved(
        self, clock: MovableClock, change: Callable[[CoreSession], Any]
    ) -> None:
        """What was written counts, not what the session has become meanwhile."""
        session = loaded(clock)
        session["n"] = 1
        session.commit()
        written = session.to_store()

        change(session)
        session.saved(written)

        assert session.commit() == "update"

    def test_a_touch_moves_what_the_next_one_is_measured_by(self, clock: MovableClock) -> None:
        """The row's expiry is the measure, and its text stays the one that a write expects."""
        session = loaded(clock, age=5000, touch_after=5000, max_age=MINUTE)
        text = session.state.base.data if session.state.base else ""

        session.state.touched(StoredSession(text, clock() + MINUTE))

        assert session.commit() == "nothing"
        assert session.state.base == StoredSession(text, clock() + MINUTE)


class TestReread:
    """What the manager does for `reload()` and `mutate()`."""

    def test_a_row_that_is_read_again_takes_the_place_of_all(self, clock: MovableClock) -> None:
        """Of the data, the cookie, and what the next write expects; unsaved changes are dropped (91)."""
        session = loaded(clock)
        cookie = session.cookie
        session["a"], cookie.path = 2, "/mine"
        row = StoredSession('{"cookie":{"path":"/theirs"},"b":1}', clock() + DAY)

        session.state.read(row)

        assert (dict(session), cookie.path, session.state.base) == ({"b": 1}, "/theirs", row)

    def test_what_another_request_changed_counts_as_a_change(self, clock: MovableClock) -> None:
        """After `reload()` the data is not what it was when the request began (92)."""
        session = loaded(clock, max_age=MINUTE)
        other = loaded(clock, '"b":1', max_age=MINUTE)

        session.state.read(other.to_store())

        assert outcome(session) == ("update", "send")

    def test_a_change_can_be_taken_back(self, clock: MovableClock) -> None:
        """To the text that was there before, also one in another spelling."""
        session = loaded(clock, '"a" : [1]')
        before = session.state.data.current()
        session.state.values["a"].append(2)

        session.state.data.restore(before)

        assert dict(session) == {"a": [1]}
        assert not session.state.is_dirty()
