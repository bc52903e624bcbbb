"""The mutants (tests/lab/mutants) are not tried here, but each of them still breaks what it names."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from lab.mutants.__main__ import SITE
from lab.mutants.mutant import Mutant, Stale, edited
from lab.mutants.tables import MUTANTS

TESTS = Path(__file__).parent
CONTRACT = "".join(path.read_text("utf-8") for path in (TESTS.parent / "sessions" / "testing").glob("*.py"))

TWICE = """
import subprocess, sys
if len(sys.argv) < 2:
    subprocess.run([sys.executable, __file__, "again"], env={"PATH": ""}, check=True)
from sessions.stores.sqlite.store import perform
print(perform.__name__)
"""


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_what_it_names(mutant: Mutant) -> None:
    """Or `make mutants`, which takes its time, would be the first to say so."""
    mutant.check()

    assert [each for each in mutant.tests.split() if not is_there(each)] == []


def is_there(test: str) -> bool:
    """True for a file of tests, and for a class or a test that is in it, or in the contract that its classes have."""
    path, *names = test.split("::")
    text = (TESTS / path).read_text("utf-8") + CONTRACT
    return all(re.search(rf"\b(class|def) {name}\b", text) for name in names)


def test_each_mutant_has_a_name_of_its_own() -> None:
    """It is chosen by that."""
    names = [mutant.name for mutant in MUTANTS]

    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("target", "replacement"),
    [
        ("sessions.nowhere:SessionManager.load", lambda _: None),
        ("sessions.manager:Nobody.load", lambda _: None),
        ("sessions.manager:SessionManager.nothing", lambda _: None),
        ("sessions.manager:SessionManager.load", lambda original: original),
        ("sessions.observe:CREATED", lambda text: edited(text, "nowhere", "")),
    ],
)
def test_a_mutant_that_changes_nothing_says_so(target: str, replacement: object) -> None:
    """The name is gone, or its source has no such words."""
    with pytest.raises(Stale):
        Mutant(1, "", "", target, replacement).check()  # type: ignore[arg-type] # a replacement that was parametrized


def test_a_process_and_those_that_it_starts_are_the_mutant(tmp_path: Path) -> None:
    """In another module that has imported the name, and in a child that is given no environment of ours."""
    (tmp_path / "twice.py").write_text(TWICE)
    env = {"PATH": "", "MUTANT": "an answer does not wait for its transaction's commit", "PYTHONPATH": str(SITE)}

    said = subprocess.run([sys.executable, tmp_path / "twice.py"], env=env, capture_output=True, text=True, check=False)

    assert (said.stdout, said.stderr) == ("<lambda>\n<lambda>\n", "")
