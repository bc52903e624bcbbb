"""The model of a move (world.py): the copy is killed at each of its steps."""

from pathlib import Path

import pytest

from .world import problems


@pytest.mark.parametrize("seed", range(3))
async def test_a_copy_may_be_killed_at_any_step(seed: int, tmp_path: Path) -> None:
    """Before each write and transaction, and after it."""
    wrong, steps = await problems(seed, tmp_path, [])
    assert wrong == []

    broken = {at: found for at in range(1, steps + 1) if (found := (await problems(seed, tmp_path, [at]))[0])}

    assert broken == {}


@pytest.mark.parametrize("seed", range(100, 140))
async def test_a_copy_may_be_killed_again_and_again(seed: int, tmp_path: Path) -> None:
    """Histories of visitors, each with five kills."""
    wrong, _ = await problems(seed, tmp_path, [seed % 7 + 1, seed % 11 + 1, seed % 13 + 3, seed % 5 + 1, seed % 17 + 1])

    assert wrong == []
