"""What holds for every command: which store it works on, what it says of a failure, and with which code it ends."""

import asyncio
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import click
import pytest
from installed import install
from interop.processes import Process, free_port, wait_until
from stores.postgres_server import shared as shared_postgres
from stores.redis_server import shared_server
from stores.support import as_nobody, prefix, query

import sessions
from sessions.cli.app import COMMANDS

from .support import SECONDS, Place, command_of, environment, process, run, table_of

READING = ["stats", "list", "show 00000000"]
WRITING = ["revoke 00000000", "revoke --user ada", "revoke --all --yes", "sweep", "index"]


class TestHelp:
    """Each command explains itself."""

    def test_the_commands_are_listed_without_being_imported(self) -> None:
        """So it is quick."""
        program = "import sys; from sessions.cli import main; main(['--help']); print(*sys.modules)"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

        assert all(f"  {name} " in done.stdout for name in COMMANDS)
        assert "sessions.cli.stats" not in done.stdout

    @pytest.mark.parametrize("name", COMMANDS)
    def test_a_command_has_a_help_of_its_own(self, name: str) -> None:
        """Its options, and what it does."""
        ran = run(name, "--help")

        assert ran.code == 0
        assert f"Usage: sessions {name}" in ran.out
        assert "--json" in ran.out

    def test_the_console_script_is_the_same_program(self, tmp_path: Path) -> None:
        """And so is its version."""
        script = Path(sys.executable).with_name("sessions")
        done = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)

        assert done.stdout == process(tmp_path, "--version").out
        assert done.stdout.startswith("sessions, version ")

    def test_a_copy_that_is_not_installed_has_every_command(self, tmp_path: Path) -> None:
        """A server may be a copy of the project, with its dependencies beside it."""
        packages = tmp_path / "packages"
        packages.mkdir()
        for path in Path(click.__file__).parents[1].iterdir():
            if "tornado_express_sessions" not in path.name:
                (packages / path.name).symlink_to(path)
        project = Path(sessions.__file__).parents[1]
        command = [sys.executable, "-S", "-m", "sessions"]  # -S: only what PYTHONPATH names
        environ = {**os.environ, "PYTHONPATH": f"{project}:{packages}"}

        told = [
            subprocess.run(
                [*command, argument], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
            ).stdout
            for argument in ("secret", "--version")
        ]

        assert len(told[0].strip()) == 43
        assert told[1] == "sessions, of unknown version: the package is not installed\n"

    @pytest.mark.parametrize("missing", ["click", "rich"])
    def test_without_the_extra_one_line_says_what_to_install(self, missing: str) -> None:
        """With the code of wrong usage."""
        program = (
            f"import sys; sys.modules[{missing!r}] = None; import sessions.__main__; sys.exit(sessions.cli.main([]))"
        )

        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"{missing}: not installed: pip install 'tornado-express-sessions[cli]'\n"


class TestTarget:
    """Which store a command works on."""

    def test_a_url_names_a_store(self, sqlite: Callable[..., Place]) -> None:
        """With --user-key for its users."""
        place = sqlite()
        place.put("ada")

        ran = run("list", "--store", place.url, "--user-key", "username", "--json")

        assert [row["user"] for row in ran.json["sessions"]] == ["ada"]

    def test_the_environment_names_a_store(self, sqlite: Callable[..., Place]) -> None:
        """A password in it stays out of the list of processes. The command line counts before it."""
        place = sqlite()
        place.put("ada")
        other = {"SESSION_STORE": "sqlite:none.db"}

        assert process(place.folder, "stats", "--json", env={"SESSION_STORE": place.url}).json["living"] == 1
        assert process(place.folder, "stats", "--config", "config.toml", "--json", env=other).json["living"] == 1

    def test_a_relative_path_begins_in_the_working_folder(self, sqlite: Callable[..., Place], tmp_path: Path) -> None:
        """As the server has it, wherever the configuration is."""
        place = sqlite()
        place.put("ada")
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        config = elsewhere / "config.toml"
        config.write_text('[session]\nstore = "sqlite:sessions.db"\n')

        here, there = (
            process(tmp_path, "stats", "--config", str(config)),
            process(elsewhere, "stats", "--config", str(config)),
        )

        assert here.code == 0
        assert (there.code, there.out) == (1, "")
        assert "sessions.db: there is no such file (a relative path begins in the working folder)" in there.err

    def test_the_configuration_of_an_application_may_have_further_tables(self, sqlite: Callable[..., Place]) -> None:
        """Those of the reference server, and others."""
        place = sqlite()
        place.config.write_text(place.config.read_text() + "\n[mail]\nhost = 'localhost'\n[mail.more]\na = 1\n")

        assert place.run("stats").code == 0

    @pytest.mark.parametrize(("table", "near"), [("sessions", "session"), ("postgress", "postgres")])
    def test_a_misspelled_table_is_none_of_the_applications(
        self, sqlite: Callable[..., Place], table: str, near: str
    ) -> None:
        """Else the command would work on the store of the defaults."""
        place = sqlite()
        place.config.write_text(place.config.read_text() + f"\n[{table}]\n")

        ran = place.run("revoke", "--all", "--yes")

        assert (ran.code, ran.out) == (2, "")
        assert f"[{table}]: no such table; did you mean [{near}]?" in ran.err

    def test_no_command_needs_the_servers_secret(self, sqlite: Callable[..., Place]) -> None:
        """Or makes one, or warns of a weak one."""
        place = sqlite("secret = 'weak'")
        place.put("ada")

        ran = place.process("stats", env={"SESSION_SECRET_FILE": "/nowhere"})

        assert (ran.code, ran.err) == (0, "")
        assert not list(place.folder.glob("*.secret"))

    def test_memory_is_refused_by_name(self) -> None:
        """It is one process's own."""
        ran = run("stats", "--store", "memory:")

        assert (ran.code, ran.out) == (2, "")
        assert ran.err == "store: memory: is one process's own, so no other process sees its sessions\n"

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            ([], "give --config FILE, or --store URL"),
            (["--config", "a.toml", "--store", "sqlite:a.db"], "one of them is enough"),
            (["--config", "a.toml", "--user-key", "user"], "--user-key goes with --store"),
            (["--config", "none.toml"], "none.toml: [Errno 2]"),
            (["--store", "nosuch:thing"], "store: nosuch: no such store"),
            (["--store", "sqlite:a.db", "--user-key", "a b"], "userKey: expected a key"),
            (["--store", "postgresql://user:geheim@host:port/db"], "store: "),
            (["--frobnicate"], "No such option"),
        ],
    )
    def test_wrong_usage_is_code_2(self, folder: Path, arguments: list[str], says: str) -> None:
        """With one line that names it, on stderr; no password is shown."""
        ran = run("stats", *arguments)

        assert (ran.code, ran.out) == (2, "")
        assert says in ran.err
        assert "geheim" not in ran.err
        assert not list(folder.iterdir())


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
        with Process(command_of("list", "--store", _stalled(place)), cwd=place.folder, env=environment()) as waiting:
            wait_until((place.folder / "reached").exists, SECONDS)
            os.kill(waiting.pid, signal.SIGINT)
            wait_until(lambda: waiting._child.poll() is not None, SECONDS)

            assert (waiting._child.returncode, waiting.output) == (130, "")


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


class TestSecret:
    """`secret` prints one."""

    def test_it_is_new_and_long_and_written_nowhere(self, folder: Path) -> None:
        """A server takes it."""
        first, second = run("secret").out.strip(), run("secret", "--json").json["secret"]

        assert first != second
        assert len(first) == len(second) == 43
        assert not list(folder.iterdir())


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
