"""The reference server at a Unix socket: its file from the start to the end, who may connect, what it says of itself."""

import os
import signal
import socket
import stat
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from client import Response, Wire
from interop.processes import missing
from processes import Server, run, until

from serving.listening import listening

Start = Callable[..., Server]

MEMORY = '[session]\nstore = "memory:"\n'
GET = b"GET /get-session HTTP/1.1\r\nHost: h\r\nX-Real-IP: 192.0.2.7\r\nX-Request-Id: of-the-proxy\r\n"


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Where the server listens; the tests' own folders are too deep for the path of a socket on some systems."""
    return str(tmp_path / "s.sock")


def config(path: str, more: str = "", rest: str = MEMORY) -> str:
    """A config.toml with that socket."""
    return f'[server]\naddress = "unix:{path}"\n{more}\n{rest}'


def begin(start: Start, path: str, more: str = "", rest: str = MEMORY) -> Server:
    """A server that listens there."""
    server = start(config(path, more, rest), "--config", "config.toml")
    server.find("Server listening on unix:")
    return server


async def ask(path: str, more: bytes = b"") -> Response:
    """The answer to one request."""
    wire = await Wire.connect_unix(path)
    try:
        wire.send(GET + more + b"\r\n")
        return await wire.response()
    finally:
        await wire.close()


def is_there(path: str) -> bool:
    """Whether there is any file of that name."""
    return os.path.lexists(path)


def stale(path: str) -> None:
    """Leave the file of a socket that nobody listens at, as a server that was killed does."""
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(path)


async def test_it_says_where_it_listens_and_how_to_get_there(start: Start, path: str) -> None:
    """In place of the port and the URL."""
    server = begin(start, path)
    answer = await ask(path)

    assert answer.status == 200
    assert f"Server listening on unix:{path}\ncurl --unix-socket {path} http://localhost/\n" in server.output


@pytest.mark.skipif(missing("curl") is not None, reason=str(missing("curl")))
def test_what_it_says_can_be_typed(start: Start, path: str) -> None:
    """The second line is a command that shows the page."""
    server = begin(start, path)
    command = server.find(r"\n(curl .*)\n")[1]

    page = subprocess.run(command.split(), capture_output=True, text=True, check=True, timeout=60).stdout

    assert "<html" in page


def test_its_owner_and_its_group_may_connect(start: Start, path: str) -> None:
    """Whoever may write to the file: nginx, once it is in the group."""
    begin(start, path)

    mode = Path(path).lstat().st_mode

    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o660


@pytest.mark.parametrize("workers", [1, 2])
async def test_the_file_goes_with_the_server(start: Start, path: str, workers: int) -> None:
    """After the last answer; each worker has answered at the same socket."""
    server = begin(start, path, f"workers = {workers}", "")
    assert (await ask(path)).status == 200

    server.signal(signal.SIGTERM)

    assert await server.ended() == 0
    assert not is_there(path)


async def test_a_worker_that_ends_leaves_the_file(start: Start, path: str) -> None:
    """It belongs to the parent, and the worker that comes next listens there too."""
    server = begin(start, path, "workers = 2", "")
    await until(lambda: len(server.workers) == 2)
    first, _ = server.workers
    os.kill(first, signal.SIGTERM)
    await until(lambda: first not in server.workers and len(server.workers) == 2)

    answer = await ask(path)

    assert answer.status == 200


async def test_the_file_of_a_killed_server_is_replaced(start: Start, path: str) -> None:
    """Nobody has to remove it by hand."""
    stale(path)

    begin(start, path)

    assert (await ask(path)).status == 200


async def test_the_socket_of_a_living_server_is_left_to_it(start: Start, path: str, tmp_path: Path) -> None:
    """The second server says so and does not start; the first goes on."""
    begin(start, path)
    (tmp_path / "second").mkdir()

    result = run(tmp_path / "second", config(path))

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"cannot start: unix:{path}: another server listens there"
    assert result.stdout == ""
    assert (await ask(path)).status == 200


def test_a_server_that_has_too_much_to_do_is_living(path: str) -> None:
    """Its queue is full, so it takes no connection."""
    with ExitStack() as stack:
        busy = stack.enter_context(socket.socket(socket.AF_UNIX))
        busy.bind(path)
        busy.listen(0)
        with suppress(BlockingIOError):
            while True:
                waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
                waiting.setblocking(False)
                waiting.connect(path)

        with pytest.raises(OSError, match="another server listens there"), listening("", 0, path):
            pass

        assert is_there(path)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (Path.touch, "there is a file that is no socket"),
        (Path.mkdir, "there is a file that is no socket"),
        (lambda path: path.symlink_to("nowhere"), "there is a file that is no socket"),
        (lambda path: path.parent.rmdir(), "No such file or directory"),
    ],
)
def test_a_place_that_is_not_for_a_socket_is_named(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    """Nothing of it is touched, and the status is 1."""
    (tmp_path / "run").mkdir()
    place = tmp_path / "run" / "s.sock"
    make(place)
    before = os.path.lexists(place)

    result = run(tmp_path, config(str(place)))

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"cannot start: unix:{place}: {why}"
    assert os.path.lexists(place) == before


def test_a_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    """The system has about a hundred bytes for it."""
    place = tmp_path / ("x" * 110)

    result = run(tmp_path, config(str(place)))

    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == f"cannot start: unix:{place}: AF_UNIX path too long"


def test_a_start_that_fails_later_removes_the_file(tmp_path: Path, path: str) -> None:
    """The store is opened behind it."""
    result = run(tmp_path, config(path, rest='[session]\nstore = "sqlite:nowhere/sessions.db"\n'))

    assert result.returncode == 1
    assert not is_there(path)


def test_a_server_that_took_the_place_keeps_its_file(path: str) -> None:
    """One that drains has closed its socket: the next one may start."""
    with listening("", 0, path) as first:
        first.sockets[0].close()
        with listening("", 0, path) as second:
            there = Path(path).lstat()
        stale(path)  # as the second left by a kill
        assert second.text == first.text
        os.utime(path, ns=(there.st_mtime_ns + 1, there.st_mtime_ns + 1))

    assert is_there(path)


def test_a_port_and_a_unix_socket_are_a_mistake(tmp_path: Path, path: str) -> None:
    """Of the command line; the file's own port is not looked at."""
    result = run(tmp_path, config(path, "port = 3000"), "--port", 4000, "--check")

    assert result.returncode == 2
    assert result.stderr == f"--port: [server] address is a Unix socket, unix:{path}, which has no port\n"


@pytest.mark.parametrize("address", ["unix:", "unix:a\\u0000b"])
def test_an_address_without_a_path_is_refused(tmp_path: Path, address: str) -> None:
    """With what is expected."""
    result = run(tmp_path, config(address.removeprefix("unix:")), "--check")

    assert result.returncode == 2
    assert 'address: expected an IP address, a host name, "unix:/path" or "" for every interface' in result.stderr


def test_a_weak_secret_is_refused_as_on_the_network(tmp_path: Path, path: str) -> None:
    """A Unix socket is there for a proxy."""
    result = run(tmp_path, config(path), "--check", secret="weak")

    assert result.returncode == 2
    assert "secret" in result.stderr


@pytest.mark.parametrize(("xheaders", "ip"), [("true", "192.0.2.7"), ("false", "-")])
async def test_who_connects_is_the_trusted_proxy(start: Start, path: str, xheaders: str, ip: str) -> None:
    """With xheaders its word counts, as on a port; without, no visitor has an address."""
    server = begin(start, path, f"xheaders = {xheaders}")
    await ask(path)
    server.signal(signal.SIGTERM)
    await server.ended()

    (line,) = [line for line in server.output.splitlines() if " 200 GET /get-session " in line]
    assert f"({ip})" in line
    assert (" of-the-proxy " in line) == (xheaders == "true")
    assert ("[server] xheaders = false: over a Unix socket" in server.output) == (xheaders == "false")
