"""The reference server with its sessions in MongoDB, chosen by config.toml alone."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import HOST, Server, run, until
from stores.mongo_server import MongoServer, database, new_database

Start = Callable[..., Server]
PASSWORD = "hush-and-more"  # of nobody


def configured(url: str, workers: int = 1, **options: object) -> str:
    """A config.toml."""
    table = "".join(f"{name} = {value}\n" for name, value in options.items())
    return f'[server]\nworkers = {workers}\n[session]\nuserKey = "username"\nstore = "{url}"\n[mongodb]\n{table}'


async def test_both_workers_and_the_next_server_have_the_sessions(start: Start) -> None:
    """What one has stored the other knows, and so does who comes after all of them were killed."""
    url = new_database()
    server = start(configured(url, workers=2, collection='"web"'))
    await server.serving()
    await until(lambda: len(server.workers) == 2)
    one, other = server.workers
    browser = server.browser()

    os.kill(other, signal.SIGSTOP)
    await browser.fetch("/set-session")
    os.kill(other, signal.SIGCONT)
    os.kill(one, signal.SIGSTOP)
    second = await browser.fetch("/get-session")
    for pid in (server.pid, one, other):
        os.kill(pid, signal.SIGKILL)
    await server.ended()
    again = await start(configured(url, collection='"web"')).serving()
    third = await again.browser().fetch("/get-session", headers={"Cookie": f"connect.sid={browser.kept().value}"})

    assert second.text == third.text == "Session data: exampleuser"
    assert "Traceback" not in server.output
    assert [each["_id"] for each in database(url).web.find({"user": "exampleuser"})] != []
    assert database(url).list_collection_names() == ["web"]


async def test_a_store_that_goes_is_a_503_until_it_is_back(start: Start) -> None:
    """With Retry-After, whether it was killed or hangs; nobody's session is lost, and no server has to be started."""
    with MongoServer() as mongo:
        server = await start(configured(mongo.url, timeout=500)).serving()
        browser = server.browser()
        await browser.fetch("/set-session")
        for away, back in ((mongo.kill, mongo.start), (mongo.pause, mongo.go_on)):
            away()
            gone = await browser.fetch("/get-session")
            back()
            answer = gone
            while answer.status == 503:
                answer = await browser.fetch("/get-session")

            assert (gone.status, gone.header("Retry-After")) == (503, "1")
            assert answer.text == "Session data: exampleuser"
    assert "Traceback" not in server.output


@pytest.mark.parametrize("workers", [1, 2])
def test_without_its_database_it_does_not_start(tmp_path: Path, workers: int) -> None:
    """Status 1 and one line, without the password."""
    config = configured(f"mongodb://me:{PASSWORD}@{HOST}:1/mine", workers, timeout=500)

    result = run(tmp_path, config, "--port", 0)

    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert f"cannot start: mongodb at {HOST}:1/mine.sessions: " in result.stderr
    assert PASSWORD not in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"mongodb://me:{PASSWORD}@one,two:2/mine?replicaSet=rs0", "mongodb://********@one,two:2/mine"),
        (f"mongodb+srv://me:{PASSWORD}@cluster.example.com/mine?w=majority", "mongodb+srv://********@cluster.example.com/mine"),
        (f"mongodb://host/mine?tls=true&tlsCertificateKeyFilePassword={PASSWORD}&w=1", "mongodb://host/mine?tls=true&tlsCert"),
    ],
)  # fmt: skip
def test_check_masks_the_password(tmp_path: Path, url: str, shown: str) -> None:
    """Wherever the URL has it; nothing is connected, and no DNS is asked."""
    result = run(tmp_path, configured(url), "--check")

    assert (result.returncode, result.stderr) == (0, "")
    assert PASSWORD not in result.stdout
    assert f'store = "{shown}' in result.stdout
    assert "********" in result.stdout.partition("store = ")[2].partition("\n")[0]
    assert '[mongodb]\ncollection = "sessions"\ntimeout = ' in result.stdout


@pytest.mark.parametrize("query", ["w=0", "retryWrits=true", "readPreference=secondary"])
def test_an_option_that_is_wrong_is_named_at_the_start(tmp_path: Path, query: str) -> None:
    """And by `--check`, without the rest of the URL."""
    config = configured(f"mongodb://me:{PASSWORD}@{HOST}:1/mine?{query}")

    results = [run(tmp_path, config, *arguments) for arguments in (("--port", 0), ("--check",))]

    for result in results:
        assert result.returncode == 2
        assert query.partition("=")[0] in result.stderr
        assert PASSWORD not in result.stdout + result.stderr
