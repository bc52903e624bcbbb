"""The command line: `python -m sessions`, or `sessions`.

It is above the stores and the configuration. Nothing else of the library imports it, and click and rich are
imported here only.
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from .codes import FAILED, USAGE

_PACKAGES = ("click", "rich")
"""What the extra `cli` brings."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status (codes.py)."""
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        print(  # noqa: T201 # for a person
            f"{' and '.join(missing)}: not installed: pip install 'tornado-express-sessions[cli]'", file=sys.stderr
        )
        return USAGE
    from .app import app  # noqa: PLC0415 # of the extra

    if isinstance(sys.stdout, io.TextIOWrapper):  # a character that the locale lacks is shown as an escape
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app.main(args=arguments, prog_name="sessions")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 0
    return _flushed(code)


def _flushed(code: int) -> int:
    """Write what stdout still holds. Returns the exit status: `code`, or that of a failure."""
    if sys.stdout is None:
        return code
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at the exit fails again
        if not isinstance(error, BrokenPipeError):  # `| head` has seen enough
            print(error, file=sys.stderr)  # noqa: T201 # for a person
            return FAILED
    return code
