"""Owns the reference server as a process: started with a config.toml of its own in a folder, signalled, and its end awaited.

This folder has no `__init__.py`: as a package its name would hide the module `server` that it tests.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from client import Browser, Wire
from interop.processes import Process

from sessions import now_ms

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
SECRET = "of-the-tests-and-as-long-as-the-server-demands"
SECONDS = 60.0
"""Until something must have happened; far above what it takes, so that only a hang meets it."""

ASKING = (
    b"GET /set-session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 8\r\n"
    b"Expect: 100-continue\r\n\r\n"
)
"""Send the head of a request, without its body. The server's 100 shows that it has begun to read."""

BODY = b'{"a": 1}'


def command(*arguments: object, program: Path = ROOT / "server.py") -> list[str]:
    """The command line of the reference server, or of another that is started as it is."""
    return [sys.executable, str(program), *map(str, arguments)]


def environment(folder: Path, *, secret: str | None, uvloop: bool = True) -> dict[str, str]:
    """What the server is given of ours. Without `uvloop` it finds none, whatever is installed."""
    env = {"PATH": os.environ["PATH"]}
    if secret is not None:
        env["SESSION_SECRET"] = secret
    if not uvloop:
        hidden = folder / "without uvloop"
        hidden.mkdir()
        (hidden / "uvloop.py").write_text("raise ImportError")
        env["PYTHONPATH"] = str(hidden)
    return env


def run(
    folder: Path, config: str, *arguments: object, secret: str | None = SECRET, path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the server's command where it is to end by itself; the result with what it printed.

    What is in the folder `path` is imported before what is installed.
    """
    (folder / "config.toml").write_text(config, encoding="utf-8")
    given = command("--config", "config.toml", *arguments)
    env = environment(folder, secret=secret) | ({} if path is None else {"PYTHONPATH": str(path)})
    return subprocess.run(given, cwd=folder, env=env, capture_output=True, text=True, timeout=SECONDS, check=False)


class Server(Process):
    """server.py at work. It writes where its folder is; `port` is asked for by `--port 0` unless `arguments` say more.

    `under` is a program that runs it, with its arguments.
    """

    program = ROOT / "server.py"

    def __init__(
        self,
        folder: Path,
        config: str = "",
        *arguments: object,
        secret: str | None = SECRET,
        uvloop: bool = True,
        under: Sequence[object] = (),
    ) -> None:
        self.folder = folder
        self._wires: list[Wire] = []
        (folder / "config.toml").write_text(config, encoding="utf-8")
        given = command("--config", "config.toml", *(arguments or ("--port", 0)), program=self.program)
        super().__init__([*under, *given], cwd=folder, env=environment(folder, secret=secret, uvloop=uvloop))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        """End it and its workers at once: a test of how it ends has seen that by now."""
        left = self.workers if self.status is None else []
        self._child.kill()  # first, or it would start its workers again
        for pid in left:
            if is_running(pid):
                os.kill(pid, signal.SIGKILL)
        self.kill()

    @cached_property
    def port(self) -> int:
        """Where it listens, once it does."""
        return int(self.find(r"Server listening on port (\d+)\n")[1])

    @property
    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._child.poll()

    @property
    def workers(self) -> list[int]:
        """The processes that it has started and that run."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return sorted(pid for pid in map(int, children.read_text().split()) if is_running(pid))

    async def serving(self) -> Self:
        """Return when it has answered once: from then on it minds signals."""
        response = await self.browser().fetch("/get-session")
        assert response.status == 200
        return self

    def browser(self, **kind: Any) -> Browser:
        """A new visitor."""
        return Browser(self.port, now_ms, **kind)

    async def wire(self) -> Wire:
        """A connection, closed with the test."""
        self._wires.append(await Wire.connect(self.port))
        return self._wires[-1]

    async def ask(self) -> Wire:
        """A connection with a request that the server has begun with and cannot answer before its body has come."""
        wire = await self.wire()
        wire.send(ASKING)
        await wire.until(lambda: b" 100 " in wire.received)
        return wire

    async def hang_up(self) -> None:
        """Close the connections to it."""
        for wire in self._wires:
            await wire.close()

    def refuses(self) -> bool:
        """Whether it takes no new connection."""
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) != 0

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._child.send_signal(number)

    async def ended(self) -> int:
        """Return its exit status, once it has ended by itself and its output is complete."""
        await until(lambda: self.status is not None)
        return self.stop()


def is_running(pid: int) -> bool:
    """Whether there is such a process. One that has ended and waits for its parent to look is not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


async def until(condition: Callable[[], bool]) -> None:
    """Ask until the condition holds, while the connections go on. Raises TimeoutError."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 # a process sets no event of ours
            await asyncio.sleep(0.005)
