"""Owns the mutants of a move between stores: what it overwrites, signs out and signs in again."""

from typing import Any

from .mutant import Replacement, table
from .users import rewritten

MUTANTS, breaks = table()

COPIER, KILLS = "copying/test_copier.py", "copying/test_kills.py"


def edits(promise: int, name: str, tests: str, target: str, old: str, new: str) -> None:
    """Put a mutant into the table: a function of which the source has other words."""

    def replacement(original: Any) -> Any:
        return rewritten(old, new)(original)

    breaks(promise, name, tests, f"copying.{target}")(replacement)


edits(
    2, "a copy overwrites what is newer at the new store", COPIER, "rules:for_living",
    "elif there.digest == entry.wrote", "elif True",
)  # fmt: skip
edits(
    3, "a copy removes what is newer at the new store", COPIER, "rules:for_gone",
    "if there.digest == entry.wrote", "if True",
)  # fmt: skip
edits(
    3, "a copy writes again what has ended at the new store", f"{COPIER} {KILLS}", "rules:_for_absent",
    "if entry.wrote is None or", "if True or",
)  # fmt: skip
edits(
    3, "a copy leaves what was signed out", f"{COPIER} {KILLS}", "rules:for_gone",
    "return Plan(Step.REMOVE, entry)", "return Plan(Step.NOTHING, entry)",
)  # fmt: skip
edits(
    3, "a copy that goes on does not ask what it has written", KILLS, "rules:settled",
    "wrote = entry.writing", "pass",
)  # fmt: skip
edits(
    2, "a session that is used on at the old store expires at the new one", COPIER, "rules:for_living",
    "return Plan(Step.TOUCH, entry)", "pass",
)  # fmt: skip


@breaks(
    3,
    "a session has no place before it is written while servers use the new store",
    COPIER,
    "copying.writing:place_for",
)
def _(_original: Any) -> Any:
    return lambda record, _now: record


@breaks(3, "a session is written before the journal has it", KILLS, "copying.writing:Writing.perform")
def _(original: Any) -> Any:
    late = "await self._journal.begin(begun)\n    await side_by_side(write() for write in work)"
    early = "await side_by_side(write() for write in work)\n    await self._journal.flush()"
    made: Replacement = rewritten(late, early)
    return made(original)
