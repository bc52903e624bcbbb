"""The reference server on Redis: one line of config.toml, any number of processes, and no password in what it prints."""

from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Server, run
from stores.redis_server import RedisServer, shared_server


async def test_sessions_are_shared_by_workers_and_outlive_the_server(start: Callable[..., Server]) -> None:
    """Under the prefix of [redis]."""
    redis = shared_server()
    redis.command("FLUSHALL")
    config = f'[server]\nworkers = 2\n[session]\nstore = "{redis.url}"\n[redis]\nprefix = "mine:"\n'
    server = await start(config).serving()
    browser = server.browser()
    assert (await browser.fetch("/set-session")).status == 200
    seen = {(await browser.fetch("/get-session")).text for _ in range(10)}
    server.signal(15)
    assert await server.ended() == 0

    later = start(config).browser()
    later.jar = browser.jar
    text = (await later.fetch("/get-session")).text

    assert seen == {text} == {"Session data: exampleuser"}
    assert [key[:5] for key in redis.command("KEYS", "*")] == [b"mine:"]
    assert "Traceback" not in server.output


@pytest.mark.parametrize("workers", [1, 2])
def test_a_server_that_is_not_there_is_named_at_the_start(tmp_path: Path, workers: int) -> None:
    """Status 1 and where it was looked for; `--check` prints the URL without its password, and asks nobody."""
    with RedisServer() as redis:
        url = redis.url.replace("//", "//me:the-password@")
    config = f'[server]\nworkers = {workers}\n[session]\nstore = "{url}"\n'

    failed, checked = run(tmp_path, config, "--port", 0), run(tmp_path, config, "--check")

    assert failed.returncode == 1
    assert failed.stderr.count("\n") == 1  # and no worker was tried again and again
    assert f"cannot start: redis at 127.0.0.1:{redis.port}: " in failed.stderr
    assert checked.returncode == 0
    assert f'store = "redis://********@127.0.0.1:{redis.port}"' in checked.stdout
    assert "the-password" not in failed.stderr + failed.stdout + checked.stdout + checked.stderr
