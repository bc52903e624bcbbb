"""The words of the sources and the docs: those that a reader with second-hand English has to read twice are not used."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

WORDS = re.compile(
    r"\b(owed|birth|told|anew|draft|doubt|lane|whose|to be had|stands|stood|hears of|is handed)\b", re.IGNORECASE
)
"""Old, bookish or personifying words, each with a plain one that says the same."""

QUOTED = re.compile(r"`[^`\n]*`")
"""Names are names: what is in backticks is not looked at."""

HIDDEN = {"node_modules", "__pycache__", "build", ".venv", ".cache"}
"""Folders that are made and not written."""

PLACES = (
    "sessions",
    "handlers",
    "serving",
    "server.py",
    "config.toml",
    "docs",
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
)
"""Every line of these counts."""

PROSE = ("tests", "bench")
"""Of the Python here only comments, docstrings and the names of functions count, as other texts are data of a test."""


def texts(*places: str) -> list[Path]:
    """All files of these places that are text."""
    found = [path for place in places for path in (ROOT / place, *(ROOT / place).rglob("*"))]
    kinds = (".py", ".md", ".toml", ".html", ".js")
    return sorted(path for path in found if path.suffix in kinds and not HIDDEN & set(path.relative_to(ROOT).parts))


def prose(source: str) -> Iterator[str]:
    """The lines of the docstrings, the names of functions as words, and the comments."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(docstring))):
                yield from docstring.splitlines()
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name.replace("_", " ")
    yield from (
        token.string
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    )


def found(lines: list[str]) -> list[str]:
    """Those that have such a word."""
    return [line.strip() for line in lines if WORDS.search(QUOTED.sub("", line))]


@pytest.mark.parametrize("line", ["# whose lock it is", "The value stands in the text.", "It is made Anew."])
def test_a_line_with_such_a_word_is_found(line: str) -> None:
    """Whatever its case."""
    assert found([line]) == [line]


def test_what_counts_of_a_test() -> None:
    """A comment, a docstring and a name, and not the data."""
    source = 'def is_told() -> None:\n    """Stands\n    here."""\n    text = "owed"  # anew\n'

    assert found(list(prose(source))) == ["is told", "Stands", "# anew"]


@pytest.mark.parametrize("path", texts(*PLACES), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_text_is_read_once(path: Path) -> None:
    """CONTRIBUTING.md shows worse lines beside better ones, which begin with a minus."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("-    ")]

    assert found(lines) == []


@pytest.mark.parametrize("path", texts(*PROSE), ids=lambda path: ".".join(path.relative_to(ROOT).parts))
def test_a_test_is_read_once(path: Path) -> None:
    """And what measures; a page that is no Python is read whole."""
    text = path.read_text("utf-8")

    assert found(list(prose(text)) if path.suffix == ".py" else text.splitlines()) == []
