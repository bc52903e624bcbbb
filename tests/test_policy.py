"""The laws of sessions/policy.py, proved over every decision that is possible, and its table in docs/express.md."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import get_args

import pytest
from policy_table import (
    BEGIN,
    END,
    FLAGS,
    PAGE,
    Row,
    all_facts,
    is_modified,
    page_with,
    rows,
    should_save,
    should_set_cookie,
    should_touch,
    table,
)

from sessions.policy import ENDED, NOTHING, Change, CookieAct, Facts, Performed, Plan, answer, decide, possible
from sessions.renewal import Value


@cache
def decisions() -> tuple[Row, ...]:
    """Every decision that is possible: made once, by the first test that asks."""
    return tuple(rows())


LAWS: dict[str, Callable[[Row], bool]] = {
    "a session that is gone or closed writes nothing and sends nothing": lambda row: (
        row.facts.end not in ("gone", "closed") or row.plan == NOTHING
    ),
    "a create is never without its cookie": lambda row: row.plan.change != "create" or row.plan.cookie == "send",
    "no cookie is sent or cleared once the head has left": lambda row: (
        row.facts.cookie_can_leave or row.plan.cookie == "keep"
    ),
    "what is refused is a new session whose cookie cannot leave, and nothing is done": lambda row: (
        not row.plan.refuses
        or (row.plan[:3] == NOTHING[:3] and not row.facts.cookie_can_leave and not row.facts.stored)
    ),
    "with rolling no cookie of an unmodified session without a write": lambda row: (
        not row.facts.known
        or row.plan.cookie != "send"
        or is_modified(row.facts)
        or row.plan.change in ("update", "touch")
        or (row.options.conflict == "overwrite" and not row.ends)
    ),
    "a cookie is cleared only after destroy() or unset": lambda row: (
        row.plan.cookie != "clear" or row.facts.end in ("destroyed", "unset")
    ),
    "a row is deleted only after the session has ended here": lambda row: (
        row.plan.change != "destroy" or row.facts.end in ("destroyed", "unset", "failed")
    ),
    "a touch is never where data is to be written": lambda row: (
        row.plan.change != "touch" or not row.facts.data_unsaved
    ),
    "a create is of a session without a row, an update and a touch of one with a row": lambda row: (
        row.plan.change not in ("create", "update", "touch") or row.facts.stored is (row.plan.change != "create")
    ),
    "data that is not saved is written, or refused, or discarded": lambda row: (
        row.facts.end is not None
        or row.facts.discarded
        or not row.facts.data_unsaved
        or not (row.facts.known or row.facts.saved_once or is_modified(row.facts))
        or row.plan.change in ("create", "update")
        or row.plan.refuses
    ),
    "what a verb has stored under a new id is not written again": lambda row: (
        row.options.conflict == "overwrite"
        or row.facts.end is not None
        or not (row.facts.id_changed and row.facts.stored)
        or row.facts.data_unsaved
        or row.facts.cookie_changed
        or row.facts.meta_unrecorded
        or row.plan.change == "nothing"
    ),
    "an id that the browser does not know is sent whenever it has a row": lambda row: (
        row.facts.end is not None
        or row.facts.known
        or not row.facts.stored
        or not row.facts.cookie_can_leave
        or row.plan.cookie == "send"
    ),
    "a value that is due, or lost, is written and sent": lambda row: (
        row.facts.value not in ("due", "lost")
        or not row.facts.cookie_can_leave
        or row.facts.discarded
        or row.plan[:2] == ("update", "send")
    ),
    "a new value is made where one is due, or where one that soon is would be sent": lambda row: (
        row.plan.new_value
        is (row.plan.cookie == "send" and (row.facts.value == "due" or (row.facts.value == "soon" and row.facts.known)))
    ),
    "the cookie of a known id that has values leaves with an update": lambda row: (
        row.facts.value == "fixed" or row.plan.cookie == "keep" or row.plan[:2] == ("update", "send")
    ),
    "no cookie is sent to whoever brings a value that a newer one in use has replaced": lambda row: (
        row.facts.value != "quiet" or row.plan.cookie == "keep"
    ),
    "a present value changes nothing but that its cookie leaves with an update": lambda row: (
        row.facts.value != "present"
        or row.plan == (fixed := decide(row.facts._replace(value="fixed"), row.options, ends=row.ends))
        or (row.plan[:2] == ("update", "send") and fixed.cookie == "send")
    ),
    "the first bytes of a stream touch nothing without a cookie": lambda row: (
        row.ends or row.plan.change != "touch" or row.plan.cookie == "send"
    ),
    "the lifetime starts again with every write and every cookie, and with nothing else": lambda row: (
        row.facts.end is not None or row.plan.renews is (row.plan.change != "nothing" or row.plan.cookie == "send")
    ),
    "a request that is discarded writes nothing, and refuses nothing": lambda row: (
        not row.facts.discarded or (row.plan.change == "nothing" and not row.plan.refuses)
    ),
    "with a discarded request no cookie leaves but that of a row which a verb has made": lambda row: (
        not row.facts.discarded
        or row.plan.cookie != "send"
        or (row.facts.end is None and row.facts.stored and not row.facts.known)
        or (row.facts.end == "failed" and row.facts.id_changed)
    ),
    "a discarded sign-out by unset clears no cookie, one by destroy() does as ever": lambda row: (
        row.facts.end in (None, "failed")
        or not row.facts.discarded
        or row.plan.cookie
        == (decide(row.facts._replace(discarded=False), row.options).cookie if row.facts.end == "destroyed" else "keep")
    ),
    "a failed verb deletes nothing, but as Express does": lambda row: (
        row.facts.end != "failed" or row.options.conflict == "overwrite" or row.plan.change == "nothing"
    ),
    "after a failed verb the cookie leaves if the row has moved, but as Express does": lambda row: (
        row.facts.end != "failed"
        or row.options.conflict == "overwrite"
        or (row.plan.cookie == "send") is (row.facts.id_changed and row.facts.cookie_can_leave)
    ),
}


@pytest.mark.parametrize("law", LAWS)
def test_a_law_holds_for_every_possible_decision(law: str) -> None:
    """130,560 decisions, each with its facts, its options and whether the request ends."""
    broken = [row for row in decisions() if not LAWS[law](row)]

    assert broken[:3] == []


def test_with_express_s_ways_it_is_express_that_decides() -> None:
    """The rules of index.js say the same where `touchAfter` is 0, but that a row which `save()` made gets its cookie."""
    express = [
        row
        for row in decisions()
        if row.options.conflict == "overwrite" and row.facts.end is None and row.ends
        if row.facts.cookie_can_leave and not row.facts.committed
        if row.facts.touch_due or row.facts.data_unsaved or not row.facts.known
        if not (row.facts.cookie_changed or row.facts.meta_unrecorded or row.facts.discarded)
        if row.facts.value == "fixed"
    ]

    assert len(express) > 900
    for row in express:
        made_early = row.facts.stored and not row.facts.known
        assert (row.plan.change in ("create", "update")) is should_save(row.facts, row.options) or made_early, row
        assert (row.plan.change == "touch") is should_touch(row.facts, row.options), row
        assert (row.plan.cookie == "send") is (should_set_cookie(row.facts, row.options) or made_early), row


def test_what_is_to_be_done_is_the_same_with_merge_and_reject() -> None:
    """They differ in what the performing may meet."""
    for row in decisions():
        if row.options.conflict == "merge":
            assert decide(row.facts, replace(row.options, conflict="reject"), ends=row.ends) == row.plan


@pytest.mark.parametrize("outcome", get_args(Performed))
@pytest.mark.parametrize("cookie", get_args(CookieAct))
@pytest.mark.parametrize("change", get_args(Change))
@pytest.mark.parametrize("value", get_args(Value))
def test_a_cookie_leaves_only_with_what_was_confirmed(
    value: Value, change: Change, cookie: CookieAct, outcome: Performed
) -> None:
    """Every plan with every outcome: saved, or there was nothing to confirm; and none to a replaced value."""
    plan = Plan(change, cookie, renews=True)

    act = answer(plan, outcome, value)

    is_confirmed = outcome == "saved" or change == "nothing"
    assert act == (cookie if is_confirmed and not (value == "quiet" and cookie == "send") else "keep")


def test_every_kind_of_session_occurs() -> None:
    """Neither `possible` nor the enumeration leaves a fact or an end out."""
    for name in FLAGS:
        assert {getattr(facts, name) for facts in all_facts()} == {True, False}, name
    assert len({facts.end for facts in all_facts()}) == 6
    assert {facts.value for facts in all_facts()} == {*get_args(Value)}
    assert len({row.plan for row in decisions()}) == 13


@pytest.mark.parametrize("facts", [
    ENDED._replace(end=None, known=True, browser_sent_id=True, data_unsaved=True),  # known and not stored
    ENDED._replace(end=None, stored=True, data_unsaved=True),  # a row that nobody has read or written
    ENDED._replace(end=None, saved_once=True),  # saved, and neither stored nor under a new id
    ENDED._replace(end=None),  # nothing saved, and nothing unsaved
    ENDED._replace(end=None, data_unsaved=True, committed=True),
    ENDED._replace(stored=True),
])  # fmt: skip
def test_what_cannot_be_together_is_not_possible(facts: Facts) -> None:
    """Each of the implications excludes something."""
    assert not possible(facts)


def test_the_page_has_the_table() -> None:
    """`python -m tests.policy_table` has been run since the rules changed."""
    text = PAGE.read_text("utf-8")

    assert page_with(text, table(decisions())) == text
    assert text.index(BEGIN) < text.index(END)
