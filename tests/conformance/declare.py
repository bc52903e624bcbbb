"""Rewrites deviations-defaults.json from what it observes.

    .venv/bin/python -m tests.conformance.declare

Run it when the library's defaults have changed on purpose. The reason of a scenario names the options; each of them
alone makes the scenario differ. A reason that was written by hand stays as long as it names the same options.
`test_transcripts.py` compares the file, and each reason in it, with the library.
"""

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping

from .replay import (
    HERE,
    OURS,
    declaration_for,
    load_declared,
    load_deviations,
    load_transcripts,
    named_options,
    replay,
    serving,
)
from .scenario import Json

FILE = "deviations-defaults.json"
REASONS = {
    "conflict": "promises 2 and 3 (conflict): parallel changes are merged, an ended session stays ended, an id that"
    " was replaced leaves a tombstone, an assigned cookie attribute is sent at once",
    "clearCookie": "an ended session's cookie is removed from the browser (clearCookie), expressjs/session#241",
    "touchAfter": "promise 5 (touchAfter): no touch before a twentieth of the lifetime has gone",
    "cacheHeaders": "no cache keeps a cookie (cacheHeaders)",
    "storeDown": "while the store is down a visitor with a session gets a 503 and others are served (storeDown)",
}


async def _observe(declared: Mapping[str, str]) -> tuple[list[Json], dict[str, set[str]]]:
    """The scenarios that are Express's under its options, and for those that then differ the options that make them."""
    scenarios = [one for one in load_transcripts() if declaration_for(one, declared) is None]
    causes: dict[str, set[str]] = {}
    async with serving() as target:
        scenarios = [outcome.scenario for outcome in await replay(target, scenarios) if not outcome.differences]
        for option in OURS:
            for outcome in await replay(target, scenarios, ours=[option]):
                if outcome.differences:
                    causes.setdefault(outcome.id, set()).add(option)
        together = await replay(target, scenarios, ours=OURS)
    differing = {outcome.id for outcome in together if outcome.differences}
    return scenarios, {name: options for name, options in causes.items() if name in differing}


def _grouped(reasons: Mapping[str, str], every: Iterable[str]) -> dict[str, str]:
    """The same declarations with a prefix wherever all scenarios that begin with it have one reason."""
    names = list(every)
    grouped: dict[str, str] = {}
    covered = ""
    for name in names:
        if name not in reasons or (covered and name.startswith(covered)):
            continue
        covered = ""
        ends = [i + 1 for i, char in enumerate(name) if char in "/-" and not name.startswith("random")]
        for prefix in (name[:end] for end in ends):
            family = [one for one in names if one.startswith(prefix)]
            if len(family) > 1 and {reasons.get(one) for one in family} == {reasons[name]}:
                covered = prefix
                break
        grouped[f"{covered}*" if covered else name] = reasons[name]
    return grouped


def main() -> None:
    """Observe, explain, write."""
    logging.disable()
    scenarios, causes = asyncio.run(_observe(load_deviations()))
    before = load_declared(FILE)
    reasons = {}
    for scenario in scenarios:
        name = scenario["id"]
        options = causes.get(name)
        if options is None:
            continue
        known = before.get(declaration_for(scenario, before) or "", "")
        stated = "; ".join(REASONS[option] for option in OURS if option in options)
        reasons[name] = known if named_options(known) == options else stated
    grouped = _grouped(reasons, sorted(one["id"] for one in scenarios))
    text = json.dumps(grouped, indent=2, ensure_ascii=False)
    (HERE / FILE).write_text(text + "\n", encoding="utf-8")
    print(f"{len(reasons)} scenarios in {len(grouped)} declarations")


if __name__ == "__main__":
    main()
