"""Owns the experiments: what the server promises, under load, faults and sudden death. `python -m tests.chaos` runs them.

Each experiment is a file with a long form, whose figures stand in docs/reliability.md, and a short form among the tests.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

sys.path += [str(folder) for folder in (HERE.parent, HERE.parent / "server") if str(folder) not in sys.path]
# what pytest has there too: `client`, `interop.processes` and `processes` are shared with the other tests
