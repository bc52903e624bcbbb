"""Owns the pair of servers: one Express, one Tornado, on one store, with one secret and one cookie name."""

import itertools
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from stores import mongo_server
from stores.postgres_server import shared

from .processes import Process, missing

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

OPTIONS: dict[str, Any] = {
    "secret": "one secret for both, long enough to be quiet about",
    "name": "shared.sid",
    "resave": False,
    "saveUninitialized": False,
    "cookie": {"maxAge": 60_000, "httpOnly": True, "sameSite": "lax"},
}
"""What both servers are given where a test does not say otherwise, in express-session's names."""


def why_not() -> str | None:
    """Why these tests cannot run here; None when they can."""
    if shutil.which("node") is None:
        return "no node on this machine (Debian: apt-get install -y nodejs npm)"
    if not (HERE / "node_modules" / ".installed").exists():
        return "tests/interop/node_modules is missing (tests/interop/install.sh, or `make interop`)"
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what cannot run here. Said from this one place, so that the summary says it in one line."""
    reason = why_not() or missing(*getattr(getattr(item, "module", None), "NEEDS", ()))
    if reason is not None:
        pytest.skip(reason)


@dataclass(frozen=True)
class Row:
    """A session as it lies in the store."""

    expired: float
    text: str

    @property
    def data(self) -> dict[str, Any]:
        """The session without its cookie."""
        return {key: value for key, value in json.loads(self.text).items() if key != "cookie"}

    @property
    def cookie(self) -> dict[str, Any]:
        """The stored cookie."""
        return dict(json.loads(self.text)["cookie"])


@dataclass
class Pair:
    """Both servers; `pair.express` and `pair.tornado` are their ports, `pair["express"]` too."""

    db: Path
    """The SQLite file, where it is one."""
    postgres: str | None = None
    """The name of a database on the shared PostgreSQL server instead."""
    mongodb: str | None = None
    """The URL of a database on the shared MongoDB instead."""
    processes: dict[str, Process] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def express(self) -> int:
        """The port of the Express server."""
        return self.ports["express"]

    @property
    def tornado(self) -> int:
        """The port of the Tornado server."""
        return self.ports["tornado"]

    @property
    def rounding(self) -> int:
        """Milliseconds by which a row may live longer than was asked: connect-pg-simple counts in seconds."""
        return 1_000 if self.postgres else 0

    def __getitem__(self, name: str) -> int:
        return self.ports[name]

    def start(self, name: str, options: dict[str, Any], **env: str) -> None:
        """Start one of the two and wait until it listens."""
        command = ["node", HERE / "express_app.js"] if name == "express" else [sys.executable, HERE / "tornado_app.py"]
        inherited = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        # NODE_ENV=test silences Express's own print of each error; it reaches /control/errors.
        given = {"DB": str(self.db), "OPTIONS": json.dumps(options), "NODE_ENV": "test", "PYTHONPATH": str(ROOT)}
        if self.postgres:
            given["STORE"] = shared().url_of(database=self.postgres)
        if self.mongodb:
            given["STORE"] = self.mongodb
        process = self.processes[name] = Process(command, cwd=self.db.parent, env={**inherited, **given, **env})
        self.ports[name] = int(process.find(r"listening (\d+)")[1])

    def row(self, sid: str | None) -> Row:
        """The row of an id, straight from the store. It has to be there."""
        return self.rows()[sid]

    def has(self, sid: str | None) -> bool:
        """Whether there is a row of that id, expired or not."""
        return sid in self.rows()

    def rows(self) -> dict[str | None, Row]:
        """All rows by their ids, straight from the store."""
        if self.mongodb:
            documents = mongo_server.database(self.mongodb).sessions.find()
            return {each["_id"]: Row(each["expires"].timestamp() * 1000, each["session"]) for each in documents}
        if self.postgres:
            columns = "json_build_array(sid, extract(epoch FROM expire) * 1000, sess::text)"
            lines = shared().sql(f"SELECT {columns} FROM session", self.postgres).split("\n")
            found = [json.loads(line) for line in lines if line]
        else:
            with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
                found = db.execute("SELECT sid, expired, sess FROM sessions").fetchall()
        return {sid: Row(expired, text) for sid, expired, text in found}

    def indexes(self) -> str:
        """What the indexes are made of, as the database says it."""
        if self.mongodb:
            return str(mongo_server.database(self.mongodb).sessions.index_information())
        if self.postgres:
            return shared().sql("SELECT indexdef FROM pg_indexes WHERE tablename = 'session'", self.postgres)
        with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
            return "\n".join(row[0] or "" for row in db.execute("SELECT sql FROM sqlite_master WHERE type = 'index'"))

    def complaints(self) -> str:
        """What our SQLite finds wrong in a file that Node's has written too; "ok" where there is nothing."""
        if self.db.exists():
            with closing(sqlite3.connect(f"file:{self.db}?mode=ro", uri=True)) as db:
                return "\n".join(row[0] for row in db.execute("PRAGMA integrity_check"))
        return "ok"

    def stop(self) -> None:
        """End both. Raises AssertionError when the Tornado server had anything to complain of."""
        for process in self.processes.values():
            process.stop()
        if "tornado" in self.processes:
            output = self.processes["tornado"].output
            assert "Traceback" not in output, output
            assert "Warning" not in output, output


MakePair = Callable[..., Pair]
PairWith = Callable[..., Pair]
databases = itertools.count()


def new_pair(backend: str, folder: Path) -> Pair:
    """A pair, not started, on a store of its own."""
    if backend in ("sqlite", "redis"):
        return Pair(folder / "shared.db")
    if backend == "mongodb":
        return Pair(folder / "shared.db", mongodb=mongo_server.new_database())
    name = f"interop_{next(databases)}"
    shared().sql(f"CREATE DATABASE {name}")
    return Pair(folder / "shared.db", postgres=name)


@pytest.fixture(scope="module")
def backend(request: pytest.FixtureRequest) -> str:
    """The store of the pair: SQLite where a test does not ask for more."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def make_pair(tmp_path: Path, backend: str) -> Iterator[MakePair]:
    """`make_pair({options}, tornado={further options}, order=(...))` → a pair of its own on a new store."""
    with ExitStack() as stack:

        def make(
            options: dict[str, Any] | None = None,
            *,
            tornado: dict[str, Any] | None = None,
            order: tuple[str, ...] = ("express", "tornado"),
            **env: str,
        ) -> Pair:
            pair = new_pair(backend, Path(tempfile.mkdtemp(dir=tmp_path)))
            stack.callback(pair.stop)
            common = {**OPTIONS, **(options or {})}
            for name in order:
                pair.start(name, {**common, **(tornado or {})} if name == "tornado" else common, **env)
            return pair

        yield make


@contextmanager
def running(backend: str, folder: Path, express: dict[str, Any], **tornado: Any) -> Iterator[Pair]:
    """A pair on a store of its own, at work while the block runs; `tornado` are further options for that one."""
    pair = new_pair(backend, folder)
    try:
        pair.start("express", express)
        pair.start("tornado", {**express, **tornado})
        yield pair
    finally:
        pair.stop()


@pytest.fixture(scope="module")
def pair_with(tmp_path_factory: pytest.TempPathFactory, backend: str) -> Iterator[PairWith]:
    """`pair_with({options}, further options of Tornado)` → a pair that the tests share that ask for the same."""
    pairs: dict[str, Pair] = {}
    with ExitStack() as stack:

        def with_options(options: dict[str, Any] | None = None, **tornado: Any) -> Pair:
            key = json.dumps([options, tornado])
            if key not in pairs:
                given = {**OPTIONS, **(options or {})}
                pairs[key] = stack.enter_context(running(backend, tmp_path_factory.mktemp("pair"), given, **tornado))
            return pairs[key]

        yield with_options


@pytest.fixture
def pair(pair_with: PairWith) -> Pair:
    """A pair that a module's tests share: each is a visitor of its own."""
    return pair_with(touchAfter=0)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """For requests that run side by side."""
    with ThreadPoolExecutor(32) as pool:
        yield pool


def versions() -> str:
    """The Node side as it is installed, for the report's head."""
    packages = [json.loads(path.read_text()) for path in sorted(HERE.glob("node_modules/*/package.json"))]
    named = {each["name"]: each["version"] for each in packages if each.get("name")}
    wanted = (
        "express", "express-session", "connect-sqlite3", "sqlite3", "connect-redis", "redis", "connect-pg-simple", "pg",
        "connect-mongo", "mongodb", "passport",
    )  # fmt: skip
    node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return ", ".join([f"node {node}", *(f"{name} {named.get(name)}" for name in wanted)])


def pytest_report_header() -> str:
    """One line that says what was tested against, or why nothing is."""
    return f"interop: {why_not() or versions()}"
