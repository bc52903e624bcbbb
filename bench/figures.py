"""Owns the arithmetic of a result: its runs by cell, rates, ratios within a round, and a median with its spread."""

import json
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

OURS = "sessions, SQLite full"
BARE = "tornado bare"
RESULTS = Path(__file__).parent / "results"
Cell = tuple[str, str, int]  # server, workload, connections


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


def ratios(runs: list[dict[str, Any]], against: list[dict[str, Any]]) -> list[float]:
    """Requests per second against another server's in the same round."""
    return [rate(a) / rate(b) for a, b in zip(runs, against, strict=True)]


def spread(values: Iterable[float], digits: int = 2) -> str:
    """The median, and from the smallest to the largest."""
    seen = sorted(values)
    return f"{median(seen):.{digits}f} ({seen[0]:.{digits}f}–{seen[-1]:.{digits}f})"  # noqa: RUF001 - a range
