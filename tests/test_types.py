"""The types: the examples of the README and the docs pass mypy and pyright, and no public symbol is left to a guess.

pyright is basedpyright, the same checker in a package that brings its Node.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_docs import PAGES, ROOT, fenced

PROGRAMS = sorted((ROOT / "docs" / "examples").rglob("*.py"))

TYPES = Path(sys.executable).parent
"""Where the checkers lie, and the Python for which they check."""

RULES = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    "reportUnknownMemberType": False,  # Tornado's own: `write` takes a bare dict
}

WRONG = """\
from typing import TypedDict
from tornado.web import RequestHandler
from sessions import SessionMixin, SessionOptions

class Basket(TypedDict, total=False):
    items: list[str]

class Wrong(SessionMixin, RequestHandler):
    session_on_demand = True
    def get(self) -> None:
        self.session = 1
        self.session.cookie.max_age = "a day"
        SessionOptions(secret="a secret", rolling="yes")
        self.session.typed(Basket)["items"] = "apple"
        self.session.typed(Basket)["item"] = ["apple"]
        self.session.typed(Basket).setdefault("items", []).append(1)
        self.session.typed(int)
"""
"""A page's example that is wrong in its last seven lines: what shows that a checker has looked."""

WRONG_LINES = range(11, 18)


@pytest.fixture
def examples(tmp_path: Path) -> Path:
    """A folder with every Python example: the blocks of the pages, the programs, and WRONG.

    A block has the name of its page, or the one that its first line says. Those of the tutorial are one file.
    """
    folder = tmp_path / "examples"
    folder.mkdir()
    for page in PAGES:
        blocks = fenced(page.read_text("utf-8"), "python")
        name = re.sub(r"\W", "_", str(page.relative_to(ROOT).with_suffix("")).lower())
        for number, block in enumerate(["\n\n".join(blocks)] if page.name == "tutorial.md" else blocks, 1):
            named = re.match(r"# (\w+\.py)\n", block)
            (folder / (named[1] if named else f"{name}_{number}.py")).write_text(block)
    for program in PROGRAMS:
        (folder / program.name).write_bytes(program.read_bytes())
    (folder / "wrong.py").write_text(WRONG)
    return folder


def run(*command: str, cwd: Path) -> str:
    """What a checker of this environment prints. It knows no setting of this project's own."""
    env = {"PATH": f"{TYPES}:{os.environ['PATH']}", "HOME": str(cwd)}
    done = subprocess.run(
        [str(TYPES / command[0]), *command[1:]], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


def test_every_example_passes_mypy(examples: Path) -> None:
    """In its strict mode, as an application of its own that has the library installed."""
    said = run("mypy", "--strict", "--config-file=", f"--cache-dir={ROOT / '.cache/mypy'}", ".", cwd=examples)

    errors = re.findall(r"^(\S+\.py):(\d+): error: .*$", said, re.MULTILINE)
    assert sorted({*errors}) == [("wrong.py", str(number)) for number in WRONG_LINES], said


def test_every_example_passes_pyright(examples: Path) -> None:
    """In its strict mode, likewise."""
    (examples / "pyrightconfig.json").write_text(json.dumps(RULES))

    said = run("basedpyright", "--outputjson", cwd=examples)

    found = [
        (Path(each["file"]).name, each["range"]["start"]["line"] + 1) for each in json.loads(said)["generalDiagnostics"]
    ]
    assert sorted({*found}) == [("wrong.py", number) for number in WRONG_LINES], said


def test_every_public_symbol_has_a_type(tmp_path: Path) -> None:
    """Of each module of the library, a type that is written down or that every checker infers alike."""
    said = json.loads(
        run("basedpyright", "--verifytypes", "sessions", "--ignoreexternal", "--outputjson", cwd=tmp_path)
    )

    report = said["typeCompleteness"]
    unclear = [each["name"] for each in report["symbols"] if each["isExported"] and not each["isTypeKnown"]]
    unclear += [each["name"] for each in report["symbols"] if each["isExported"] and each["isTypeAmbiguous"]]
    errors = [each for each in said["generalDiagnostics"] if each["severity"] == "error"]
    assert report["completenessScore"] == 1, unclear
    assert errors == []
    assert report["exportedSymbolCounts"]["withKnownType"] > 1000
