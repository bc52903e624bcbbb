"""docs/cli.md: what its examples print is what the commands print, and it names every command and exit code."""

import re
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_docs import fenced, table

from sessions import StoredSession
from sessions.cli import codes
from sessions.cli.app import COMMANDS

from .support import COOKIE, Place, run

DOC = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8")
SIGNED_IN = 1_893_000_000_000
ENDS = 1_893_456_000_000
ROWS: list[tuple[str, dict[str, Any]]] = [
    ("phone", {"username": "ada", "__meta": {"signedInAt": SIGNED_IN, "ip": "192.0.2.7", "agent": "Firefox"}}),
    ("laptop", {"username": "ada", "__meta": {"signedInAt": SIGNED_IN - 9_000_000}, "cart": ["tea"]}),
    ("tablet", {"username": "ada", "__meta": {"signedInAt": SIGNED_IN - 99_000_000}}),
    ("desk", {"username": "bob"}),
    ("visitor", {"theme": "dark"}),
]


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC."""
    with monkeypatch.context() as zone:
        zone.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_utc")
def test_the_examples_print_what_the_page_shows(folder: Path) -> None:
    """In their order, on a store with five sessions. The secret is another one each time."""
    place = Place("sqlite", folder)
    place.config.write_text(place.config.read_text().replace(f"sqlite:{folder}/", "sqlite:"))

    async def put(store: Any) -> None:
        for sid, members in ROWS:
            text = str({"cookie": COOKIE, **members}).replace("'", '"').replace("True", "true")
            await store.set(sid, StoredSession(text, ENDS))

    place.within(put)
    steps = [re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] for block in fenced(DOC, "console")]

    for command, shown in (step.split("\n", 1) for block in steps for step in block):
        program, *arguments = shlex.split(command)
        ran = run(*arguments)

        assert program == "sessions"
        printed = re.sub(r"^[\w-]{43}$", "<43 characters>", ran.out)
        assert printed.replace("\t", "  ") == shown, command


def test_every_command_and_exit_code_is_named() -> None:
    """In a table each."""
    assert [re.findall(r"`(\w+)", row[0])[0] for row in table(DOC, "command")] == list(COMMANDS)
    stated = {int(row[0].strip("`")) for row in table(DOC, "code")}
    assert stated == {value for name, value in vars(codes).items() if name.isupper()}
