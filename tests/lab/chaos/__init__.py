"""Owns the experiments: what the server promises, under load, faults and sudden death. `python -m tests.lab.chaos` runs them.

Each experiment is a file. Its long form gives the figures of docs/reliability.md; its short form is in test_experiments.py.
"""

from pathlib import Path

HERE = Path(__file__).parent
