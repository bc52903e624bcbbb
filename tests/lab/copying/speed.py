"""Owns the measuring of a move: sessions a second of the first pass, and of one that finds nothing to do."""

import asyncio
import json
from pathlib import Path

from clock import HOUR
from copying.moving import configuration, ended, start

from sessions import StoredSession, now_ms
from sessions.cli.target import Target

AT_ONCE = 1_000
CHARACTERS = 250


async def speed(kinds: tuple[str, str], folder: Path, sessions: int) -> str:
    """Return a row of the table in docs/moving.md."""
    for kind, name in zip(kinds, ("from", "to"), strict=True):
        configuration(kind, folder / name)
    async with Target.of_file(folder / "from" / "config.toml").open(makes=True) as source:
        for first in range(0, sessions, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, sessions))
            await asyncio.gather(*(source.create(f"{n:032}", _record(n)) for n in numbers))
    passes = (await ended(await start(folder))).json["passes"]
    speeds = [f"{each['read'] / each['seconds']:,.0f} a second" for each in passes[:2]]
    return f"| {' | '.join([*kinds, *speeds])} |"


def _record(number: int) -> StoredSession:
    cookie = {"originalMaxAge": HOUR, "expires": "2100-01-01T00:00:00.000Z", "httpOnly": True, "path": "/"}
    text = json.dumps({"cookie": cookie, "username": f"user {number}", "basket": ""}, separators=(",", ":"))
    return StoredSession(text.replace('"basket":""', f'"basket":"{"x" * (CHARACTERS - len(text))}"'), now_ms() + HOUR)
