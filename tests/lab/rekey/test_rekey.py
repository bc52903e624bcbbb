"""The short form of the experiment with keys."""

from pathlib import Path

from .experiment import experiment


async def test_no_row_is_left_and_no_change_is_lost(tmp_path: Path) -> None:
    """It was interrupted halfway, and visitors were there meanwhile."""
    found = await experiment(tmp_path / "sessions.db", 3_000)

    assert 0 < found.before_the_interruption < found.rows
    assert found.after > 0
    assert found.requests > 0
    assert (found.left, found.lost) == (0, 0)
