"""The README's example, as it is: a login on SQLite, which a visitor goes through by the pages and forms that it sends."""

import os
import re
import socket
import sys
from pathlib import Path
from urllib.parse import urlencode

from client import Browser
from interop.processes import Process, wait_until
from test_docs import README, ROOT, fenced

from sessions import now_ms


async def test_the_login_runs(tmp_path: Path) -> None:
    """The first Python block, without a change, signs a visitor in, also after a restart. Only the port is the test's."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "example.py").write_text(example_at(port))
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    visitor, answers, printed = Browser(port, now_ms), [], []

    for visit in (sign_in, account):
        with Process([sys.executable, "-W", "error", "example.py"], cwd=tmp_path, env=env) as process:
            wait_until(lambda: listens(port, process), 10)
            answers.append(await visit(visitor))
        printed.append(process.output)

    assert answers == ["/?next=%2Faccount to /account", '{"signed in as": "ada"}']
    assert printed == [f"http://127.0.0.1:{port}/\n"] * 2


def example_at(port: int) -> str:
    """The README's example, on a port."""
    example = fenced(README, "python")[0]
    assert example.count("8888") == 2
    return example.replace("8888", str(port))


async def sign_in(visitor: Browser) -> str:
    """Ask for the page of the account, and sign in on the page that this leads to. Returns both ways."""
    asked = (await visitor.fetch("/account")).header("Location") or ""
    token = re.search(r'name="_xsrf" value="([^"]+)"', (await visitor.fetch(asked)).text)
    assert token is not None
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = urlencode({"_xsrf": token[1], "user": "ada"}).encode()
    return f"{asked} to {(await visitor.fetch(asked, method='POST', body=body, headers=form)).header('Location')}"


async def account(visitor: Browser) -> str:
    """What the page of the account says."""
    return (await visitor.fetch("/account")).text


def listens(port: int, process: Process) -> bool:
    """Whether somebody does; raises when the process has ended."""
    process.check()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_example_is_seen_without_scrolling() -> None:
    """What the project is, its two commands and the login are on the first screen."""
    before, heading, _ = README.partition("## What you get")

    assert heading
    assert len(before.splitlines()) <= 50
    assert [fenced(before, language) != [] for language in ("console", "python")] == [True, True]
