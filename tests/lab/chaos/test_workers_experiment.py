"""Trouble for several processes in its short form; `python -m tests.lab.chaos workers` makes it for a minute each."""

from pathlib import Path

import pytest

from .workers import workers

pytestmark = pytest.mark.timeout(seconds=120)


@pytest.mark.parametrize(("kills", "away"), [(True, False), (False, True), (True, True)])
async def test_the_server_is_there_afterwards(tmp_path: Path, kills: bool, away: bool) -> None:
    """With all its workers and its sessions, whatever they went through."""
    report = await workers(tmp_path, kills=kills, away=away, seconds=4)

    assert not report.failures, str(report)
