"""No session that is revoked comes back, and none escapes: the short form of tests/lab/users, on every store."""

from pathlib import Path

import pytest

from .managing import STORES
from .races import races


@pytest.mark.parametrize("kind", STORES)
async def test_no_answered_sign_in_outlives_a_revocation(kind: str, tmp_path: Path) -> None:
    """Whatever fifty sessions do meanwhile: sign in, save, rotate."""
    done = await races(kind, tmp_path, rounds=3)

    assert [each.escaped for each in done] == [0, 0, 0]
    assert any(each.answered and each.racing for each in done), "nobody raced"
    assert any(each.ended for each in done)
