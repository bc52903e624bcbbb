"""Owns the time of PostgreSQL in tests: a `now()` that shows a movable clock, in the server's own words.

PostgresStore asks `now()` what has expired, and no test can move a server's clock. PostgreSQL looks for a function in
`pg_catalog` first, unless the `search_path` names that later: so a connection by `timed(server, url, clock)` finds the
`now()` of this file, which reads its time from a file that the clock writes whenever it is moved. All else is the store
as it is, and nothing is rounded. What no test moves goes by the server's clock: there the contract suite runs.
"""

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote
from weakref import WeakKeyDictionary

from clock import MovableClock

if TYPE_CHECKING:
    from .postgres_server import Server

FUNCTION = """
    CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql STABLE SECURITY DEFINER AS
    $$ SELECT to_timestamp(pg_read_file(current_setting('tests.clock'))::float8 / 1000) $$
"""
"""Of every new database of a test's server."""

_numbers = count()
_files: "WeakKeyDictionary[MovableClock, dict[Path, Path]]" = WeakKeyDictionary()
"""By clock and server's folder."""


def timed(server: "Server", url: str, clock: MovableClock) -> str:
    """Return a URL of the server, on which it is what the clock shows."""
    given = "&".join(f"{name}={quote(value)}" for name, value in settings(server, clock).items())
    return f"{url}{'&' if '?' in url else '?'}{given}"


def settings(server: "Server", clock: MovableClock) -> dict[str, str]:
    """Return the settings of a connection on which it is what the clock shows, from now on."""
    files = _files.setdefault(clock, {})
    if server.folder not in files:
        files[server.folder] = file = server.folder / f"clock-{next(_numbers)}"

        def write(now: int) -> None:
            file.with_suffix(".new").write_text(f"{now}")
            file.with_suffix(".new").replace(file)  # whoever reads it meanwhile reads the one or the other

        clock.follow(write)
    return {"search_path": "public,pg_catalog", "tests.clock": str(files[server.folder])}
