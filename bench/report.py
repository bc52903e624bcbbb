"""Tables from results, in Markdown: medians with their intervals, as shares of the bare server of the same round.

`python -m bench.report bench/results/peers.json` prints the tables of a run again.
"""

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import (
    BARE,
    ENOUGH,
    OURS,
    QUIET,
    Runs,
    added,
    cells,
    interval,
    is_quiet,
    quiet,
    rate,
    ratios,
    spread,
)
from bench.goals import INSTRUCTIONS, PROCESSES, goals, verdict


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
    print_quiet(result)

    def of_bare(name: str, workload: str, count: int) -> Runs:
        return found[servers[name]["bare"], workload, count]

    def cost(name: str, workload: str, count: int) -> str:
        runs = found[name, workload, count]
        engine = median(run["engine_us"] for run in runs)
        over = interval(added(runs, of_bare(name, workload, count)), 0)
        return over + (f" + {engine:.0f} in the engine" if engine else "")

    def share(name: str, workload: str, count: int) -> str:
        runs = found[name, workload, count]
        counted = quiet(runs)
        failed = sum(run["errors"] + run["bad_status"] for run in runs)
        parts = (
            [] if servers[name]["bare"] == name else [f"**{interval(ratios(runs, of_bare(name, workload, count)))}**"]
        )
        if len(counted) >= ENOUGH:
            parts += [f"{median(map(rate, counted)):,.0f}/s", f"{median(run['cpu_us'] for run in counted):,.0f} µs"]
        parts += [f"{failed:,} errors"] if failed else []
        return ", ".join(parts) or "not measured"

    def latency(name: str, workload: str, count: int) -> str:
        runs = quiet(found[name, workload, count])
        if len(runs) < ENOUGH:
            return "not measured"
        return f"{median(r['p50_ms'] for r in runs):.2f} / {median(r['p99_ms'] for r in runs):.1f}"

    def matrix(title: str, cell: Callable[[str, str, int], str], names: list[str]) -> None:
        for count in connections:
            print(f"### {title}, {count} connection{'s' if count > 1 else ''}\n")
            table(["server", *workloads], ([n, *(cell(n, w, count) for w in workloads)] for n in names))

    with_sessions = [name for name in servers if servers[name]["bare"] != name]
    print("### What was measured\n")
    ignored = ("bare", "engine", "durability", "memory KiB")
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
    matrix("Share of the same server without sessions, requests per second, CPU of a request", share, list(servers))
    matrix("CPU added to a request, µs", cost, with_sessions)
    matrix("p50 / p99 of the requests, ms", latency, list(servers))
    for name, reason in result["not measured"].items():
        print(f"Not measured: {name} ({reason})\n")
    print_goals(result)


def print_quiet(result: dict[str, Any]) -> None:
    runs, rounds = result["runs"], result["rounds"]
    noisy = sum(not is_quiet(run) for run in runs)
    most = max(run["others"] for run in runs)
    print(f"Visits that do not count because others used more than {QUIET} of a core: {noisy} of {len(runs)}", end=" ")
    print(
        f"(at most {most:.2f} cores). fsync of 4 KiB in the rounds, µs: {spread((r['fsync_us'] for r in rounds), 0)}.\n"
    )


def print_goals(result: dict[str, Any]) -> None:
    found = goals(result)
    if found:
        print(f"### Goals ({OURS}, 64 connections where nothing else is said)\n")
        table(["", "goal", "median (95 % interval)", ""], found)


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
    over = {w: (result["servers"][OURS][w] - bare[w]) / 1000 for w in "RWN" if w in result["servers"].get(OURS, {})}
    said = {w: "reached" if over[w] <= INSTRUCTIONS[w] else "**missed**" for w in over}
    rows.append([f"goal of {OURS}", *(f"≤ +{INSTRUCTIONS[w]}: {said.get(w, 'not measured')}" for w in "RWN")])
    table(["server", "R", "W", "N"], rows)


def print_parts(result: dict[str, Any]) -> None:
    print("### The parts, thousand instructions each\n")
    table(["part", "thousand"], ([name, f"{count / 1000:.1f}"] for name, count in result["parts"].items()))


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


def print_large(result: dict[str, Any]) -> None:
    print_machine(result)
    print("### A bystander while others have large sessions\n")
    rows = []
    for burst in dict.fromkeys(run["burst"] for run in result["large"]):
        runs = [run for run in result["large"] if run["burst"] == burst]
        tails = [spread((run[key] for run in runs), 1) for key in ("p50_ms", "p99_ms", "max_ms", "step_ms")]
        statuses = sorted({status for run in runs for status in run["statuses"]})
        rows.append([burst, *tails, spread((run["seconds"] for run in runs), 1), ", ".join(statuses)])
    head = ["at once", "p50, ms", "p99, ms", "longest, ms", "longest step of the loop, ms of CPU", "seconds", "answers"]
    table(head, rows)


def print_sockets(result: dict[str, Any]) -> None:
    print_machine(result)
    print(f"### A bystander beside {result['settings']['sockets']:,} WebSockets\n")
    rows = []
    for kind in dict.fromkeys(run["sockets"] for run in result["sockets"]):
        runs = [run for run in result["sockets"] if run["sockets"] == kind]
        tails = [
            spread((run[key] for run in runs), digits) for key, digits in (("p50_ms", 2), ("p99_ms", 2), ("max_ms", 1))
        ]
        cores = spread((100 * run["core"] for run in runs), 1)
        rows.append([kind, *tails, cores, spread((run["open_cpu_s"] for run in runs), 2)])
    head = ["open", "p50, ms", "p99, ms", "longest, ms", "of a core, %", "to open them, s of CPU"]
    table(head, rows)


def print_processes(measured: list[dict[str, Any]]) -> None:
    rows = []
    for server, workload in dict.fromkeys((m["server"], m["workload"]) for m in measured):
        runs = [m for m in measured if (m["server"], m["workload"]) == (server, workload)]
        one, two = ([m for m in runs if m["workers"] == n] for n in (1, 2))
        failed = sum(m["errors"] + m["bad_status"] for m in runs)
        speeds = [f"{median(map(rate, each)):,.0f}" for each in (one, two)]
        tails = [f"{median(m['p99_ms'] for m in each):.1f}" for each in (one, two)]
        goal = ""
        if workload in PROCESSES and server == OURS:
            goal = f"≥ {PROCESSES[workload]}: {verdict([times - PROCESSES[workload] for times in ratios(two, one)])}"
        cores = [f"{busy(one, cost):.2f} / {busy(two, cost):.2f}" for cost in ("cpu_us", "wrk_us")]
        row = [f"{server}, {workload}", *speeds, spread(ratios(two, one)), goal, *cores, " / ".join(tails), f"{failed}"]
        rows.append(row)
    print("### Two processes on two cores, which wrk and the engine share\n")
    cores = ["cores the server kept busy, one / two", "cores wrk kept busy"]
    table(["", "one, requests per second", "two", "ratio", "goal", *cores, "p99, ms, one / two", "errors"], rows)


def busy(runs: list[dict[str, Any]], cost: str) -> float:
    """How many cores: CPU seconds per second."""
    return float(median(rate(run) * run[cost] / 1e6 for run in runs))


def print_result(result: dict[str, Any]) -> None:
    """The tables of any result."""
    next(printer for key, printer in PRINTERS.items() if key in result)(result)


PRINTERS: dict[str, Callable[[dict[str, Any]], None]] = {
    "runs": print_run,
    "servers": print_instructions,
    "parts": print_parts,
    "large": print_large,
    "sockets": print_sockets,
    **dict.fromkeys(("growth", "sweep", "processes"), print_scale),
}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print_result(json.loads(Path(name).read_text()))
