"""docs/dependencies.md: each package that pyproject.toml names has its row and its reason, and no other has."""

import re
import tomllib
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def names(requirements: list[str]) -> set[str]:
    """The packages that requirements begin with, without this one."""
    found = {re.split(r"[\[<>=~! ]", each)[0].lower() for each in requirements}
    return found - {PROJECT["project"]["name"]}


def required(file: Path) -> list[str]:
    """The lines of a file of requirements."""
    return re.findall(r"^[^#\n].*", file.read_text("utf-8"), re.MULTILINE)


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    (section,) = re.findall(rf"^## {heading}\n(.*?)(?=^## |\Z)", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


LAB = ROOT / "tests" / "lab"
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]

SECTIONS = {
    "The library": names(PROJECT["project"]["dependencies"]),
    "The extras": set().union(*(names(each) for extra, each in EXTRAS.items() if extra != "dev")),
    "The reference server": names(PROJECT["dependency-groups"]["server"]),
    "Development": names(EXTRAS["dev"]),
    "Deployment": names(required(LAB / "deployment" / "requirements.txt")),
    "Release": names(required(LAB / "release" / "requirements.txt")),
}


@pytest.mark.parametrize("heading", SECTIONS)
def test_each_package_has_its_row_and_its_reason(heading: str) -> None:
    """And no other has one."""
    found = {row[0].strip("`"): row for row in rows(heading)}

    assert found.keys() == SECTIONS[heading]
    assert [name for name, row in found.items() if not all(row)] == []


def test_an_extra_is_the_one_that_has_the_package() -> None:
    """As `pip install 'tornado-express-sessions[…]'` takes it."""
    for package, extra, *_ in rows("The extras"):
        assert package.strip("`") in names(EXTRAS[extra.strip("`")])


@pytest.mark.parametrize("row", [*rows("The library"), *rows("The extras")], ids=lambda row: str(row[0].strip("`")))
def test_a_licence_is_the_one_that_the_package_names(row: list[str]) -> None:
    """In its metadata, in whichever way it does."""
    found = metadata(row[0].strip("`"))
    stated = [found[name] for name in ("License-Expression", "License") if name in found]
    says = " ".join([*stated, *found.get_all("Classifier", [])])

    words = {"Apache-2.0": "Apache", "MIT": "MIT", "BSD-2-Clause": "BSD", "BSD-3-Clause": "BSD", "MPL-2.0": "MPL"}
    named = [word for word in words if word in row[-1]]
    assert named
    assert [word for word in named if words[word] not in says] == []
