"""The short form of the experiments with users."""

from pathlib import Path

import pytest
from users.managing import STORES

from .many import many


# In MongoDB the user is a field of the row itself, so there is no index apart that could hold anything else.
@pytest.mark.parametrize("kind", [kind for kind in STORES if kind != "mongodb"])
async def test_an_index_holds_what_lives_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """After sessions were made, have expired, were revoked, moved, and replaced by Node."""
    found = await many(kind, tmp_path, 3_000)

    assert found.living > 500
    assert found.entries - found.expired == found.living
