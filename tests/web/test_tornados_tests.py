"""Tornado's own tests with the mixin in front of every handler, in three modes: what fails is declared, and the other way round.

`tornados_deviations.json` says which test fails in which modes, and why. A declared test that passes is an error too.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import tornado

HERE = Path(__file__).parent
PROGRAM = HERE / "tornados_tests.py"
DEVIATIONS = HERE / "tornados_deviations.json"

MODES = ("untouched", "rolling", "writing")

GROUPS = {
    "web": ("web_test", "routing_test"),
    "sockets": ("websocket_test", "httpserver_test"),
    "client": ("simple_httpclient_test",),
    "others": ("auth_test", "circlerefs_test", "gen_test", "security_corpus_test", "testing_test", "wsgi_test"),
}
"""The modules of tornado.test in which handlers answer. `httpclient_test` is left out: `simple_httpclient_test` runs it."""

SECONDS = 300
"""Until a run must be over; it takes some 10 on a quiet machine."""


class Run(NamedTuple):
    """What a run of Tornado's tests has printed."""

    became: dict[str, str]
    """ "passed", "skipped", or a traceback, by the name of the test."""
    prepared: int
    """The requests that the mixin has loaded a session for."""


def run(mode: str, *names: str) -> Run:
    """Run modules, or tests, of `tornado.test`."""
    known = [f"tornado.test.{name}" for name in names if find_spec(f"tornado.test.{name.partition('.')[0]}")]
    command = [sys.executable, "-W", "error", str(PROGRAM), mode, *known]
    environment = {**os.environ, "ASYNC_TEST_TIMEOUT": "30"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=SECONDS, check=False)
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    became = {name.removeprefix("tornado.test."): what for name, what in printed["became"].items()}
    return Run(became, printed["prepared"])


def declared(mode: str) -> dict[str, str]:
    """The tests that fail in a mode, with the reason. A test may have become stricter with a version of Tornado."""
    entries = json.loads(DEVIATIONS.read_text("utf-8"))
    entries = [
        each for each in entries if mode in each["modes"] and tornado.version_info >= tuple(each.get("since", []))
    ]
    return {test: each["reason"] for each in entries for test in each["tests"]}


def failed(became: dict[str, str]) -> dict[str, str]:
    """The tests that failed, with their tracebacks."""
    return {name: what for name, what in became.items() if what not in ("passed", "skipped")}


def undeclared(became: dict[str, str], reasons: dict[str, str]) -> dict[str, str]:
    """What is not as it is declared: failures without a reason, and tests with a reason that pass."""
    wrong = {name: what for name, what in failed(became).items() if name not in reasons}
    passed = {name: f"passes, but is declared: {why}" for name, why in reasons.items() if became.get(name) == "passed"}
    return wrong | passed


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("group", GROUPS)
def test_what_tornado_promises_its_handlers_holds_with_the_mixin(mode: str, group: str) -> None:
    """But for what is declared. What fails is tried again by itself, and without the mixin: this machine may be at fault."""
    done = run(mode, *GROUPS[group])

    wrong = undeclared(done.became, declared(mode))
    again = failed(wrong) and {**done.became, **run(mode, *wrong).became}
    wrong = undeclared(again, declared(mode)) if again else wrong
    plain = failed(run("plain", *wrong).became) if wrong else {}
    wrong = {name: what for name, what in wrong.items() if name not in plain}
    assert not wrong, "\n\n".join(f"{name}: {what}" for name, what in wrong.items())
    assert len(done.became) > 50
    assert done.prepared > 10


def test_a_run_without_the_mixin_has_no_sessions() -> None:
    """What the modes are compared with is Tornado alone."""
    done = run("plain", "routing_test")

    assert done.prepared == 0
    assert failed(done.became) == {}


@pytest.mark.parametrize(
    ("became", "reasons", "wrong"),
    [
        ({"a": "passed", "b": "skipped"}, {}, []),
        ({"a": "Traceback"}, {}, ["a"]),
        ({"a": "Traceback"}, {"a": "the reason"}, []),
        ({"a": "passed"}, {"a": "the reason"}, ["a"]),
        ({"a": "skipped"}, {"a": "the reason"}, []),
        ({"a": "passed"}, {"b": "not in this Tornado"}, []),
    ],
    ids=["good", "undeclared", "declared", "declared-in-vain", "skipped", "another-tornado"],
)
def test_declarations_are_checked_both_ways(became: dict[str, str], reasons: dict[str, str], wrong: list[str]) -> None:
    """A failure needs a reason, and a reason needs a failure."""
    assert list(undeclared(became, reasons)) == wrong


def test_every_declaration_says_why_and_where() -> None:
    """Of known modes; no test is declared twice for one. `since` is the Tornado from which on a test fails."""
    entries = json.loads(DEVIATIONS.read_text("utf-8"))
    pairs = [(mode, test) for each in entries for mode in each["modes"] for test in each["tests"]]

    assert {mode for mode, _ in pairs} <= set(MODES)
    assert all(each["reason"] for each in entries)
    assert len(pairs) == len(set(pairs))
