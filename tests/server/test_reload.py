"""SIGHUP: the secrets are read again, by every process, and no request is lost; what is wrong with them is one line."""

import asyncio
import base64
import functools
import hmac
import os
import signal
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pytest
from client import Browser
from processes import SECONDS, Server, until

Start = Callable[..., Server]

OLD = "an-old-secret-of-more-than-32-bytes-for-tests"
NEW = "a-new-secret-of-more-than-32-bytes-for-tests"

each_number = pytest.mark.parametrize("workers", [1, 2])


def config(secret: str, workers: int = 1, further: str = "") -> str:
    """A configuration with that secret, or list of secrets, as it is written."""
    return f"[server]\nworkers = {workers}\n[session]\nsaveUninitialized = false\nsecret = {secret}\n{further}"


def signs(browser: Browser, secret: str) -> bool:
    """Whether the visitor's cookie is signed with a secret."""
    sid, _, signature = unquote(browser.kept().value).removeprefix("s:").rpartition(".")
    return base64.b64encode(hmac.digest(secret.encode(), sid.encode(), "sha256")).decode().rstrip("=") == signature


async def signed(server: Server, secret: str, times: int = 1) -> None:
    """Return when so many new visitors in a row have a cookie that is signed with a secret."""
    seen = 0
    async with asyncio.timeout(SECONDS):
        while seen < times:
            visitor = server.browser()
            await visitor.fetch("/set-session")
            seen = seen + 1 if signs(visitor, secret) else 0


@each_number
async def test_new_secrets_count_and_no_request_is_lost(start: Start, tmp_path: Path, workers: int) -> None:
    """New cookies are signed with the first; old ones are valid while their secret is in the list, and then no more."""
    server = start(config(f'"{OLD}"', workers), secret=None)
    ada = server.browser()
    await ada.fetch("/set-session")
    assert signs(ada, OLD)
    (tmp_path / "config.toml").write_text(config(f'["{NEW}", "{OLD}"]', workers, "rolling = true\n"))
    asking = asyncio.create_task(ask(server, ada, 60))

    await asyncio.sleep(0.05)
    server.signal(signal.SIGHUP)
    answers = await asking
    await signed(server, NEW, times=6)
    (tmp_path / "config.toml").write_text(config(f'"{NEW}"', workers))
    server.signal(signal.SIGHUP)

    assert set(answers) == {(200, "Session data: exampleuser", 0)}
    assert server.status is None
    async with asyncio.timeout(SECONDS):
        while {text for _, text, _ in await ask(server, ada, 6)} != {"Session data: undefined"}:
            pass


async def ask(server: Server, visitor: Browser, times: int) -> list[tuple[int, str, int]]:
    """What a visitor is answered: status, text, and the number of new cookies, which `rolling` would send."""
    found = []
    for _ in range(times):
        headers = {"Cookie": f"connect.sid={visitor.kept().value}"}
        response = await server.browser().fetch("/get-session", headers=headers)
        found.append((response.status, response.text, len(response.set_cookies)))
    return found


@each_number
async def test_bad_secrets_are_one_line_and_the_old_ones_stay(start: Start, tmp_path: Path, workers: int) -> None:
    """However many processes there are; no process ends."""
    server = await start(config(f'"{OLD}"', workers), secret=None).serving()
    await until(lambda: len(server.workers) == (workers if workers > 1 else 0))
    before = server.workers

    texts = ('[session]\nsecret = ""\n', "[session]\nsecret = False\n", "[session\n")
    for number, text in enumerate(texts, start=1):
        (tmp_path / "config.toml").write_text(text)
        server.signal(signal.SIGHUP)
        await until(functools.partial(has_said, server, "the secrets stay as they are: config.toml: ", number))
    visitor = server.browser()
    await visitor.fetch("/set-session")

    assert signs(visitor, OLD)
    assert server.output.count("the secrets stay as they are") == 3
    assert server.output.count(" ERROR ") == 3
    assert server.workers == before
    assert OLD not in server.output


def has_said(server: Server, words: str, times: int) -> bool:
    """Whether it has printed the words so often."""
    return server.output.count(words) >= times


async def test_a_worker_that_starts_later_has_the_new_secrets(start: Start, tmp_path: Path) -> None:
    """It is made of its parent, which has read them too; what is in the file by then does not matter."""
    server = await start(config(f'"{OLD}"', 2), secret=None).serving()
    await until(lambda: len(server.workers) == 2)
    (tmp_path / "config.toml").write_text(config(f'["{NEW}"]', 2))
    server.signal(signal.SIGHUP)
    await signed(server, NEW, times=6)
    (tmp_path / "config.toml").write_text("nonsense")
    old = server.workers
    for pid in old:
        os.kill(pid, signal.SIGKILL)

    await until(lambda: len(set(server.workers) - set(old)) == 2)

    await signed(server, NEW, times=6)


@each_number
async def test_a_file_of_secrets_is_read_again(start: Start, tmp_path: Path, workers: int) -> None:
    """The one that the server has made, with another line in front."""
    server = await start(f"[server]\nworkers = {workers}\n", secret=None).serving()
    kept = tmp_path / "sessions.db.secret"
    kept.write_text(f"{NEW}\n{kept.read_text()}")
    ada = server.browser()
    await ada.fetch("/set-session")

    server.signal(signal.SIGHUP)
    await signed(server, NEW, times=6)

    assert (await ada.fetch("/get-session")).text == "Session data: exampleuser"


@each_number
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM], ids=lambda each: each.name)
async def test_a_signal_at_the_first_moment_is_minded(start: Start, workers: int, number: int) -> None:
    """As soon as the server says where it listens, a supervisor may send one."""
    server = start(f"[server]\nworkers = {workers}\n")
    server.find("Server listening")

    server.signal(number)

    if number == signal.SIGTERM:
        assert await server.ended() == 0
    else:
        await until(lambda: server.output.count("the secrets were read again") >= workers)
        await server.serving()
        assert server.status is None
