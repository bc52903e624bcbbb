"""`bench.run`: what others disturb is measured again, what fails is left out, and what was measured is kept."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench import run
from bench.catalogue import ALL, Server
from bench.figures import BARE, OURS, QUIET
from bench.load import Result
from bench.process import BenchError

OTHER = "sessions, memory"
SERVERS = [ALL[BARE], ALL[OURS], ALL[OTHER]]


class Process:
    """A server that does nothing."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self.about = {"durability": "none"}

    def memory_kib(self) -> list[int]:
        return [1]


class Rounds:
    """A run in which visits and starts do what the test says."""

    def __init__(self, path: Path) -> None:
        self.args = argparse.Namespace(workloads="RW", connections=[64], seconds=1, rounds=3, path=path)
        self.result: dict[str, Any] = {"left out": [], "servers": {}, "runs": []}
        self.others: list[float] = []
        self.fails: set[tuple[str, str]] = set()
        self.visits = 0

    @contextmanager
    def warmed(self, server: Server, workloads: str) -> Iterator[tuple[Process, list[str]]]:
        if (server.name, "start") in self.fails:
            raise BenchError("line one\nit did not start")
        yield Process(server), []

    def measure(self, process: Process, workload: str, *_: object) -> Result:
        self.visits += 1
        if (process.name, workload) in self.fails:
            raise BenchError("wrk failed")
        others = self.others.pop(0) if self.others else 0.0
        return Result(100, 1.0, 1, 2, 3, 0, 0, 10, 0, 1, others=others, stolen=0)

    def round(self, number: int) -> None:
        left = [server for server in SERVERS if run.in_the_run(server, self.result)]
        run.one_round(number, left, self.args, self.result)


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Rounds:
    made = Rounds(tmp_path / "results" / "r.json")
    monkeypatch.setattr(run, "warmed", made.warmed)
    monkeypatch.setattr(run, "measure", made.measure)
    monkeypatch.setattr(run, "fsync_microseconds", lambda: 100.0)
    return made


def test_a_visit_that_others_disturbed_is_made_once_more(rounds: Rounds) -> None:
    """The second counts as it is, so a machine that is never quiet takes twice the time at most."""
    rounds.others = [0.5, 0.05, 0.5, 0.7]

    rounds.round(0)

    seen = [each["others"] for each in rounds.result["runs"]]
    assert seen == [0.05, 0.7, 0, 0, 0, 0]
    assert QUIET > 0.05
    assert rounds.visits == 8


def test_a_server_that_fails_costs_the_others_nothing(rounds: Rounds) -> None:
    """It is tried again in the next round, and after two failures no more."""
    rounds.fails = {(OURS, "W"), (OTHER, "start")}

    for number in range(3):
        rounds.round(number)

    made = {(each["server"], each["workload"], each["round"]) for each in rounds.result["runs"]}
    assert made == {(BARE, w, n) for w in "RW" for n in range(3)} | {(OURS, "R", n) for n in range(2)}
    reasons = [(each["server"], each["round"], each["reason"]) for each in rounds.result["left out"]]
    assert reasons == [
        (OTHER, 0, "it did not start"),
        (OURS, 0, "wrk failed"),
        (OTHER, 1, "it did not start"),
        (OURS, 1, "wrk failed"),
    ]


def test_a_run_that_is_ended_keeps_what_it_has(rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has each workload that was measured, also of the round that was not finished."""

    def ended(process: Process, workload: str, *_: object) -> Result:
        if workload == "W":
            raise SystemExit(143)
        return rounds.measure(process, workload)

    monkeypatch.setattr(run, "measure", ended)

    with pytest.raises(SystemExit):
        rounds.round(0)

    kept = json.loads(rounds.args.path.read_text("utf-8"))
    assert [each["workload"] for each in kept["runs"]] == ["R", "R", "R"]
    assert all(server["memory KiB"] == 1 for server in kept["servers"].values())


def test_rounds_are_added_to_a_run_of_the_same_machine_only(rounds: Rounds, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no file yet, a run begins."""
    about = {"version": "1", "processor": "p", "cores": 2, "python": "3.11"}
    now = rounds.result | {"machine": about, "settings": {"seconds": 3, "sessions": 512}}
    assert run.earlier(rounds.args.path, now) is now
    rounds.result |= now
    rounds.round(0)

    before = run.earlier(rounds.args.path, now)
    assert [each["round"] for each in before["runs"]] == [0] * 6

    with pytest.raises(SystemExit):
        run.earlier(rounds.args.path, now | {"machine": about | {"python": "3.13"}})
    assert "r.json has python 3.11, and this is 3.13" in capsys.readouterr().err
