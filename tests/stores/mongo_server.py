"""Owns real servers that speak MongoDB's protocol, on free ports of 127.0.0.1: FerretDB behind the front of tests/mongo.

`make mongo` builds the program; without it what asks for a server is skipped, and says so. Where the environment's
MONGODB_URI names a mongod, that is what many tests share. What harms a server has one of its own in any case.
Knows nothing of sessions.
"""

import atexit
import itertools
import os
import resource
import shutil
import signal
import tempfile
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote_plus

import pymongo
import pytest
from interop.processes import Process, free_port, wait_until

HOST = "127.0.0.1"
PROGRAM = Path(__file__).parents[2] / ".cache" / "mongo" / "server"
SECONDS = 60.0
MILLISECONDS = 60_000
"""Until a server must have answered; far above what it takes, so that only a hang meets it."""

Client = pymongo.MongoClient[dict[str, Any]]
Database = pymongo.database.Database[dict[str, Any]]

_numbers = itertools.count()


class MongoServer:
    """A server at work, with a folder of its own.

    `certificate` is a PEM file with a certificate and its key: it then speaks TLS only, and its URL trusts `authority`.
    With a `user` nobody is answered who has not logged in. With `replica_set` it calls itself the primary of one.
    """

    def __init__(
        self,
        *,
        certificate: Path | None = None,
        authority: Path | None = None,
        user: str | None = None,
        password: str = "of-the-tests",
        replica_set: str | None = None,
    ) -> None:
        if not PROGRAM.exists():
            pytest.skip("no MongoDB: .cache/mongo/server is missing (`make mongo` builds it, and needs Go)")
        self.folder = Path(tempfile.mkdtemp(prefix="mongo-"))  # short: a socket's path may have 107 bytes
        self.port = free_port()
        self.certificate, self.authority = certificate, authority
        self.user, self.password, self.replica_set = user, password, replica_set
        self._process: Process | None = None
        self._admin: Client | None = None
        self.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.folder)

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        """Its URL with all that a client has to know; of no database."""
        return self.url_of()

    def url_of(self, database: str = "", **options: str) -> str:
        """The URL of one of its databases; `options` are pymongo's."""
        login = "" if self.user is None else f"{quote_plus(self.user)}:{quote_plus(self.password)}@"
        given = {"authSource": "admin"} if self.user else {}
        if self.certificate is not None:
            given |= {"tls": "true", "tlsCAFile": quote_plus(str(self.authority))}
        if self.replica_set is not None:
            given["replicaSet"] = self.replica_set
        query = "&".join(f"{name}={value}" for name, value in (given | options).items())
        return f"mongodb://{login}{self.address}/{database}" + (f"?{query}" if query else "")

    @property
    def admin(self) -> Client:
        """A client of the test's own. It waits for every reply, so what it did has happened."""
        if self._admin is None:
            self._admin = client(self.url)
        return self._admin

    def start(self) -> None:
        """Start it on its port and its folder, and return when it takes connections."""
        given = {
            "folder": self.folder, "listen": self.address, "certificate": self.certificate, "user": self.user,
            "password": self.password, "set": self.replica_set,
        }  # fmt: skip
        flags = [f"--{name}={value}" for name, value in given.items() if value is not None]
        self._process = Process([PROGRAM, *flags], cwd=self.folder, env={"PATH": os.environ["PATH"]})
        self._process.find(r"listening \d+")

    def kill(self) -> None:
        """End it with SIGKILL."""
        if self._admin is not None:
            self._admin.close()
            self._admin = None
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()

    def pause(self) -> None:
        """Stop it with SIGSTOP: connections stay, and nobody answers. Returns when all its threads have stopped."""
        self._signal(signal.SIGSTOP)
        wait_until(self._has_stopped, SECONDS)

    def go_on(self) -> None:
        """Let it go on after a pause."""
        self._signal(signal.SIGCONT)

    def hang_up(self) -> None:
        """Close every client's connection, from the server's side."""
        self._signal(signal.SIGUSR1)

    def fill_disk(self, largest: int = 0) -> None:
        """Let no file of it grow beyond so many bytes, as on a full disk."""
        self._limit(largest)

    def empty_disk(self) -> None:
        """Take that back."""
        self._limit(resource.RLIM_INFINITY)

    def fail(self, *commands: str, times: int | None = None, **how: object) -> None:
        """Have the next commands of these names fail, or all; none: no longer. `how` is said in tests/mongo/failpoint.go."""
        mode = "off" if not commands else "alwaysOn" if times is None else {"times": times}
        self.admin.admin.command("configureFailPoint", "failCommand", mode=mode, data={"failCommands": commands, **how})

    def _has_stopped(self) -> bool:
        assert self._process is not None, "it does not run"
        threads = Path(f"/proc/{self._process.pid}/task").glob("*/stat")
        return all(stat.read_text().rpartition(")")[2].split()[0] == "T" for stat in threads)

    def _limit(self, largest: int) -> None:
        assert self._process is not None, "it does not run"
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    def _signal(self, number: int) -> None:
        assert self._process is not None, "it does not run"
        os.kill(self._process.pid, number)


def client(url: str) -> Client:
    """A client that waits for every reply, and that gives up in the end."""
    return pymongo.MongoClient(url, tz_aware=True, serverSelectionTimeoutMS=MILLISECONDS, socketTimeoutMS=MILLISECONDS)


# ---------------------------------------------------------------- what many tests share

_SHARED = ExitStack()
atexit.register(_SHARED.close)  # also where pytest is interrupted


class Mongod:
    """A server that runs already: nobody may harm it."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.admin = client(url)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.admin.close()

    def url_of(self, database: str) -> str:
        """The URL of one of its databases."""
        front, mark, query = self.url.partition("?")
        scheme, _, rest = front.partition("://")
        return f"{scheme}://{rest.partition('/')[0]}/{database}{mark}{query}"


@cache
def shared_server() -> MongoServer | Mongod:
    """The one server of the tests that do it no harm: that of MONGODB_URI, or else one of our own."""
    given = os.environ.get("MONGODB_URI")
    server: MongoServer | Mongod = Mongod(given) if given else MongoServer()
    _SHARED.push(server)
    return server


def new_database() -> str:
    """The URL of a database on the shared server that nobody has used; it ends with the tests."""
    server = shared_server()
    name = f"sessions_{os.getpid()}_{next(_numbers)}"
    _SHARED.callback(server.admin.drop_database, name)
    return server.url_of(name)


def database(url: str) -> Database:
    """What another client finds in the database of a URL on the shared server."""
    return shared_server().admin[pymongo.uri_parser.parse_uri(url)["database"]]


def end_all() -> None:
    """End what was shared."""
    _SHARED.close()
    shared_server.cache_clear()
