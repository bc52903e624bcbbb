"""859 recorded scenarios of express-session's behaviour, on the wire and in the store, held against the library.

Under the options that give Express's behaviour back, then with our own defaults, and then every declared
reason by itself. The comparison is the strict one: key order in the store, texts of errors and the shape of
ids count too.
"""

import asyncio
from collections.abc import Iterable
from functools import cache
from itertools import chain

import pytest

from .replay import (
    OURS,
    Outcome,
    concerning,
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
from .scenario import Json

DEVIATIONS = load_deviations()
DEFAULTS = load_declared("deviations-defaults.json")

SHARDS = 8
each_shard = pytest.mark.parametrize("shard", range(SHARDS))
"""Every eighth scenario, so that processes can share the work. A failure tells the scenarios by their ids."""

recorded = cache(load_transcripts)


def undeclared() -> list[Json]:
    """The scenarios that do not differ under Express's options: the others say nothing about our defaults."""
    return [one for one in recorded() if declaration_for(one, DEVIATIONS) is None]


def played(scenarios: Iterable[Json], ours: Iterable[str] = ()) -> list[Outcome]:
    """The outcomes of scenarios, with these options at our defaults and the others as in Express."""

    async def play() -> list[Outcome]:
        async with serving() as target:
            return await replay(target, scenarios, ours=ours)

    return asyncio.run(play())


def by_named_options(shard: int) -> dict[frozenset[str], list[Json]]:
    """By the options that are said to make the difference: a shard's scenarios that differ with our defaults."""
    groups: dict[frozenset[str], list[Json]] = {}
    for one in undeclared()[shard::SHARDS]:
        if (key := declaration_for(one, DEFAULTS)) is not None:
            groups.setdefault(named_options(DEFAULTS[key]), []).append(one)
    return groups


@each_shard
def test_with_its_options_the_library_does_what_express_session_does(shard: int) -> None:
    """What differs is declared, and what is declared differs."""
    scenarios = recorded()[shard::SHARDS]
    verdict = judge(played(scenarios), concerning(scenarios, DEVIATIONS))

    assert verdict.ok, str(verdict)


@each_shard
def test_with_our_defaults_only_the_promises_make_a_difference(shard: int) -> None:
    """What differs is declared, and what is declared differs."""
    scenarios = undeclared()[shard::SHARDS]
    verdict = judge(played(scenarios, OURS), concerning(scenarios, DEFAULTS))

    assert verdict.ok, str(verdict)


@each_shard
def test_every_reason_names_the_options_that_make_the_difference(shard: int) -> None:
    """With the named options set to Express's behaviour, and all others at our defaults, nothing differs."""
    groups = by_named_options(shard)
    outcomes = [played(group, [one for one in OURS if one not in named]) for named, group in groups.items()]
    verdict = judge(chain(*outcomes), {})

    assert all(groups)
    assert verdict.ok, str(verdict)


@each_shard
def test_no_reason_names_an_option_that_makes_no_difference(shard: int) -> None:
    """Each of several named options makes a difference without the others."""
    needless = [
        f"{option}: {one.id}"
        for named, group in by_named_options(shard).items()
        for option in (named if len(named) > 1 else ())
        for one in played(group, [each for each in OURS if each == option or each not in named])
        if not one.differences
    ]

    assert not needless


def test_every_declaration_concerns_a_recorded_scenario() -> None:
    """One that concerns none would be missed in no shard."""
    assert concerning(recorded(), DEVIATIONS) == DEVIATIONS
    assert concerning(undeclared(), DEFAULTS) == DEFAULTS


def test_the_declared_tags_cover_what_is_named_under_them_and_none_is_needless() -> None:
    """So verify.js, which reads deviations.json alone, finds nothing undeclared."""
    declared, tagged = load_declared("deviations.json"), load_tagged()
    scenarios = {scenario["id"]: scenario for scenario in recorded()}

    assert {key for key in declared if key.startswith("tag:")} == {tag for tag, names in tagged.items() if names}
    for tag, names in tagged.items():
        assert not [name for name in names if tag.removeprefix("tag:") not in scenarios[name]["tags"]]


def test_the_application_runs_as_a_process_of_its_own() -> None:
    """As verify.js starts it, with its control calls over HTTP."""

    async def play_apart() -> list[Outcome]:
        async with serving_apart() as target:
            return await replay(target, [one for one in recorded() if one["id"].startswith("race/")])

    outcomes = asyncio.run(play_apart())

    assert outcomes
    assert not [str(one) for one in outcomes if one.differences and declaration_for(one.scenario, DEVIATIONS) is None]
