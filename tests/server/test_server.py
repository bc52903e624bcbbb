"""The reference server as a process: what it says at its start, how it ends, and what it says where it cannot start."""

import os
import re
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from client import NOTHING
from interop.processes import free_port
from processes import BODY, HOST, ROOT, SECONDS, Server, command, environment, run, until

from sessions import SQLiteStore

Start = Callable[..., Server]

KEPT = b"GET /get-session HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
"""A request after which the client keeps the connection."""


async def stored(folder: Path) -> int:
    """How many sessions the server has left in its file."""
    async with SQLiteStore(folder / "sessions.db") as store:
        return await store.length()


class TestStart:
    """Until it serves."""

    async def test_it_says_where_it_listens(self, start: Start) -> None:
        """One line with the port, one with a URL that can be clicked, and nothing else."""
        server = await start().serving()

        lines = server.output.split("\n")
        assert lines[:2] == [f"Server listening on port {server.port}", f"http://127.0.0.1:{server.port}/"]
        assert not [line for line in lines[2:] if line and " 200 GET /get-session " not in line]

    async def test_the_port_of_the_file_counts(self, start: Start) -> None:
        """Unless the command line names another; and on every interface the URL is one that a browser opens."""
        port = free_port()

        server = await start(f'[server]\nport = {port}\naddress = ""\n', "--config", "config.toml").serving()

        assert server.output.startswith(f"Server listening on port {port}\nhttp://localhost:{port}/\n")

    def test_without_a_config_the_projects_own_is_read(self, tmp_path: Path) -> None:
        """From wherever it is started: the port is the seed's, and new sessions are saved as there."""
        env = environment(tmp_path, secret=None)

        result = subprocess.run(command("--check"), cwd=tmp_path, env=env, capture_output=True, text=True, check=True)

        assert "port = 3000\n" in result.stdout
        assert "saveUninitialized = true\n" in result.stdout

    def test_a_port_in_use(self, tmp_path: Path) -> None:
        """Is named, in one line, and the status is 1."""
        with socket.create_server((HOST, 0)) as taken:
            port = taken.getsockname()[1]

            result = run(tmp_path, "", "--port", port)

        assert result.returncode == 1
        assert "Address already in use" in result.stderr
        assert str(port) in result.stderr
        assert "Traceback" not in result.stderr
        assert result.stdout == ""

    def test_an_address_that_is_nobodys(self, tmp_path: Path) -> None:
        """Is named, and the status is 1."""
        result = run(tmp_path, '[server]\naddress = "192.0.2.1"\n', "--port", 0)

        assert result.returncode == 1
        assert "192.0.2.1" in result.stderr
        assert "Traceback" not in result.stderr

    @pytest.mark.parametrize("secret", ["of-the-environment-and-more-than-32-bytes", None], ids=["given", "made"])
    def test_a_folder_of_the_store_that_is_missing(self, tmp_path: Path, secret: str | None) -> None:
        """Is named as what is missing, wherever the secret comes from."""
        result = run(tmp_path, '[session]\nstore = "sqlite:nowhere/sessions.db"\n', "--port", 0, secret=secret)

        assert result.returncode in {1, 2}
        assert re.search(r"the folder (/\S+/)?nowhere does not exist", result.stderr)
        assert "Traceback" not in result.stderr
        assert result.stdout == ""

    def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        """Is named, left as it is, and the status is 1."""
        (tmp_path / "letters.db").write_text("Dear Ada,\n" * 100)

        result = run(tmp_path, '[session]\nstore = "sqlite:letters.db"\n', "--port", 0)

        assert (result.returncode, result.stdout) == (1, "")
        assert "letters.db: file is not a database" in result.stderr
        assert (tmp_path / "letters.db").read_text() == "Dear Ada,\n" * 100

    @pytest.mark.parametrize(
        ("config", "named"),
        [
            ('[session]\nrolling = "yes"\n', ("[session]", "rolling", "true or false")),
            ("[session\n", ("line 1",)),
        ],
        ids=["wrong type", "not TOML"],
    )
    def test_a_bad_configuration(self, tmp_path: Path, config: str, named: tuple[str, ...]) -> None:
        """One line names the file, the table and the option, and the status is 2."""
        result = run(tmp_path, config, "--port", 0)

        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("config.toml: ")
        assert result.stderr.count("\n") == 1
        assert [word for word in named if word not in result.stderr] == []

    def test_a_configuration_that_is_missing(self, tmp_path: Path) -> None:
        """Is named, and the status is 2."""
        result = run(tmp_path, "", "--config", "nowhere.toml")

        assert (result.returncode, result.stdout) == (2, "")
        assert result.stderr.startswith("nowhere.toml: ")
        assert "No such file" in result.stderr

    def test_a_port_that_is_none(self, tmp_path: Path) -> None:
        """The command line's is blamed on the command line."""
        result = run(tmp_path, "", "--port", 65_536)

        assert result.returncode == 2
        assert "--port: expected a whole number from 0 to 65535, got 65536" in result.stderr


class TestStop:
    """SIGTERM and SIGINT drain."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda each: each.name)
    async def test_an_idle_server_ends_at_once(self, start: Start, number: int) -> None:
        """With status 0, long before the deadline, although a visitor keeps a connection; and without complaint."""
        server = start("[server]\ndrain = 60000\n")
        idle = await server.wire()
        idle.send(KEPT)
        await idle.response()

        server.signal(number)
        status = await server.ended()

        assert status == 0
        await idle.until(lambda: idle.ended)
        assert "Traceback" not in server.output
        assert "not answered" not in server.output

    @pytest.mark.parametrize(
        ("number", "uvloop"),
        [(signal.SIGTERM, True), (signal.SIGINT, False)],
        ids=["SIGTERM", "SIGINT without uvloop"],
    )
    async def test_a_request_in_flight_is_finished(self, start: Start, number: int, uvloop: bool) -> None:
        """No new connection is taken, the answer comes, what it changed is stored, and the status is 0."""
        server = start("[session]\nsaveUninitialized = false\n", uvloop=uvloop)
        wire = await server.ask()

        server.signal(number)
        await until(server.refuses)
        wire.send(BODY)
        response = await wire.response()

        assert response.text == "Session data set successfully"
        assert response.whole
        assert len(response.set_cookies) == 1
        assert await server.ended() == 0
        assert await stored(server.folder) == 1

    async def test_a_commit_in_flight_is_finished(self, start: Start) -> None:
        """A write that waits for another process's lock while the server drains is stored, and then answered."""
        server = start('[session]\nstore = "sqlite:sessions.db"\n')
        wire = await server.ask()
        with closing(sqlite3.connect(server.folder / "sessions.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            wire.send(BODY)
            server.signal(signal.SIGTERM)
            await until(server.refuses)
            other.execute("ROLLBACK")

        response = await wire.response()

        assert response.text == "Session data set successfully"
        assert await server.ended() == 0
        assert await stored(server.folder) == 1

    async def test_a_kept_connection_is_answered_until_the_end(self, start: Start) -> None:
        """While another's request holds the drain; each answer says that it is its connection's last."""
        server = start()
        kept = await server.wire()
        kept.send(KEPT)
        await kept.response()
        busy = await server.ask()
        server.signal(signal.SIGTERM)
        await until(server.refuses)

        kept.send(KEPT)
        response = await kept.response()

        assert (response.status, response.header("Connection")) == (200, "close")
        await kept.until(lambda: kept.ended)
        busy.send(BODY)
        last = await busy.response()
        assert (last.status, last.header("Connection")) == (200, "close")

    async def test_the_deadline_cuts(self, start: Start) -> None:
        """A request that is not answered within `drain` gets no answer, half or whole; the log counts it; the status is 0."""
        server = start("[server]\ndrain = 150\n")
        wire = await server.ask()
        wire.send(BODY[:4])

        began = time.monotonic()
        server.signal(signal.SIGTERM)
        status = await server.ended()

        assert status == 0
        assert time.monotonic() - began >= 0.15
        assert await wire.response() == NOTHING
        assert "1 requests were not answered within the 0.15 s of drain" in server.output
        assert "Traceback" not in server.output

    async def test_the_deadline_cuts_a_commit_too(self, start: Start) -> None:
        """A store that does not answer cannot hold the server: the visitor gets no answer that claims anything."""
        server = start("[server]\ndrain = 150\n[session]\nstoreTimeout = 60000\n[sqlite]\nbusyTimeout = 400\n")
        wire = await server.ask()
        with closing(sqlite3.connect(server.folder / "sessions.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            wire.send(BODY)

            server.signal(signal.SIGTERM)
            status = await server.ended()

        assert status == 0
        assert await wire.response() == NOTHING
        assert await stored(server.folder) == 0

    async def test_a_successor_starts_at_once(self, start: Start) -> None:
        """On the same port and file: nothing is left that it would have to wait for."""
        first = await start().serving()
        first.signal(signal.SIGTERM)
        await first.ended()

        second = await start("", "--port", first.port).serving()

        assert second.port == first.port


def test_the_server_is_what_make_run_starts() -> None:
    """`make run CONFIG=file PORT=number` hands both on."""
    given = ["make", "--dry-run", "run", "CONFIG=my.toml", "PORT=4000"]

    outside = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # `make test` is one
    result = subprocess.run(given, cwd=ROOT, env=outside, capture_output=True, text=True, check=True, timeout=SECONDS)

    assert result.stdout.rstrip().endswith("server.py --config my.toml --port 4000")
