"""`make bench-plots`: the pictures of docs/performance.md, as SVG, from bench/results. Only this needs matplotlib."""

import json
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt  # after the choice of a backend

from bench.figures import BARE, RESULTS, cells, quiet, rate, ratios
from bench.goals import INSTRUCTIONS, SHARE

PICTURES = Path(__file__).parents[1] / "docs" / "performance"
TITLES = {"R": "R: read", "W": "W: change", "N": "N: new visitor"}
OURS_COLOUR, OTHERS_COLOUR, GOAL_COLOUR = "#1f6f8b", "#b8b8b8", "#c8553d"

mpl.rcParams |= {
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sessions",  # the same picture gives the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def colour(name: str) -> str:
    return OURS_COLOUR if name.startswith("sessions") else OTHERS_COLOUR


def write(figure: Any, name: str) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURES / f"{name}.svg", metadata={"Date": None})
    plt.close(figure)
    print(f"docs/performance/{name}.svg")


def bars(axis: Any, names: list[str], values: list[list[float]]) -> None:
    """A bar to the median of each, a whisker from the smallest to the largest."""
    middle = [median(v) for v in values]
    reach = [
        [m - min(v) for m, v in zip(middle, values, strict=True)],
        [max(v) - m for m, v in zip(middle, values, strict=True)],
    ]
    axis.barh(names, middle, xerr=reach, color=[colour(name) for name in names], ecolor="#444444", capsize=2)
    axis.invert_yaxis()


def shares(result: dict[str, Any], name: str, connections: int = 64) -> None:
    """Share of the same server without sessions."""
    found, servers = cells(result), result["servers"]

    def of(name: str, workload: str) -> list[float]:
        return ratios(found[name, workload, connections], found[servers[name]["bare"], workload, connections])

    names = [n for n in servers if servers[n]["bare"] != n and all(of(n, w) for w in "RWN")]
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=(10, 1 + 0.3 * len(names)))
    for axis, workload in zip(axes, "RWN", strict=True):
        bars(axis, names, [of(n, workload) for n in names])
        axis.axvline(SHARE[workload], color=GOAL_COLOUR, linestyle=":", label="our goal")
        axis.set(title=TITLES[workload], xlim=(0, 1.05))
    axes[0].legend(loc="lower right", frameon=False)
    figure.suptitle(f"Requests per second as a share of the same server without sessions, {connections} connections")
    write(figure, name)


def rates(result: dict[str, Any], name: str, connections: int = 64) -> None:
    found, servers = cells(result), result["servers"]
    names = [n for n in servers if all(quiet(found[n, w, connections]) for w in "RWN")]
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=(10, 1 + 0.3 * len(names)))
    for axis, workload in zip(axes, "RWN", strict=True):
        bars(axis, names, [[rate(run) for run in quiet(found[n, workload, connections])] for n in names])
        axis.set(title=TITLES[workload])
    figure.suptitle(f"Requests per second, {connections} connections, one process on one core")
    write(figure, name)


def connections(result: dict[str, Any]) -> None:
    """Our shares at each number of connections."""
    found, servers = cells(result), result["servers"]
    counts = sorted({count for _, _, count in found})
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=(10, 3))
    for axis, workload in zip(axes, "RWN", strict=True):
        for name in (n for n in servers if servers[n]["bare"] == BARE != n):
            shown = [ratios(found[name, workload, c], found[BARE, workload, c]) for c in counts]
            places, values = [n for n, v in enumerate(shown) if v], [v for v in shown if v]
            axis.plot(places, [median(v) for v in values], marker="o", label=name)
            axis.fill_between(places, [min(v) for v in values], [max(v) for v in values], alpha=0.15)
        axis.set(title=TITLES[workload], xlabel="connections", ylim=(0, 1.05))
        axis.set_xticks(range(len(counts)), map(str, counts))
    axes[0].set_ylabel("share of bare Tornado")
    axes[0].legend(frameon=False)
    write(figure, "connections")


def instructions(result: dict[str, Any]) -> None:
    servers = result["servers"]
    names = [n for n in servers if n.startswith("sessions")]
    figure, axes = plt.subplots(1, 3, sharey=True, figsize=(10, 2))
    for axis, workload in zip(axes, "RWN", strict=True):
        bars(axis, names, [[(servers[n][workload] - servers[BARE][workload]) / 1000] for n in names])
        axis.axvline(INSTRUCTIONS[workload], color=GOAL_COLOUR, linestyle=":", label="goal")
        axis.set(title=TITLES[workload])
    axes[0].legend(frameon=False)
    figure.suptitle("Instructions added to a request, thousand")
    write(figure, "instructions")


def growth(result: list[dict[str, Any]]) -> None:
    measured = quiet(result)
    sizes = sorted({m["size"] for m in measured})
    figure, axes = plt.subplots(1, 2, figsize=(8, 3))
    for verb in ("lookup", "commit"):
        values = [[m[verb] for m in measured if m["size"] == s and m.get("together") == 64] for s in sizes]
        axes[0].plot(sizes, [median(v or [nan]) for v in values], marker="o", label=verb)
    axes[0].set(
        title="The store alone, 64 callers", ylabel="µs", xscale="log", xlabel="sessions in the file", ylim=(0, None)
    )
    for workload in "RW":
        values = [[m["share"] for m in measured if m["size"] == s and m.get("workload") == workload] for s in sizes]
        axes[1].plot(sizes, [median(v or [nan]) for v in values], marker="o", label=TITLES[workload])
    axes[1].set(title="Share of bare Tornado", xscale="log", xlabel="sessions in the file", ylim=(0, 1.05))
    for axis in axes:
        axis.legend(frameon=False)
    write(figure, "growth")


def sweep(measured: dict[str, Any]) -> None:
    figure, axis = plt.subplots(figsize=(8, 3))
    start = 0
    for part, shade in (("before", OTHERS_COLOUR), ("during", OURS_COLOUR), ("after", OTHERS_COLOUR)):
        tails = [window["p99_ms"] for window in measured[part]]
        axis.bar(
            range(start, start + len(tails)), tails, color=shade, label="during the sweep" if part == "during" else None
        )
        start += len(tails)
    calm = median(w["p99_ms"] for part in ("before", "after") for w in measured[part])
    axis.axhline(2 * calm, color=GOAL_COLOUR, linestyle=":", label="goal: twice the calm median")
    axis.set(ylabel="p99 of a window, ms", xlabel="windows, one after the other")
    axis.legend(frameon=False)
    total = measured["expired"] + measured["live"]
    axis.set_title(f"W at 64 connections while {measured['expired']:,} of {total:,} sessions are deleted")
    write(figure, "sweep")


def main() -> None:
    results = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    if "tornado" in results:
        connections(results["tornado"])
    if "peers" in results:
        shares(results["peers"], "shares")
        rates(results["peers"], "rates")
    if "engines" in results:
        shares(results["engines"], "engines")
    if "instructions" in results:
        instructions(results["instructions"])
    if "growth" in results:
        growth(results["growth"]["growth"])
    if "sweep" in results:
        sweep(results["sweep"]["sweep"])


if __name__ == "__main__":
    main()
