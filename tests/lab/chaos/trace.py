"""Owns the proof for a power loss: the order in which a running server writes, syncs and answers, as strace has seen it.

Of a power cut only the order matters: a change is safe from the moment at which an fdatasync of the write-ahead log has
ended that began after its frame was written. The answer has to be sent after that moment. Each change carries a mark
that shows in the frame and in the answer.
"""

import asyncio
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import NamedTuple

from processes import until

from .load import Visitor, all_or_none
from .report import Report
from .serving import SQLITE, Application

CALLS = "pwrite64,pwritev,fsync,fdatasync,write,writev,sendto,sendmsg"
MARK = re.compile(r'mark-(\d+)\\"')
LINE = re.compile(r"^(?P<pid>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\()(?P<rest>.*)$")
CLIENTS = 8


def why_not() -> str | None:
    """Why nothing can be traced here; None when it can."""
    if shutil.which("strace") is None:
        return "no strace on this machine (Debian: apt-get install -y strace)"
    tried = subprocess.run(["strace", "-D", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 and not tried.stderr else f"strace may not trace here: {tried.stderr.strip()}"


class Call(NamedTuple):
    """A system call: what it was given, and the lines of the trace in which it began and ended."""

    name: str
    given: str
    began: int
    ended: int


def calls(trace: str) -> list[Call]:
    """The calls that came to their end, in the order of their ends."""
    found = []
    under_way: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(trace.splitlines()):
        match = LINE.match(line)
        if match is None:
            continue
        if match["resumed"]:
            name, given, began = under_way.pop(match["pid"], (match["resumed"], "", number))
            found.append(Call(name, given, began, number))
        elif match["rest"].endswith("<unfinished ...>"):
            under_way[match["pid"]] = match["call"], match["rest"], number
        else:
            found.append(Call(match["call"], match["rest"], number, number))
    return found


def unsafe(trace: str) -> tuple[int, list[str]]:
    """The number of marked changes that were answered, and those that were not safe when their answer was sent."""
    written: dict[str, int] = {}
    sent: dict[str, int] = {}
    syncs: list[Call] = []
    for call in calls(trace):
        is_of_log = "sessions.db-wal>" in call.given.partition(",")[0]
        if call.name in {"fsync", "fdatasync"} and is_of_log:
            syncs.append(call)
        elif call.name.startswith("pwrite") and is_of_log:
            for mark in MARK.findall(call.given):
                written.setdefault(mark, call.ended)
        elif "HTTP/1.1 200" in call.given:
            for mark in MARK.findall(call.given):
                sent.setdefault(mark, call.began)
    early = [
        mark
        for mark, moment in sent.items()
        if mark not in written or not any(written[mark] < sync.began and sync.ended < moment for sync in syncs)
    ]
    return len(sent), early


async def traced(folder: Path, durability: str, writes: int) -> str:
    """The trace of a server that many clients write to."""
    trace = folder / "trace"
    under = ["strace", "-D", "-f", "-y", "-s", 16_384, "-e", f"trace={CALLS}", "-o", trace]
    with Application(folder, SQLITE, under=under, sqlite={"durability": durability}) as server:
        await server.ready()

        async def client(number: int) -> None:
            async with Visitor(server.port) as visitor:
                for count in range(writes // CLIENTS):
                    mark = f"mark-{count * CLIENTS + number}"
                    assert await visitor.do(["set", "k", mark], ["get", "k"]) == [None, mark]

        await all_or_none([asyncio.create_task(client(number)) for number in range(CLIENTS)])
        server.signal(signal.SIGTERM)
        await server.ended()
        end = re.compile(rf"^{server.pid} +\+\+\+ exited", re.MULTILINE)
        await until(lambda: end.search(trace.read_text(errors="replace")) is not None)
    return trace.read_text(errors="replace")


async def power(folder: Path, *, writes: int) -> Report:
    """With "full" every change is safe when it is answered. With "normal" it is not, or this could show nothing."""
    report = Report("power loss")
    for durability in ("full", "normal"):
        (folder / durability).mkdir()
        answered, early = unsafe(await traced(folder / durability, durability, writes))
        report.figures[durability] = {"answered": answered, "answered before they were synced": len(early)}
        report.check(answered == writes // CLIENTS * CLIENTS, f"void: {answered} of {writes} answers were seen")
        if durability == "full":
            report.check(not early, f"{len(early)} changes were answered before they were safe")
        else:
            report.check(early, 'void: with "normal" each change was synced before its answer, too')
    return report
