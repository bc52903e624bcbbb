"""The command: what it prints, its exit codes, and that it shows no secret."""

# nobody else is on the loop

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.support import run
from stores.redis_server import shared_server

from sessions import MemoryStore, now_ms, register_store
from sessions.doctor import Subject, diagnosed
from sessions.store import StoredSession
from sessions.stores.sqlite import SQLiteStore

from .asking import HOUR, STRONG, store

SECONDS = 60


def doctor(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    given = [sys.executable, "-W", "error", "-m", "sessions", "doctor", *arguments]
    return subprocess.run(
        given, cwd=folder, env={"PATH": os.environ["PATH"], **env}, capture_output=True, text=True, timeout=SECONDS,
        check=False,
    )  # fmt: skip


def configure(folder: Path, text: str) -> None:
    """Write a configuration that nobody else reads."""
    (folder / "config.toml").write_text(text)
    (folder / "config.toml").chmod(0o600)


def test_a_healthy_deployment_gets_one_line(tmp_path: Path) -> None:
    """With the times at which its sessions end, which the standards want to be known."""
    SQLiteStore(tmp_path / "sessions.db").prepare()
    configure(tmp_path, "[session]\nabsoluteTimeout = 2592000000\n")

    done = doctor(tmp_path, "--config", "config.toml")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "nothing found: sqlite:sessions.db; sessions end 24 hours after their last use, and 30 days after they began\n"
    )


def test_a_fault_is_said_with_what_to_do(tmp_path: Path) -> None:
    """And no secret is shown, on neither stream."""
    SQLiteStore(tmp_path / "sessions.db").prepare()
    configure(tmp_path, '[session]\nsecret = "a short secret"\ncookie.secure = true\n')

    done = doctor(tmp_path, "--config", "config.toml")

    assert (done.returncode, done.stderr) == (4, "")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("fault    secret.weak: the secret has 14 bytes, 32 are wanted")
    assert lines[1].startswith("         make another with `python -m sessions secret`")
    assert lines[2].startswith("warning  options.prefix: ")
    assert lines[4].startswith("2 found: sqlite:sessions.db")
    assert "a short secret" not in done.stdout


def test_warnings_alone_are_no_failure(tmp_path: Path) -> None:
    """A script goes on."""
    SQLiteStore(tmp_path / "sessions.db").prepare()
    configure(tmp_path, f'[session]\nsecret = "{STRONG}"\ncookie.secure = true\n')

    done = doctor(tmp_path, "--config", "config.toml", "--json")

    assert done.returncode == 0
    assert [each["severity"] for each in json.loads(done.stdout)["findings"]] == ["warning"]


@pytest.mark.parametrize(
    ("options", "word"),
    [("cookie.maxAge = 60000\ntouchAfter = 60000\n", "touchAfter"), ("httpOnly = true\n", "cookie.httpOnly")],
)
def test_options_that_are_refused(tmp_path: Path, options: str, word: str) -> None:
    """No server starts with them."""
    configure(tmp_path, f"[session]\n{options}")

    done = run("doctor", "--config", str(tmp_path / "config.toml"), "--json")

    (finding,) = done.json["findings"]
    assert done.code == 2
    assert (finding["name"], finding["severity"]) == ("options.refused", "fault")
    assert word in finding["problem"]


def test_a_store_that_is_away_is_one_finding(tmp_path: Path) -> None:
    """Its password is not shown."""
    done = doctor(tmp_path, SESSION_STORE="redis://:pass-of-a-test@127.0.0.1:1/0")

    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("fault    store.away: the store does not answer: redis at 127.0.0.1:1: ")
    assert len(lines) == 3
    assert "pass-of-a-test" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--config", "config.toml", "--store", "memory:"],
        ["--store", "memory:", "example.com"],
        ["--store", "x"],
        ["--config", "config.toml", "--user-key", "user"],
    ],
)
def test_a_wrong_usage(folder: Path, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2."""
    monkeypatch.delenv("SESSION_STORE", raising=False)
    configure(folder, "")

    assert run("doctor", *arguments).code == 2


def test_a_misspelled_table_is_none_of_the_applications(tmp_path: Path) -> None:
    """Else the defaults would be examined, and found well."""
    configure(tmp_path, "[sesion]\n[mail]\n")

    done = run("doctor", "--config", str(tmp_path / "config.toml"))

    assert done.code == 2
    assert "[sesion]: no such table; did you mean [session]?" in done.out


def test_a_store_by_its_url(tmp_path: Path) -> None:
    """Without a configuration nothing is said of options; the answer is JSON and nothing else."""
    done = doctor(tmp_path, "--store", shared_server().url, "--json", "--user-key", "user")

    assert done.returncode == 0
    assert json.loads(done.stdout)["findings"][0]["name"] == "redis.persistence"


async def test_a_server_of_this_project_is_visited(tmp_path: Path) -> None:
    """The reference server with its own configuration is well, while it serves."""
    from interop.processes import Process

    root = Path(__file__).parents[2]
    configure(tmp_path, (root / "config.toml").read_text("utf-8"))
    command = [sys.executable, str(root / "server.py"), "--config", "config.toml", "--port", "0"]
    with Process(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}) as server:
        port = server.find(r"port (\d+)")[1]
        done = doctor(tmp_path, "--config", "config.toml", f"http://127.0.0.1:{port}/")

    assert done.stdout.splitlines() == [
        "nothing found: sqlite:sessions.db; sessions end 24 hours after their last use, and at no age"
    ]
    assert done.returncode == 0


async def test_a_store_of_another_package() -> None:
    """It is not examined."""

    def make(url: str, **options: Any) -> MemoryStore:
        return MemoryStore()

    register_store("mine", make)

    assert set(await store("mine:x")) == {"store.elsewhere"}


async def test_a_store_that_refuses(tmp_path: Path) -> None:
    """It answers, and what it says does not pass: here the schema's name is of another role."""
    from stores.postgres_server import shared

    shared().sql("CREATE SCHEMA closed; CREATE TABLE closed.session (sid text); CREATE ROLE outsider LOGIN")
    url = shared().url.replace("postgres@", "outsider@")

    diagnosis = await diagnosed(Subject.of_url(f"{url}&schema=closed"))

    assert [each.name for each in diagnosis.findings] == ["store.refuses"]
    shared().sql("DROP SCHEMA closed CASCADE; DROP ROLE outsider")


async def test_the_first_of_the_findings_is_the_worst(tmp_path: Path) -> None:
    """Faults, warnings, notes."""
    async with SQLiteStore(tmp_path / "x.db") as served:
        await served.set("a", StoredSession("{}", now_ms() - HOUR))
    (tmp_path / "x.db").chmod(0o644)

    diagnosis = await diagnosed(Subject.of_url(f"sqlite:{tmp_path / 'x.db'}"))

    assert [each.severity for each in diagnosis.findings] == ["fault", "warning"]


async def test_what_was_found_before_a_damage_is_said_too(tmp_path: Path) -> None:
    """Who reaches the file is known, though it cannot be read."""
    file = tmp_path / "x.db"
    file.write_text("no database" * 100)
    file.chmod(0o644)

    diagnosis = await diagnosed(Subject.of_url(f"sqlite:{file}"))

    assert {each.name for each in diagnosis.findings} == {"file.others", "store.away"}
    assert not diagnosis.is_whole
