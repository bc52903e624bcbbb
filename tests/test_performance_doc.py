"""docs/performance.md: its figures are those of bench/results, and what it says of the file's size is so."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clock import MINUTE, MovableClock
from stores.support import OLD

from bench.docs import PAGE, PAGES, filled
from bench.figures import BARE, ENOUGH, OURS, QUIET, bounds, interval, ratios, save, spread
from bench.goals import at_least, at_most, goals
from bench.sentences import lines
from sessions import SQLiteStore, StoredSession, Sweeper

COMMAND = "$ sqlite3 sessions.db "


def run(number: int, requests: int, seconds: float = 1, others: float = 0) -> dict[str, float]:
    """What a visit of a round leaves, as far as a rate needs it."""
    return {"round": number, "requests": requests, "seconds": seconds, "others": others}


@pytest.mark.parametrize(("page", "sections"), list(zip(PAGES, (13, 5), strict=True)))
def test_the_figures_are_those_of_the_results(page: Path, sections: int) -> None:
    """`make bench-docs` would change nothing."""
    text = page.read_text("utf-8")

    assert text.count("<!-- results: ") == text.count("<!-- end -->") == sections
    assert filled(text) == text


def test_a_share_is_taken_within_its_round() -> None:
    """And not of the medians: a slow round slows both."""
    shares = ratios([run(0, 80), run(1, 20, 0.5), run(2, 90)], [run(0, 100), run(1, 50), run(2, 100)])

    assert shares == [0.8, 0.8, 0.9]
    assert spread(shares) == "0.80 (0.80–0.90)"  # noqa: RUF001 # a range


def test_a_round_in_which_others_worked_does_not_count() -> None:
    """Neither where they disturbed the server nor where they disturbed what it is compared with."""
    ours = [run(0, 80), run(1, 80, others=2 * QUIET), run(2, 90), run(3, 70)]
    bare = [run(0, 100), run(1, 100), run(2, 100, others=QUIET + 0.01), run(3, 100, others=QUIET)]

    shares = ratios(ours, bare)

    assert shares == [0.8, 0.7]


def test_the_interval_of_a_median_is_that_of_the_bootstrap() -> None:
    """Of seven values the resampled median is below the second in 1.0 % of all cases and below the third in 9.6 %."""
    low, high = bounds((1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0))

    assert (low, high) == (2.0, 6.0)
    assert interval([7.0, 1.0, 6.0, 2.0, 5.0, 3.0, 4.0], 0) == "4 (2–6)"  # noqa: RUF001 # a range


def test_too_few_quiet_rounds_are_not_measured() -> None:
    """In the figure and in the verdict."""
    assert interval([0.9] * (ENOUGH - 1)) == f"not measured ({ENOUGH - 1} quiet rounds)"
    assert at_least("share", 0.8, [0.9] * (ENOUGH - 1))[-1] == "not measured"
    assert at_least("share", 0.8, [0.9] * ENOUGH)[-1] == "reached"


def test_a_goal_is_judged_by_the_whole_interval() -> None:
    """Reached if all of it is good, missed if none of it is."""
    shares = [0.78, 0.79, 0.80, 0.81, 0.82, 0.83, 0.84]

    said = [at_least("share", goal, shares)[-1] for goal in (0.75, 0.81, 0.90)]
    turned = [at_most("share", goal, shares)[-1] for goal in (0.75, 0.81, 0.90)]

    assert said == ["reached", "undecided", "**missed**"]
    assert turned == ["**missed**", "undecided", "reached"]


def test_the_first_lines_have_the_figures_of_the_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without results, or with too few quiet rounds, a line says so."""

    def visit(number: int, server: str, requests: int, p50_ms: float, others: float) -> list[dict[str, Any]]:
        about = {"server": server, "p50_ms": p50_ms, "fsync_us": 200}
        made = run(number, requests, others=others) | about
        return [made | {"workload": w, "connections": c} for w in "RWN" for c in (1, 64)]

    def measured(others: float) -> str:
        servers = ((BARE, 2000, 0.4), (OURS, 1700, 1.6))
        runs = [
            each for n in range(ENOUGH) for name, rate, p50 in servers for each in visit(n, name, rate, p50, others)
        ]
        save({"runs": runs}, tmp_path / "tornado.json")
        return lines()

    monkeypatch.setattr("bench.sentences.RESULTS", tmp_path)

    assert lines().count("Not measured yet.") == 5
    assert measured(others=QUIET + 0.1).count("Not measured yet.") == 5
    said = measured(others=0)
    assert "0.85 (0.85–0.85) for a read" in said  # noqa: RUF001 # a range
    assert "does 1,700 reads a second, and 2,000 requests without sessions" in said
    assert "fsync (0.2 ms here)" in said
    assert "a read takes 1.6 ms, a change 1.6, a new visitor 1.6 (medians); a request without sessions 0.4" in said
    assert said.count("Not measured yet.") == 3


def test_every_peer_on_the_same_engine_is_a_goal() -> None:
    """The share of bare in each round, and not the rates."""

    def runs(server: str, requests: int) -> list[dict[str, Any]]:
        return [run(n, requests) | {"server": server, "workload": "R", "connections": 64} for n in range(ENOUGH)]

    servers = {
        "tornado bare": {"bare": "tornado bare", "engine": ""},
        "peer bare": {"bare": "peer bare", "engine": ""},
        "sessions, X": {"bare": "tornado bare", "engine": "x"},
        "peer, X": {"bare": "peer bare", "engine": "x"},
        "peer, Y": {"bare": "peer bare", "engine": "y"},
    }
    rates = {"tornado bare": 100, "peer bare": 1000, "sessions, X": 80, "peer, X": 400, "peer, Y": 100}
    result = {"servers": servers, "runs": [r for name, n in rates.items() for r in runs(name, n)]}

    rows = goals(result)

    what = "R: sessions, X: share of bare against peer, X"
    assert rows == [[what, "≥ 1.5x", "2.0 (2.0–2.0)", "reached"]]  # noqa: RUF001 # a range


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
