"""sessions/renewal.py: which values of a cookie are good, and a model of owner, thief and lost answers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from clock import DAY, HOUR, MINUTE, SECOND, MovableClock

from sessions import CookieOptions, MemoryStore, SessionManager, SessionOptions
from sessions.progress import Generate
from sessions.renewal import MEMBERS, NO_TAG, Renewal, Standing, Tags, Value, first, join, split, tags_of
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie

GRACE, AFTER = 30 * SECOND, 10 * MINUTE
NOW = 1_900_000_000_000

OLD, PRESENT, OTHER = "oldvalue", "presentv", "another_"


class TestValues:
    """What is signed is an id, or an id and a tag."""

    @pytest.mark.parametrize(
        ("value", "parts"),
        [
            ("id", ("id", "")),
            ("id~AZaz09-_", ("id", "AZaz09-_")),
            ("id~AZaz09-_~AZaz09-_", ("id~AZaz09-_", "AZaz09-_")),
            ("id~seven77", ("id~seven77", "")),
            ("id~nine99999", ("id~nine99999", "")),
            ("id~no/base6", ("id~no/base6", "")),
            ("id~AZaz09-\n", ("id~AZaz09-\n", "")),
            ("~AZaz09-_", ("~AZaz09-_", "")),
            ("", ("", "")),
        ],
    )
    def test_a_tag_is_eight_characters_behind_a_tilde(self, value: str, parts: tuple[str, str]) -> None:
        """Anything else is part of the id."""
        assert split(value) == parts

    @pytest.mark.parametrize("tag", ["", PRESENT])
    def test_what_is_joined_is_split_again(self, tag: str) -> None:
        """With a tag and without."""
        assert split(join("an-id", tag)) == ("an-id", tag)


class TestStanding:
    """Which values are good."""

    @pytest.mark.parametrize(
        ("sent", "used", "standing"),
        [
            (PRESENT, None, "present"),
            (PRESENT, 5 * DAY, "present"),
            (OLD, None, "lost"),
            (OLD, 0, "replaced"),
            (OLD, GRACE - 1, "replaced"),
            (OLD, GRACE, "over"),
            (OLD, 1 - GRACE, "replaced"),  # by a clock that is ahead
            (OLD, -DAY, "over"),  # by a clock that was wrong
            (OTHER, None, "over"),
            (OTHER, 0, "over"),
            ("", None, "over"),
        ],
    )
    def test_two_values_are_good_at_most(self, sent: str, used: int | None, standing: Standing) -> None:
        """The one before until the present one is used, and for `grace` after that."""
        tags = Tags(PRESENT, OLD, None if used is None else NOW - used, NOW - HOUR)

        assert Renewal((sent,), AFTER, GRACE).standing(tags, NOW) == standing

    def test_the_id_alone_is_the_value_before_the_first_tag(self) -> None:
        """It is judged as any other."""
        tags = tags_of({"tag": PRESENT, "renewedAt": NOW})

        assert Renewal(NO_TAG, AFTER, GRACE).standing(tags, NOW + DAY) == "lost"

    @pytest.mark.parametrize(
        ("sent", "used_at", "standing"),
        [
            (OLD, NOW - HOUR - GRACE + 1, "replaced"),
            (OLD, NOW - HOUR - GRACE, "over"),
            (OLD, NOW + GRACE, "over"),
            (OTHER, NOW, "over"),
        ],
    )
    def test_a_request_that_has_waited_began_earlier(self, sent: str, used_at: int, standing: Standing) -> None:
        """It is judged as of then, and no third value is good."""
        tags = Tags(PRESENT, OLD, used_at, NOW - DAY)

        assert Renewal((sent,), AFTER, GRACE, HOUR).standing(tags, NOW) == standing

    def test_of_two_values_of_one_id_the_better_counts(self) -> None:
        """A browser may hold a cookie for each path."""
        tags = Tags(PRESENT, OLD, NOW - DAY, NOW - DAY)

        assert Renewal((OTHER, PRESENT), AFTER, GRACE).standing(tags, NOW) == "present"

    def test_a_tag_for_a_session_that_never_had_one_is_over(self) -> None:
        """We have signed it, and the row has lost it."""
        assert Renewal((OTHER,), AFTER, GRACE).standing(tags_of({"renewedAt": NOW}), NOW) == "over"

    @pytest.mark.parametrize("junk", ["soon", None, True, float("inf")])
    def test_a_moment_that_is_no_number_is_none(self, junk: object) -> None:
        """A row may come from anywhere."""
        assert tags_of({"tag": PRESENT, "tagUsed": junk, "renewedAt": junk}) == Tags(PRESENT, "", None, None)


class TestDue:
    """When a new value is made, and when one is sent."""

    @pytest.mark.parametrize(
        ("tags", "value"),
        [
            (Tags("", None, None, NOW), "present"),
            (Tags("", None, None, NOW - AFTER + GRACE + 1), "present"),
            (Tags("", None, None, NOW - AFTER + GRACE), "soon"),
            (Tags("", None, None, NOW - AFTER + 1), "soon"),
            (Tags("", None, None, NOW - AFTER), "due"),
            (Tags("", None, None, None), "due"),  # made by Node, or before the option was set
            (Tags("", None, None, NOW + DAY), "due"),  # by a clock that was wrong
            (Tags(PRESENT, OLD, None, NOW - DAY), "present"),  # it is used now, for the first time
            (Tags(PRESENT, OLD, NOW, NOW), "present"),
            (Tags(PRESENT, OLD, NOW - 1, NOW - AFTER), "quiet"),
            (Tags(PRESENT, OLD, NOW - GRACE + 1, NOW - DAY), "quiet"),
            (Tags(PRESENT, OLD, NOW - GRACE, NOW - AFTER + 1), "soon"),
            (Tags(PRESENT, OLD, NOW - GRACE, NOW - AFTER), "due"),
        ],
    )
    def test_a_value_is_due_after_its_time_and_the_grace(self, tags: Tags, value: Value) -> None:
        """Never before the value before it is over: of three none is ever good."""
        assert Renewal((tags.present,), AFTER, GRACE).value(tags, NOW) == value

    @pytest.mark.parametrize(
        ("sent", "used", "value"), [(OLD, None, "lost"), (OLD, NOW, "quiet"), (OTHER, None, "quiet")]
    )
    def test_a_value_before_is_never_due(self, sent: str, used: int | None, value: Value) -> None:
        """It gets the present one, or none."""
        tags = Tags(PRESENT, OLD, used, NOW - DAY)

        assert Renewal((sent,), AFTER, GRACE).value(tags, NOW) == value

    @pytest.mark.parametrize(
        ("tags", "value"),
        [
            (Tags("", None, None, None), "present"),
            (Tags(PRESENT, OLD, NOW - 1, NOW), "quiet"),
            (Tags(PRESENT, OLD, NOW - GRACE, NOW), "due"),
        ],
    )
    def test_switched_off_a_tag_is_due_and_none_is_not(self, tags: Tags, value: Value) -> None:
        """The next cookie has none."""
        rules = Renewal((tags.present,), None, GRACE)

        assert rules.value(tags, NOW) == value
        assert rules.following(tags, NOW) == {
            "tag": None, "tagBefore": tags.present, "tagUsed": None, "renewedAt": None,
        }  # fmt: skip

    def test_a_new_value_names_the_one_before(self) -> None:
        """And has 48 bits of its own."""
        rules, tags = Renewal((PRESENT,), AFTER, GRACE), Tags(PRESENT, OLD, NOW - HOUR, NOW - HOUR)

        made = [rules.following(tags, NOW) for _ in range(100)]

        assert {(each["tagBefore"], each["tagUsed"], each["renewedAt"]) for each in made} == {(PRESENT, None, NOW)}
        assert len({each["tag"] for each in made}) == 100
        assert all(split(join("id", each["tag"])) == ("id", each["tag"]) for each in made)

    def test_a_new_id_has_no_tag(self) -> None:
        """And counts from now on."""
        assert first(AFTER, NOW) == dict.fromkeys(MEMBERS) | {"renewedAt": NOW}


# ---------------------------------------------------------------- the model


@dataclass
class Row:
    """A session under the rules, without its manager, its store and HTTP."""

    meta: dict[str, Any] = field(default_factory=lambda: {"renewedAt": NOW})
    now: int = NOW
    rolling: bool = False
    ends: bool = False
    events: int = 0
    is_ended: bool = False

    def ask(self, tag: str) -> tuple[bool, str | None]:
        """A request with a value: whether it has its session, and the tag of the cookie that it is sent."""
        if self.is_ended:
            return False, None
        rules, tags = Renewal((tag,), AFTER, GRACE), tags_of(self.meta)
        if rules.standing(tags, self.now) == "over":
            self.events += 1
            self.is_ended = self.ends
            return False, None
        value = rules.value(tags, self.now)
        members: dict[str, Any] = {"tagUsed": self.now} if rules.is_first_use(tags) else {}
        if value == "due" or (value == "soon" and self.rolling):
            members = rules.following(tags, self.now)
        self.meta = {name: each for name, each in {**self.meta, **members}.items() if each is not None}
        sends = value in ("due", "lost") or (self.rolling and value != "quiet")
        return True, self.meta.get("tag", "") if sends else None


WAITS = (SECOND, GRACE + 1, AFTER + 1, DAY)
VISITS = tuple(product(WAITS, (True, False)))
"""What an owner does: waits, asks, and gets the answer or does not."""

STEPS = 5


def owner_is_in(row: Row, history: tuple[tuple[int, bool], ...]) -> bool:
    """Whether the owner has the session at each step of a history."""
    jar = ""
    for wait, arrives in history:
        row.now += wait
        is_in, sent = row.ask(jar)
        if not is_in:
            return False
        jar = sent if arrives and sent is not None else jar
    return True


@pytest.mark.parametrize("rolling", [False, True])
def test_no_history_of_lost_answers_locks_the_owner_out(rolling: bool) -> None:
    """32,768 histories of five requests, each after one of four waits, its answer lost or not."""
    out = [history for history in product(VISITS, repeat=STEPS) if not owner_is_in(Row(rolling=rolling), history)]

    assert out[:3] == []


THIEF = ("thief copies the cookie", "thief asks at once", "thief asks after a day")
OWNER = ("owner asks at once", "owner asks after a day", "owner asks after a day, and the answer is lost")


def acted(row: Row, history: tuple[str, ...]) -> tuple[bool, bool]:
    """Whether the owner, and a thief, have the session at the end of a history."""
    owner, thief = "", None
    owner_in, thief_in = True, False
    for act in (*history, OWNER[0]):
        row.now += DAY if "a day" in act else SECOND
        if act == THIEF[0]:
            thief = owner
        elif act in OWNER:
            owner_in, sent = row.ask(owner)
            owner = owner if sent is None or act == OWNER[2] else sent
        elif thief is not None:
            thief_in, sent = row.ask(thief)
            thief = thief if sent is None else sent
    return owner_in, thief_in


@pytest.mark.parametrize("rolling", [False, True])
def test_no_owner_is_out_without_an_event(rolling: bool) -> None:
    """7,776 histories of an owner and a thief, each with a last request of the owner."""
    rows = [(Row(rolling=rolling), history) for history in product(OWNER + THIEF, repeat=STEPS)]

    ends = [(row, acted(row, history)) for row, history in rows]

    assert [row for row, (owner_in, _) in ends if not owner_in and not row.events][:3] == []
    assert sum(row.events > 0 for row, _ in ends) > 90


def test_without_a_thief_there_is_no_event() -> None:
    """Lost answers and long absences alone look like nobody else."""
    rows = [(Row(), history) for history in product(OWNER, repeat=STEPS)]

    assert all(acted(row, history) == (True, False) and not row.events for row, history in rows)


def test_with_end_nobody_is_in_after_an_event() -> None:
    """Neither of the two."""
    rows = [(Row(ends=True), (*history, THIEF[1])) for history in product(OWNER + THIEF, repeat=STEPS)]

    for row, history in rows:
        owner_in, _ = acted(row, history)
        assert not (owner_in and row.events)


# ---------------------------------------------------------------- the same by the manager, with requests that overlap

SID = "a-session-of-the-model"


def generate_for(clock: MovableClock) -> Generate:
    """Makes new sessions, none of which is stored here."""
    return lambda: ("another", StoredCookie.new(CookieOptions(), clock, is_secure=lambda: False))


class Visitor:
    """An owner with a browser, and one slow request."""

    def __init__(self, *, rolling: bool) -> None:
        self.clock = MovableClock(NOW)
        options = SessionOptions(
            secret="s" * 32, rolling=rolling, renew_after=AFTER, grace=GRACE, ttl=400 * DAY,
        )  # fmt: skip
        self.manager = SessionManager(MemoryStore(clock=self.clock), options, clock=self.clock)
        self.jar = ""
        self.slow: SessionState | None = None
        self.is_out = False

    async def begin(self) -> None:
        """Make the session."""
        state = self.manager.new(lambda: (SID, generate_for(self.clock)()[1]))
        state.data.set("user", "ada")
        await self.committed(state)

    async def loaded(self) -> SessionState:
        """A request that has come."""
        state = await self.manager.load([SID], generate_for(self.clock), {SID: (self.jar,)} if self.jar else {})
        self.is_out = self.is_out or state.id != SID
        return state

    async def committed(self, state: SessionState) -> str | None:
        """The end of a request: the tag of the cookie that it sends."""
        commit = self.manager.commit(state)
        if commit is not None:
            await commit
        return split(state.cookie_value)[1] if state.cookie_act == "send" else None

    async def act(self, act: str) -> None:
        """One step of a history."""
        if act in ("asks", "loses"):
            sent = await self.committed(await self.loaded())
            if sent is not None and act == "asks":
                self.jar = sent
        elif act == "slow begins" and self.slow is None:
            self.slow = await self.loaded()
        elif act == "slow ends" and self.slow is not None:
            state, self.slow = self.slow, None
            state.data.set("n", self.clock())
            sent = await self.committed(state)
            self.jar = self.jar if sent is None else sent
        elif act == "grace":
            self.clock.forward(GRACE)
        elif act == "day":
            self.clock.forward(DAY)


OVERLAPPING = ("asks", "loses", "slow begins", "slow ends", "grace", "day")


def histories(steps: int) -> Iterator[tuple[str, ...]]:
    """Those that begin with a request on a day on which a new value is due."""
    return (("day", "asks", *history, "asks", "grace", "asks") for history in product(OVERLAPPING, repeat=steps))


async def locked_out(rolling: bool, steps: int) -> list[tuple[str, ...]]:
    """The histories in which the owner loses the session."""
    found = []
    for history in histories(steps):
        visitor = Visitor(rolling=rolling)
        await visitor.begin()
        for act in history:
            await visitor.act(act)
        if visitor.is_out:
            found.append(history)
    return found


@pytest.mark.parametrize("rolling", [False, True])
async def test_no_slow_or_lost_answer_locks_the_owner_out(rolling: bool) -> None:
    """1,296 histories in the real manager, in which a slow request overlaps others; `make lab` has longer ones."""
    assert (await locked_out(rolling, 4))[:3] == []
