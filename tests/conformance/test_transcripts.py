"""859 recorded scenarios of express-session's behaviour, on the wire and in the store, held against the library.

Under the options that give Express's behaviour back, then with our own defaults, and then every declared
reason by itself. The comparison is the strict one: key order in the store, texts of errors and the shape of
ids count too.
"""

import asyncio
from dataclasses import dataclass

import pytest

from .replay import (
    OURS,
    Outcome,
    declaration_for,
    judge,
    load_declared,
    load_deviations,
    load_tagged,
    load_transcripts,
    named_options,
    replay,
    serving,
    serving_apart,
)

DEVIATIONS = load_deviations()
DEFAULTS = load_declared("deviations-defaults.json")


@dataclass
class Played:
    """The outcomes of one server."""

    as_express: list[Outcome]
    our_defaults: list[Outcome]
    """Without the scenarios that differ under Express's options already."""
    without: dict[frozenset[str], list[Outcome]]
    """By options: the scenarios whose difference they are said to make, played with these as in Express."""
    alone: dict[str, list[Outcome]]
    """By option: the scenarios that name it beside others, played with the others as in Express."""


async def _play() -> Played:
    scenarios = load_transcripts()
    groups: dict[frozenset[str], list[dict[str, object]]] = {}
    undeclared = [one for one in scenarios if declaration_for(one, DEVIATIONS) is None]
    for scenario in undeclared:
        key = declaration_for(scenario, DEFAULTS)
        if key is not None:
            groups.setdefault(named_options(DEFAULTS[key]), []).append(scenario)
    async with serving() as target:
        as_express = await replay(target, scenarios)
        our_defaults = await replay(target, undeclared, ours=OURS)
        without = {
            named: await replay(target, group, ours=[option for option in OURS if option not in named])
            for named, group in groups.items()
        }
        alone: dict[str, list[Outcome]] = {}
        for named, group in groups.items():
            for option in named if len(named) > 1 else ():
                ours = [one for one in OURS if one == option or one not in named]
                alone.setdefault(option, []).extend(await replay(target, group, ours=ours))
    return Played(as_express, our_defaults, without, alone)


@pytest.fixture(scope="module")
def played() -> Played:
    """Everything is played once."""
    return asyncio.run(_play())


def test_with_its_options_the_library_does_what_express_session_does(played: Played) -> None:
    """What differs is declared, and what is declared differs."""
    verdict = judge(played.as_express, DEVIATIONS)

    assert verdict.ok, str(verdict)


def test_the_declared_tags_cover_what_is_named_under_them_and_none_is_needless() -> None:
    """So verify.js, which reads deviations.json alone, finds nothing undeclared."""
    declared, tagged = load_declared("deviations.json"), load_tagged()
    scenarios = {scenario["id"]: scenario for scenario in load_transcripts()}

    assert {key for key in declared if key.startswith("tag:")} == {tag for tag, names in tagged.items() if names}
    for tag, names in tagged.items():
        assert not [name for name in names if tag.removeprefix("tag:") not in scenarios[name]["tags"]]


def test_with_our_defaults_only_the_promises_make_a_difference(played: Played) -> None:
    """What differs is declared, and what is declared differs."""
    verdict = judge(played.our_defaults, DEFAULTS)

    assert verdict.ok, str(verdict)


def test_every_reason_names_the_options_that_make_the_difference(played: Played) -> None:
    """With the named options set to Express's behaviour, and all others at our defaults, nothing differs."""
    unnamed = [reason for reason in DEFAULTS.values() if not named_options(reason)]
    verdict = judge([outcome for group in played.without.values() for outcome in group], {})

    assert not unnamed
    assert verdict.ok, str(verdict)


def test_no_reason_names_an_option_that_makes_no_difference(played: Played) -> None:
    """Each of several named options makes a difference without the others."""
    needless = [f"{option}: {one.id}" for option, group in played.alone.items() for one in group if not one.differences]

    assert not needless


def test_the_application_runs_as_a_process_of_its_own() -> None:
    """As verify.js starts it, with its control calls over HTTP."""

    async def play_apart() -> list[Outcome]:
        async with serving_apart() as target:
            return await replay(target, [one for one in load_transcripts() if one["id"].startswith("race/")])

    outcomes = asyncio.run(play_apart())

    assert outcomes
    assert not [str(one) for one in outcomes if one.differences and declaration_for(one.scenario, DEVIATIONS) is None]
