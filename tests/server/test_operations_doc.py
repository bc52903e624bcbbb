"""docs/operations.md: its commands, run beside servers at work, do what the page says."""

import asyncio
import json
import os
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest
from client import Browser
from processes import ROOT, SECONDS, SECRET, Server, until
from stores import postgres_server
from tornado.ioloop import IOLoop

Start = Callable[..., Server]

PAGE = (ROOT / "docs" / "operations.md").read_text("utf-8")
KEPT = "Session data: exampleuser"

needs_sqlite3 = pytest.mark.skipif(
    shutil.which("sqlite3") is None, reason="no sqlite3 on this machine (Debian: apt-get install -y sqlite3)"
)


def block(words: str) -> str:
    """The shell block of the page that has these words."""
    (found,) = [each for each in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) if words in each]
    return str(found)


def in_backticks(start: str) -> str:
    """The command in a text of the page that begins so."""
    (found,) = re.findall(rf"`({re.escape(start)}[^`\n]*)`", PAGE)
    return str(found)


def run(command: str, folder: Path, **env: str) -> str:
    """Run a command of the page in a folder, where python is this one. Returns what it prints."""
    python = shlex.quote(sys.executable)
    text = re.sub(r"\bpython3?\b(?= -)", python, command)
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    ended = subprocess.run(
        ["bash", "-euc", text], cwd=folder, env=given, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


async def signed_in(server: Server) -> Browser:
    """A visitor with a session."""
    visitor = server.browser()
    await visitor.fetch("/set-session")
    return visitor


async def sign_out(visitor: Browser) -> None:
    """By the form of the page."""
    token = re.search(r'name="_xsrf" value="([^"]+)"', (await visitor.fetch("/")).text)
    assert token is not None
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    await visitor.fetch("/destroy", method="POST", body=f"_xsrf={quote(token[1])}".encode(), headers=form)
    assert KEPT not in (await visitor.fetch("/get-session")).text


class Writers:
    """Visitors who change their sessions until the end of the context."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self.statuses: list[int] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._write())
        await until(lambda: len(self.statuses) > 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            visitor = self._server.browser()
            self.statuses += [(await visitor.fetch(path)).status for path in ("/set-session", "/get-session")]


# ---------------------------------------------------------------- backup and restore


@pytest.mark.parametrize(
    ("words", "copy"),
    [
        pytest.param('".backup', "copy.db", marks=needs_sqlite3, id="backup"),
        pytest.param("VACUUM", "copy2.db", id="vacuum"),
    ],
)
async def test_a_backup_under_load_is_whole(start: Start, tmp_path: Path, words: str, copy: str) -> None:
    """Every session that was answered before is in it, and other users of the machine cannot read it."""
    server = start("[server]\nworkers = 2\n")
    async with Writers(server):
        visitor = await signed_in(server)
        run(block(words), tmp_path)

    with closing(sqlite3.connect(tmp_path / copy)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("SELECT count(*) FROM sessions WHERE sid = ?", [visitor.sid]).fetchall() == [(1,)]
    assert (tmp_path / copy).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "words", [pytest.param(".restore", marks=needs_sqlite3, id="restore"), pytest.param("mv ", id="rename")]
)
async def test_a_restore_under_load_brings_the_backup_back(start: Start, tmp_path: Path, words: str) -> None:
    """With the session that ended after it, as the page warns; sessions that began later are gone, and all go on."""
    server = start("[server]\nworkers = 2\n")
    async with Writers(server) as writers:
        visitor = await signed_in(server)
        run(block("VACUUM"), tmp_path)
        shutil.copy(tmp_path / "copy2.db", tmp_path / "copy.db")
        cookie = {"Cookie": f"connect.sid={visitor.kept().value}"}
        await sign_out(visitor)
        later = await signed_in(server)

        run(block(words), tmp_path)
        async with asyncio.timeout(SECONDS):
            while (await server.browser().fetch("/get-session", headers=cookie)).text != KEPT:
                pass
        lost = await later.fetch("/get-session")

    assert KEPT not in lost.text
    assert set(writers.statuses) <= {200, 503}
    assert (await (await signed_in(server)).fetch("/get-session")).text == KEPT


@needs_sqlite3
async def test_a_restore_of_a_missing_file_changes_nothing(start: Start, tmp_path: Path) -> None:
    """sqlite3 makes a file that is missing, unless the command says otherwise: the store would be empty then."""
    server = start()
    visitor = await signed_in(server)

    with pytest.raises(AssertionError, match="cannot open"):
        run(block(".restore"), tmp_path)

    assert (await visitor.fetch("/get-session")).text == KEPT


async def test_a_dump_of_postgres_under_load_is_restored(start: Start, tmp_path: Path) -> None:
    """Into another database, which a new server serves."""
    with postgres_server.Server() as database:
        path = f"{database.program('psql').parent}:{os.environ['PATH']}"
        server = start(f'[session]\nstore = "{database.url}"\n')
        async with Writers(server):
            visitor = await signed_in(server)
            run(block("pg_dump"), tmp_path, PATH=path, DATABASE=database.url)
        run('psql --quiet --command "CREATE DATABASE other" "$DATABASE"', tmp_path, PATH=path, DATABASE=database.url)
        other = database.url_of(database="other")

        run(block("psql"), tmp_path, PATH=path, NEW_DATABASE=other)
        restored = start(f'[session]\nstore = "{other}"\n')
        kept = await restored.browser().fetch("/get-session", headers={"Cookie": f"connect.sid={visitor.kept().value}"})

    assert kept.text == KEPT


# ---------------------------------------------------------------- the secret


class Host:
    """A server of several that share a store and a file of secrets."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        folder.mkdir()
        shared = folder.parent
        config = f'[server]\nworkers = 2\n[session]\nsaveUninitialized = false\nstore = "sqlite:{shared}/sessions.db"\n'
        under = ("env", f"SESSION_SECRET_FILE={shared}/secrets.txt")
        self.server = stack.enter_context(Server(folder, config, secret=None, under=under))
        self._times = 0

    async def read_again(self) -> None:
        """Send SIGHUP, and return when the parent and its workers have read the secrets."""
        self._times += 3
        self.server.signal(signal.SIGHUP)
        await until(lambda: self.server.output.count("the secrets were read again") >= self._times)


@pytest.fixture
def hosts(io_loop: IOLoop, tmp_path: Path) -> Iterator[list[Host]]:
    """Two, and the file of their secrets."""
    path = tmp_path / "secrets.txt"
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    with ExitStack() as stack:
        hosts = [Host(stack, tmp_path / name) for name in ("a", "b")]
        for host in hosts:
            stack.callback(io_loop.run_sync, host.server.hang_up)
        yield hosts


class Visits:
    """Visitors who go from host to host: one of the beginning, and a new one at each moment. `lost` of them were signed out."""

    def __init__(self, hosts: list[Host], old: Browser) -> None:
        self._hosts, self._old = hosts, old
        self.lost = self.rounds = 0

    async def go_on(self) -> None:
        """Until it is cancelled."""
        while True:
            for here, there in (self._hosts, self._hosts[::-1]):
                for visitor in (await signed_in(here.server), self._old):
                    self.lost += not await kept_at(there.server, visitor)
            self.rounds += 1


async def test_a_rotation_of_the_secret_signs_nobody_out(hosts: list[Host], tmp_path: Path) -> None:
    """The hosts take each step one after the other. Without the old secret its cookies are over."""
    path = tmp_path / "secrets.txt"
    visits = Visits(hosts, old := await signed_in(hosts[0].server))
    visiting = asyncio.create_task(visits.go_on())

    for step in ("append", "move"):
        if step == "append":
            run(in_backticks('python -c "import secrets'), tmp_path)
        else:
            to_the_front(path)
        for host in hosts:
            await host.read_again()
            enough = visits.rounds + 2
            await until(lambda enough=enough: visits.rounds >= enough or visiting.done())  # type: ignore[misc] # a bound default
    visiting.cancel()
    await asyncio.wait([visiting])
    new = await signed_in(hosts[0].server)
    path.write_text(path.read_text().splitlines()[0])
    for host in hosts:
        await host.read_again()

    assert visiting.cancelled()
    assert visits.lost == 0
    assert [await kept_at(hosts[1].server, visitor) for visitor in (old, new)] == [False, True]


async def kept_at(server: Server, visitor: Browser) -> bool:
    """Whether a server knows the session of another one's visitor."""
    answer = await server.browser().fetch("/get-session", headers={"Cookie": f"connect.sid={visitor.kept().value}"})
    return answer.text == KEPT


def to_the_front(path: Path) -> None:
    """Move the last line to the front."""
    *others, last = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in (last, *others)))


# ---------------------------------------------------------------- a person


async def test_what_is_kept_of_a_user_is_shown_and_deleted(start: Start, tmp_path: Path) -> None:
    """By the commands of the page, beside the server; other users stay."""
    server = start('[session]\nuserKey = "username"\nsaveUninitialized = false\n')
    visitors = [await signed_in(server) for _ in range(2)]
    shown, deleted = (
        in_backticks(f"python -m sessions {verb} --config config.toml --user ada").replace("ada", "exampleuser")
        for verb in ("show", "revoke")
    )

    found = json.loads(run(shown, tmp_path))
    run(deleted, tmp_path)
    left = [(await visitor.fetch("/get-session")).text for visitor in visitors]

    assert [each["data"]["username"] for each in found["sessions"]] == ["exampleuser"] * 2
    assert KEPT not in left
