"""Owns the start of the experiments' application: so many processes, on the store of a URL, and visitors spread over them.

What it is asked is not known.
"""

import json
import os
import re
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from processes import Server, until

from . import HERE
from .load import Visitor

SQLITE = "sqlite:sessions.db"
"""The store where an experiment is not given another: a file in the server's folder."""


def toml(**tables: dict[str, Any]) -> str:
    """A configuration. A key may be dotted, as in `cookie.maxAge`."""
    return "".join(
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        for name, table in tables.items()
    )


class Application(Server):
    """The experiments' application at work, in a folder of its own."""

    program = HERE / "application.py"

    def __init__(
        self,
        folder: Path,
        store: str = SQLITE,
        *,
        workers: int = 2,
        session: dict[str, Any] | None = None,
        under: Sequence[object] = (),
        port: int = 0,
        **tables: dict[str, Any],
    ) -> None:
        given = {"server": {"workers": workers, "drain": 10_000}, "session": {"store": store} | (session or {})}
        self._workers = workers
        super().__init__(folder, toml(**given | tables), "--port", port, under=under)

    async def ready(self) -> "Application":
        """Return when it listens, with all its processes."""
        await self.serving()
        if self._workers > 1:
            await until(lambda: len(self.workers) == self._workers)
        return self

    @property
    def processes(self) -> list[int]:
        """Those that serve."""
        return self.workers if self._workers > 1 else [self.pid]

    async def spread(self, visitors: Sequence[Visitor]) -> None:
        """Connect visitors to its processes in turn: left to itself the kernel may give all of them to one."""
        pids = self.processes
        for number, pid in enumerate(pids):
            others = [each for each in pids if each != pid]
            for other in others:
                os.kill(other, signal.SIGSTOP)
            try:
                for visitor in visitors[number :: len(pids)]:
                    assert int((await visitor.get("/pid")).body) == pid
            finally:
                for other in others:
                    os.kill(other, signal.SIGCONT)

    @property
    def counts(self) -> Counter[str]:
        """The outcomes of all updates, in all its processes; known when it has ended by itself."""
        return sum(
            (Counter(json.loads(each)) for each in re.findall(r"^counts (.*)$", self.output, re.MULTILINE)), Counter()
        )
