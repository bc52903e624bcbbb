"""config.toml, the README's tables and the reference: what they say of an option is what the code says below its field."""

from pathlib import Path

import pytest

from docs.tables import ROOT, TABLES, configuration, docstrings, parts, replaced, spelled, written
from sessions.validation import express_names

WRITTEN = written()


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_as_the_code_says(path: Path) -> None:
    """`make docs-tables` changes nothing."""
    assert path.read_text("utf-8") == WRITTEN[path]


@pytest.mark.parametrize("table", TABLES)
def test_every_option_is_explained(table: str) -> None:
    """By whole sentences, and where there is a unit of time it is said."""
    texts = docstrings(table)

    assert list(texts) == list(express_names(TABLES[table]))
    assert [text for text in texts.values() if not text.endswith(".")] == []


def test_a_comment_follows_the_code_and_keeps_the_value() -> None:
    """Old lines of it go; a value that is not the default says what the default is; the blocks stay."""
    block = "# ---- Block:\n# resave = true  # as it was\n# ----\n"
    text = f"[session]\nresave = true # old\n                             # and more of it\n\n{block}"

    written = configuration(text)

    expected = (
        "resave = true                # (default false) Write a session back after every request, changed or not."
    )
    assert written == f"[session]\n{expected}\n\n{block}"
    assert configuration(written) == written


def test_names_and_values_are_spelled_as_in_the_file() -> None:
    """What is no option stays as it is."""
    assert spelled("`at_limit`, `True`, `self.at_limit`, at_limit") == "`atLimit`, `true`, `self.at_limit`, at_limit"


def test_a_place_is_filled_and_read() -> None:
    """One that is missing is an error that names it."""
    text = replaced("a\n<!-- x -->\n\nold\n\n<!-- / -->\nb\n", "x", "new")

    assert text == "a\n<!-- x -->\n\nnew\n\n<!-- / -->\nb\n"
    assert parts(text, "x")[1] == "new"
    with pytest.raises(ValueError, match="<!-- y -->"):
        parts(text, "y")
