"""docs/doctor.md: its tables are the findings of the code, with their severities, and a test makes each of them."""

import ast
import re
from collections import defaultdict
from pathlib import Path

from test_docs import table

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "doctor.md").read_text("utf-8")
SEVERITIES = ("fault", "warning", "note")


def findings() -> dict[str, set[str]]:
    """The names in the calls that make findings, with the severities that they are made with."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "sessions").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call) or not node.args or not isinstance(node.args[0], ast.Constant):
                continue
            name = node.args[0].value
            if not isinstance(name, str) or not re.fullmatch(r"[a-z-]+\.[a-z-]+", name):
                continue
            made_by = " ".join(map(ast.unparse, (node.func, *node.args[1:2])))
            if re.search(rf"\b({'|'.join(SEVERITIES)}|say|Finding|severity)\b", made_by):
                found[name] |= {each for each in SEVERITIES if re.search(rf"\b{each}\b", ast.unparse(node.func))}
    return found


def rows() -> dict[str, str]:
    """The findings of the page, with their severities in words."""
    tables = re.findall(r"^\| finding \|.*\n\|[-| ]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    cells = [row.split("|")[1:3] for each in tables for row in each.splitlines()]
    assert len({name for name, _ in cells}) == len(cells)
    return {name.strip(" `"): severity.strip() for name, severity in cells}


def test_every_finding_has_its_row() -> None:
    """And no row is of nothing."""
    assert sorted(rows()) == sorted(findings())


def test_a_row_names_the_severity() -> None:
    """Where a finding has two, both."""
    wrong = {
        name: rows()[name]
        for name, severities in findings().items()
        if not all(severity in rows()[name] for severity in severities)
    }

    assert wrong == {}


def test_every_finding_is_made_by_a_test() -> None:
    """Its name is in one of the tests that examine real things."""
    tests = "".join(path.read_text("utf-8") for path in (ROOT / "tests" / "doctor").glob("test_*.py"))

    assert [name for name in findings() if f'"{name}"' not in tests] == []


def test_the_exit_codes_are_those_of_the_command() -> None:
    """3 is of other commands."""
    from sessions.cli.codes import DONE, FAILED, FAULT, USAGE

    codes = [int(row[0]) for row in table(PAGE, "exit code")]

    assert codes == [DONE, FAILED, USAGE, FAULT]
