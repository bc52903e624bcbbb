"""docs/examples/accounts: its own tests pass by Python's runner, and it is served as its README says."""

import ast
import asyncio
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from interop.processes import Process, wait_until

from case import Person
from main import options
from sessions import MemoryStore, SessionManager

from .conftest import ACCOUNTS

ROOT = Path(__file__).parents[2]
SECRET = "of-the-tests-and-as-long-as-it-has-to-be"
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SESSION_SECRET": SECRET}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the application, as a user has it."""
    shutil.copytree(ACCOUNTS, tmp_path / "accounts", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "accounts"


def listens(port: int, process: Process) -> bool:
    """True if somebody does; raises when the process has ended."""
    process.check()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_its_own_tests_pass(folder: Path) -> None:
    """With no other runner than Python's; a warning is an error."""
    command = [sys.executable, "-W", "error", "-m", "unittest", "discover", "tests"]

    result = subprocess.run(command, cwd=folder, env=ENV, capture_output=True, text=True, check=False, timeout=300)

    assert re.search(r"^Ran \d\d tests in .*\n\nOK$", result.stderr, re.MULTILINE), result.stderr
    assert "Traceback" not in result.stderr


async def test_a_killed_server_has_lost_nothing(folder: Path) -> None:
    """Who has registered and uploaded a file before is signed in after it, and has the file."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    main = folder / "main.py"
    main.write_text(main.read_text().replace("8888", str(port)))
    person = Person(port, manager=SessionManager(MemoryStore(), options(SECRET)))

    with Process([sys.executable, "-W", "error", "main.py"], cwd=folder, env=ENV) as process:
        await asyncio.to_thread(wait_until, lambda: listens(port, process), 60)
        await person.register()
        await person.upload(b"a file")
        process.kill()
    with Process([sys.executable, "-W", "error", "main.py"], cwd=folder, env=ENV) as process:
        await asyncio.to_thread(wait_until, lambda: listens(port, process), 60)
        home, file = await person.open("/"), await person.fetch("/file")

    assert b"Good day, ada" in home.body
    assert file.body == b"a file"
    assert process.output == f"http://127.0.0.1:{port}/\n"


ROWS = re.findall(r"^\| .*? \| `(.*)` \| (\S+) \|$", (ACCOUNTS / "README.md").read_text("utf-8"), re.MULTILINE)


def test_its_readme_quotes_lines_that_are_there() -> None:
    """Each in the file that it names."""
    missing = [
        (line, file) for line, file in ROWS if line.replace("\\|", "|") not in (ACCOUNTS / file).read_text("utf-8")
    ]

    assert len(ROWS) > 20
    assert missing == []


def lines_of_code(path: Path) -> int:
    """How many lines there are, without blank ones, docstrings and imports."""
    text = path.read_text("utf-8")
    left_out: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        match node:
            case ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
                left_out.update(range(node.lineno, (node.end_lineno or 0) + 1))
    return sum(1 for number, line in enumerate(text.splitlines(), 1) if line.strip() and number not in left_out)


def test_it_is_short() -> None:
    """Five files, each of a page, with 250 lines of code in all."""
    sizes = {path.name: lines_of_code(path) for path in ACCOUNTS.glob("*.py")}

    assert len(sizes) == 5
    assert sum(sizes.values()) <= 250, sizes
    assert max(sizes.values()) <= 80, sizes
