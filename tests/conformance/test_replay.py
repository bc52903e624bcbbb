"""The replayer itself: it would notice."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from .compare import Difference, compare_step
from .jstime import js_round, parse_date, relative_date, relative_iso, relative_ms, to_iso
from .replay import HERE, Outcome, declaration_for, judge, named_options

NOW = 1_925_467_200_123  # 2031-01-06T12:00:00.123Z

SEEN: dict[str, Any] = {
    "status": 200,
    "body": "ok",
    "ops": [{"v": 1}],
    "set_cookie": [{"name": "connect.sid", "sid": "s1", "attrs": ["Path=/", "Expires=+60s"]}],
    "calls": ["get s1", "set s1"],
    "store": {"s1": {"cookie": {"originalMaxAge": 60000, "expires": "+60000ms"}, "data": {}, "keys": ["cookie"]}},
    "count": 1,
}


def outcome(name: str, *, differs: bool, tags: list[str] | None = None) -> Outcome:
    """An outcome with or without a difference."""
    scenario = {"id": name, "tags": tags or []}
    return Outcome(scenario, [Difference(0, "status", 200, 500)] if differs else [])


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("status", 500),
        ("body", "other"),
        ("ops", [{"v": True}]),
        ("ops", []),
        ("set_cookie", []),
        ("set_cookie", [{"name": "connect.sid", "sid": "s2", "attrs": ["Path=/", "Expires=+60s"]}]),
        ("set_cookie", [{"name": "connect.sid", "sid": "s1", "attrs": ["Expires=+60s", "Path=/"]}]),
        ("set_cookie", [{"name": "connect.sid", "sid": "s1", "attrs": ["Path=/", "Expires=+57s"]}]),
        ("calls", ["set s1", "get s1"]),
        ("store", {}),
        ("store", {"s1": {**SEEN["store"]["s1"], "cookie": {"originalMaxAge": 60000, "expires": "+59999ms"}}}),
        ("count", 2),
        ("count", True),
        ("errors", ["boom!"]),
        ("aborted", True),
    ],
)
def test_a_difference_is_found(path: str, value: object) -> None:
    found = compare_step(0, SEEN, {**SEEN, path: value})

    assert {difference.path.partition(".")[0] for difference in found} == {path}


def test_key_order_and_error_texts_count_only_when_strict() -> None:
    actual = {**SEEN, "store": {"s1": {**SEEN["store"]["s1"], "keys": ["a", "cookie"]}}, "errors": ["other"]}
    expected = {**SEEN, "errors": ["boom!"]}

    assert not compare_step(0, expected, actual)
    assert {one.path for one in compare_step(0, expected, actual, strict=True)} == {
        "store.s1.keys.0",
        "store.s1.keys.1",
        "errors.0",
    }


def test_an_early_commit_may_write_twice_in_a_stream_and_only_there() -> None:
    actual = {**SEEN, "calls": ["get s1", "touch s1", "set s1", "set s1"]}

    assert not compare_step(0, SEEN, actual, [{"op": "flush"}], early_commit=True)
    assert compare_step(0, SEEN, actual, [{"op": "end"}], early_commit=True)
    assert compare_step(0, SEEN, actual, [{"op": "flush"}])


def test_an_error_page_is_not_compared() -> None:
    expected = {**SEEN, "status": 500, "errors": ["boom!"]}

    assert not compare_step(0, expected, {**SEEN, "status": 500, "body": "<html>"})


def test_an_undeclared_difference_fails_and_so_does_a_declaration_without_one() -> None:
    outcomes = [outcome("a/1", differs=True), outcome("a/2", differs=False), outcome("b", differs=True, tags=["t"])]

    assert judge(outcomes, {"a/1": "why", "tag:t": "why"}).ok
    assert [one.id for one in judge(outcomes, {"tag:t": "why"}).undeclared] == ["a/1"]
    assert judge(outcomes, {"a/1": "why", "tag:t": "why", "a/2": "why"}).stale == ["a/2"]
    assert judge(outcomes, {"a/*": "why", "tag:t": "why"}).stale == ["a/* for a/2"]


def test_a_scenario_s_own_id_goes_before_its_tags_and_prefixes() -> None:
    declared = {"a/*": "prefix", "tag:t": "tag", "a/1": "own"}

    assert declaration_for({"id": "a/1", "tags": ["t"]}, declared) == "a/1"
    assert declaration_for({"id": "a/2", "tags": ["t"]}, declared) == "tag:t"
    assert declaration_for({"id": "a/3"}, declared) == "a/*"
    assert declaration_for({"id": "b"}, declared) is None


def test_a_reason_names_options_in_brackets() -> None:
    reason = "promise 5 (touchAfter): rarely; (clearCookie) as well (expressjs)"

    assert named_options(reason) == {"touchAfter", "clearCookie"}


def test_dates_are_those_of_javascript() -> None:
    assert parse_date("2031-01-06T12:00:00.123Z") == NOW
    assert parse_date("2031-01-06T13:00:00.123456+01:00") == NOW
    assert parse_date("Mon, 06 Jan 2031 12:00:00 GMT") == NOW - 123
    assert parse_date("soon") is None
    assert parse_date("2031-02-30") is None
    assert to_iso(NOW) == "2031-01-06T12:00:00.123Z"
    assert [js_round(value) for value in (0.5, 1.5, -0.5, -1.5)] == [1, 2, 0, -1]


def test_times_are_written_relative_to_a_moment() -> None:
    assert relative_date("Mon, 06 Jan 2031 12:01:00 GMT", NOW) == "+60s"
    assert relative_date("Thu, 01 Jan 1970 00:00:00 GMT", NOW) == "@1970-01-01T00:00:00.000Z"
    assert relative_date("soon", NOW) == "invalid"
    assert relative_ms(-1000, NOW) == "-1000ms"
    assert relative_ms(1e12, NOW) == "@2062-09-14T13:46:40.000Z"
    assert relative_iso("2031-01-06T12:01:00.123Z", NOW) == "+60000ms"
    assert relative_iso("x", NOW) == "x"
    assert relative_iso(None, NOW) is None


def test_transcripts_are_packed_so_that_git_sees_no_change_in_the_same_content(tmp_path: Path) -> None:
    for packed in (HERE / "transcripts").glob("*.gz"):
        header = packed.read_bytes()[:10]

        assert header[3:8] == b"\0\0\0\0\0", f"{packed.name} holds a name or a time"
        assert gzip.decompress(packed.read_bytes())
