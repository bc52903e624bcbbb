"""Owns the arithmetic of a result: its runs by cell, ratios within a round, and a median with its interval.

A run counts if the machine was quiet while it went on, and a median is given if enough rounds count.
"""

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from statistics import median, quantiles
from typing import Any

OURS = "sessions, SQLite full"
BARE = "tornado bare"
RESULTS = Path(__file__).parent / "results"
Cell = tuple[str, str, int]  # server, workload, connections
Runs = list[dict[str, Any]]
QUIET = 0.25
"""Cores that others may have during a run that counts: other processes' user time, and what other machines took."""
ENOUGH = 5
"""Rounds that have to count: the 95 % interval of a median of fewer values is no wider than the values."""


def save(result: dict[str, Any], path: Path) -> None:
    """As JSON with a line for each measurement."""
    path.parent.mkdir(exist_ok=True)
    text = json.dumps(result, indent=1, ensure_ascii=False)
    lines = re.sub(r"\n {3,}(?=\S)|\n {2}(?=[}\]],?\n)", " ", text)
    path.write_text(lines + "\n", "utf-8")


def cells(result: dict[str, Any]) -> dict[Cell, list[dict[str, Any]]]:
    """The runs of each cell, one for each round, in the order of the rounds."""
    found: dict[Cell, list[dict[str, Any]]] = defaultdict(list)
    for run in result["runs"]:
        found[run["server"], run["workload"], run["connections"]].append(run)
    return found


def rate(run: dict[str, Any]) -> float:
    return float(run["requests"] / run["seconds"])


def paired(runs: Runs, against: Runs) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """The two runs of each round in which the machine was quiet for both."""
    other = {run["round"]: run for run in against if is_quiet(run)}
    return [(run, other[run["round"]]) for run in runs if is_quiet(run) and run["round"] in other]


def is_quiet(run: dict[str, Any]) -> bool:
    """A run of 0.1.0 does not say what others did: it is taken as it is, and its table names the version."""
    return bool(run.get("others", 0) <= QUIET)


def quiet(runs: Runs) -> Runs:
    return [run for run in runs if is_quiet(run)]


def ratios(runs: Runs, against: Runs) -> list[float]:
    """Requests per second against another server's in the same round."""
    return [rate(a) / rate(b) for a, b in paired(runs, against)]


def added(runs: Runs, bare: Runs) -> list[float]:
    """Microseconds of CPU per request over the bare server's in the same round."""
    return [a["cpu_us"] - b["cpu_us"] for a, b in paired(runs, bare)]


def spread(values: Iterable[float], digits: int = 2) -> str:
    """The median, and from the smallest to the largest."""
    seen = sorted(values)
    return f"{median(seen):.{digits}f} ({seen[0]:.{digits}f}–{seen[-1]:.{digits}f})"  # noqa: RUF001 - a range


@cache
def bounds(values: tuple[float, ...]) -> tuple[float, float]:
    """The 95 % interval of the median, by the percentile bootstrap; the same values always give the same interval."""
    chance = random.Random(0)
    medians = [median(chance.choices(values, k=len(values))) for _ in range(2000)]
    cuts = quantiles(medians, n=40, method="inclusive")
    return cuts[0], cuts[-1]


def interval(values: list[float], digits: int = 2) -> str:
    """The median and its interval, if enough rounds count."""
    if len(values) < ENOUGH:
        return f"not measured ({len(values)} quiet rounds)"
    low, high = bounds(tuple(values))
    return f"{median(values):.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"  # noqa: RUF001 - a range
