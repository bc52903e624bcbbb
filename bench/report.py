"""Tables from results: medians with their spread, as shares of the bare server of the same round. JSON to Markdown.

`python -m bench.report bench/results/peers.json` prints the tables of a run again.
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable
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


def table(head: list[str], rows: Iterable[list[str]]) -> None:
    print("|", " | ".join(head), "|")
    print("|" + "---|" * len(head))
    for row in rows:
        print("|", " | ".join(row), "|")
    print()


def print_machine(result: dict[str, Any]) -> None:
    print(
        "; ".join(f"{key}: {value}" for key, value in (result["machine"] | result.get("settings", {})).items()),
        "\n",
    )


def print_run(result: dict[str, Any]) -> None:
    found = cells(result)
    servers = result["servers"]
    connections = sorted({c for _, _, c in found})
    workloads = [w for w in "RWN" if any(w == workload for _, workload, _ in found)]
    print_machine(result)

    def added(name: str, workload: str, count: int) -> str:
        bare = found[servers[name]["bare"], workload, count]
        cost = [a["cpu_us"] - b["cpu_us"] for a, b in zip(found[name, workload, count], bare, strict=True)]
        engine = median(run["engine_us"] for run in found[name, workload, count])
        return spread(cost, 0) + (f" + {engine:.0f} in the engine" if engine else "")

    def share(name: str, workload: str, count: int) -> str:
        runs = found[name, workload, count]
        speed = f"{median(map(rate, runs)):,.0f}"
        failed = sum(run["errors"] + run["bad_status"] for run in runs)
        if servers[name]["bare"] != name:
            speed = f"**{spread(ratios(runs, found[servers[name]['bare'], workload, count]))}** {speed}"
        return speed + (f", {failed:,} errors" if failed else "")

    def latency(name: str, workload: str, count: int) -> str:
        runs = found[name, workload, count]
        return f"{median(r['p50_ms'] for r in runs):.1f} / {median(r['p99_ms'] for r in runs):.1f}"

    def matrix(title: str, cell: Callable[[str, str, int], str], names: list[str]) -> None:
        for count in connections:
            print(f"### {title}, {count} connection{'s' if count > 1 else ''}\n")
            table(["server", *workloads], ([n, *(cell(n, w, count) for w in workloads)] for n in names))

    with_sessions = [name for name in servers if servers[name]["bare"] != name]
    print("### What was measured\n")
    ignored = ("bare", "durability", "memory KiB")
    table(
        ["server", "durability", "versions", "memory MiB"],
        (
            [
                name,
                about["durability"],
                ", ".join(f"{key} {value}" for key, value in about.items() if key not in ignored),
                f"{about['memory KiB'] / 1024:.0f}",
            ]
            for name, about in servers.items()
        ),
    )
    matrix("Share of the same server without sessions, and requests per second", share, list(servers))
    matrix("CPU added to a request, µs", added, with_sessions)
    matrix("p50 / p99 of the requests, ms", latency, list(servers))
    for name, reason in result["not measured"].items():
        print(f"Not measured: {name} ({reason})\n")
    print_goals(result)


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


def print_goals(result: dict[str, Any], connections: int = 64) -> None:
    found = cells(result)
    if (OURS, "R", connections) not in found:
        return

    def verdict(value: float, goal: float, *, at_most: bool = False) -> str:
        return "yes" if (value <= goal if at_most else value >= goal) else "**no**"

    rows = []
    for workload in "RWN":
        ours, bare = found[OURS, workload, connections], found[BARE, workload, connections]
        if not ours:
            continue
        shares = ratios(ours, bare)
        goal, target = SHARE[workload]
        rows.append(
            [
                f"{workload}: share of bare",
                f"≥ {goal}, target {target}",
                spread(shares),
                verdict(median(shares), goal),
            ]
        )
        cost = [a["cpu_us"] - b["cpu_us"] for a, b in zip(ours, bare, strict=True)]
        most, aim = CPU[workload]
        reached = verdict(median(cost), most, at_most=True)
        rows.append([f"{workload}: CPU added, µs", f"≤ {most}, target {aim}", spread(cost, 0), reached])
        for name, goals in TIMES.items():
            if not found.get((name, workload, connections)):
                continue
            times = ratios(ours, found[name, workload, connections])
            factor = goals["RWN".index(workload)]
            label = f"{workload}: requests per second against {name}"
            rows.append([label, f"≥ {factor}x", spread(times, 1), verdict(median(times), factor)])
        crowd = found.get((OURS, workload, 256), [])
        if crowd:
            tails = [run["p99_ms"] / run["p50_ms"] for run in crowd]
            failed = sum(run["errors"] + run["bad_status"] for run in crowd)
            label = f"{workload}: p99 / p50 at 256 connections; errors"
            value = f"{spread(tails, 1)}; {failed}"
            rows.append([label, "< 3; 0", value, "yes" if median(tails) < 3 and not failed else "**no**"])
    print(f"### Goals ({OURS}, {connections} connections where nothing else is said)\n")
    table(["", "goal", "median (spread)", "reached"], rows)


INSTRUCTIONS = {"R": 180, "W": 390, "N": 250}  # thousand over bare, at most


def print_instructions(result: dict[str, Any]) -> None:
    bare = result["servers"][BARE]
    print_machine(result)

    def cell(counts: dict[str, float], workload: str) -> str:
        if workload not in counts:
            return ""
        total = f"{counts[workload] / 1000:,.0f}"
        return total if counts is bare else f"{total} (**{(counts[workload] - bare[workload]) / 1000:+,.0f}**)"

    print("### Instructions per request in user space, thousand (over bare)\n")
    rows = [[name, *(cell(counts, w) for w in "RWN")] for name, counts in result["servers"].items()]
    rows.append([f"goal of {OURS}", *(f"≤ +{INSTRUCTIONS[w]}" for w in "RWN")])
    table(["server", "R", "W", "N"], rows)


def print_scale(result: dict[str, Any]) -> None:
    print_machine(result)
    if "growth" in result:
        print_growth(result["growth"])
    if "sweep" in result:
        print_sweep(result["sweep"])
    if "processes" in result:
        print_processes(result["processes"])


def print_growth(measured: list[dict[str, Any]]) -> None:
    def values(size: int, key: str, **where: Any) -> list[float]:
        return [m[key] for m in measured if m["size"] == size and key in m and where.items() <= m.items()]

    rows = []
    for size in sorted({m["size"] for m in measured}):
        (on_disk,), (memory,), (bare,) = (values(size, k) for k in ("bytes per session", "memory KiB", "bare KiB"))
        times = [spread(values(size, verb, together=n), 0) for n in (1, 64) for verb in ("lookup", "commit")]
        shares = [spread(values(size, "share", workload=w)) for w in "RW"]
        rows.append([f"{size:,}", *times, *shares, f"{on_disk}", f"{memory / 1024:.0f} (bare: {bare / 1024:.0f})"])
    print("### Sessions in the file\n")
    store = [f"{verb}, µs, {n} at once" for n in (1, 64) for verb in ("lookup", "commit")]
    shares = ["R: share of bare", "W: share of bare"]
    table(["sessions", *store, *shares, "bytes per session", "memory, MiB"], rows)


def print_sweep(sweep: dict[str, Any]) -> None:
    def row(label: str, windows: list[dict[str, Any]]) -> list[str]:
        failed = sum(w["errors"] + w["bad_status"] for w in windows)
        tails = [spread((w[key] for w in windows), 1) for key in ("p50_ms", "p99_ms")]
        return [
            label,
            *tails,
            f"{max(w['max_ms'] for w in windows):.0f}",
            f"{median(map(rate, windows)):,.0f}",
            f"{failed}",
        ]

    calm = sweep["before"] + sweep["after"]
    print(f"### Sweeping {sweep['expired']:,} of {sweep['live'] + sweep['expired']:,} sessions under load\n")
    head = [
        f"W at {sweep['connections']} connections",
        "p50, ms",
        "p99, ms",
        "longest, ms",
        "requests per second",
        "errors",
    ]
    table(head, [row("without the sweep", calm), row("during the sweep", sweep["during"])])
    times = median(w["p99_ms"] for w in sweep["during"]) / median(w["p99_ms"] for w in calm)
    mib = {key: f"{size / 2**20:.0f} MiB" for key, size in sweep["bytes"].items()}
    print(f"p99 during the sweep: **{times:.2f}** times that without (goal: at most 2). The sweep took", end=" ")
    print(f"{sweep['seconds']:.0f} s. The file: {mib['filled']}; {mib['swept']} after the sweep;", end=" ")
    print(f"{mib['with new sessions']} with {sweep['new sessions']:,} new sessions in the freed pages;", end=" ")
    print(f"{mib['vacuumed']} after `VACUUM`, which took {sweep['vacuum seconds']:.1f} s.\n")


PROCESSES = {"R": 1.7, "W": 1.3}


def print_processes(measured: list[dict[str, Any]]) -> None:
    rows = []
    for workload in "RWN":
        one, two = ([m for m in measured if m["workers"] == n and m["workload"] == workload] for n in (1, 2))
        failed = sum(m["errors"] + m["bad_status"] for m in one + two)
        speeds = [f"{median(map(rate, runs)):,.0f}" for runs in (one, two)]
        tails = [f"{median(m['p99_ms'] for m in runs):.1f}" for runs in (one, two)]
        goal = f"≥ {PROCESSES[workload]}" if workload in PROCESSES else ""
        cores = [f"{busy(one, cost):.2f} / {busy(two, cost):.2f}" for cost in ("cpu_us", "wrk_us")]
        rows.append([workload, *speeds, spread(ratios(two, one)), goal, *cores, " / ".join(tails), f"{failed}"])
    print("### Two processes on two cores, which wrk shares\n")
    cores = ["cores the server kept busy, one / two", "cores wrk kept busy"]
    table(["", "one, requests per second", "two", "ratio", "goal", *cores, "p99, ms, one / two", "errors"], rows)


def busy(runs: list[dict[str, Any]], cost: str) -> float:
    """How many cores: CPU seconds per second."""
    return median(rate(run) * run[cost] / 1e6 for run in runs)


def print_result(result: dict[str, Any]) -> None:
    """The tables of any result."""
    next(printer for key, printer in PRINTERS.items() if key in result)(result)


PRINTERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "runs": print_run,
    "servers": print_instructions,
    **dict.fromkeys(("growth", "sweep", "processes"), print_scale),
}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print_result(json.loads(Path(name).read_text()))
