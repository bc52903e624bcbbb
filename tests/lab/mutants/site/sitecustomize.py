"""Owns the moment of a mutation: right after the target's module was executed, before another one imports from it.

Python imports this file at its start if PYTHONPATH leads here. MUTANT in the environment names the mutant; processes
that are started from here are the same mutant, whatever environment they are given.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
TESTS = HERE.parents[2]
NAME = os.environ["MUTANT"]

_path = sys.path.copy()
sys.path.insert(0, str(TESTS))
from lab.mutants.tables import MUTANTS  # noqa: E402 # after the path is set

sys.path[:] = _path  # the process under test finds what it would find without us

(mutant,) = (each for each in MUTANTS if each.name == NAME)


class Finder:
    """Finds the target's module, and changes it once it was executed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Find it as Python does."""
        if name != mutant.module:
            return None
        spec = PathFinder.find_spec(name, path, target)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            mutant.apply(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign] # of this one loader
        return spec


_start: Any = subprocess.Popen.__init__


def _start_the_same(self: Any, *args: Any, env: dict[str, str] | None = None, **options: Any) -> None:
    if env is not None:
        path = [str(HERE), *filter(None, [env.get("PYTHONPATH")])]
        env = {**env, "MUTANT": NAME, "PYTHONPATH": os.pathsep.join(path)}
    _start(self, *args, env=env, **options)


sys.meta_path.insert(0, Finder)
subprocess.Popen.__init__ = _start_the_same  # type: ignore[assignment,method-assign] # also asyncio starts processes by it
