"""Owns the enumeration of sessions/policy.py, and the table of its plans in docs/express.md.

    .venv/bin/python -m tests.policy_table

writes the table; tests/test_policy.py holds the page and the laws against the same enumeration.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import product
from pathlib import Path
from typing import NamedTuple, get_args

from sessions import SessionOptions
from sessions.policy import EndReason, Facts, Plan, decide, possible
from sessions.renewal import Value

PAGE = Path(__file__).parent.parent / "docs" / "express.md"
BEGIN, END = "<!-- plans: written by `python -m tests.policy_table` -->", "<!-- end of plans -->"

FLAGS = Facts._fields[2:]
"""The facts that are true or false."""

VALUES: tuple[Value, ...] = get_args(Value)

ENDS: tuple[EndReason, ...] = get_args(EndReason)


class Row(NamedTuple):
    """One decision."""

    facts: Facts
    options: SessionOptions
    ends: bool
    plan: Plan


@cache
def all_options() -> tuple[SessionOptions, ...]:
    """Every combination of the options that the rules look at; `resave` is in the facts: nothing was saved once."""
    switches = product((False, True), (False, True), ("merge", "overwrite"), ("keep", "destroy"), (False, True))
    return tuple(
        SessionOptions(
            secret="x" * 32,
            rolling=rolling,
            save_uninitialized=save_uninitialized,
            conflict=conflict,  # type: ignore[arg-type] # one of the two words
            unset=unset,  # type: ignore[arg-type] # one of the two words
            clear_cookie=clear_cookie,
        )
        for rolling, save_uninitialized, conflict, unset, clear_cookie in switches
    )


@cache
def all_facts() -> tuple[Facts, ...]:
    """Every set of facts that can be true together."""
    flags = list(product((False, True), repeat=len(FLAGS)))
    living = (Facts(None, value, *each) for value in VALUES for each in flags)
    ended = (Facts(end, "fixed", *each) for end in ENDS for each in flags)
    return tuple(facts for facts in (*living, *ended) if possible(facts))


def rows() -> Iterator[Row]:
    """Every decision that is possible. For an ended session only two options count, for a living one three."""
    for facts in all_facts():
        for options in all_options():
            if facts.end is None and (options.unset == "destroy" or not options.clear_cookie):
                continue
            if facts.end is not None and (options.rolling or options.save_uninitialized):
                continue
            for ends in (True, False):
                yield Row(facts, options, ends, decide(facts, options, ends=ends))


# ---------------------------------------------------------------- express-session's own rules, by the same facts


def is_modified(facts: Facts) -> bool:
    """index.js, isModified."""
    return facts.id_changed or facts.data_changed


def should_save(facts: Facts, options: SessionOptions) -> bool:
    """index.js, shouldSave."""
    if not options.save_uninitialized and not facts.known:
        return is_modified(facts)
    return facts.id_changed or facts.data_unsaved


def should_touch(facts: Facts, options: SessionOptions) -> bool:
    """index.js, shouldTouch."""
    return facts.known and not should_save(facts, options)


def should_set_cookie(facts: Facts, options: SessionOptions) -> bool:
    """index.js, shouldSetCookie."""
    if not facts.known:
        return options.save_uninitialized or is_modified(facts)
    return options.rolling or (facts.cookie_expires and is_modified(facts))


# ---------------------------------------------------------------- the table


def table(every: Iterable[Row]) -> str:
    """The distinct plans: how many decisions lead to each, what is true of all of them, what Express does there."""
    by_plan: dict[Plan, list[Row]] = {}
    for row in every:
        by_plan.setdefault(row.plan, []).append(row)
    lines = [
        "| store | cookie | lifetime starts again | decisions | true of all of them | shouldSave | shouldTouch | shouldSetCookie |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for plan, found in sorted(by_plan.items(), key=lambda item: (item[0].refuses, item[0])):
        store = "error: HeadersSent" if plan.refuses else plan.change
        living = [row for row in found if row.facts.end is None]
        rules = [
            _word({rule(row.facts, row.options) for row in living}) if living else "-"
            for rule in (should_save, should_touch, should_set_cookie)
        ]
        cells = [store, plan.cookie, "yes" if plan.renews else "no", f"{len(found):,}", _common(found), *rules]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _word(values: set[bool]) -> str:
    return "either" if len(values) == 2 else "yes" if values == {True} else "no"


def _common(found: list[Row]) -> str:
    """The facts that are the same in all rows, the false ones with `not`."""
    ends = {row.facts.end for row in found}
    said = []
    if None not in ends:
        said.append(f"ended: {' or '.join(end for end in ENDS if end in ends)}")
    else:
        values = {row.facts.value for row in found}
        if len(values) < len(VALUES):
            said.append(f"`value`: {' or '.join(value for value in VALUES if value in values)}")
    for name in FLAGS:
        values = {getattr(row.facts, name) for row in found}
        if len(values) == 1:
            value = values.pop()
            if value or (None in ends and len(ends) == 1):
                said.append(f"`{name}`" if value else f"not `{name}`")
    return ", ".join(said) or "nothing"


def page_with(text: str, made: str) -> str:
    """The page with the table in its place."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{made}\n\n{END}{rest.split(END)[1]}"


def main() -> None:
    """Write the table into the page."""
    PAGE.write_text(page_with(PAGE.read_text("utf-8"), table(rows())), "utf-8")


if __name__ == "__main__":
    main()
