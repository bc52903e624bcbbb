"""Owns what a command prints: a table or a JSON document on stdout, and what is said to a person on stderr.

On a terminal a table is drawn; behind a pipe it is lines with tabs, which `cut` and `awk` read. Nothing is coloured
there, and no bar is shown. A character that a terminal might obey is printed as an escape.
"""

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..stored_cookie import iso

_PAGE = 500
"""Rows of a table that are drawn at once: of a million not all are kept."""

_SHORT = 12
"""Digits of a handle that a terminal shows: among a million sessions two hardly share them."""

_LEAST = 16
"""Characters of a column that a narrow terminal shows: a time to the minute."""

_LAST = 8_640_000_000_000_000
"""The last moment of JavaScript's Date, in milliseconds: what is beyond it, either way, is no time."""

_UNITS = ("B", "kB", "MB", "GB", "TB")

Row = Mapping[str, Any]
Column = tuple[str, Callable[[Row], str]]
"""The title of a column, and what it shows of a row."""


class Output:
    """Where a command prints. `as_json` says that stdout gets one JSON document and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json: bool = as_json
        self._stdout = Console(file=sys.stdout, markup=False, emoji=False, highlight=False)
        self._stderr = Console(file=sys.stderr, markup=False, emoji=False, highlight=False, soft_wrap=True)

    @property
    def is_terminal(self) -> bool:
        """True if stdout is a terminal."""
        return self._stdout.is_terminal

    # ---------------------------------------------------------------- on stdout

    def document(self, value: Any) -> None:
        """Print a JSON document. It is ASCII, so every terminal and every locale shows it."""
        print(json.dumps(value, indent=2))  # noqa: T201 # what the command is for

    def line(self, text: str) -> None:
        """Print a line."""
        print(plain(text))  # noqa: T201 # what the command is for

    def facts(self, facts: Sequence[tuple[str, str]]) -> None:
        """Print a name and a value on each line."""
        width = max(len(name) for name, _ in facts) if self.is_terminal else 0
        for name, value in facts:
            print(f"{name:{width}}  {plain(value)}" if width else f"{name}\t{plain(value)}")  # noqa: T201 # as above

    def table(self, columns: Sequence[Column], rows: Sequence[Row], *, has_head: bool = True) -> None:
        """Print rows under the titles of the columns."""
        cells = [[plain(show(row)) for _, show in columns] for row in rows]
        if not self.is_terminal:
            for line in ([title for title, _ in columns], *cells) if has_head else cells:
                print("\t".join(line))  # noqa: T201 # as above
            return
        table = Table(box=None, pad_edge=False, show_header=has_head, header_style="bold")
        for number, (title, _) in enumerate(columns):
            longest = max((len(line[number]) for line in cells), default=0)
            least = min(max(longest, len(title)), _LEAST)
            table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=least)
        for line in cells:
            table.add_row(*map(Text, line))
        self._stdout.print(table)

    async def stream(self, name: str, columns: Sequence[Column], rows: AsyncIterator[Row]) -> int:
        """Print rows as they come: a table, or the list `name` in a JSON document. Returns how many."""
        count = 0
        page: list[Row] = []
        head = f'{{\n  "{name}": ['
        async for row in rows:
            if self.as_json:
                print("," if count else head, json.dumps(row), sep="\n    ", end="")  # noqa: T201 # as above
            else:
                page.append(row)
                if len(page) == _PAGE:
                    self.table(columns, page, has_head=count < _PAGE)
                    page = []
            count += 1
        if self.as_json:
            print("" if count else head, "  ]\n}", sep="\n")  # noqa: T201 # as above
        elif page or not count:
            self.table(columns, page, has_head=count < _PAGE)
        return count

    # ---------------------------------------------------------------- for a person, on stderr

    def say(self, text: str) -> None:
        """Tell a person something."""
        self._stderr.print(plain(text))

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator["Bar"]:
        """Show a bar if stderr is a terminal; the body is given the bar. `total` None: not known."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        shown = self._stderr.is_terminal
        with Progress(*columns, console=self._stderr, transient=True, disable=not shown) as progress:
            yield Bar(progress, progress.add_task(label, total=total))

    # ---------------------------------------------------------------- values, for a person

    def handle(self, handle: str) -> str:
        """Return a handle, on a terminal its first digits."""
        return handle[:_SHORT] if self.is_terminal else handle

    def moment(self, moment: str | None) -> str:
        """Return a time of JSON in local time: on a terminal to the minute."""
        if moment is None:
            return "-"
        try:
            local = datetime.fromisoformat(moment).astimezone()
        except (ValueError, OverflowError):  # beyond the years that Python counts
            return moment
        return f"{local:%Y-%m-%d %H:%M}" if self.is_terminal else local.isoformat(timespec="seconds")


class Bar:
    """A bar that shows how far work is."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, number: int = 1) -> None:
        """Show that so much more is done."""
        self._progress.advance(self._task, number)

    def to(self, done: int, total: int) -> None:
        """Show what is done of the whole."""
        self._progress.update(self._task, completed=done, total=total)


def utc(moment: int | None) -> str | None:
    """Return milliseconds since the epoch as a time for JSON, in UTC. None: no time, or none that JavaScript has."""
    return None if moment is None or abs(moment) > _LAST else iso(moment)


def size(number: int) -> str:
    """Return a number of bytes for a person."""
    power = min((len(str(number)) - 1) // 3, len(_UNITS) - 1)
    return f"{number / 1_000**power:.{1 if power else 0}f} {_UNITS[power]}"


def sessions(number: int) -> str:
    """Return a number of sessions for a person."""
    return f"{number:,} session{'' if number == 1 else 's'}"


def plain(text: str) -> str:
    """Return a text without characters that a terminal might obey: such a one is printed as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
