"""Owns the replay: starts the server under test, plays transcripts against it and says what differs.

    .venv/bin/python -m tests.conformance.replay [--lenient] [--ours all] [--id PART] [--jobs N]

Deviations on purpose are declared, {"scenario id" | "prefix*" | "tag:NAME": "reason"}, and one that no longer
occurs is an error, so that the files cannot outlive their reasons: `deviations.json` under the options that
give Express's behaviour back, `deviations-defaults.json` what our own defaults add to it, each naming the
options that make the difference. A tag declares generated scenarios, those of transcripts yet unseen too;
`deviations-tagged.json` says for which of ours it is there, and no other of ours may differ.
"""

import argparse
import asyncio
import contextlib
import gzip
import json
import logging
import os
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from . import application
from .compare import Difference, compare_step
from .http_client import Client, Cut
from .scenario import HttpControl, Json, Target, play

HERE = Path(__file__).parent
TRANSCRIPTS = ("core", "random-1")
OURS = ("conflict", "clearCookie", "touchAfter", "cacheHeaders", "storeDown")
"""The options with a default that differs from what Express does, and that the generic application can leave alone."""

_NAMED = re.compile(r"\((\w+)\)")

JOBS = 24
START_SECONDS = 60.0


@dataclass
class Outcome:
    """What became of one scenario."""

    scenario: Json
    differences: list[Difference] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The scenario's id."""
        return str(self.scenario["id"])

    def __str__(self) -> str:
        return "\n".join(f"{self.id} {difference}" for difference in self.differences)


@dataclass
class Verdict:
    """Outcomes held against the declared deviations."""

    undeclared: list[Outcome]
    """Scenarios that differ and should not."""
    stale: list[str]
    """Declared deviations that no longer occur."""

    @property
    def ok(self) -> bool:
        """Whether everything is as declared."""
        return not self.undeclared and not self.stale

    def __str__(self) -> str:
        stale = [f"declared deviation that does not occur: {key}" for key in self.stale]
        return "\n".join([*map(str, self.undeclared), *stale])


def load_transcripts(names: Iterable[str] = TRANSCRIPTS, classes: Iterable[str] = ("core", "quirk")) -> list[Json]:
    """The recorded scenarios. Class `node` is left out: it needs Node's own interfaces."""
    scenarios = []
    for name in names:
        with gzip.open(HERE / "transcripts" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            scenarios += [json.loads(line) for line in lines]
    return [scenario for scenario in scenarios if scenario["class"] in set(classes)]


def load_declared(name: str) -> dict[str, str]:
    """A file of declared deviations beside this one."""
    declared: dict[str, str] = json.loads((HERE / name).read_text(encoding="utf-8"))
    return declared


def load_deviations() -> dict[str, str]:
    """`deviations.json` with the scenarios of `deviations-tagged.json` in the place of their tags."""
    declared = load_declared("deviations.json")
    named = {name: declared[tag] for tag, names in load_tagged().items() for name in names}
    return {key: why for key, why in declared.items() if not key.startswith("tag:")} | named


def load_tagged() -> dict[str, list[str]]:
    """By declared tag the recorded scenarios that differ for its reason."""
    tagged: dict[str, list[str]] = json.loads((HERE / "deviations-tagged.json").read_text(encoding="utf-8"))
    return tagged


def declaration_for(scenario: Json, declared: Mapping[str, str]) -> str | None:
    """The key under which a scenario may deviate: its own id, else one of its tags, else a prefix."""
    name: str = scenario["id"]
    if name in declared:
        return name
    for tag in scenario.get("tags", ()):
        if f"tag:{tag}" in declared:
            return f"tag:{tag}"
    return next((key for key in declared if key.endswith("*") and name.startswith(key[:-1])), None)


def concerning(scenarios: Iterable[Json], declared: Mapping[str, str]) -> dict[str, str]:
    """The declared deviations that scenarios may make use of: what is not played cannot be missed."""
    keys = {declaration_for(one, declared) for one in scenarios}
    return {key: why for key, why in declared.items() if key in keys}


def named_options(reason: str) -> frozenset[str]:
    """The options of ours that a reason names, in brackets."""
    return frozenset(_NAMED.findall(reason)) & set(OURS)


def judge(outcomes: Iterable[Outcome], declared: Mapping[str, str]) -> Verdict:
    """Hold the outcomes against the declared deviations.

    A prefix declares every scenario that it covers, so each of them has to differ; a tag only says that one
    may.
    """
    undeclared = []
    stale = dict.fromkeys(declared)
    also_stale = []
    for outcome in outcomes:
        key = declaration_for(outcome.scenario, declared)
        if outcome.differences:
            stale.pop(key or "", None)
            if key is None:
                undeclared.append(outcome)
        elif key is not None and key.endswith("*"):
            also_stale.append(f"{key} for {outcome.id}")
    return Verdict(undeclared, [*stale, *also_stale])


@contextlib.asynccontextmanager
async def serving() -> AsyncIterator[Target]:
    """Serve the generic application in this process: control calls need no HTTP then, which halves the time."""
    server, port = application.listen(0, "127.0.0.1")
    client = Client("127.0.0.1", port)
    try:
        yield Target(client, application.control)
    finally:
        server.stop()
        await client.close()
        await server.close_all_connections()


@contextlib.asynccontextmanager
async def serving_apart() -> AsyncIterator[Target]:
    """Run the generic application as a process of its own, as verify.js does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1"}
    process = await asyncio.create_subprocess_exec(sys.executable, str(HERE / "server.py"), env=environment)
    client = Client("127.0.0.1", port)
    target = Target(client, HttpControl(client))
    try:
        async with asyncio.timeout(START_SECONDS):
            while True:
                try:
                    await target.control("ping", {})
                    break
                except (OSError, Cut):
                    if process.returncode is not None:
                        raise RuntimeError(f"server.py ended with {process.returncode}") from None
                    await asyncio.sleep(0.05)
        yield target
    finally:
        await client.close()
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def replay(
    target: Target, scenarios: Iterable[Json], *, ours: Iterable[str] = (), strict: bool = True, jobs: int = JOBS
) -> list[Outcome]:
    """Play the scenarios, some of them at the same time, and return their outcomes in order.

    `ours` are the options that are left at our defaults; the others are set to Express's behaviour.
    """
    turn = asyncio.Semaphore(jobs)

    async def one(scenario: Json) -> Outcome:
        async with turn:
            return await _play_one(target, scenario, strict, list(ours))

    return list(await asyncio.gather(*map(one, scenarios)))


async def _play_one(target: Target, scenario: Json, strict: bool, ours: list[str]) -> Outcome:
    outcome = Outcome(scenario)
    try:
        got = await play(scenario, target, ours=ours, frozen=True)
    except (RuntimeError, OSError, Cut, TimeoutError, KeyError) as error:
        outcome.differences.append(Difference("-", "exception", None, repr(error)))
        return outcome
    expected, actual = scenario.get("expect_open"), got.get("open_error")
    if expected or actual:
        if not (expected and actual) or (strict and expected["error"] != actual["error"]):
            outcome.differences.append(Difference("open", "open", expected, actual))
        return outcome
    for number, (step, seen) in enumerate(zip(scenario["steps"], got["steps"], strict=True)):
        outcome.differences += compare_step(
            number, step["expect"], seen, step.get("ops", ()), strict=strict, early_commit=True
        )
    return outcome


async def _main() -> int:
    parser = argparse.ArgumentParser(description="Replay express-session's transcripts against the library.")
    parser.add_argument("--lenient", action="store_true", help="without key order, error texts and the shape of ids")
    parser.add_argument("--ours", default="", help=f"options left at our defaults: all, or some of {','.join(OURS)}")
    parser.add_argument("--id", default="", help="only scenarios whose id contains this")
    parser.add_argument("--jobs", type=int, default=JOBS, help="scenarios at the same time")
    parser.add_argument("--json", type=Path, help="write the differing scenarios here")
    args = parser.parse_args()
    logging.disable()
    ours = list(OURS) if args.ours == "all" else [name for name in args.ours.split(",") if name]
    declared = load_deviations()
    scenarios = [scenario for scenario in load_transcripts() if args.id in scenario["id"]]
    if ours:  # what differs under Express's options says nothing about our defaults
        scenarios = [one for one in scenarios if declaration_for(one, declared) is None]
        defaults = load_declared("deviations-defaults.json").items()
        declared = {key: why for key, why in defaults if named_options(why) & set(ours)}
    started = time.monotonic()
    async with serving() as target:
        outcomes = await replay(target, scenarios, strict=not args.lenient, jobs=args.jobs, ours=ours)
    if args.id:
        declared = concerning(scenarios, declared)
    verdict = judge(outcomes, declared)
    if args.json:
        found = {one.id: [vars_of(d) for d in one.differences] for one in outcomes if one.differences}
        args.json.write_text(json.dumps(found, indent=1, default=repr))
    print(verdict)
    print(
        f"{len(outcomes)} scenarios, {sum(bool(one.differences) for one in outcomes)} differ,"
        f" {len(verdict.undeclared)} of them undeclared, {len(verdict.stale)} stale,"
        f" {time.monotonic() - started:.1f} s"
    )
    return 0 if verdict.ok else 1


def vars_of(difference: Difference) -> Json:
    """A difference as JSON."""
    return {name: getattr(difference, name) for name in ("step", "path", "expected", "actual")}


if __name__ == "__main__":
    sys.exit(asyncio.run(_main()))
