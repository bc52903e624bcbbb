"""Owns the phases of an answer, as a page enters them.

open → (first flush) → held → streaming → (finish) → waiting → done
"""

from typing import Any

import pytest

from .staged import Gate
from .world import visit

PHASES = ("open", "held", "streaming", "waiting", "done")

BEGUN = {"open": "", "held": "one,", "streaming": "one,", "waiting": "whole", "done": "whole"}
"""What has been written by the time a phase is entered."""

FINISHED = ("waiting", "done")
"""The phases in which the answer is finished for the handler."""

COMMITS = ("held", "waiting")
"""The phases in which a commit is under way."""

each_phase = pytest.mark.parametrize("phase", PHASES)


async def enter(handler: Any, phase: str, gate: Gate) -> None:
    """Change the session and bring the answer into a phase; in `held` and `waiting` its commit waits at the gate."""
    visit(handler)
    if phase in ("held", "streaming"):
        handler.write("one,")
        flushed = handler.flush()
        await (gate.reached() if phase == "held" else flushed)
    elif phase in FINISHED:
        finished = handler.finish("whole")
        await (gate.reached() if phase == "waiting" else finished)
