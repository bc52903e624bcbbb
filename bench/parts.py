"""Where the instructions of a request go: each part of the session layer by itself, counted by callgrind.

The program starts itself once more under valgrind, and switches the counting on around each part. What is left to the
whole (bench/instructions.py) is Tornado's own work on longer headers, and the handing over between the parts.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tornado.httputil import HTTPHeaders, HTTPServerRequest

from bench.figures import RESULTS, save
from bench.process import BenchError, fail, first_line, folder, machine
from bench.report import print_parts
from bench.servers.tornado_app import SECRET
from sessions import CookieOptions, SessionManager, SessionOptions, now_ms, open_store
from sessions.formats.cookie_header import encode, values
from sessions.formats.signing import new_id
from sessions.policy import decide
from sessions.state import SessionState
from sessions.stored_cookie import StoredCookie
from sessions.timeout import Deadline
from sessions.web.headers import add_id, vary

TIMES = 500
AT_ONCE = 64
OPTIONS = SessionOptions(secret=SECRET)


class Counter:
    """Counts the instructions of this very process, which runs under callgrind."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self.found: dict[str, float] = {}
        self._loop = self._counted(lambda: None)  # what repeating costs by itself

    def part(self, name: str, do: Callable[[], object], *, less: float = 0) -> float:
        """Count a part. `less` is what another part, which it contains, has taken. Returns the whole."""
        whole = self._counted(do) - self._loop
        self.found[name] = whole - less
        return whole

    async def calls(self, name: str, call: Callable[[int], Awaitable[object]], *, less: float = 0) -> float:
        """Count calls of which 64 are under way at once, each in a task; `less` and what is returned as in `part`."""
        await asyncio.gather(*map(call, range(AT_ONCE)))
        self._control("--instr=on")
        for turn in range(1, 9):
            await asyncio.gather(*(call(turn * AT_ONCE + n) for n in range(AT_ONCE)))
        whole = self._taken() / (8 * AT_ONCE)
        self.found[name] = whole - less
        return whole

    def _counted(self, do: Callable[[], object]) -> float:
        for _ in range(20):
            do()
        self._control("--instr=on")
        for _ in range(TIMES):
            do()
        return self._taken() / TIMES

    def _taken(self) -> int:
        self._control("--dump")
        self._control("--instr=off")
        dumps = list(self._data.glob("out.*"))
        totals = re.findall(r"^totals: (\d+)", "".join(path.read_text() for path in dumps), re.MULTILINE)
        for path in dumps:
            path.unlink()
        return sum(map(int, totals))

    def _control(self, *flags: str) -> None:
        subprocess.run(["callgrind_control", *flags, str(os.getpid())], check=True, capture_output=True)


def count_steps(counter: Counter, manager: SessionManager) -> None:
    """What happens in the process, without a store."""
    sid = new_id()
    signed = manager.signer.sign(sid)
    header = [f"connect.sid={encode(signed)}"]
    options = CookieOptions()
    cookie = StoredCookie.new(options, now_ms, is_secure=lambda: False)

    def new() -> SessionState:
        return manager.new(lambda: (sid, cookie))

    state = new()
    manager.face(state)["n"] = 1
    stored = state.to_store()

    def loaded() -> SessionState:
        return SessionState.loaded(OPTIONS, now_ms, lambda: (sid, cookie), sid, stored)

    def read() -> SessionState:
        state = loaded()
        _ = manager.face(state)["n"]
        return state

    def written() -> SessionState:
        state = loaded()
        session = manager.face(state)
        session["n"] = session["n"] + 1
        decide(state.facts(), OPTIONS)
        return state

    counter.part("our cookie is found in the header", lambda: list(values(header, "connect.sid")))
    counter.part("its signature is verified", lambda: manager.signer.unsign(signed))  # for the first time
    load = counter.part("the row becomes a session", loaded)
    decoded = counter.part("its data is decoded", read, less=load)
    counter.part("nothing has changed", lambda: decide(read().facts(), OPTIONS), less=decoded)
    change = counter.part("a key has changed", written, less=decoded)
    counter.part("the text for the store", lambda: written().to_store(), less=change)
    counter.part("a new id", new_id)
    counter.part("a new cookie", lambda: StoredCookie.new(options, now_ms, is_secure=lambda: False))
    counter.part("a new session", new)
    bare = counter.part("a set of headers", HTTPHeaders)
    counter.part("Vary", lambda: vary(HTTPHeaders(), manager), less=bare)
    state.settle(decide(state.facts(), OPTIONS), "saved")
    request = HTTPServerRequest("GET", "/")
    counter.part(
        "Set-Cookie, signed, and Cache-Control",
        lambda: add_id(HTTPHeaders(), state, manager, request, lambda: False, by_header=False),
        less=bare,
    )


async def count_calls(counter: Counter, data: Path) -> None:
    """What goes to a store and back, with 64 under way: SQLite's own work, and its thread's, is in it."""

    async def nothing(_: int) -> None:
        return None

    deadline = Deadline(600)
    task = await counter.calls("a task, and to wait for it", nothing)
    await counter.calls("a deadline around a call", lambda _: deadline.keep(nothing(0)), less=task)
    async with open_store(f"sqlite:{data}/sessions.db", busy_timeout=600_000) as store:
        manager = SessionManager(store, OPTIONS)
        state = manager.new(lambda: (new_id(), StoredCookie.new(CookieOptions(), now_ms, is_secure=lambda: False)))
        manager.face(state)["n"] = 1
        row = state.to_store()
        other = row._replace(data=row.data.replace("1", "2", 1))
        await counter.calls("a row is created", lambda n: store.create(f"id{n}", row), less=task)
        await counter.calls("a row is read", lambda n: store.get(f"id{n}"), less=task)
        await counter.calls("a row is updated", lambda n: store.update(f"id{n}", other, row), less=task)


def inside(data: Path) -> None:
    """What runs under callgrind."""
    counter = Counter(data)
    count_steps(counter, SessionManager(open_store("memory:"), OPTIONS))
    asyncio.run(count_calls(counter, data))
    print(json.dumps(counter.found))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.parts", description=__doc__)
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        inside(args.inside)
        return
    result: dict[str, Any] = {"machine": machine() | {"valgrind": first_line("valgrind", "--version")}}
    with folder() as data:
        callgrind = (
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={data}/out.%p", "--instr-atstart=no", "--quiet",
        )  # fmt: skip
        command = (*callgrind, sys.executable, "-m", "bench.parts", "--inside", str(data))
        environment = os.environ | {"PYTHONHASHSEED": "0"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        fail(BenchError(f"the counting failed:\n{done.stderr}"))
    result["parts"] = json.loads(done.stdout.splitlines()[-1])
    save(result, RESULTS / "parts.json")
    print_parts(result)


if __name__ == "__main__":
    main()
