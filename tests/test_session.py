"""The session of one request: a mapping that is decoded when somebody looks, and that knows what has changed.

The rules are those of express-session 1.19; a number in brackets is that of the row in docs/express.md. What a request
owes to store and browser is in properties/test_session_end.py and test_session_writes.py, merging in test_session_merge.py.
"""

import json
from collections.abc import Callable
from copy import copy, deepcopy
from typing import Any, TypedDict

import pytest
from clock import DAY, MINUTE, MovableClock
from properties.made import CoreSession, loaded, loaded_from, new

from sessions import CorruptSession, DataError, StoredSession
from sessions.data import SessionData
from sessions.formats.json_text import RESERVED


class Basket(TypedDict, total=False):
    """The keys of a session."""

    owner: str
    items: list[str]
    count: int


HIDDEN = "4111-1111-1111-1111"


class TestMapping:
    """In a handler the session is a mapping of JSON values."""

    def test_it_begins_empty(self, clock: MovableClock) -> None:
        """A new visitor has nothing."""
        session = new(clock)

        assert (dict(session), len(session), session.get("a"), "a" in session) == ({}, 0, None, False)

    def test_it_holds_what_was_stored(self, clock: MovableClock) -> None:
        """In the order in which it was stored, without the cookie."""
        session = loaded(clock)

        assert dict(session) == {"a": 1, "list": [1, {"x": "é"}], "map": {"p": 1, "q": 2}}
        assert list(session) == ["a", "list", "map"]

    def test_keys_are_set_and_deleted(self, clock: MovableClock) -> None:
        """Every verb of a mutable mapping works."""
        session = loaded(clock, '"a":1,"b":2,"c":3')

        session["d"] = 4
        del session["a"]
        session.update(b=5, e=6)
        popped = session.pop("c"), session.pop("zzz", None), session.setdefault("f", 7)

        assert session == {"b": 5, "d": 4, "e": 6, "f": 7}
        assert popped == (3, None, 7)

    def test_a_typed_view_is_the_session_itself(self, clock: MovableClock) -> None:
        """Its mapping verbs are those of a TypedDict, so what a checker lets pass works."""
        session = loaded(clock, "")

        basket = session.typed(Basket)
        basket["owner"] = "ada"
        basket.setdefault("items", []).append("apple")
        basket.update({"count": 1})
        seen = basket.copy(), basket.get("count"), "owner" in basket, basket | {"owner": "bo"}
        del basket["owner"]

        assert basket is session
        assert seen[0] == {"owner": "ada", "items": ["apple"], "count": 1}
        assert seen[1:] == (1, True, {"owner": "bo", "items": ["apple"], "count": 1})
        assert dict(session) == {"items": ["apple"], "count": 1}

    def test_clear_takes_the_data_and_leaves_the_session(self, clock: MovableClock) -> None:
        """The id and the cookie stay."""
        session = loaded(clock, max_age=MINUTE)

        session.clear()

        assert (dict(session), session.id, session.cookie.max_age) == ({}, "apple", MINUTE)

    @pytest.mark.parametrize(
        "plain",
        [
            dict,
            copy,
            deepcopy,
            CoreSession.copy,
            lambda session: session | {},
            lambda session: {} | session,
            lambda session: {**session},
        ],
    )
    def test_what_is_made_of_it_is_a_dict(self, clock: MovableClock, plain: Callable[[CoreSession], Any]) -> None:
        """Plain data: its keys are not the session's any more."""
        session = loaded(clock)

        made = plain(session)
        made["b"] = 2

        assert type(made) is dict
        assert dict(session) == {key: value for key, value in made.items() if key != "b"}

    def test_a_joining_assignment_sets_keys(self, clock: MovableClock) -> None:
        """It is `update`, which refuses what an assignment refuses."""
        session = same = loaded(clock, '"a":1')

        session |= {"a": 2, "b": 3}

        assert session is same
        assert dict(session) == {"a": 2, "b": 3}
        with pytest.raises(DataError):
            session |= {"cookie": 1}

    @pytest.mark.parametrize("read", [lambda session: session["zzz"], lambda session: session.pop("zzz")])
    def test_a_key_that_is_not_there_is_a_key_error(
        self, clock: MovableClock, read: Callable[[CoreSession], Any]
    ) -> None:
        """As in every mapping."""
        with pytest.raises(KeyError):
            read(loaded(clock))

    @pytest.mark.parametrize("key", [*sorted(RESERVED), 1, None, b"a", True])
    @pytest.mark.parametrize("assign", [
        lambda session, key: session.__setitem__(key, HIDDEN),
        lambda session, key: session.setdefault(key, HIDDEN),
        lambda session, key: session.update({key: HIDDEN}),
    ], ids=["set", "setdefault", "update"])  # fmt: skip
    def test_a_key_that_node_would_lose_is_refused(
        self, clock: MovableClock, key: Any, assign: Callable[[CoreSession, Any], None]
    ) -> None:
        """At the line that assigns it, by name, and without the value."""
        session = new(clock)

        with pytest.raises(DataError) as refusal:
            assign(session, key)

        assert repr(key) in str(refusal.value)
        assert HIDDEN not in str(refusal.value)
        assert not session

    def test_a_reserved_key_that_mutate_sets_is_refused_too(self, clock: MovableClock) -> None:
        """`mutate` hands out the data itself; a second `cookie` in the row would break it for Node."""
        session = loaded(clock)

        session.state.values["cookie"] = HIDDEN

        with pytest.raises(DataError, match=r"session\['cookie'\]"):
            session.to_store()

    @pytest.mark.parametrize("name", ["cookie", "id", "user"])
    def test_no_attribute_can_be_assigned(self, clock: MovableClock, name: str) -> None:
        """`req.session.user = ...` is a key here; the cookie is changed by its own attributes."""
        with pytest.raises(AttributeError):
            setattr(new(clock), name, {})

    def test_no_view_shows_the_id_or_the_data(self, clock: MovableClock) -> None:
        """A session in a log line is a short hash."""
        session = loaded(clock, f'"card":"{HIDDEN}"')

        shown = f"{session!r} {session}"

        assert "3a7bd3e2" in shown
        assert "apple" not in shown
        assert HIDDEN not in shown

    @pytest.mark.parametrize("verb", ["save", "destroy", "regenerate", "reload", "rotate"])
    async def test_what_acts_on_the_store_goes_through_the_manager(self, clock: MovableClock, verb: str) -> None:
        """Each is one call with this session."""
        session = new(clock)

        await getattr(session, verb)()

        assert session.verbs.noted == [f"{verb} fresh"]

    async def test_mutate_returns_what_the_function_returns(self, clock: MovableClock) -> None:
        """`n = await session.mutate(count)`."""
        session = loaded(clock)

        last = await session.mutate(lambda data: data.pop("a"))

        assert last == 1
        assert "a" not in session


class TestLazy:
    """The data is decoded when a handler looks, and not before."""

    def test_a_session_that_was_read_keeps_one_text(self) -> None:
        """A socket that stays open for hours holds it, and no copy beside it."""
        data = SessionData('{"basket":["tea"]}')

        assert data.values["basket"] == ["tea"]
        assert data.current() is data.text

    def test_a_request_that_does_not_look_is_served_whatever_the_data_is(self, clock: MovableClock) -> None:
        """Only the cookie was read; the row stays as it is."""
        session = loaded(clock, f'"a": no json, "{HIDDEN}"')

        assert session.commit() == "touch"
        assert session.to_store().data.endswith(f'"a": no json, "{HIDDEN}"}}')

    @pytest.mark.parametrize("look", [
        lambda session: session["a"], lambda session: session.get("a"), len, list, bool, lambda session: "a" in session,
        lambda session: session.__setitem__("a", 1), lambda session: session.clear(),
    ])  # fmt: skip
    def test_looking_at_corrupt_data_says_so(self, clock: MovableClock, look: Callable[[CoreSession], Any]) -> None:
        """By the hash of the id; of the row nothing is shown."""
        session = loaded(clock, f'"a": no json, "{HIDDEN}"')

        with pytest.raises(CorruptSession) as refusal:
            look(session)

        assert str(refusal.value) == "session 3a7bd3e2: the stored session is not JSON"

    @pytest.mark.parametrize("cookie", [{"path": "/x},"}, {"x": {"a": 1}, "path": "/"}, {"path": '/"},"a":5}'}])
    def test_a_cookie_is_read_to_its_end(self, clock: MovableClock, cookie: dict[str, Any]) -> None:
        """Whatever braces it holds."""
        stored = StoredSession(json.dumps({"cookie": cookie, "a": 1}, separators=(",", ":")), clock() + DAY)

        session = loaded_from(clock, stored)

        assert (session.cookie.path, dict(session)) == (cookie["path"], {"a": 1})

    @pytest.mark.parametrize("text", ["", "{}", '{"a":1}', '{"cookie":null}', '{"cookie":{'])
    def test_a_row_that_is_no_session_is_corrupt_at_once(self, clock: MovableClock, text: str) -> None:
        """Without a cookie there is no session to serve."""
        with pytest.raises(CorruptSession, match=r"^session 3a7bd3e2: the stored session "):
            loaded_from(clock, StoredSession(text, clock() + DAY))


def swap(session: CoreSession) -> None:
    """Delete a key and put it back, behind the others."""
    session["a"] = session.pop("a")


def undo(session: CoreSession) -> None:
    """Change much, and take it back."""
    session["list"].append(2)
    session["b"] = True
    session["list"].pop()
    del session["b"]


class TestModified:
    """Modified is what has another JSON text than before (53, 54, 55)."""

    @pytest.mark.parametrize("change", [
        lambda session: session.update(a=2), lambda session: session.update(a="1"),
        lambda session: session.update(a=True),
        lambda session: session.update(a=None), lambda session: session.update(b=1), lambda session: session.pop("a"),
        lambda session: session.clear(), lambda session: session["list"].append(2),
        lambda session: session["list"][1].update(x="e"), lambda session: session["list"].reverse(),
        lambda session: session["map"].update(cookie=1),
        lambda session: session["map"].update(p=session["map"].pop("p")),
        swap,
    ])  # fmt: skip
    def test_a_change_is_seen(self, clock: MovableClock, change: Callable[[CoreSession], Any]) -> None:
        """At any depth; the type counts, and so does the order of keys."""
        session = loaded(clock)

        change(session)

        assert session.state.is_dirty()
        assert session.commit() == "update"

    @pytest.mark.parametrize("change", [
        lambda _: None, dict, lambda session: session.update(a=1), lambda session: session.update(list=(1, {"x": "é"})),
        lambda session: session.update(map=dict(session["map"])), lambda session: session.pop("zzz", None), undo,
    ])  # fmt: skip
    def test_what_is_the_same_in_the_end_is_no_change(
        self, clock: MovableClock, change: Callable[[CoreSession], Any]
    ) -> None:
        """Looked at, assigned the same value again, or taken back."""
        session = loaded(clock)

        change(session)

        assert not session.state.is_dirty()
        assert session.commit() == "touch"

    @pytest.mark.parametrize("data", [
        '"a" : 1, "b": [ 1 ]', '"a":"\\u00e9\\/"', '"a":1E2', '"a":1.50', '"a":100000000000000000000000', '"a":1,"a":2',
        '"a":1,"toString":2,"id":3', '"a":1,"__meta":{"created":1}', '"2":1,"10":1,"b":1',
    ])  # fmt: skip
    def test_a_row_that_is_spelled_in_another_way_is_not_modified_by_looking(
        self, clock: MovableClock, data: str
    ) -> None:
        """Node, or a person, may have written it: what nobody changed stays to the byte."""
        session = loaded(clock, data)

        dict(session)

        assert session.commit() == "touch"
        assert session.to_store().data.endswith(f",{data}}}")

    def test_a_change_to_such_a_row_is_one(self, clock: MovableClock) -> None:
        """Then it is written in our spelling."""
        session = loaded(clock, '"a" : 1, "b": "\\u00e9"')

        session["a"] = 2

        assert session.commit() == "update"
        assert session.to_store().data.endswith(',"a":2,"b":"é"}')

    @pytest.mark.parametrize(
        "foreign",
        ["[" * 600 + "]" * 600, "12345678901234567890", '{"a":' * 700 + "1" + "}" * 700],
        ids=["deep list", "large integer", "deep object"],
    )
    def test_what_another_has_stored_is_not_checked_again(self, clock: MovableClock, foreign: str) -> None:
        """A key beside a value that we would not take can be changed, and the value stays."""
        session = loaded(clock, f'"foreign":{foreign},"n":1')

        session["n"] = 2

        assert session.commit() == "update"
        assert f'"foreign":{foreign},"n":2' in session.to_store().data

    def test_a_foreign_value_that_is_changed_is_checked(self, clock: MovableClock) -> None:
        """Like any other."""
        session = loaded(clock, '"foreign":[12345678901234567890]')

        session["foreign"].append(1)

        with pytest.raises(DataError, match=r"^session\['foreign'\]\[0\]: the integer is beyond"):
            session.commit()

    @pytest.mark.parametrize("value", [float("nan"), {1}, 2**53 + 1, {5: 1}, MINUTE.to_bytes(4)])
    def test_a_value_that_json_cannot_hold_is_found_at_the_end(self, clock: MovableClock, value: Any) -> None:
        """By its place, before anything is sent or stored."""
        session = loaded(clock)
        session["list"].append({"deep": value})

        with pytest.raises(DataError, match=r"^session\['list'\]\[2\]\['deep'\]: "):
            session.commit()

        assert session.reply == "keep"
