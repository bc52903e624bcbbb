"""Owns the verdict of an experiment: its figures, and what went against a promise. It must not know any experiment."""

import json
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Report:
    """What an experiment has found."""

    name: str
    figures: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    """Each breaks a promise, or makes the run void."""

    def check(self, holds: object, failure: str) -> None:
        """Note a failure unless something holds."""
        if not holds:
            self.failures.append(failure)

    def __str__(self) -> str:
        lines = [f"{self.name}: {'FAILED' if self.failures else 'ok'}"]
        lines += [f"  {name}: {json.dumps(value)}" for name, value in self.figures.items()]
        lines += [f"  ! {failure}" for failure in self.failures]
        return "\n".join(lines)
