"""Owns what a command prints: a table or a JSON document on stdout, and what is said to a person on stderr.

On a terminal a table is drawn; behind a pipe it is lines with tabs, which `cut` and `awk` read. Nothing is coloured
there, and no bar is shown. A character that a terminal might obey is printed as an escape.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

_PAGE = 500
"""Rows of a table that are drawn at once: of a million not all are kept."""

Row = Mapping[str, Any]


class Output:
    """Where a command prints, `with` it.

    `as_json` says that stdout gets one JSON document and nothing else.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json: bool = as_json
        self._stdout = Console(file=sys.stdout, markup=False, emoji=False, highlight=False, soft_wrap=True)
        self._stderr = Console(file=sys.stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()

    @property
    def asks(self) -> bool:
        """True if there is a person to ask."""
        return sys.stdin.isatty()

    def document(self, value: Any) -> None:
        """Print a JSON document. It is ASCII, so every terminal and every locale shows it."""
        self._line(json.dumps(value, indent=2))

    def say(self, text: str) -> None:
        """Tell a person something, on stderr."""
        self._stderr.print(plain(text))

    def line(self, text: str) -> None:
        """Print a line on stdout."""
        self._line(plain(text))

    def table(self, titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows of texts under titles."""
        if not self._stdout.is_terminal:
            for row in (titles, *rows):
                self._line("\t".join(map(plain, row)))
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for title in titles:
            table.add_column(title, overflow="fold")
        for row in rows:
            table.add_row(*(Text(plain(cell)) for cell in row))
        self._stdout.print(table, soft_wrap=False)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a bar on stderr, if that is a terminal; the body is given what advances it. `total` None: not known."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        shown = self._stderr.is_terminal
        with Progress(*columns, console=self._stderr, transient=True, disable=not shown) as progress:
            task = progress.add_task(label, total=total)
            yield lambda done: progress.advance(task, done)

    def _line(self, text: str) -> None:
        print(text)  # noqa: T201 # what the command is for


def plain(text: str) -> str:
    """Return a text without characters that a terminal might obey: such a one is printed as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape", "replace").decode() for each in text)
