"""`make instructions`: what it takes for dearer, and for another machine."""

import json
from itertools import chain

import pytest

from bench.process import BenchError
from bench.regression import BASELINE, NAMES, Counts, dearer, is_comparable, judge, like, unlike

BASE: Counts = {
    NAMES[0]: {"R": 800, "W": 800},
    NAMES[1]: {"R": 1000, "W": 1100},
    NAMES[2]: {"R": 1000, "W": 1200},
}


def with_more(name: str, workload: str, more: int) -> Counts:
    """The counts of the baseline with one of them changed."""
    return BASE | {name: BASE[name] | {workload: BASE[name][workload] + more}}


def test_three_percent_over_bare_are_allowed_and_not_more() -> None:
    """Of what sessions add, which is less than a part of the whole request."""
    assert dearer(with_more(NAMES[1], "R", 6), BASE) == []
    assert dearer(with_more(NAMES[1], "R", 7), BASE) == [f"{NAMES[1]}, R: 207 instructions over bare, +3.5%"]


def test_each_workload_is_held_with_user_key_too() -> None:
    """W with userKey alone is dearer, and is named."""
    assert dearer(with_more(NAMES[2], "W", 40), BASE) == [f"{NAMES[2]}, W: 440 instructions over bare, +10.0%"]


def test_a_dearer_bare_tornado_is_no_saving() -> None:
    """The baseline is of another build then, and the comparison is refused."""
    other = with_more(NAMES[0], "R", 50)

    assert not is_comparable(other, BASE)
    with pytest.raises(BenchError, match="ARGS=--baseline"):
        judge(other, BASE)


def test_another_processor_or_build_is_named() -> None:
    """Its counts would say nothing about the code."""
    here = {"python": "3.11.7", "processor": "A"}

    assert unlike(here, here) == ""
    assert unlike(here, {"python": "3.11.9", "processor": "B"}) == "python, processor"


def test_each_kind_of_machine_has_its_baseline() -> None:
    """One that is of another processor is passed over."""
    first, second = {"about": {"processor": "A"}}, {"about": {"processor": "B"}}

    assert like({"processor": "B"}, [first, second]) is second
    assert like({"processor": "C"}, [first, second]) is None


def test_the_baseline_has_every_count_of_this_python() -> None:
    """If it has this Python at all: another one is said by `make instructions` itself."""
    baselines = json.loads(BASELINE.read_text("utf-8"))

    assert "3.11" in baselines
    for each in chain.from_iterable(baselines.values()):
        assert list(each["counts"]) == NAMES
        assert all(sorted(counts) == ["N", "R", "W"] for counts in each["counts"].values())
