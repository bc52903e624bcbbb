"""Owns the long experiments, which `make test` leaves out. README.md beside this file says what each shows.

Each is a package that starts as `python -m tests.lab.<name>`.
"""

import sys
from pathlib import Path

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent

sys.path += [str(folder) for folder in (TESTS, TESTS / "server") if str(folder) not in sys.path]
# what pytest has there too: `client`, `interop.processes` and `processes` are shared with the other tests
