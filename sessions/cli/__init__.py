"""The command line: `python -m sessions`, or `sessions`.

It stands above the stores and the configuration. Nothing else of the library imports it, and click and rich are
imported here only.
"""

import sys
from collections.abc import Sequence

from .codes import USAGE

_PACKAGES = {"click", "rich"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Returns the exit status (codes.py)."""
    try:
        from .app import app  # noqa: PLC0415 # the extra `cli` may not be installed, which is said in one line
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] not in _PACKAGES:
            raise
        print(  # noqa: T201 # for a person
            f"the package {error.name} is not installed: pip install 'tornado-express-sessions[cli]'", file=sys.stderr
        )
        return USAGE
    try:
        app.main(args=arguments, prog_name="sessions")
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 0
    return 0
