"""Owns the tables, pictures and sentences with figures of two pages of docs: they stand between two comments.

bench/results gives them: docs/performance.md has the tables, docs/scaling.md what a reader needs to choose a store.
"""

import io
import json
import re
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

from bench import sentences
from bench.figures import RESULTS
from bench.report import print_result

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "performance.md"
PAGES = (PAGE, DOCS / "scaling.md")
PICTURES = {
    "tornado": {"connections": "Share of bare Tornado by connections"},
    "peers": {"shares": "Share of each one's bare server", "rates": "Requests per second"},
    "engines": {"engines": "Share of each one's bare server, on database servers"},
    "instructions": {"instructions": "Instructions added to a request"},
    "growth": {"growth": "Cost by sessions in the file"},
    "sweep": {"sweep": "p99 during a sweep"},
}
SENTENCES: dict[str, Callable[[], str]] = {
    "in_short": sentences.lines,
    "two_processes": sentences.stores,
    "how_many": partial(sentences.sentence, sentences.how_many),
    "ten_million": partial(sentences.sentence, sentences.ten_million),
    "how_swept": partial(sentences.sentence, sentences.sweep),
}
"""Sections that are no result's tables."""


def tables(name: str) -> str:
    """The tables of one result, and what was drawn of it."""
    file = RESULTS / f"{name}.json"
    if not file.exists():
        return "Not measured yet."
    printed = io.StringIO()
    with redirect_stdout(printed):
        print_result(json.loads(file.read_text("utf-8")))
    drawn = {
        picture: title
        for picture, title in PICTURES.get(name, {}).items()
        if (PAGE.parent / "performance" / f"{picture}.svg").exists()
    }
    pictures = "\n".join(f"![{title}](performance/{picture}.svg)\n" for picture, title in drawn.items())
    return (re.sub(r" +$", "", printed.getvalue(), flags=re.MULTILINE) + pictures).strip()


def section(name: str) -> str:
    return SENTENCES[name]() if name in SENTENCES else tables(name)


def filled(page: str) -> str:
    """The page with its sections as they should be."""
    return re.sub(
        r"(?<=<!-- results: )(\w+) -->.*?(?=<!-- end -->)",
        lambda found: f"{found[1]} -->\n\n{section(found[1])}\n\n",
        page,
        flags=re.DOTALL,
    )


if __name__ == "__main__":
    for each in PAGES:
        each.write_text(filled(each.read_text("utf-8")), "utf-8")
