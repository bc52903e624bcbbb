"""Owns what a check says: a finding has a name, how bad it is, what is wrong and what to do.

A check is a function of facts that yields findings. `python -m sessions doctor` prints them, and a server logs those
that it finds by itself at its start. No finding shows a secret, a password or an id. This file knows no check.
"""

from typing import Literal, NamedTuple, TypeAlias

Severity: TypeAlias = Literal["fault", "warning", "note"]
"""A fault: sessions are lost, refused, forged or seen by strangers, now or soon. A warning: mostly a mistake. A note:
good to know, and nothing to worry about."""


class Finding(NamedTuple):
    """What a check has found."""

    name: str
    """What docs/doctor.md and `--json` call it, `concept.problem`."""
    severity: Severity
    problem: str
    """What is wrong, with the option, file or table that it is about."""
    advice: str
    """What to do."""

    @property
    def sentence(self) -> str:
        """Problem and advice as one line of a log."""
        return f"{self.problem}; {self.advice}"


def fault(name: str, problem: str, advice: str) -> Finding:
    """Return a finding that is a fault."""
    return Finding(name, "fault", problem, advice)


def warning(name: str, problem: str, advice: str) -> Finding:
    """Return a finding that is a warning."""
    return Finding(name, "warning", problem, advice)


def note(name: str, problem: str, advice: str) -> Finding:
    """Return a finding that is a note."""
    return Finding(name, "note", problem, advice)
