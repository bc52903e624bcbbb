"""Owns the goals of the project, and whether a result reaches them."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from bench.figures import BARE, OURS, Cell, cells, ratios, spread

# The goals of the project at 64 connections: share of bare, CPU added, and how many times as fast as others.
SHARE = {"R": (0.70, 0.80), "W": (0.60, 0.70), "N": (0.65, 0.80)}
CPU = {"R": (75, 55), "W": (100, 75), "N": (50, 35)}
TIMES = {
    "express-session, connect-sqlite3": (6, 6, 7),
    "express-session, better-sqlite3": (6, 6, 7),
    "express-session, connect-sqlite3 WAL": (1.6, 1.6, 1.8),
    "express-session, better-sqlite3 WAL": (1.6, 1.6, 1.8),
    "express-session, connect-redis": (1.1, 1.2, 1.8),
    "Django, SQLite": (3, 9, 12),
    "Flask-Session, SQLite": (3, 9, 12),
}


# Our store, the peer on the same engine, and how many times its share of bare (or its requests per second) we want.
SHARES_OF = {
    ("sessions, Redis", "express-session, connect-redis"): (1, 1, 1),
    ("sessions, Redis", "aiohttp-session, Redis"): (1, 1, 1),
    ("sessions, Redis", "starsessions, Redis"): (1, 1, 1),
}
RATES_OF = {("sessions, PostgreSQL", "express-session, connect-pg-simple"): (2, 2, 1)}
INSTRUCTIONS = {"R": 180, "W": 390, "N": 250}  # thousand over bare, at most
PROCESSES = {"R": 1.7, "W": 1.3}  # two against one

Runs = dict[Cell, list[dict[str, Any]]]


def goals(result: dict[str, Any], connections: int = 64) -> list[list[str]]:
    """A row for each goal that the result can tell of: what, the goal, what was reached, and whether that is enough."""
    found = cells(result)
    if (OURS, "R", connections) not in found:
        return []
    rows: list[list[str]] = []
    for workload in sorted({workload for _, workload, _ in found}, key="RWN".index):
        rows += against_bare(found, workload, connections)
        rows += against_peers(found, workload, connections)
        rows += on_one_engine(found, workload, connections, {n: s["bare"] for n, s in result["servers"].items()})
        rows += in_a_crowd(found, workload)
    return rows


def verdict(reached: bool) -> str:
    return "yes" if reached else "**no**"


def times_row(what: str, times: list[float], factor: float) -> list[str]:
    return [what, f"≥ {factor}x", spread(times, 1), verdict(median(times) >= factor)]


def against_bare(found: Runs, workload: str, connections: int) -> Iterator[list[str]]:
    ours, bare = found[OURS, workload, connections], found[BARE, workload, connections]
    shares = ratios(ours, bare)
    goal, target = SHARE[workload]
    yield [f"{workload}: share of bare", f"≥ {goal}, target {target}", spread(shares), verdict(median(shares) >= goal)]
    cost = [a["cpu_us"] - b["cpu_us"] for a, b in zip(ours, bare, strict=True)]
    most, aim = CPU[workload]
    yield [f"{workload}: CPU added, µs", f"≤ {most}, target {aim}", spread(cost, 0), verdict(median(cost) <= most)]


def against_peers(found: Runs, workload: str, connections: int) -> Iterator[list[str]]:
    for name, factors in TIMES.items():
        if theirs := found.get((name, workload, connections)):
            times = ratios(found[OURS, workload, connections], theirs)
            factor = factors["RWN".index(workload)]
            yield times_row(f"{workload}: requests per second against {name}", times, factor)


def on_one_engine(found: Runs, workload: str, connections: int, bare: dict[str, str]) -> Iterator[list[str]]:
    for engine, what in ((SHARES_OF, "share of bare"), (RATES_OF, "requests per second")):
        for (ours, peer), factors in engine.items():
            pair = [found.get((name, workload, connections)) for name in (ours, peer)]
            if not pair[0] or not pair[1]:
                continue
            times = ratios(pair[0], pair[1])
            if engine is SHARES_OF:
                shares = [
                    ratios(found[n, workload, connections], found[bare[n], workload, connections]) for n in (ours, peer)
                ]
                times = [a / b for a, b in zip(*shares, strict=True)]
            yield times_row(f"{workload}: {ours}: {what} against {peer}", times, factors["RWN".index(workload)])


def in_a_crowd(found: Runs, workload: str) -> Iterator[list[str]]:
    if crowd := found.get((OURS, workload, 256)):
        tails = [run["p99_ms"] / run["p50_ms"] for run in crowd]
        failed = sum(run["errors"] + run["bad_status"] for run in crowd)
        label = f"{workload}: p99 / p50 at 256 connections; errors"
        yield [label, "< 3; 0", f"{spread(tails, 1)}; {failed}", verdict(median(tails) < 3 and not failed)]
