"""What a command says of a store that fails, refuses or lacks a power, and of an output that fails."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from installed import install
from interop.processes import Process, free_port, wait_until
from stores.postgres_server import shared as shared_postgres
from stores.redis_server import shared_server
from stores.support import as_nobody, prefix, query

from .support import SECONDS, Place, command_of, environment, process, run, table_of

READING = ["stats", "list", "show 00000000"]
WRITING = ["revoke 00000000", "revoke --user ada", "revoke --all --yes", "sweep", "index"]


class TestFailures:
    """What a store refuses."""

    @pytest.mark.parametrize("command", [*READING, *WRITING])
    def test_a_missing_file_or_table_is_not_made(self, folder: Path, command: str) -> None:
        """It is one line, with a hint."""
        config = folder / "pg.toml"
        table = f'[postgres]\ntable = "{table_of(folder)}"\n'
        config.write_text(f'[session]\nstore = "{shared_postgres().url}"\nuserKey = "username"\n{table}')
        key = [] if command == "sweep" else ["--user-key", "username"]

        file = run(*command.split(), "--store", "sqlite:none.db", *key)
        database = run(*command.split(), "--config", str(config))

        assert (file.code, file.out, database.code, database.out) == (1, "", 1, "")
        assert "none.db: there is no such file" in file.err
        assert "has no table" in database.err
        assert [each.name for each in folder.iterdir()] == ["pg.toml"]
        assert shared_postgres().sql(f"SELECT to_regclass('\"{table_of(folder)}\"')") == ""

    def test_a_file_without_the_table_is_no_store(self, folder: Path) -> None:
        """Nothing is put into it."""
        with closing(sqlite3.connect("other.db")) as file:
            file.execute("CREATE TABLE notes (text)")

        ran = run("stats", "--store", "sqlite:other.db")

        assert ran.code == 1
        assert "has no table sessions" in ran.err
        assert query(folder / "other.db", "SELECT name FROM sqlite_master") == [("notes",)]

    def test_a_file_of_node_is_read_as_it_is(self, folder: Path) -> None:
        """In another journal mode, without our index."""
        with closing(sqlite3.connect("node.db")) as file, file:
            file.execute("CREATE TABLE sessions (sid PRIMARY KEY, expired, sess)")
            file.execute("INSERT INTO sessions VALUES ('sid', 9e15, '{\"cookie\":{}}')")
        before = Path("node.db").read_bytes()

        ran = run("stats", "--store", "sqlite:node.db", "--json")

        assert (ran.code, ran.json["living"]) == (0, 1)
        assert Path("node.db").read_bytes() == before
        assert [each.name for each in folder.iterdir()] == ["node.db"]

    def test_who_may_only_read_the_file_reads_it(self, sqlite: Callable[..., Place]) -> None:
        """Beside a server that has it open; and may not end a session."""
        place = sqlite()
        place.put("ada")
        for each in (place.folder, *place.folder.parents):
            if each.stat().st_uid == os.geteuid() and each != Path("/"):
                each.chmod(each.stat().st_mode | 0o055)

        async def beside(_store: object) -> tuple[int, int]:
            for file in place.folder.iterdir():
                file.chmod(0o644)
            with as_nobody():
                reads = await asyncio.to_thread(run, "stats", "--store", place.url)
                ends = await asyncio.to_thread(run, "revoke", "0" * 32, "--store", place.url)
            return reads.code, ends.code

        assert place.within(beside) == (0, 1)

    def test_who_may_only_read_the_table_reads_it(self, tmp_path: Path) -> None:
        """A role of PostgreSQL with SELECT alone; what it lacks is said when it ends a session."""
        place = Place("postgres", tmp_path)
        place.put("ada")
        role = f"reader_{os.getpid()}"
        shared_postgres().sql(f'CREATE ROLE {role} LOGIN; GRANT SELECT ON "{table_of(tmp_path)}" TO {role}')
        place.config.write_text(place.config.read_text().replace("postgres@/", f"{role}@/"))

        reads, ends = place.run("list", "--user", "ada"), place.run("revoke", "--user", "ada")

        assert (reads.code, len(reads.rows), reads.err) == (0, 1, "")
        assert ends.code == 1
        assert "the role lacks INSERT, UPDATE, DELETE" in ends.err

    def test_who_may_only_read_the_keys_reads_them(self, tmp_path: Path) -> None:
        """A user of Redis with the commands that read, and those of scripts."""
        place = Place("redis", tmp_path)
        user = keys = f"reader{os.getpid()}"
        place.config.write_text(place.config.read_text().replace(prefix(tmp_path), keys))
        place.put("ada")
        server = shared_server()
        server.admin.acl_setuser(
            user, enabled=True, passwords=["+pw"], keys=[f"{keys}*", f"user-{keys}*"],
            commands=["+@read", "+eval", "+evalsha", "+@connection", "+info"],
        )  # fmt: skip
        place.config.write_text(place.config.read_text().replace("redis://", f"redis://{user}:pw@"))

        reads, ends = place.run("list", "--user", "ada"), place.run("revoke", "--user", "ada")

        server.admin.acl_deluser(user)
        assert (reads.code, len(reads.rows)) == (0, 1), reads.err
        assert ends.code == 1
        assert "pw" not in reads.err + ends.err

    @pytest.mark.parametrize("url", ["redis://127.0.0.1:{port}", "postgresql://user:geheim@127.0.0.1:{port}/db"])
    def test_a_server_that_is_away_is_code_1(self, url: str) -> None:
        """One line, without the password."""
        ran = run("stats", "--store", url.format(port=free_port()))

        assert (ran.code, ran.out) == (1, "")
        assert ran.err.startswith("store: ")
        assert ran.err.count("\n") == 1
        assert "geheim" not in ran.err

    def test_ctrl_c_leaves_quietly(self, sqlite: Callable[..., Place]) -> None:
        """With the code that a shell gives for it."""
        place = sqlite()
        place.config.write_text(f'[session]\nstore = "{_stalled(place)}"\n[redis]\ntimeout = 600000\n')
        with Process(command_of("list", "--config", "config.toml"), cwd=place.folder, env=environment()) as waiting:
            wait_until((place.folder / "reached").exists, SECONDS)
            os.kill(waiting.pid, signal.SIGINT)
            wait_until(lambda: waiting._child.poll() is not None, SECONDS)

            assert (waiting._child.returncode, waiting.output) == (130, "")


class TestOutput:
    """What is at the other end of stdout."""

    @pytest.mark.parametrize("words", ["stats", "list --json"])
    def test_a_reader_that_has_left_is_no_error(self, sqlite: Callable[..., Place], words: str) -> None:
        """Nothing was written yet when it left: `sessions stats | true`."""
        place = sqlite()
        reading, writing = os.pipe()
        os.close(reading)

        done = _printed(place, words, writing)

        os.close(writing)
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")  # noqa: PTH110 # of pytest's
    @pytest.mark.parametrize("words", ["stats", "list --json"])
    def test_a_full_disk_is_code_1(self, sqlite: Callable[..., Place], words: str) -> None:
        """With one line on stderr."""
        place = sqlite()
        full = os.open("/dev/full", os.O_WRONLY)

        done = _printed(place, words, full)

        os.close(full)
        assert (done.returncode, done.stderr) == (1, "[Errno 28] No space left on device\n")

    def test_a_character_that_the_locale_lacks_is_an_escape(self, sqlite: Callable[..., Place]) -> None:
        """The others are as they are."""
        place = sqlite()
        place.put("adé")

        ran = place.process("list", env={"PYTHONIOENCODING": "ascii"})

        assert (ran.code, ran.err) == (0, "")
        assert [row["USER"] for row in ran.rows] == ["ad\\xe9"]

    @pytest.mark.parametrize("words", ["list --json --user ada", "list --user ada"])
    def test_a_refused_command_prints_nothing(self, sqlite: Callable[..., Place], words: str) -> None:
        """No begin of a document either."""
        ran = run(*words.split(), "--store", sqlite().url)

        assert (ran.code, ran.out) == (2, "")


class TestElsewhere:
    """A store of another package is used by the powers that it has."""

    def test_a_store_with_powers_is_used(self, folder: Path) -> None:
        """It has what the command needs."""
        install(folder, "cupboard")
        (folder / "config.toml").write_text('[session]\nstore = "cupboard:a"\nuserKey = "user"\n')

        ran = process(folder, "stats", "--config", "config.toml", "--json", env={"PYTHONPATH": str(folder)})

        assert (ran.code, ran.json["living"]) == (0, 0)

    @pytest.mark.parametrize(
        ("command", "power"),
        [("stats", "admin"), ("list", "admin"), ("show 00000000", "admin"), ("revoke --all --yes", "admin"),
         ("revoke 00000000", "admin"), ("list --user ada", "users"), ("revoke --user ada", "users"), ("index", "users")],
    )  # fmt: skip
    def test_a_store_without_a_power_is_refused_by_name(self, folder: Path, command: str, power: str) -> None:
        """Which power it lacks is said."""
        install(folder, "shelf", BARE)
        (folder / "config.toml").write_text('[session]\nstore = "shelf:a"\nuserKey = "user"\n')

        ran = process(folder, *command.split(), "--config", "config.toml", env={"PYTHONPATH": str(folder)})

        assert (ran.code, ran.out) == (2, "")
        assert ran.err.startswith("store: a shelf cannot ")
        assert ran.err.endswith(f"it lacks the power {power}\n")

    def test_a_store_that_drops_expired_sessions_by_itself_needs_no_sweep(self, folder: Path) -> None:
        """It lacks no power."""
        install(folder, "shelf", BARE)

        ran = process(folder, "sweep", "--store", "shelf:a", env={"PYTHONPATH": str(folder)})

        assert (ran.code, ran.out) == (0, "a shelf drops expired sessions by itself\n")


BARE = """
class PackagedStore:
    name = "a shelf"
    def __init__(self, url):
        pass
    async def get(self, sid):
        return None
    create = update = touch = rename = destroy = get
"""
"""A store with the six verbs and nothing else."""


def _printed(place: Place, words: str, stdout: int) -> subprocess.CompletedProcess[str]:
    """Run a command on a store, with a file as its stdout."""
    return subprocess.run(
        command_of(*words.split(), "--config", "config.toml"), cwd=place.folder, env=environment(), stdout=stdout,
        stderr=subprocess.PIPE, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip


def _stalled(place: Place) -> str:
    """The URL of a server that takes connections and says nothing; `reached` is made when one comes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        connection, _ = listener.accept()
        while connection.recv(1_000_000):  # until the client leaves
            (place.folder / "reached").touch()
        connection.close()
        listener.close()

    threading.Thread(target=accept, daemon=True).start()
    return f"redis://127.0.0.1:{listener.getsockname()[1]}"
