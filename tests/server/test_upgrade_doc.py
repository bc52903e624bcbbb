"""docs/upgrading.md: its steps, taken with a database that 0.1.0 has made, and what its table says of the start."""

import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from processes import ROOT, Server, run

from sessions.testing.jar import Jar

FIXTURES = ROOT / "tests" / "upgrade" / "0.1.0"
PAGE = (ROOT / "docs" / "upgrading.md").read_text("utf-8")
MADE = json.loads((FIXTURES / "sessions.json").read_text("utf-8"))
SECRETS = ",".join(MADE["secrets"])
CONFIG = f'[session]\nstore = "sqlite:sessions.db"\nuserKey = "user"\nttl = {MADE["ttl"]}\n'


def rows(folder: Path) -> dict[str, tuple[int, str]]:
    """What the table has, as any program reads it."""
    with closing(sqlite3.connect(folder / "sessions.db")) as connection:
        return {
            sid: (expired, sess) for sid, expired, sess in connection.execute("SELECT sid, expired, sess FROM sessions")
        }


def entry(name: str) -> dict[str, Any]:
    """What is known of a session that 0.1.0 has made."""
    (found,) = [each for each in MADE["stores"]["sqlite"] if each["name"] == name]
    return dict(found)


def jar_of(server: Server, session: Mapping[str, Any]) -> Any:
    """A visitor who comes with the cookie that 0.1.0 has sent."""
    visitor = server.browser()
    visitor.jar = Jar(visitor.jar.clock)
    visitor.jar.receive(f"connect.sid={session['cookie']}; Path=/", "127.0.0.1", "/", secure=False)
    return visitor


def command(start: str, folder: Path) -> str:
    """What a command of the page prints, run in the folder of the server."""
    (found,) = {each for each in re.findall(r"`(python [^`\n]*)`", PAGE) if each.startswith(start)}
    words = [sys.executable, *shlex.split(found)[1:]]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SESSION_SECRET": SECRETS}
    if words[1] == "server.py":
        words[1] = str(ROOT / "server.py")
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a server of 0.1.0, which was stopped."""
    shutil.copy(FIXTURES / "sessions.db", tmp_path)
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


async def test_the_steps_sign_nobody_out(folder: Path) -> None:
    """The configuration is checked, the new version started; who has a cookie is who they were; other rows stay."""
    before = rows(folder)
    said = command("python server.py", folder)

    with Server(folder, CONFIG, secret=SECRETS) as server:
        pages = {}
        for name in ("plain", "rotated", "signed with the old secret"):
            pages[name] = (await jar_of(server, entry(name)).fetch("/")).text
        indexed = command("python -m sessions index", folder)
        stopped = server.stop()

    assert "[session]" in said
    assert "日本語" in pages["plain"]
    assert "pears" in pages["rotated"]
    assert "user" in pages["signed with the old secret"]
    assert (stopped, indexed != "") == (0, True)
    others = {each["id"] for each in MADE["stores"]["sqlite"] if each["alive"] and each["name"] not in pages}
    after = rows(folder)
    assert len(others) == 9
    assert {sid: after[sid] for sid in others} == {sid: before[sid] for sid in others}


async def test_a_change_after_the_upgrade_keeps_what_was_there(folder: Path) -> None:
    """And the row that 0.1.0 has made holds it."""
    session = entry("changed")
    with Server(folder, CONFIG, secret=SECRETS) as server:
        await jar_of(server, session).fetch("/set-session")

    data = json.loads(rows(folder)[session["id"]][1])
    assert (data["n"], data["username"]) == (2, "exampleuser")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ('store = "sqlite:///sessions.db"', "sqlite:sessions.db"),
        ("touchAfter = 86400000", "touchAfter"),
    ],
)
def test_what_is_refused_now_says_what_to_write(config: str, message: str, tmp_path: Path) -> None:
    """At the check, before any server was stopped."""
    done = run(tmp_path, f"[session]\n{config}\n", "--check")

    assert done.returncode != 0
    assert message in done.stderr
