"""docs/examples/lmdb-store: installed, it keeps the contract, and serves by one line of config.toml."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import Server
from processes import run as run_server

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "lmdb-store"

CONFIG = """
[server]
workers = 2
[session]
store = "lmdb:kept/sessions.lmdb"
secret = "a secret of the test, as long as it should be"
[lmdb]
mapSize = 10485760
"""

COUNT = """
import asyncio
import json

from sessions import Outcome, StoredSession, open_store


async def count(times):
    async with open_store("lmdb:counted") as store:
        await store.create("a", StoredSession('{"n": 0}', 8_640_000_000_000_000))
        record = await store.get("a")
        while times:
            text = json.dumps({"n": json.loads(record.data)["n"] + 1})
            outcome, record = await store.update("a", record._replace(data=text), record)
            times -= outcome is Outcome.SAVED
        return record.data


print(asyncio.run(count(40)))
"""
"""A process that counts up in a session, and prints what it had at its end."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which the example is installed."""
    folder = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "install"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-build-isolation", "--target", folder, EXAMPLE], check=True)
    return folder


def run(site: Path, cwd: Path, *arguments: object) -> str:
    """What a Python prints that has the library and the example, and no plugin of pytest."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{site}:{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    env["PYTHONDONTWRITEBYTECODE"] = "1"  # it runs in the project's own folder
    command = [sys.executable, "-W", "error", *map(str, arguments)]
    result = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_package_keeps_the_contract(site: Path, tmp_path: Path) -> None:
    """By the tests that it has itself, under plain pytest."""
    output = run(site, EXAMPLE, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "run")

    assert re.search(r"^1\d\d passed in ", output, re.MULTILINE), output


def test_processes_share_the_folder(site: Path, tmp_path: Path) -> None:
    """No increment of three of them is lost."""
    with ThreadPoolExecutor() as pool:
        printed = list(pool.map(lambda _: run(site, tmp_path, "-c", COUNT), range(3)))

    assert max(json.loads(line)["n"] for line in printed) == 120


async def test_a_configured_folder_serves(site: Path, start: Callable[..., Server], tmp_path: Path) -> None:
    """Two workers answer from it, only its user can read it, and `--check` shows its options."""
    under = ["env", f"PYTHONPATH={site}"]

    browser = start(CONFIG, under=under).browser()
    await browser.fetch("/set-session")
    shown = [(await browser.fetch("/get-session")).text for _ in range(8)]
    check = start(CONFIG, "--config", "config.toml", "--check", under=under)
    status = await check.ended()

    assert shown == ["Session data: exampleuser"] * 8
    assert (tmp_path / "kept" / "sessions.lmdb" / "data.mdb").stat().st_mode & 0o777 == 0o600
    assert status == 0
    assert "[lmdb]\nmapSize = 10485760\n" in check.output


def test_a_wrong_option_is_named(site: Path, tmp_path: Path) -> None:
    """With its table, before the server starts."""
    result = run_server(tmp_path, CONFIG.replace("10485760", "10"), "--check", path=site)

    assert result.returncode == 2
    assert "[lmdb] mapSize: expected at least 1048576 bytes, got 10" in result.stderr
