"""The end of a process that has not closed its SQLite store: it ends all the same, and leaves the file as if it had."""

import subprocess
import sys
from pathlib import Path

import pytest

from .processes import ROOT
from .support import query

OPENED = """
import asyncio, os, sys, threading, time
from sessions.store import StoredSession
from sessions.stores.sqlite import SQLiteStore
FAR = 10**14

async def opened(name="a"):
    store = SQLiteStore(sys.argv[1])
    await store.__aenter__()
    await store.create(name, StoredSession("x", FAR))
    return store
"""

FORGETS = {
    "a main that returns": "asyncio.run(opened())",
    "an exception": "asyncio.run(opened()); sys.exit(1)",
    "a store that lives on": "store = asyncio.run(opened())",
    "a loop that was never closed": "loop = asyncio.new_event_loop(); store = loop.run_until_complete(opened())",
    "a loop that was closed with it": "loop = asyncio.new_event_loop(); loop.run_until_complete(opened()); loop.close()",
    "an exception with a write under way": """
async def main():
    store = await opened()
    writing = asyncio.ensure_future(store.create("b", StoredSession("x", FAR)))
    await asyncio.sleep(0)
    raise ValueError
asyncio.run(main())
""",
    "two stores": "asyncio.run(opened()); asyncio.run(opened('b'))",
    "a thread": "thread = threading.Thread(target=asyncio.run, args=[opened()]); thread.start(); thread.join()",
    "a thread that does not count": """
async def main():
    store = await opened()
    started.set()
    await asyncio.sleep(3600)
started = threading.Event()
threading.Thread(target=asyncio.run, args=[main()], daemon=True).start()
started.wait()
""",
    "a child after its parent": """
store = asyncio.run(opened())
if os.fork() == 0:
    asyncio.run(opened("child"))
else:
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
""",
}


def run(code: str, database: Path) -> "subprocess.CompletedProcess[str]":
    """A process of its own that runs the code."""
    command = [sys.executable, "-W", "ignore::ResourceWarning", "-c", OPENED + code, str(database)]
    return subprocess.run(command, cwd=ROOT, timeout=20, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("how", FORGETS)
def test_the_process_ends(database: Path, how: str) -> None:
    """However the process ends; every acknowledged write is in the one file that it leaves.

    If its loop ends before the driver's answer, the driver's thread dies, and the log stays for the next one to open.
    """
    done = run(FORGETS[how], database)
    left = {each.name for each in database.parent.iterdir()}

    assert done.returncode == ("exception" in how), done.stderr
    assert query(database, "SELECT sid FROM sessions WHERE sid = 'a'") == [("a",)]
    assert left == {database.name} or "under way" in how


def test_a_server_in_a_thread_serves_on_after_the_main_thread(database: Path) -> None:
    """The end of the main thread is not the end of the process while others work."""
    code = """
async def main():
    store = await opened()
    started.set()
    while threading.main_thread().is_alive():
        await asyncio.sleep(0.01)
    for n in range(5):
        await asyncio.sleep(0.05)
        await store.create(str(n), StoredSession("x", FAR))
    print(await store.length(), flush=True)
started = threading.Event()
threading.Thread(target=asyncio.run, args=[main()]).start()
started.wait()
"""
    done = run(code, database)

    assert (done.returncode, done.stdout) == (0, "6\n"), done.stderr
    assert {each.name for each in database.parent.iterdir()} == {database.name}
