"""The short form of the experiments with users."""

from pathlib import Path

import pytest
from users.managing import STORES

from .many import many


@pytest.mark.parametrize("kind", STORES)
async def test_an_index_holds_what_lives_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """After sessions were made, have expired, were revoked, moved, and replaced by Node."""
    found = await many(kind, tmp_path, 3_000)

    assert found.living > 500
    assert found.entries - found.expired == found.living
