"""The short form of the experiment: each two databases, and two of one kind; the copy is killed twice."""

from pathlib import Path

import pytest
from copying.moving import move, pairs

TWINS = [(kind, kind) for kind in ("sqlite", "redis", "postgres")]
SESSIONS = 3_000


@pytest.mark.parametrize("pair", [*pairs(), *TWINS], ids=" to ".join)
async def test_everybody_moves_and_nobody_notices(pair: tuple[str, str], tmp_path: Path) -> None:
    """Nobody is signed out, nobody is signed in again, and nothing newer is overwritten."""
    moved = await move(pair, tmp_path, SESSIONS, kills=2)

    assert (moved.problems, [run.code for run in moved.runs], moved.killed > 0) == ([], [0, 0], True)
    sums = moved.runs[-1].json["sums"]
    assert (sums["left"], sums["same"] > SESSIONS // 2) == (0, True)
