"""Owns an application of a page, served by a process that has the packages from elsewhere."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coming_from.blocks import source
from interop.processes import Process, wait_until

from sessions import MemoryStore, SessionManager, SessionOptions
from sessions.testing import Browser

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".cache" / "coming-from" / "bin" / "python"

SECRET = "a secret of these tests, which is long enough"
OPTIONS = SessionOptions(secret=SECRET, user_key="user")

SERVE = """
import asyncio, sys
from sessions import SessionManager, SessionOptions, open_store
{setup}
async def main():
    async with open_store("sqlite:sessions.db") as store:
        manager = SessionManager(store, SessionOptions(secret="{secret}", user_key="user"))
        app = make_app(manager)
        app.listen(int(sys.argv[1]), "127.0.0.1")
        await asyncio.Event().wait()

asyncio.run(main())
"""


@contextmanager
def served(folder: Path, setup: str, *blocks: str) -> Iterator[Browser]:
    """Serve what the setup calls `make_app(manager)`; the blocks are modules beside it. Gives a visitor.

    Visitors have the manager of this process, which has no session of theirs in its store.
    """
    folder.mkdir(exist_ok=True)
    for name in blocks:
        (folder / name).write_text(source(name))
    (folder / "serve.py").write_text(SERVE.format(setup=setup, secret=SECRET))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    with Process([PYTHON, "serve.py", port], cwd=folder, env=env) as process:
        wait_until(lambda: _listens(port, process), 30)
        try:
            yield Browser(port, manager=SessionManager(MemoryStore(), OPTIONS))
        finally:
            print(process.output)  # which is shown if the test fails


def _listens(port: int, process: Process) -> bool:
    process.check()
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
