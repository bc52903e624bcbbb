"""The short form of the experiment: two kills, and each kind of database to another one of its kind."""

from pathlib import Path

import pytest
from copying.moving import move


@pytest.mark.parametrize("kind", ["sqlite", "redis", "postgres"])
async def test_everybody_moves_and_nobody_notices(kind: str, tmp_path: Path) -> None:
    """Killed twice on the way."""
    moved = await move((kind, kind), tmp_path, 3_000, kills=2)

    assert (moved.problems, [run.code for run in moved.runs]) == ([], [0, 0])
