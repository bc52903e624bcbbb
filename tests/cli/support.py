"""Owns what the tests of the command line share: a store of each kind with its configuration, sessions in it, a run.

A command runs in this process by click's runner, or as `python -m sessions`. What either prints is searched for the
ids of the sessions that were stored.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar
from zlib import crc32

from click.testing import CliRunner
from clock import DAY
from stores.postgres_server import shared as shared_postgres
from stores.redis_server import shared_cluster, shared_server
from stores.support import collection, mongo_url, prefix

from sessions import StoredSession, now_ms
from sessions.cli.app import app
from sessions.cli.target import Target
from sessions.formats.signing import new_id
from sessions.users import handle_of

R = TypeVar("R")

SECONDS = 60.0
COOKIE = {"originalMaxAge": DAY, "expires": "2100-01-01T00:00:00.000Z", "httpOnly": True, "path": "/"}


class Ran(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The document on stdout."""
        return json.loads(self.out)

    @property
    def rows(self) -> list[dict[str, str]]:
        """The lines of a table, by its titles."""
        titles, *lines = (line.split("\t") for line in self.out.splitlines())
        return [dict(zip(titles, line, strict=True)) for line in lines]

    @property
    def facts(self) -> dict[str, str]:
        """The lines of names and values."""
        return dict(line.split("\t") for line in self.out.splitlines() if line.count("\t") == 1)


class Place:
    """A store of a kind in a folder, and its config.toml. `options` are lines of [session]."""

    def __init__(self, kind: str, folder: Path, *options: str) -> None:
        url, table = KINDS[kind](folder)
        self.kind = kind
        self.url = url
        self.folder = folder
        self.config = folder / "config.toml"
        self.ids: list[str] = []
        lines = ['[server]\naddress = "127.0.0.1"', "[session]", f"store = {json.dumps(url)}", *options]
        if not any(line.startswith("userKey") for line in options):
            lines.append('userKey = "username"')
        self.config.write_text("\n".join([*lines, table]))
        self.within(_nothing, makes=True)

    def within(self, act: Callable[[Any], Awaitable[R]], *, makes: bool = False) -> R:
        """Do something with the store, which is open."""

        async def run() -> R:
            async with Target.of_file(self.config).open(makes=makes) as store:
                return await act(store)

        return asyncio.run(run())

    def put(self, user: str | int | None = None, *, lives: int = DAY, meta: Any = None, **data: Any) -> str:
        """Store a session. Returns its handle."""
        (handle,) = self.put_all([(user, meta, data)], lives=lives)
        return handle

    def put_all(self, rows: list[tuple[Any, Any, dict[str, Any]]], *, lives: int = DAY) -> list[str]:
        """Store sessions of users, with a `__meta` and data. Returns their handles."""

        async def put(store: Any) -> list[str]:
            texts = []
            for user, meta, data in rows:
                whole = {"cookie": COOKIE, **({"__meta": meta} if meta else {}), **data}
                texts.append(json.dumps({**whole, **({} if user is None else {"username": user})}))
            ids = [new_id() for _ in texts]
            await asyncio.gather(
                *(store.set(sid, StoredSession(text, now_ms() + lives)) for sid, text in zip(ids, texts, strict=True))
            )
            return ids

        ids = self.within(put)
        self.ids += ids
        return [handle_of(sid) for sid in ids]

    def put_text(self, text: str, *, lives: int = DAY, sid: str | None = None) -> str:
        """Store a text as a session. Returns its handle."""
        self.ids.append(new_id() if sid is None else sid)
        self.within(lambda store: store.set(self.ids[-1], StoredSession(text, now_ms() + lives)))
        return handle_of(self.ids[-1])

    def living(self) -> set[str]:
        """The handles of what lives."""

        async def all_(store: Any) -> set[str]:
            return {handle_of(sid) async for sid, _ in store.all()}

        return self.within(all_)

    def run(self, *arguments: str, **options: Any) -> Ran:
        """Run a command on the store, in this process."""
        command, *rest = arguments
        return self.checked(run(command, "--config", str(self.config), *rest, **options))

    def process(self, *arguments: str, **options: Any) -> Ran:
        """Run `python -m sessions` on the store, in its folder."""
        command, *rest = arguments
        return self.checked(process(self.folder, command, "--config", "config.toml", *rest, **options))

    def checked(self, ran: Ran) -> Ran:
        """Return a run, and see that its output holds no id."""
        for sid in self.ids:
            assert sid not in ran.out + ran.err
        return ran


async def _nothing(_store: Any) -> None:
    pass


def run(*arguments: str, **options: Any) -> Ran:
    """Run a command in this process."""
    result = CliRunner().invoke(app, arguments, prog_name="sessions", **options)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


def command_of(*arguments: str) -> list[str]:
    """The command line of a process."""
    return [sys.executable, "-W", "error", "-m", "sessions", *arguments]


def environment(**variables: str) -> dict[str, str]:
    """What a process is given of ours."""
    return {"PATH": os.environ["PATH"], "TZ": "UTC", **variables}


def process(folder: Path, *arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> Ran:
    """Run `python -m sessions` in a folder, to its end."""
    done = subprocess.run(
        command_of(*arguments),
        cwd=folder,
        env=environment(**(env or {})),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr)


def table_of(folder: Path) -> str:
    """The name of the PostgreSQL table for a folder."""
    return f"session of {crc32(bytes(folder))}"


KINDS: dict[str, Callable[[Path], tuple[str, str]]] = {
    "sqlite": lambda folder: (f"sqlite:{folder}/sessions.db", ""),
    "postgres": lambda folder: (shared_postgres().url, f'[postgres]\ntable = "{table_of(folder)}"\ntimeout = 30000'),
    "mongodb": lambda folder: (mongo_url(), f'[mongodb]\ncollection = "{collection(folder)}"\ntimeout = 30000'),
    "redis": lambda folder: (shared_server().url, f'[redis]\nprefix = "{prefix(folder)}"\ntimeout = 30000'),
    "redis cluster": lambda folder: (shared_cluster().url, f'[redis]\nprefix = "{prefix(folder)}"\ntimeout = 30000'),
}
"""Of each store that processes share the URL, and its table in config.toml."""
