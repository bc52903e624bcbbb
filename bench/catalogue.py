"""Which servers are measured, how each is started, and against which bare server its figures stand as a share."""

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers"
CACHE = HERE / ".cache"
PEERS = CACHE / "peers" / "bin"

TORNADO = (sys.executable, str(SERVERS / "tornado_app.py"), "--port", "{port}")
NODE = ("node", str(SERVERS / "node" / "app.js"), "--port", "{port}", "--data", "{data}")
PYTHON = str(PEERS / "python")
WITH_UVLOOP = str(CACHE / "speed" / "bin" / "python")
# One process as for all the others; threads, because gunicorn's plain worker closes the connection after each answer,
# and because a thread that waits for the disk lets the others go on.
GUNICORN = (
    str(PEERS / "gunicorn"), "--chdir", str(SERVERS), "--bind", "127.0.0.1:{port}", "--workers", "1",
    "--worker-class", "gthread", "--threads", "8", "--log-level", "warning", "--no-control-socket",
)  # fmt: skip


@dataclass(frozen=True)
class Server:
    """One row of the report. In `command` and `environment`, {port}, {data} and {url} are filled in at the start."""

    name: str
    bare: str  # the name of the same server without sessions
    group: str  # what a run can choose: "tornado", "stores", "speed", "peers", "users", "observed"
    command: tuple[str, ...]
    engine: str = ""  # "redis" or "postgresql": one is started for this server alone, and {url} leads to it
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def is_bare(self) -> bool:
        return self.name == self.bare


def _tornado() -> list[Server]:
    bare, fast = "tornado bare", "tornado bare, uvloop"
    full = (*TORNADO, "--store", "sqlite:{data}/sessions.db")
    by_url = (*TORNADO, "--store", "{url}")
    return [
        Server(bare, bare, "tornado", TORNADO),
        Server("sessions, SQLite full", bare, "tornado", full),
        Server("sessions, SQLite normal", bare, "tornado", (*full, "--durability", "normal")),
        Server("sessions, memory", bare, "tornado", (*TORNADO, "--store", "memory:")),
        Server("sessions with a user, SQLite full", bare, "users", (*full, "--users", "kept")),
        Server("sessions with userKey, SQLite full", bare, "users", (*full, "--users", "found")),
        Server("sessions with Prometheus, SQLite full", bare, "observed", (*full, "--prometheus")),
        Server("sessions, Redis", bare, "stores", by_url, "redis"),
        Server("sessions, PostgreSQL", bare, "stores", by_url, "postgresql"),
        Server("sessions, FerretDB (no MongoDB)", bare, "stores", by_url, "mongodb"),
        Server(fast, fast, "speed", (WITH_UVLOOP, *TORNADO[1:], "--uvloop")),
        Server("sessions, SQLite full, uvloop", fast, "speed", (WITH_UVLOOP, *full[1:], "--uvloop")),
    ]


def _node() -> list[Server]:
    def express(name: str, store: str, engine: str = "") -> Server:
        url = ("--url", "{url}") if engine else ()
        production = (("NODE_ENV", "production"),)
        return Server(name, "express bare", "peers", (*NODE, "--store", store, *url), engine, production)

    return [
        express("express bare", "none"),
        express("express-session, MemoryStore", "memory"),
        express("express-session, connect-sqlite3", "connect-sqlite3"),
        express("express-session, connect-sqlite3 WAL", "connect-sqlite3-wal"),
        express("express-session, better-sqlite3", "better-sqlite3"),
        express("express-session, better-sqlite3 WAL", "better-sqlite3-wal"),
        express("express-session, connect-redis", "connect-redis", "redis"),
        express("express-session, connect-pg-simple", "connect-pg-simple", "postgresql"),
    ]


def _python() -> list[Server]:
    aiohttp = (PYTHON, str(SERVERS / "aiohttp_app.py"), "--port", "{port}")
    starlette = (PYTHON, str(SERVERS / "starsessions_app.py"), "--port", "{port}")
    url = ("--url", "{url}")
    data = (("BENCH_DATA", "{data}"),)
    return [
        Server("aiohttp bare", "aiohttp bare", "peers", aiohttp),
        Server("aiohttp-session, Redis", "aiohttp bare", "peers", (*aiohttp, *url), "redis"),
        Server("starlette bare", "starlette bare", "peers", starlette),
        Server("starsessions, Redis", "starlette bare", "peers", (*starlette, *url), "redis"),
        Server("flask bare", "flask bare", "peers", (*GUNICORN, "flask_app:app")),
        Server("Flask-Session, SQLite", "flask bare", "peers", (*GUNICORN, "flask_app:app"), environment=data),
        Server("django bare", "django bare", "peers", (*GUNICORN, "django_app:app")),
        Server("Django, SQLite", "django bare", "peers", (*GUNICORN, "django_app:app"), environment=data),
    ]


ALL = {server.name: server for server in [*_tornado(), *_node(), *_python()]}


def choose(groups: list[str], only: list[str]) -> list[Server]:
    """The servers of these groups, or those with a name that holds one of the words; always with their bare ones."""
    chosen = [s for s in ALL.values() if (any(word in s.name for word in only) if only else s.group in groups)]
    names = {s.name for s in chosen} | {s.bare for s in chosen}
    return [s for s in ALL.values() if s.name in names]
