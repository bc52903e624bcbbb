"""The keys of what is at rest, at the reference server: two processes serve while both keys rotate; a wrong key."""

import asyncio
import json
import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from processes import SECONDS, Server, run, until

Start = Callable[..., Server]

KEYS = {"old": "6f" * 32, "new": "6e" * 32}


def config(folder: Path, seals: list[str], hashes: list[str], workers: int = 2, further: str = "") -> str:
    """A configuration with keys in files, in this order."""
    for name, key in KEYS.items():
        (folder / name).write_text(key)
        (folder / name).chmod(0o600)

    def table(names: list[str]) -> str:
        return "keys = [" + ", ".join(f"{{ id = '{name}', file = '{name}' }}" for name in names) + "]"

    return (
        f"[server]\nworkers = {workers}\n[session]\nsaveUninitialized = false\nhashedIds = true\n{further}"
        f"encryption.{table(seals)}\nhashing.{table(hashes)}\n"
    )


def rows(folder: Path) -> dict[str, str]:
    """What is in the file."""
    with closing(sqlite3.connect(folder / "sessions.db")) as db:
        return dict(db.execute("SELECT sid, sess FROM sessions").fetchall())


def sealers(folder: Path) -> set[str]:
    """The ids of the keys that have sealed what is in the file."""
    return {json.loads(text)["__sealed"].split(".")[1] for text in rows(folder).values()}


def has_read(server: Server, times: int) -> bool:
    """Whether its processes have read the keys so often."""
    return server.output.count("the secrets were read again") >= times


async def ask(server: Server, cookies: list[str], done: asyncio.Event) -> set[str]:
    """What visitors are answered, again and again until it is enough."""
    texts = set()
    while not done.is_set():
        for cookie in cookies:
            answer = await server.browser().fetch("/get-session", headers={"Cookie": f"connect.sid={cookie}"})
            texts.add(answer.text if answer.status == 200 else str(answer.status))
    return texts


async def test_both_keys_rotate_while_two_processes_serve(start: Start, tmp_path: Path) -> None:
    """First as the last of the list, then as the first, then alone: each by SIGHUP, and nobody is signed out."""
    server = start(config(tmp_path, ["old"], ["old"]))
    visitors = [server.browser() for _ in range(3)]
    for visitor in visitors:
        await visitor.fetch("/set-session")
    before = rows(tmp_path)
    done = asyncio.Event()
    asking = [asyncio.create_task(ask(server, [each.kept().value for each in visitors], done)) for _ in range(2)]

    for names in (["old", "new"], ["new", "old"]):
        (tmp_path / "config.toml").write_text(config(tmp_path, names, names))
        said = server.output.count("the secrets were read again")
        server.signal(signal.SIGHUP)
        await until(partial(has_read, server, said + 2))
    async with asyncio.timeout(SECONDS):
        while "old" in sealers(tmp_path) or before.keys() & rows(tmp_path).keys():
            for visitor in visitors:
                await visitor.fetch("/set-session")
    done.set()
    texts = set().union(*await asyncio.gather(*asking))

    assert texts == {"Session data: exampleuser"}
    assert len(rows(tmp_path)) == 3
    assert server.status is None


async def test_a_wrong_key_is_a_500_and_the_row_stays(start: Start, tmp_path: Path) -> None:
    """With an event, and never an empty session; with the right key the visitor goes on."""
    server = start(config(tmp_path, ["old"], ["old"], workers=1))
    visitor = server.browser()
    await visitor.fetch("/set-session")
    before = rows(tmp_path)
    statuses = []
    for names in (["new"], ["old"]):
        (tmp_path / "config.toml").write_text(config(tmp_path, names, ["old"], workers=1))
        said = server.output.count("the secrets were read again")
        server.signal(signal.SIGHUP)
        await until(partial(has_read, server, said + 1))
        answer = await visitor.fetch("/get-session")
        statuses.append((answer.status, answer.text if answer.status == 200 else "", len(answer.set_cookies)))

    assert statuses == [(500, "", 0), (200, "Session data: exampleuser", 0)]
    assert rows(tmp_path) == before
    assert "session_corrupt" in server.output


@pytest.mark.parametrize(
    ("further", "said"),
    [
        ("hashedIds = true\nhashing.keys = [{ id = 'old', file = 'old' }]\n", ["# hashedIds: no Node server"]),
        ("encryption.keys = [{ id = 'old', file = 'old' }]\n", ["# encryption: a Node server"]),
        (
            "encryption.keys = [{ id = 'old', file = 'old' }]\nrequireSealed = true\n",
            ["# requireSealed: no Node server"],
        ),
        ("", []),
    ],
)
def test_check_says_what_excludes_a_node_server(tmp_path: Path, further: str, said: list[str]) -> None:
    """In comments behind the options; the defaults exclude none."""
    config(tmp_path, [], [])
    result = run(tmp_path, f"[session]\n{further}", "--check")
    comments = [line for line in result.stdout.splitlines() if line.startswith("#")]

    assert result.returncode == 0
    assert all(any(line.startswith(each) for line in comments) for each in said)
    assert bool(comments) == bool(said)
