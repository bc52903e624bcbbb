"""Promises 2 and 3 in every order of events: random histories of requests in flight, against a model."""

from pathlib import Path

import pytest
from stores.support import STORES

from .requests import check


@pytest.mark.parametrize("name", STORES)
def test_promises_2_and_3_hold_in_every_order(name: str, tmp_path: Path) -> None:
    """Ended is ended, different keys all survive, and no cookie goes out for a session that is gone."""
    check(name, tmp_path, histories=25, steps=30)


def test_the_model_sees_what_express_does(tmp_path: Path) -> None:
    """With `conflict = "overwrite"` sessions come back and changes are lost: a check that could not see that shows nothing."""
    with pytest.raises(AssertionError):
        check("memory", tmp_path, histories=400, steps=40, shrink=False, conflict="overwrite", grace=0)
