"""Owns the command: `python -m tests.lab.mutants [WORD ...]` tries the mutants, those with one of the words in the name.

Of each it prints the promise, the name (which begins with the rows of docs/security.md that it breaks) and the test
that has noticed; a mutant that survives shows a promise that no test holds. The tests run in the working tree, which is
only read: a mutant is made in the process (site/).
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from .. import ROOT
from .mutant import Mutant, Stale
from .tables import MUTANTS

SITE = Path(__file__).parent / "site"

AT_ONCE = 2
SECONDS = 180
"""How long the tests of one mutant may take; those of all without a mutant, five times as long."""

PASSED, FAILED = 0, 1
"""Exit statuses of pytest."""


class Run(NamedTuple):
    """What pytest said."""

    status: int | None
    """None: it took too long."""
    failed: list[str]
    """The tests that failed, in that order."""
    output: str


def run(tests: Iterable[str], *arguments: str, name: str | None = None, seconds: float = SECONDS) -> Run:
    """Run tests, with a mutant or without one."""
    mutated = {} if name is None else {"MUTANT": name, "PYTHONPATH": str(SITE)}
    options = ["-q", "-rfE", "--tb=short", "-p", "no:cacheprovider", "--hypothesis-profile=unshrunk"]
    command = [sys.executable, "-m", "pytest", *options, *arguments]
    try:
        done = subprocess.run(
            [*command, *(f"tests/{each}" for each in tests)], cwd=ROOT, env={**os.environ, **mutated}, timeout=seconds,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Run(None, [], "")
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED tests/", "ERROR tests/"))]
    return Run(done.returncode, [line.partition(" ")[2].partition(" - ")[0] for line in lines], done.stdout)


class Verdict(NamedTuple):
    """What became of a mutant."""

    is_caught: bool
    words: str


def staleness(mutant: Mutant) -> str:
    """Why a mutant cannot be tried; "" when it can."""
    try:
        mutant.check()
    except Stale as stale:
        return f"STALE: {stale}"
    return ""


def trial(mutant: Mutant, stale: str, left_out: list[str]) -> Verdict:
    """Let the tests of a mutant look at it."""
    if stale:
        return Verdict(is_caught=False, words=stale)
    found = run(mutant.tests.split(), "-x", *(f"--deselect={each}" for each in left_out), name=mutant.name)
    if found.status == FAILED and found.failed:
        return Verdict(is_caught=True, words=found.failed[0].removeprefix("tests/"))
    if found.status == PASSED:
        return Verdict(is_caught=False, words=f"SURVIVED {mutant.tests}")
    if found.status is None:
        return Verdict(is_caught=False, words=f"HUNG in {mutant.tests}")
    return Verdict(is_caught=False, words=f"BROKEN: pytest ended with {found.status}\n{found.output[-2_000:]}")


def main(chosen_by: list[str]) -> int:
    """Try the mutants, and say of each what became of it. Returns 0 where every one was caught."""
    begun = time.monotonic()
    mutants = [each for each in MUTANTS if not chosen_by or any(word in each.name for word in chosen_by)]
    tests = sorted({test for mutant in mutants for test in mutant.tests.split()})
    if not tests:
        print(f"no mutant's name holds any of {chosen_by}")
        return 1
    sound = run(tests, seconds=5 * SECONDS)
    if sound.status not in (PASSED, FAILED):
        print(f"{sound.output}\nthe tests cannot be run without a mutant; pytest ended with {sound.status}")
        return 1
    for test in sound.failed:
        print(f"fails without a mutant, left out: {test}")
    print(f"{len(tests)} tests and files of tests without a mutant: {time.monotonic() - begun:.0f} s", flush=True)
    uncaught, stale = 0, [staleness(mutant) for mutant in mutants]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        verdicts = pool.map(lambda mutant, why: trial(mutant, why, sound.failed), mutants, stale)
        for mutant, verdict in zip(mutants, verdicts, strict=True):
            uncaught += not verdict.is_caught
            print(f"{mutant.promise}  {mutant.name:<64}  {verdict.words}", flush=True)
    print(f"{len(mutants)} mutants, {uncaught} not caught, {time.monotonic() - begun:.0f} s")
    return 1 if uncaught or sound.failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
