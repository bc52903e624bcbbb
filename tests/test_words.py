"""The words of the sources and the docs: those that a reader with second-hand English has to read twice are not used."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

WORDS = re.compile(
    r"\b(owed|birth|told|anew|draft|doubt|lane|whose|to be had|stands|stood|hears of|is handed)\b", re.IGNORECASE
)
"""Old, bookish or personifying words, each with a plain one that says the same."""

QUOTED = re.compile(r"`[^`\n]*`")
"""Names are names: what is in backticks is not looked at."""

HIDDEN = {"node_modules", "__pycache__", "build", ".venv"}
"""Folders that are made and not written."""

PLACES = ("sessions", "handlers", "server.py", "config.toml", "docs", "README.md", "CONTRIBUTING.md", "SECURITY.md")


def texts() -> list[Path]:
    """What a reader opens first: all files of these places that are text."""
    found = [path for place in PLACES for path in (ROOT / place, *(ROOT / place).rglob("*"))]
    kinds = (".py", ".md", ".toml", ".html", ".js")
    return sorted(path for path in found if path.suffix in kinds and not HIDDEN & set(path.relative_to(ROOT).parts))


@pytest.mark.parametrize("line", ["# whose lock it is", "The value stands in the text.", "It is made Anew."])
def test_a_line_with_such_a_word_is_found(line: str) -> None:
    """Whatever its case."""
    assert WORDS.search(QUOTED.sub("", line))


@pytest.mark.parametrize("path", texts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_is_read_once(path: Path) -> None:
    """CONTRIBUTING.md shows worse lines beside better ones, which begin with a minus."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("-    ")]

    found = [line.strip() for line in lines if WORDS.search(QUOTED.sub("", line))]

    assert found == []
