"""The reference server with its sessions in PostgreSQL, chosen by config.toml alone."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Server, run, until
from stores.postgres_server import HOST, PASSWORD, shared

Start = Callable[..., Server]


@pytest.fixture
def config() -> str:
    """Two workers, and a table of the test's own."""
    shared().sql('DROP TABLE IF EXISTS "of the server"')
    return f'[server]\nworkers = 2\n[session]\nstore = "{shared().tcp_url}"\n[postgres]\ntable = "of the server"\npool = 3\n'


async def test_both_workers_and_the_next_server_have_the_sessions(start: Start, config: str) -> None:
    """The table is made before they start; what one has stored the other knows, and so does who comes after them."""
    server = start(config)
    await server.serving()
    await until(lambda: len(server.workers) == 2)
    one, other = server.workers
    browser = server.browser()

    os.kill(other, signal.SIGSTOP)
    await browser.fetch("/set-session")
    os.kill(other, signal.SIGCONT)
    os.kill(one, signal.SIGSTOP)
    second = await browser.fetch("/get-session")
    os.kill(one, signal.SIGCONT)
    server.signal(signal.SIGTERM)
    status = await server.ended()

    assert second.text == "Session data: exampleuser"
    assert status == 0
    assert "Traceback" not in server.output
    assert shared().sql('SELECT count(*) FROM "of the server"') == "1"
    again = start(config)
    await again.serving()
    response = await again.browser().fetch("/get-session", headers={"Cookie": f"connect.sid={browser.kept().value}"})
    assert response.text == "Session data: exampleuser"


@pytest.mark.parametrize("workers", [1, 2])
def test_without_its_database_it_does_not_start(tmp_path: Path, workers: int) -> None:
    """Status 1 and one line, without the password."""
    config = f'[server]\nworkers = {workers}\n[session]\nstore = "postgresql://me:hush@{HOST}:1/mine"\n'

    result = run(tmp_path, config, "--port", 0)

    assert result.returncode == 1
    assert f"cannot start: postgresql://{HOST}:1/mine: " in result.stderr
    assert "hush" not in result.stdout + result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "url", ["postgresql://me:{}@host/mine", "postgresql://host/mine?user=me&password={}&sslmode=require"]
)
def test_check_masks_the_password(tmp_path: Path, url: str) -> None:
    """Wherever the URL has it; nothing is connected."""
    result = run(tmp_path, f'[session]\nstore = "{url.format(PASSWORD)}"\n', "--check")

    assert (result.returncode, result.stderr) == (0, "")
    assert PASSWORD not in result.stdout
    assert "********" in result.stdout.partition("store = ")[2].partition("\n")[0]
    assert 'table = "session"\nschema = (not set)\npool = 5\n' in result.stdout


def test_check_names_a_parameter_that_nobody_knows(tmp_path: Path) -> None:
    """Once, without its value; the configuration is good all the same, since the server may know it."""
    url = f"postgresql://me:{PASSWORD}@db.example/mine?ssl_mode=require"

    result = run(tmp_path, f'[session]\nstore = "{url}"\n', "--check")

    assert result.returncode == 0
    assert (result.stdout + result.stderr).count("the URL's ssl_mode goes to the server") == 1
    assert PASSWORD not in result.stdout + result.stderr


def test_check_takes_what_neon_hands_out(tmp_path: Path) -> None:
    """With a word about what is dropped."""
    url = "postgresql://me:it@db.example/mine?sslmode=require&channel_binding=require"

    result = run(tmp_path, f'[session]\nstore = "{url}"\n', "--check")

    assert result.returncode == 0
    assert "the URL's channel_binding is dropped" in result.stdout + result.stderr


@pytest.mark.parametrize("query", ["sslmode=nonsense", "target_session_attrs=primry", "connect_timeout=ten"])
def test_check_refuses_a_nonsense_value(tmp_path: Path, query: str) -> None:
    """By the parameter's name, with the table and the option that the URL is of."""
    result = run(tmp_path, f'[session]\nstore = "postgresql://me:{PASSWORD}@db.example/mine?{query}"\n', "--check")

    assert result.returncode == 2
    assert f"[session] store: the URL's {query.partition('=')[0]}: expected" in result.stderr
    assert PASSWORD not in result.stdout + result.stderr
