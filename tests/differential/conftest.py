"""Owns the Node process that is asked what npm's packages make of an input; skips, and says so, if there is none."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from interop.conftest import why_not

HERE = Path(__file__).parent


class Node:
    """A Node process that answers one question after the other."""

    def __init__(self) -> None:
        self._child = subprocess.Popen(
            ["node", HERE / "node_side.js"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, question: str, **given: Any) -> Any:
        """Ask. Returns the value; raises ValueError with the name of what was thrown there."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(json.dumps({"ask": question, **given}) + "\n")
        self._child.stdin.flush()
        answer = json.loads(self._child.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["value"]

    def stop(self) -> None:
        """End it."""
        self._child.communicate()


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The process, one for all tests."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    node = Node()
    yield node
    node.stop()
