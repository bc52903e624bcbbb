"""Starts the generic test application as a process of its own, as verify.js wants it.

PORT=9000 HOST=127.0.0.1 .venv/bin/python tests/conformance/server.py
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))  # the library of this very clone
sys.path.insert(0, str(Path(__file__).parents[1]))  # this package

from conformance.application import main

asyncio.run(main())
