"""Owns the tables and pictures of docs/performance.md: they stand between two comments, as bench/results gives them."""

import io
import json
import re
from contextlib import redirect_stdout
from pathlib import Path

from bench.figures import RESULTS
from bench.report import print_result

PAGE = Path(__file__).parents[1] / "docs" / "performance.md"
PICTURES = {
    "tornado": {"connections": "Share of bare Tornado by connections"},
    "peers": {"shares": "Share of each one's bare server", "rates": "Requests per second"},
    "engines": {"engines": "Share of each one's bare server, on database servers"},
    "others": {},
    "newest": {},
    "instructions": {"instructions": "Instructions added to a request"},
    "parts": {},
    "large": {},
    "sockets": {},
    "scale": {"growth": "Cost by sessions in the file", "sweep": "p99 during a sweep"},
}


def section(name: str) -> str:
    """The tables of one result, and what was drawn of it."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return "Not measured yet.\n"
    printed = io.StringIO()
    with redirect_stdout(printed):
        print_result(json.loads(file.read_text("utf-8")))
    drawn = {
        picture: title
        for picture, title in PICTURES[name].items()
        if (PAGE.parent / "performance" / f"{picture}.svg").exists()
    }
    pictures = "\n".join(f"![{title}](performance/{picture}.svg)\n" for picture, title in drawn.items())
    return re.sub(r" +$", "", printed.getvalue(), flags=re.MULTILINE) + pictures


def filled(page: str) -> str:
    """The page with its sections as they should be."""
    return re.sub(
        r"(?<=<!-- results: )(\w+) -->.*?(?=<!-- end -->)",
        lambda found: f"{found[1]} -->\n\n{section(found[1]).strip()}\n\n",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")
