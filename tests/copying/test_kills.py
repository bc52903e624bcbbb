"""The model of a move (world.py): the copy is killed at each of its steps."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from .world import problems


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for many journals, in memory where there is one: a disk takes its time for each transaction."""
    memory = Path("/dev/shm")  # a folder of this test's own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else tmp_path) as made:
        yield Path(made)


@pytest.mark.parametrize("seed", range(2))
async def test_a_copy_may_be_killed_at_any_step(seed: int, folder: Path) -> None:
    """Before each write and transaction, and after it."""
    wrong, steps = await problems(seed, folder / "no kill", [])
    assert wrong == []

    broken = {at: found for at in range(1, steps + 1) if (found := (await problems(seed, folder / f"{at}", [at]))[0])}

    assert broken == {}


async def test_a_copy_may_be_killed_again_and_again(folder: Path) -> None:
    """Histories of visitors, each with five kills."""
    broken = {}
    for seed in range(100, 160):
        kills = [seed % 7 + 1, seed % 11 + 1, seed % 13 + 3, seed % 5 + 1, seed % 17 + 1]
        wrong, _ = await problems(seed, folder / f"{seed}", kills)
        broken.update({seed: wrong} if wrong else {})

    assert broken == {}
