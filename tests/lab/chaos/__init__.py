"""Owns the experiments: what the server promises, under load, faults and sudden death. `python -m tests.lab.chaos` runs them.

Each experiment is a file with a long form, whose figures stand in docs/reliability.md, and a short form in test_experiments.py.
"""

from pathlib import Path

HERE = Path(__file__).parent
