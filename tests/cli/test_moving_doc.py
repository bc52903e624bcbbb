"""docs/moving.md, followed step by step with an application of two processes and visitors who do not stop."""

import asyncio
import json
import os
import random
import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlencode

import pytest
from client import Browser
from clock import HOUR
from copying.moving import configuration
from interop.processes import Process
from tornado.ioloop import IOLoop

from sessions import StoredSession, now_ms
from sessions.cli.target import Target

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "moving.md").read_text("utf-8")
COMMANDS = re.findall(r"^ *\$ (.+)$", PAGE, re.MULTILINE)
SECRET = "a secret that is as long as it has to be"
VISITORS = 20
OTHERS = 2_000
"""Sessions of visitors who do nothing meanwhile."""


@pytest.fixture(autouse=True)
def _on_the_test_loop(io_loop: IOLoop) -> None:
    """Async tests run on a loop of their own."""


class Visitor:
    """A browser that stays at one of the two processes: `ports` says where that listens by now."""

    def __init__(self, number: int, ports: list[int]) -> None:
        self.user = f"user {number}"
        self.at = number % 2
        self.ports = ports
        self.browser = Browser(ports[self.at], now_ms)
        self.added = 0
        self.is_out = False
        self.former = ""
        """The cookie that it had before it signed out."""
        self.wrong: list[str] = []

    async def post(self, verb: str, **form: str) -> int:
        self.browser.port = self.ports[self.at]
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        response = await self.browser.fetch(f"/{verb}", method="POST", body=urlencode(form).encode(), headers=headers)
        return response.status

    async def seen(self) -> tuple[str | None, int]:
        """Who the application says this visitor is, and what it has added."""
        self.browser.port = self.ports[self.at]
        answer = json.loads((await self.browser.fetch("/me")).body)
        return answer["user"], answer.get("added", 0)

    async def is_in_again(self) -> bool:
        """True if the cookie from before the sign-out is good for something."""
        self.browser.port = self.ports[self.at]
        answer = await self.browser.fetch("/me", headers={"Cookie": f"connect.sid={self.former}"})
        return bool(json.loads(answer.body)["user"])

    async def act(self, *, adds: bool, signs_out: bool) -> None:
        """One request, and a look at whether the application still knows the visitor."""
        if not self.is_out and signs_out:
            self.former = self.browser.kept().value
            self.is_out = await self.post("logout") == 200
        elif not self.is_out and adds and await self.post("add") == 200:
            self.added += 1
        user, added = await self.seen()
        if (user is None) != self.is_out or (user is not None and added != self.added):
            self.wrong.append(f"{self.user}: {user}, {added} of {self.added}, {self.is_out=}")


async def command(text: str, folder: Path) -> tuple[int, str]:
    """Run a command of the page in a folder."""
    program, *arguments = shlex.split(text)
    process = await asyncio.create_subprocess_exec(
        sys.executable if program == "python" else program, *arguments, cwd=folder,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate()
    return process.returncode or 0, out.decode()


def application(folder: Path, name: str) -> Process:
    """A process of the application."""
    return Process(
        [sys.executable, Path(__file__).parents[1] / "copying" / "application.py", folder / name],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
    )


def port(process: Process) -> int:
    return int(process.find(r"listening on port (\d+)")[1])


@pytest.mark.parametrize("pair", [("sqlite", "redis"), ("redis", "postgres")], ids=" to ".join)
async def test_an_application_moves_under_load(pair: tuple[str, str], tmp_path: Path) -> None:
    """The page's commands, in their order, while visitors click on."""
    for kind, name in zip(pair, ("config.toml", "config-new.toml"), strict=True):
        made = configuration(kind, tmp_path / name.removesuffix(".toml"))
        (tmp_path / name).write_text(
            made.read_text().replace("[session]", f'[session]\nsecret = "{SECRET}"\nuserKey = "user"')
        )
    async with Target.of_file(tmp_path / "config.toml").open(makes=True) as store:
        record = StoredSession('{"cookie":{"path":"/"},"user":"another"}', now_ms() + HOUR)
        await asyncio.gather(*(store.create(f"another {n}", record) for n in range(OTHERS)))
    copy, last, remove = COMMANDS
    old = [application(tmp_path, "config.toml") for _ in range(2)]
    new: list[Process] = []
    try:
        ports = [port(process) for process in old]
        visitors = [Visitor(number, ports) for number in range(VISITORS)]
        assert {await visitor.post("login", user=visitor.user) for visitor in visitors} == {200}
        chance = random.Random(1)
        adds, stop = True, asyncio.Event()

        async def click(visitor: Visitor) -> None:
            while not stop.is_set():
                await visitor.act(adds=adds and chance.random() < 0.03, signs_out=chance.random() < 0.01)
                await asyncio.sleep(0.1)

        clicks = [asyncio.create_task(click(visitor)) for visitor in visitors]
        first = await command(copy, tmp_path)
        adds = False  # or what is added now would be at the new store only after the last pass
        new = [application(tmp_path, "config-new.toml") for _ in range(2)]
        code, _ = await command(copy, tmp_path)
        assert code == 0
        for number, process in enumerate(new):
            ports[number] = port(process)
        adds = True
        await asyncio.sleep(0.5)
        for process in old:
            assert process.stop() == 0
        second = await command(last, tmp_path)
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*clicks)
        again = [visitor.user for visitor in visitors if visitor.is_out and await visitor.is_in_again()]
        third = await command(remove, tmp_path)
    finally:
        for process in [*old, *new]:
            process.kill()

    assert (first[0], second[0], third[0]) == (0, 0, 0), (first, second)
    assert "Change the servers over to TO now" in first[1]
    assert "All sessions are at TO" in second[1]
    assert [wrong for visitor in visitors for wrong in visitor.wrong] == []
    assert again == []
    assert 0 < sum(visitor.is_out for visitor in visitors) < VISITORS
    assert not [file for file in tmp_path.iterdir() if file.name.startswith("sessions-copy")]  # noqa: ASYNC240 # at the end


def test_the_table_of_the_page_has_the_pairs_that_were_measured() -> None:
    """A speed for each."""
    rows = re.findall(r"^\| (\w[\w ]+) \| (\w[\w ]+) \| [\d,]+ a second \| [\d,]+ a second \|$", PAGE, re.MULTILINE)

    assert len(rows) == len(set(rows)) == 9
