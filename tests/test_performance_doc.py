"""docs/performance.md: its figures are those of bench/results, and what it says of the file's size is so."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from clock import MINUTE, MovableClock
from stores.support import OLD

from bench.docs import PAGE, filled
from bench.figures import ratios, save, spread
from sessions import SQLiteStore, StoredSession, Sweeper

COMMAND = "$ sqlite3 sessions.db "


def run(requests: int, seconds: float) -> dict[str, float]:
    """What a measurement leaves, as far as a rate needs it."""
    return {"requests": requests, "seconds": seconds}


def test_the_figures_are_those_of_the_results() -> None:
    """`make bench-docs` would change nothing."""
    page = PAGE.read_text("utf-8")

    assert page.count("<!-- results: ") == 7
    assert filled(page) == page


def test_a_share_is_taken_within_its_round() -> None:
    """And not of the medians: a slow round slows both."""
    shares = ratios([run(80, 1), run(20, 0.5), run(90, 1)], [run(100, 1), run(50, 1), run(100, 1)])

    assert shares == [0.8, 0.8, 0.9]
    assert spread(shares) == "0.80 (0.80–0.90)"  # noqa: RUF001 # a range


def test_a_result_can_be_read_again(tmp_path: Path) -> None:
    """Each measurement on a line of its own, nothing lost."""
    result = {"machine": {"a": 1, "b": ["x  y"]}, "runs": [{"n": 1, "m": {"k": [1, 2]}}, {"n": 2}], "empty": {}}

    save(result, tmp_path / "r.json")

    text = (tmp_path / "r.json").read_text("utf-8")
    assert '{ "n": 2 }' in text.splitlines()[-4]
    assert json.loads(text) == result


async def test_swept_pages_are_used_again_and_the_command_gives_them_back(tmp_path: Path, clock: MovableClock) -> None:
    """The file does not grow while swept pages are left; the documented VACUUM shrinks it and keeps the living."""
    file = tmp_path / "sessions.db"
    sql = next(line for line in PAGE.read_text("utf-8").splitlines() if line.startswith(COMMAND)).removeprefix(COMMAND)
    row = StoredSession('{"cookie":{},"text":"' + "x" * 3000 + '"}', OLD.expires_at)
    async with SQLiteStore(file, clock=clock) as store:
        for i in range(200):
            await store.create(f"old {i}", row)
    full = file.stat().st_size
    clock.forward(2 * MINUTE)

    async with SQLiteStore(file, clock=clock) as store:
        assert await Sweeper(store, pause=0).sweep() == 200
        for i in range(100):
            await store.create(f"new {i}", StoredSession(row.data, clock() + MINUTE))
    refilled = file.stat().st_size
    with closing(sqlite3.connect(file)) as db:
        db.execute(sql)

    assert refilled <= full
    assert file.stat().st_size < 0.7 * full
    async with SQLiteStore(file, clock=clock) as store:
        assert await store.length() == 100
        assert (await store.get("new 7")) is not None
