"""docs/security.md: every requirement has its row, and every test that a row names is there."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
from lab.mutants.tables import MUTANTS

from sessions import observe

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")

ASVS = """
    7.1.1 7.1.2 7.1.3 7.2.1 7.2.2 7.2.3 7.2.4 7.3.1 7.3.2 7.4.1 7.4.2 7.4.3 7.4.4 7.4.5 7.5.1 7.5.2 7.5.3 7.6.1 7.6.2
    3.3.1 3.3.2 3.3.3 3.3.4 3.3.5 3.5.1 3.5.3 4.1.3 4.4.1 4.4.2 4.4.3 4.4.4 6.5.2 8.2.4 8.3.2 9.1.1 9.2.1
    11.2.2 11.2.3 11.2.4 11.3.2 11.3.3 11.3.4 11.4.1 11.5.1 13.1.2 13.1.3 13.2.6 13.3.1 13.3.4 13.4.2
    14.2.1 14.2.2 14.2.7 14.3.1 14.3.2 15.3.4 15.3.7 15.4.1 15.4.2 15.4.3
    16.2.5 16.3.1 16.3.3 16.3.4 16.5.1 16.5.2 16.5.3 1.5.2
""".split()  # noqa: SIM905 # a list to read
"""The requirements of ASVS 5.0.0 that concern a session server: V7 and the cookies whole to level 2, of the rest what touches them."""

FULFILLED = ("met", "application", "by documentation")
"""What the state of a requirement of V7 and of the cookies begins with."""

KEYS = """
    CS-name CS-entropy CS-content CS-strict CS-untrusted CS-transport CS-cookie CS-persistent CS-regen CS-idle CS-absolute
    CS-renewal CS-end CS-cache CS-clear CS-log CS-guess CS-bind CS-simul CS-dupe LV-events WS-origin WS-close CT-detect at-rest
""".split()  # noqa: SIM905 # likewise

TABLES = ("OWASP ASVS 5.0", "OWASP cheat sheets", "RFC 6265bis and CHIPS", "NIST SP 800-63B-4, session management")

ITEMS = "secret end channel persistence cookie storage CSRF AAL1 AAL2 AAL3 monitoring".split()  # noqa: SIM905 # likewise


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading."""
    (section,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    table = re.search(r"^\|.*\n\|[-| ]+\n((?:\|.*\n?)+)", section, re.MULTILINE)
    assert table is not None, f"no table under {heading}"
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in table[1].splitlines()]


def named_tests() -> set[str]:
    """The tests that the page names."""
    return set(re.findall(r"`(test_\w+)`", TEXT))


def suite_tests() -> set[str]:
    """The tests of the suite, and those of the published contract of stores."""
    found = set()
    for path in [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "sessions" / "testing").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                found.add(node.name)
    return found


def test_every_requirement_of_asvs_has_its_row() -> None:
    """Once, and no other."""
    found = [each for row in rows("OWASP ASVS 5.0") for each in re.findall(r"[\d.]+(?= \()", row[0])]

    assert sorted(found) == sorted(ASVS)


@pytest.mark.parametrize(
    ("heading", "keys"), [("OWASP cheat sheets", KEYS), ("NIST SP 800-63B-4, session management", ITEMS)]
)
def test_every_recommendation_has_its_row(heading: str, keys: list[str]) -> None:
    """In the order of the list."""
    assert [row[0] for row in rows(heading)] == keys


def test_nothing_of_sessions_and_cookies_is_open() -> None:
    """V7 and the cookies are met, or are the application's to meet."""
    states = {each: row[1] for row in rows("OWASP ASVS 5.0") for each in re.findall(r"[\d.]+(?= \()", row[0])}

    asked = {each: state for each, state in states.items() if each.startswith(("7.", "3."))}
    assert {each: state for each, state in asked.items() if not state.startswith(FULFILLED)} == {}


def test_every_test_that_is_named_is_there() -> None:
    """By its name, somewhere in the suite."""
    assert named_tests() - suite_tests() == set()


def requirements(cell: str) -> list[str]:
    """The names of a row: of several requirements of ASVS each, without its level."""
    return re.findall(r"[\d.]+(?= \()", cell) or [cell.replace("`", "")]


def requirement_rows() -> list[tuple[list[str], str, set[str]]]:
    """Of each row its names, its state and its tests."""
    found = [row for heading in TABLES for row in rows(heading)]
    return [(requirements(row[0]), row[1], set(re.findall(r"`(test_\w+)`", row[3]))) for row in found]


def test_what_is_met_is_held_by_a_test() -> None:
    """Each row, whatever standard it is of."""
    assert [names for names, state, tests in requirement_rows() if state.startswith("met") and not tests] == []


def test_what_is_met_has_a_mutant() -> None:
    """`make mutants` breaks each row: a test that notices nothing would hold nothing."""
    broken = {row for mutant in MUTANTS for row in mutant.rows}

    unbroken = [names for names, state, _ in requirement_rows() if state.startswith("met") and broken.isdisjoint(names)]

    assert unbroken == []


def test_a_mutant_of_a_row_is_shown_to_the_tests_of_the_row() -> None:
    """To no others, and the row is there: what another test notices is not held by those that the row names."""
    named = {name: tests for names, _, tests in requirement_rows() for name in names}

    strangers = {
        (row, mutant.name): shown - named.get(row, set())
        for mutant in MUTANTS
        for row in mutant.rows
        if not (shown := {each.rpartition("::")[2] for each in mutant.tests.split()}) <= named.get(row, set())
    }

    assert strangers == {}


def test_the_events_are_those_of_the_code() -> None:
    """Each has its row, and no other."""
    names = {value for name, value in vars(observe).items() if name.isupper() and isinstance(value, str)}

    assert {row[0].strip("`") for row in rows("Events")} == names


def test_the_dependencies_are_those_of_the_project() -> None:
    """Each with its reason."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]

    named = {row[0].strip("`"): bool(row[1]) for row in rows("Dependencies")}

    assert named == dict.fromkeys(distributions(project["dependencies"]), True)


SERVES = ("redis", "postgres", "mongodb", "crypto", "metrics", "cli")
"""The extras that `make run` installs."""


@pytest.mark.parametrize(
    ("name", "extras"), [("requirements.lock", SERVES), ("requirements-dev.lock", ("dev", "otel", "speed", *SERVES))]
)
def test_a_lock_pins_what_it_is_for_and_names_no_place(name: str, extras: tuple[str, ...]) -> None:
    """Every dependency of its extras in pyproject.toml, exactly, with hashes, and of no other; no index, no host, no folder."""
    lock = (ROOT / name).read_text("utf-8")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    asked = {extra: distributions(each) - {project["name"]} for extra, each in project["optional-dependencies"].items()}
    asked[""] = distributions(project["dependencies"])
    names = set().union(*(asked[extra] for extra in ("", *extras)))

    pinned = re.findall(r"^([\w.-]+)==\S+( ; [^\\\n]+)? \\\n    --hash=sha256:[0-9a-f]{64}", lock, re.MULTILINE)
    requirements = [line for line in lock.splitlines() if line and line[0] not in " #"]

    assert set().union(*asked.values()) & {each for each, _ in pinned} == names
    assert len(pinned) == len(requirements)
    assert re.findall(r"://|--index|--find-links|file:", lock) == []


def test_the_locks_agree() -> None:
    """What both pin they pin alike, and the tools' lock pins all that serves."""
    small, large = (
        set(re.findall(r"^[\w.-]+==\S+", (ROOT / name).read_text("utf-8"), re.MULTILINE))
        for name in ("requirements.lock", "requirements-dev.lock")
    )

    assert small - large == set()


def distributions(requirements: list[str]) -> set[str]:
    """The names that requirements begin with."""
    return {re.match(r"[\w-]+", each)[0].lower() for each in requirements}  # type: ignore[index] # each begins with one
