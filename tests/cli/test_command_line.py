"""What holds for every command: its help, and which store it works on."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

import sessions
from sessions.cli.app import COMMANDS

from .support import Place, process, run


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

        said = [
            subprocess.run(
                [*command, argument], env=environ, cwd=tmp_path, capture_output=True, text=True, check=True
            ).stdout
            for argument in ("secret", "--version")
        ]

        assert len(said[0].strip()) == 43
        assert said[1] == "sessions, of unknown version: the package is not installed\n"

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


class TestSecret:
    """`secret` prints one."""

    def test_it_is_new_and_long_and_written_nowhere(self, folder: Path) -> None:
        """A server takes it."""
        first, second = run("secret").out.strip(), run("secret", "--json").json["secret"]

        assert first != second
        assert len(first) == len(second) == 43
        assert not list(folder.iterdir())
