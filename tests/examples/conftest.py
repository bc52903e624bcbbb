"""Owns the way to docs/examples/accounts: its modules are imported as its own tests import them."""

import sys
from pathlib import Path

ACCOUNTS = Path(__file__).parents[2] / "docs" / "examples" / "accounts"

sys.path[:0] = [str(ACCOUNTS), str(ACCOUNTS / "tests")]
