"""Owns the sentences with figures in docs/performance.md and docs/scaling.md: bench/results gives the figures.

A sentence without figures, or with too few quiet rounds, says "Not measured yet."
"""

import json
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.figures import BARE, ENOUGH, OURS, RESULTS, Runs, cells, interval, is_quiet, quiet, rate, ratios


class NotMeasuredError(Exception):
    """There are no results, or too few quiet rounds."""


def result(name: str) -> dict[str, Any]:
    file = RESULTS / f"{name}.json"
    if not file.exists():
        raise NotMeasuredError
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def enough(values: list[float]) -> list[float]:
    if len(values) < ENOUGH:
        raise NotMeasuredError
    return values


def middle(runs: Runs, key: str) -> float:
    return median(enough([run[key] for run in quiet(runs)]))


def how_fast() -> str:
    found = cells(result("tornado"))
    r, w, n = (interval(enough(ratios(found[OURS, x, 64], found[BARE, x, 64]))) for x in "RWN")
    ours, bare = (median(enough(list(map(rate, quiet(found[name, "R", 64]))))) for name in (OURS, BARE))
    return (
        "With sessions on SQLite, each change on the disk before the answer, this much of bare Tornado's requests per "
        f"second is left at 64 connections: {r} for a read, {w} for a change, {n} for a new visitor. One core of the "
        f"machine below does {ours:,.0f} reads a second, and {bare:,.0f} requests without sessions."
    )


def alone() -> str:
    found = cells(result("tornado"))
    r, w, n = (middle(found[OURS, x, 1], "p50_ms") for x in "RWN")
    bare, fsync = (middle(found[BARE, "R", 1], key) for key in ("p50_ms", "fsync_us"))
    return (
        f"shares its commit with no other, and waits for the disk's fsync ({fsync / 1000:.1f} ms here). At one "
        f"connection a read takes {r:.1f} ms, a change {w:.1f}, a new visitor {n:.1f} (medians); a request without "
        f"sessions {bare:.1f}."
    )


def how_large() -> str:
    cost = {(row["verb"], row["size"]): row["wall_us"] for row in result("sizes")["sizes"]}
    small, large = (
        tuple(f"{cost[verb, size] / 1000:.1f}" for verb in ("read", "update, longer")) for size in (1_000, 1_000_000)
    )
    return (
        "The whole session is read with each request and written with each change. A lone call of the store reads "
        f"1 kB in {small[0]} ms and writes it in {small[1]}; 1 MB takes {large[0]} and {large[1]} ms. Keep sessions "
        'under 10 kB; a large one works, and takes turns with others ("Large sessions").'
    )


def growth(verb: str, size: int) -> float:
    measured = result("growth")["growth"]
    found = [m[verb] for m in measured if m["size"] == size and m.get("together") == 64 and is_quiet(m)]
    return median(enough(found))


def how_many() -> str:
    measured = result("growth")["growth"]
    few, many = (pick(m["size"] for m in measured) for pick in (min, max))
    lookup, commit = ([growth(verb, size) for size in (few, many)] for verb in ("lookup", "commit"))
    weight = next((m for m in measured if m["size"] == many and "bytes per session" in m), None)
    if weight is None:
        raise NotMeasuredError
    return (
        f"From {few:,} sessions in the file to {many:,}, a lookup goes from {lookup[0]:,.0f} to {lookup[1]:,.0f} µs of "
        f"a batch of 64, and a commit from {commit[0]:,.0f} to {commit[1]:,.0f}. A small session takes "
        f"{weight['bytes per session']} bytes of the disk; the process has {weight['memory KiB'] / 1024:.0f} MiB of "
        f"memory then, and {weight['bare KiB'] / 1024:.0f} without sessions."
    )


def ten_million() -> str:
    """One round, whatever else the machine did: that it works, and how long it takes about."""
    found = result("growth_ten_million")
    size = max(m["size"] for m in found["growth"])
    of = [m for m in found["growth"] if m["size"] == size]
    store = next(m for m in of if m.get("together") == 64)
    weight = next(m for m in of if "bytes per session" in m)
    load, size_gb = found["machine"]["load before"], size * weight["bytes per session"] / 1e9
    memory = weight["memory KiB"] / 1024
    return (
        f"Tried once with {size:,} sessions (load before: {load}): a lookup takes {store['lookup']:,.0f} µs of a "
        f"batch of 64, a commit {store['commit']:,.0f}. The file has {size_gb:.1f} GB, the process {memory:.0f} MiB."
    )


def two_processes() -> str:
    measured = result("processes")["processes"]

    def times(workload: str) -> str:
        one, two = (
            [m for m in measured if (m["server"], m["workload"], m["workers"]) == (OURS, workload, n)] for n in (1, 2)
        )
        return interval(enough(ratios(two, one)))

    return (
        f"`workers = 2` does {times('R')} times the reads of one process, and {times('W')} times the changes: SQLite "
        "commits one transaction at a time."
    )


def lines() -> str:
    """The first lines of docs/performance.md: how fast, how large, how many."""
    said: dict[str, Callable[[], str]] = {
        "How fast.": how_fast,
        "A lone request": alone,
        "How large.": how_large,
        "How many.": how_many,
        "More than one core:": two_processes,
    }
    return "\n".join(f"- **{title}** {sentence(say)}" for title, say in said.items())


def sentence(say: Callable[[], str]) -> str:
    try:
        return say()
    except NotMeasuredError:
        return "Not measured yet."


def stores() -> str:
    """The rates of one process and of two, for docs/scaling.md."""
    try:
        measured = result("processes")
    except NotMeasuredError:
        return "Not measured yet."
    runs = measured["processes"]

    def rates(server: str, workload: str) -> str:
        each = (
            [m for m in runs if (m["server"], m["workload"], m["workers"]) == (server, workload, n)] for n in (1, 2)
        )
        found = [quiet(of) for of in each]
        if min(map(len, found)) < ENOUGH:
            return "not measured"
        return " / ".join(f"{median(map(rate, of)):,.0f}" for of in found)

    failed = sum(m["errors"] + m["bad_status"] for m in runs)
    head = ["| store | R, one / two | W, one / two | N, one / two |", "|---|---|---|---|"]
    rows = [
        f"| {server.removeprefix('sessions, ')} | {' | '.join(rates(server, w) for w in 'RWN')} |"
        for server in dict.fromkeys(m["server"] for m in runs)
    ]
    about = measured["machine"]
    return "\n".join(
        [*head, *rows, "", f"Version {about['version']}, {about['date']}. {failed or 'No'} requests failed."]
    )


def sweep() -> str:
    """How long a sweep took, for docs/scaling.md."""
    measured = result("sweep")["sweep"]
    calm, busy = (
        median(window["p99_ms"] for part in parts for window in measured[part])
        for parts in (("before", "after"), ("during",))
    )
    number, seconds = measured["expired"], measured["seconds"]
    return (
        f"**Sweep.** Under load, {number:,} of {number + measured['live']:,} sessions were deleted in {seconds:.0f} "
        f"seconds, {number / seconds:,.0f} a second; the sweeper takes half of the time at most. The p99 of the "
        f"requests was {busy / calm:.2f} times the p99 without a sweep."
    )
