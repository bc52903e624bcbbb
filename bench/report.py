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
from bench.goals import GROWTH, INSTRUCTIONS, PROCESSES, UP_TO, at_most, goals, verdict


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
        engine = median([run["engine_us"] for run in runs] or [0])
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
    for each in result["left out"]:
        print(f"Left out of round {each['round'] + 1}: {each['server']} ({each['reason']})\n")
    print_goals(result)


def print_quiet(result: dict[str, Any]) -> None:
    runs = result["runs"]
    noisy = sum(not is_quiet(run) for run in runs)
    most, stolen = (max(run[key] for run in runs) for key in ("others", "stolen"))
    print(f"Visits that do not count because others used more than {QUIET} of a core: {noisy} of {len(runs)}", end=" ")
    print(f"(at most {most:.2f} cores; other machines at most {stolen:.2f}).", end=" ")
    print(f"fsync of 4 KiB between them, µs: {spread((run['fsync_us'] for run in runs), 0)}.\n")


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


def print_growth(result: dict[str, Any]) -> None:
    print_machine(result)
    measured = result["growth"]
    sizes = sorted({m["size"] for m in measured})

    def values(size: int, key: str, **where: Any) -> dict[int, float]:
        """By the round; those that others disturbed are left out."""
        found = (m for m in measured if m["size"] == size and key in m and where.items() <= m.items())
        return {m.get("round", 0): m[key] for m in found if is_quiet(m)}

    def middle(size: int, key: str, digits: int, **where: Any) -> str:
        return interval(list(values(size, key, **where).values()), digits)

    rows = []
    for size in sizes:
        # a run that was ended does not have these
        on_disk, memory, bare = (values(size, k).get(0, 0) for k in ("bytes per session", "memory KiB", "bare KiB"))
        times = [middle(size, verb, 0, together=n) for n in (1, 64) for verb in ("lookup", "commit")]
        shares = [middle(size, "share", 2, workload=w) for w in "RW"]
        rows.append([f"{size:,}", *times, *shares, f"{on_disk}", f"{memory / 1024:.0f} (bare: {bare / 1024:.0f})"])
    print("### Sessions in the file\n")
    store = [f"{verb}, µs, {n} at once" for n in (1, 64) for verb in ("lookup", "commit")]
    shares = ["R: share of bare", "W: share of bare"]
    table(["sessions", *store, *shares, "bytes per session", "memory, MiB"], rows)
    few, rows = sizes[0], []
    for many in sizes[1:]:
        for verb in ("lookup", "commit"):
            for together in (1, 64):
                before, after = (values(size, verb, together=together) for size in (few, many))
                grown = [after[number] / before[number] for number in before.keys() & after.keys()]
                row = at_most(f"{many:,}: {verb}, {together} at once", GROWTH, grown, "x")
                rows.append(row if many <= UP_TO else [row[0], "", row[2], ""])
    table([f"against {few:,} sessions", "goal", "median (95 % interval)", ""], rows)


def print_sweep(result: dict[str, Any]) -> None:
    print_machine(result)
    sweep = result["sweep"]

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


def print_sizes(result: dict[str, Any]) -> None:
    print_machine(result)
    sizes = list(dict.fromkeys(row["size"] for row in result["sizes"]))
    head = [f"{size // 1000} kB" if size < 1_000_000 else f"{size // 1_000_000} MB" for size in sizes]
    cost = {(row["verb"], row["size"]): row for row in result["sizes"]}
    for title, key in (
        ("until a lone call is answered, µs", "wall_us"),
        ("the processor's part of it, µs", "cpu_us"),
        ("bytes that a call adds to SQLite's log", "written"),
    ):
        verbs = dict.fromkeys(verb for verb, _ in cost)
        table([title, *head], ([verb, *(f"{cost[verb, size][key]:,}" for size in sizes)] for verb in verbs))
    kinds = {"in the store in memory": "kept", "open, its data read": "open"}
    rows = ([kind, *(f"{row[key]:,}" for row in result["memory"])] for kind, key in kinds.items())
    table(["memory for a session, bytes", *head], rows)
    trips = {(row["verb"], row["store"]): row["trips"] for row in result["trips"]}
    stores = dict.fromkeys(store for _, store in trips)
    rows = ([verb, *(str(trips[verb, s]) for s in stores)] for verb in dict.fromkeys(verb for verb, _ in trips))
    table(["round trips of a call", *stores], rows)


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


def print_processes(result: dict[str, Any]) -> None:
    print_machine(result)
    rows, measured = [], result["processes"]
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
        row = [
            f"{server}, {workload}",
            *speeds,
            interval(ratios(two, one)),
            goal,
            *cores,
            " / ".join(tails),
            f"{failed}",
        ]
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
    "growth": print_growth,
    "sweep": print_sweep,
    "processes": print_processes,
    "sizes": print_sizes,
}


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print_result(json.loads(Path(name).read_text()))
