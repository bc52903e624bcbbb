"""The command line: `python -m sessions`, or `sessions`.

It is above the stores and the configuration. Nothing else of the library imports it, and click and rich are
imported here only.
"""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from .codes import USAGE

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

    try:
        app.main(args=arguments, prog_name="sessions")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0
