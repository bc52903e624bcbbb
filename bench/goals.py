"""Owns the goals of the project, and what a result says of each: reached, missed, undecided or not measured.

A goal is reached if the whole 95 % interval of its figure is on the right side, missed if the whole interval is on
the wrong side, and undecided between. Without enough quiet rounds it is not measured.
"""

from collections.abc import Iterator
from typing import Any

from bench.figures import BARE, ENOUGH, OURS, Cell, Runs, added, bounds, cells, interval, paired, quiet, rate, ratios

SHARE = {"R": 0.80, "W": 0.70, "N": 0.75}  # of bare in requests per second, at 64 connections at least
CPU_ALONE = {"R": 200, "W": 500, "N": 450}  # µs of CPU added to a request at one connection, at most
P50_ALONE = {"R": 1.6}  # times bare's at one connection, at most
BESIDES_FSYNC_MS = 0.5  # of W and N at one connection: p50 over bare's and one fsync, at most
TIMES = {  # requests per second against a peer's: R, W, N
    "express-session, connect-sqlite3": (6, 6, 7),
    "express-session, better-sqlite3": (6, 6, 7),
    "express-session, connect-sqlite3 WAL": (1.6, 1.6, 1.8),
    "express-session, better-sqlite3 WAL": (1.6, 1.6, 1.8),
    "express-session, connect-redis": (1.1, 1.2, 1.8),
    "Django, SQLite": (3, 9, 12),
    "Flask-Session, SQLite": (3, 9, 12),
}
ON_ONE_ENGINE = 1.5  # times the share of bare of every peer on the same Redis or PostgreSQL
INSTRUCTIONS = {"R": 170, "W": 300, "N": 220}  # thousand over bare, at most
GROWTH, UP_TO = 1.5, 1_000_000  # times what a call takes with a thousand sessions in the file, at most; up to so many
PROCESSES = {"R": 1.7, "W": 1.3}  # two against one


def goals(result: dict[str, Any]) -> list[list[str]]:
    """A row for each goal that the result can tell of: what, the goal, what was found, and what that says."""
    found, servers = cells(result), result["servers"]
    rows: list[list[str]] = []
    for workload in sorted({workload for _, workload, _ in found}, key="RWN".index):
        rows += against_bare(found, workload)
        rows += alone(found, workload)
        rows += against_peers(found, workload)
        rows += on_one_engine(found, workload, servers)
        rows += in_a_crowd(found, workload)
    return rows


def at_least(what: str, goal: float, values: list[float], unit: str = "", digits: int = 2) -> list[str]:
    return [what, f"≥ {goal}{unit}", interval(values, digits), verdict([value - goal for value in values])]


def at_most(what: str, goal: float, values: list[float], unit: str = "", digits: int = 2) -> list[str]:
    return [what, f"≤ {goal}{unit}", interval(values, digits), verdict([goal - value for value in values])]


def verdict(above: list[float]) -> str:
    """What the distances above a goal say of it."""
    if len(above) < ENOUGH:
        return "not measured"
    low, high = bounds(tuple(above))
    if low >= 0:
        return "reached"
    return "**missed**" if high < 0 else "undecided"


def against_bare(found: dict[Cell, Runs], workload: str) -> Iterator[list[str]]:
    if ours := found.get((OURS, workload, 64)):
        yield at_least(f"{workload}: share of bare", SHARE[workload], ratios(ours, found[BARE, workload, 64]))


def alone(found: dict[Cell, Runs], workload: str) -> Iterator[list[str]]:
    ours, bare = (found.get((name, workload, 1)) for name in (OURS, BARE))
    if not ours or not bare:
        return
    pairs = paired(ours, bare)
    place = f"{workload}, 1 connection"
    yield at_most(f"{place}: CPU added, µs", CPU_ALONE[workload], added(ours, bare), digits=0)
    if times := P50_ALONE.get(workload):
        yield at_most(f"{place}: p50 against bare's", times, [a["p50_ms"] / b["p50_ms"] for a, b in pairs], "x")
    else:
        rest = [a["p50_ms"] - b["p50_ms"] - a["fsync_us"] / 1000 for a, b in pairs]
        yield at_most(f"{place}: p50 less bare's and one fsync, ms", BESIDES_FSYNC_MS, rest)


def against_peers(found: dict[Cell, Runs], workload: str) -> Iterator[list[str]]:
    ours = found.get((OURS, workload, 64))
    for name, factors in TIMES.items():
        theirs = found.get((name, workload, 64))
        if ours and theirs:
            factor = factors["RWN".index(workload)]
            yield at_least(f"{workload}: requests per second against {name}", factor, ratios(ours, theirs), "x", 1)


def on_one_engine(found: dict[Cell, Runs], workload: str, servers: dict[str, Any]) -> Iterator[list[str]]:
    """Share of bare against that of each peer that keeps its sessions in the same kind of database server."""

    def shares(name: str) -> dict[int, float]:
        runs, bare = found[name, workload, 64], found[servers[name]["bare"], workload, 64]
        return {a["round"]: rate(a) / rate(b) for a, b in paired(runs, bare)}

    def of(engine: str, *, ours: bool) -> list[str]:
        names = (n for n, about in servers.items() if about.get("engine") == engine)
        return [n for n in names if n.startswith("sessions") is ours and (n, workload, 64) in found]

    for engine in dict.fromkeys(about.get("engine") for about in servers.values()):
        for ours in of(engine, ours=True) if engine else ():
            for peer in of(engine, ours=False):
                mine, theirs = shares(ours), shares(peer)
                times = [mine[number] / theirs[number] for number in mine.keys() & theirs.keys()]
                yield at_least(f"{workload}: {ours}: share of bare against {peer}", ON_ONE_ENGINE, times, "x", 1)


def in_a_crowd(found: dict[Cell, Runs], workload: str) -> Iterator[list[str]]:
    if runs := found.get((OURS, workload, 256)):
        crowd = quiet(runs)
        failed = sum(run["errors"] + run["bad_status"] for run in runs)
        what = f"{workload}: p99 / p50 at 256 connections; errors"
        row = at_most(what, 3, [run["p99_ms"] / run["p50_ms"] for run in crowd])
        yield [what, "≤ 3; 0", f"{row[2]}; {failed}", "**missed**" if failed else row[3]]
