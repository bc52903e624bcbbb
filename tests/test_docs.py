"""The words: what the README and the docs say of the code, its commands and its files is so."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import MISSING, fields
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from sessions import ABSENT, Cookie, CookieOptions, Session, SessionMixin, SessionOptions
from sessions.validation import express_names

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


# ---------------------------------------------------------------- reading


def fenced(text: str, *languages: str) -> list[str]:
    """The fenced blocks of some languages."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in blocks if language in languages]


def spoken(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def commands(text: str) -> Iterator[str]:
    """The commands: the lines of shell blocks (only those with a prompt, if the block has prompts), and texts in backticks."""
    for block in fenced(text, "console", "sh", "bash", "shell"):
        has_prompts = re.search(r"^\$ ", block, re.MULTILINE)
        for line in block.splitlines():
            if not has_prompts or line.startswith("$ "):
                yield line.removeprefix("$ ").partition(" #")[0].strip()
    yield from re.findall(r"`([^`\n]+)`", spoken(text))


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the table with the heading `first` over its first column."""
    found = re.search(rf"^\| {first} \|.*\n\|[-| ]+\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found is not None, f"no table | {first} |"
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in found[1].splitlines()]


@cache
def make_database() -> str:
    """What make has read of the Makefile."""
    given = ["make", "-pRrq"]
    return subprocess.run(given, cwd=ROOT, capture_output=True, text=True, check=False, timeout=10).stdout


def targets() -> set[str]:
    """The targets of the Makefile that do something."""
    rules = re.findall(r"^([\w-]+):(?!=)(.*)\n((?:(?:#.*|\t.*)\n)*)", make_database(), re.MULTILINE)
    return {name for name, needs, body in rules if needs.strip() or "\t" in body}


def test_the_reading_of_a_page() -> None:
    """What the tests below rest on."""
    text = "Say `make a`.\n```sh\nb # c\n```\n```console\n$ d  # e\nf\n```\n```python\ng\n```\n| h | i |\n|---|---|\n| `j` | k |\n"

    assert list(commands(text)) == ["b", "d", "make a", "j"]
    assert fenced(text, "python") == ["g\n"]
    assert table(text, "h") == [["`j`", "k"]]


# ---------------------------------------------------------------- the README


def test_the_options_are_those_of_the_code() -> None:
    """Each has its row, and no other."""
    names = [row[0].strip("`") for row in table(README, "option")]

    own = [name for name in express_names(SessionOptions) if name != "cookie"]
    assert sorted(names) == sorted(own + [f"cookie.{name}" for name in express_names(CookieOptions)])


OPTIONS = {
    **{express: (SessionOptions, name) for express, name in express_names(SessionOptions).items()},
    **{f"cookie.{express}": (CookieOptions, name) for express, name in express_names(CookieOptions).items()},
}


@pytest.mark.parametrize(("name", "shown"), [row[:2] for row in table(README, "option")])
def test_a_default_is_that_of_the_code(name: str, shown: str) -> None:
    """As it is written in config.toml, or "not set", or in words where the file cannot hold it."""
    kind, field = OPTIONS[name.strip("`")]
    default = next(each.default for each in fields(kind) if each.name == field)

    if name in ("`secret`", "`genid`"):
        assert default in (MISSING, None)
        assert "`" not in shown
    elif default is None or default is ABSENT:
        assert shown == "not set"
    else:
        assert shown == f"`{json.dumps(default)}`"


def test_what_a_handler_does_is_there() -> None:
    """The attributes and verbs of `self`, `self.session` and `self.session.cookie` that the README shows."""
    shown = " ".join(row[0] for row in table(README, "in a handler"))

    for owner, pattern in (
        (SessionMixin, r"self\.(\w+)"),
        (Session, r"self\.session\.(\w+)"),
        (Cookie, r"self\.session\.cookie\.(\w+)"),
    ):
        names = set(re.findall(pattern, shown))
        assert names
        assert [name for name in names if not hasattr(owner, name)] == []


def test_the_files_are_there() -> None:
    """Those of the table of rooms."""
    names = [row[0].strip("`") for row in table(README, "file")]

    assert [name for name in names if not (ROOT / name).exists()] == []


def test_the_url_is_that_of_the_configuration() -> None:
    """What `make run` serves."""
    server = tomllib.loads((ROOT / "config.toml").read_text("utf-8"))["server"]

    assert f"http://{server['address']}:{server['port']}/" in fenced(README, "console")[0]


def test_the_changelog_knows_this_version() -> None:
    """It has a section for what pyproject.toml says."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]

    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")

    assert re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE)


# ---------------------------------------------------------------- every page


@each_page
def test_its_make_targets_are_there(page: Path) -> None:
    """And do something."""
    named = {command.split()[1] for command in commands(page.read_text("utf-8")) if command.startswith("make ")}

    assert named - targets() == set()


@each_page
def test_its_programs_are_there(page: Path) -> None:
    """A script that is to be started lies beside the page or at the top, a module can be found, a flag is known."""
    missing = []
    for command in commands(page.read_text("utf-8")):
        found = re.search(r"\b(?:python3?|node) (-m )?([\w./-]+)(.*)", command)
        if found is None or found[2] == "-c":
            continue
        is_module, program, rest = found.groups()
        if is_module:
            parts = ROOT.joinpath(*program.split("."))
            is_there = (
                parts.with_suffix(".py").exists() or parts.is_dir() or find_spec(program.split(".")[0]) is not None
            )
        else:
            is_there = (page.parent / program).exists() or (ROOT / program).exists()
        flags = set(re.findall(r"--[\w-]+", rest)) if program == "server.py" else set()
        if not is_there or flags - server_flags():
            missing.append(command)

    assert missing == []


@each_page
def test_its_links_lead_somewhere(page: Path) -> None:
    """To a file of the project, and to a heading where they name one."""
    links = re.findall(r"\]\(([^)\s]+)\)", spoken(page.read_text("utf-8")))

    broken = []
    for link in links:
        path, _, heading = link.partition("#")
        target = page.parent / unquote(path) if path else page
        if ":" not in path and not (target.exists() and (not heading or heading in headings(target))):
            broken.append(link)
    assert broken == []


@each_page
def test_its_python_is_python(page: Path) -> None:
    """Every block of it can be parsed, and what it imports of ours is there."""
    for block in fenced(page.read_text("utf-8"), "python", "py"):
        tree = ast.parse(block)

        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sessions":
                module: Any = import_module(node.module or "")
                assert [alias.name for alias in node.names if not hasattr(module, alias.name)] == []


@each_page
def test_what_it_names_of_a_module_is_there(page: Path) -> None:
    """Where it says "`name(…)` of `sessions.module`"."""
    named = re.findall(r"`(?:async with )?(\w+)[^`]*` of `(sessions[\w.]*)`", spoken(page.read_text("utf-8")))

    assert [pair for pair in named if not hasattr(import_module(pair[1]), pair[0])] == []


@cache
def server_flags() -> set[str]:
    """The flags of server.py."""
    given = [sys.executable, str(ROOT / "server.py"), "--help"]
    return set(re.findall(r"--[\w-]+", subprocess.run(given, capture_output=True, text=True, check=True).stdout))


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = re.findall(r"^#+ (.+)$", spoken(page.read_text("utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in found}


def test_the_examples_of_the_style_are_lines_of_this_project() -> None:
    """What CONTRIBUTING.md shows as better is a line of a source."""
    sources = "".join(path.read_text("utf-8") for room in ("sessions", "tests") for path in (ROOT / room).rglob("*.py"))
    changes = fenced((ROOT / "CONTRIBUTING.md").read_text("utf-8"), "diff")

    better = [line[1:].strip() for change in changes for line in change.splitlines() if line.startswith("+")]

    assert len(changes) == 10
    assert [line for line in better if line not in sources] == []


# ---------------------------------------------------------------- the commands


def test_the_hooks_are_the_parts_of_the_check() -> None:
    """Before a commit runs what `make check` runs, and nothing from elsewhere."""
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    parts = re.search(r"^check: ([\w ]+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)

    assert parts is not None
    assert re.findall(r"entry: make (\w+)", hooks) == parts[1].split()
    assert re.findall(r"repo: (\S+)", hooks) == ["local"]


def test_every_target_does_something_and_is_shown() -> None:
    """None is declared only, and `make help` lists them all."""
    declared = set(" ".join(re.findall(r"^\.PHONY:(.*)$", make_database(), re.MULTILINE)).split())

    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=10).stdout

    assert {"help", "run", "test"} <= declared
    assert declared - targets() == set()
    assert declared - {line.split()[0] for line in shown.splitlines()} == set()
