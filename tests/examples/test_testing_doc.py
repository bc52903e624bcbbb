"""docs/how-to/testing.md: its tests pass, each by the runner that the page names, and fail if the application is wrong."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import ACCOUNTS

ROOT = ACCOUNTS.parents[2]
PAGE = (ROOT / "docs" / "how-to" / "testing.md").read_text("utf-8")
BLOCKS = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
RUNNERS = {
    "test_notes.py": ("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"),
    "test_notes_unittest.py": ("unittest",),
    "test_notes_tornado.py": ("unittest",),
}
FAULTS = {
    "test_notes.py": ("@fresh(minutes=10)", "@authenticated"),
    "test_notes_unittest.py": ('self.session.get("notes", [])}', '["milk"]}'),
    "test_notes_tornado.py": (
        "@authenticated\n    def get(self) -> None:\n        self.write({",
        "def get(self) -> None:\n        self.write({",
    ),
}


def run(folder: Path, file: str, notes: str) -> subprocess.CompletedProcess[str]:
    """Run a file of tests on an application."""
    (folder / "notes.py").write_text(notes)
    (folder / file).write_text(BLOCKS[file])
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    runner, *options = RUNNERS[file]
    command = [sys.executable, "-m", runner, *options, file]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize("file", RUNNERS)
def test_its_tests_pass(file: str, tmp_path: Path) -> None:
    """As they are."""
    done = run(tmp_path, file, BLOCKS["notes.py"])

    number = BLOCKS[file].count("def test_")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(rf"^({number} passed|Ran {number} tests?)\b", done.stdout + done.stderr, re.MULTILINE)


@pytest.mark.parametrize("file", RUNNERS)
def test_they_fail_if_the_application_is_wrong(file: str, tmp_path: Path) -> None:
    """They look at what they say."""
    right, wrong = FAULTS[file]
    assert BLOCKS["notes.py"].count(right) == 1

    done = run(tmp_path, file, BLOCKS["notes.py"].replace(right, wrong))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "AssertionError" in done.stdout + done.stderr or "KeyError" in done.stdout + done.stderr


def test_every_file_of_tests_is_run() -> None:
    """None is left out here."""
    assert BLOCKS.keys() == {"notes.py", *RUNNERS}
