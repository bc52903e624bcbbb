"""Owns the picture of the soak: docs/reliability/soak.svg from soak.csv beside it. Only this needs matplotlib."""

import csv

import matplotlib as mpl  # type: ignore[import-not-found,unused-ignore] # in a venv of its own, bench/.cache/plots

mpl.use("svg")
import matplotlib.pyplot as plt  # type: ignore[import-not-found,unused-ignore] # likewise, after the choice of a backend

from .. import ROOT

FOLDER = ROOT / "docs" / "reliability"
PANELS = (
    ("memory of both processes, MiB", ("memory_kib",), 1024),
    ("file descriptors", ("descriptors",), 1),
    ("file sizes, MiB", ("database_kib", "log_kib"), 1024),
    ("sessions", ("living", "backlog"), 1),
    ("errors", ("errors",), 1),
)
NAMES = {
    "database_kib": "database",
    "log_kib": "write-ahead log",
    "living": "living",
    "backlog": "expired, to be swept",
}

mpl.rcParams |= {
    "font.size": 9,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "sessions",  # the same picture gives the same file
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.use": True,
}


def main() -> None:
    """Draw it."""
    with (FOLDER / "soak.csv").open() as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    minutes = [row["seconds"] / 60 for row in rows]
    figure, axes = plt.subplots(len(PANELS), 1, sharex=True, figsize=(8, 1.5 * len(PANELS)))
    for axis, (title, columns, unit) in zip(axes, PANELS, strict=True):
        for column in columns:
            axis.plot(minutes, [row[column] / unit for row in rows], linewidth=1, label=NAMES.get(column))
        axis.set_title(title, loc="left")
        axis.set_ylim(bottom=0, top=None if any(row[column] for row in rows for column in columns) else 1)
        if len(columns) > 1:
            axis.legend(loc="upper right", frameon=False, ncols=2)
    axes[-1].set_xlabel("minutes")
    figure.savefig(FOLDER / "soak.svg", metadata={"Date": None})
    print("docs/reliability/soak.svg")


if __name__ == "__main__":
    main()
