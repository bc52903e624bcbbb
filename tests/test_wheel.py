"""The packages: what is built from a checkout holds the library and nothing else, and works without any extra."""

import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from importlib.metadata import distribution
from pathlib import Path

import pytest
from client import Browser
from interop.processes import Process, wait_until
from markdown_it import MarkdownIt
from test_docs import README
from test_readme_examples import account, example_at, listens, sign_in

from sessions import __all__ as public_names
from sessions import __version__, now_ms

ROOT = Path(__file__).parent.parent
NAME = f"tornado_express_sessions-{__version__}"
SOURCES = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "sessions").rglob("*.py"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the two packages: the sdist of a clean copy of this checkout, and the wheel that it gives."""
    checkout, packages = tmp_path_factory.mktemp("checkout") / "copy", tmp_path_factory.mktemp("packages")
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules", "corpus"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(packages), str(checkout)]
    subprocess.run(command, check=True, capture_output=True)
    return packages


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has the wheel and what it requires without an extra, and nothing else."""
    environment = tmp_path_factory.mktemp("installed")
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python), "install", "--no-index"]
    subprocess.run([*pip, "--no-deps", built / f"{NAME}-py3-none-any.whl"], check=True, capture_output=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    for requirement in metadata(built).get_all("Requires-Dist", []):
        if "extra ==" not in requirement:
            link(re.split(r"[^\w.-]", requirement)[0], packages)
    return python


CLI = ("click", "rich")
"""What the extra `cli` names."""


def link(name: str, packages: Path) -> None:
    """Put a package of this environment into another one."""
    for top in tops(name):
        packages.joinpath(top).symlink_to(Path(str(distribution(name).locate_file(top))))


def unlink(name: str, packages: Path) -> None:
    """Take it out again."""
    for top in tops(name):
        packages.joinpath(top).unlink()


def tops(name: str) -> set[str]:
    """The files and folders of a package."""
    return {file.parts[0] for file in distribution(name).files or []} - {"..", "__pycache__"}


def metadata(built: Path) -> Message:
    """The metadata of the wheel."""
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        return Parser().parsestr(wheel.read(f"{NAME}.dist-info/METADATA").decode())


def run(python: Path, program: str) -> str:
    """What a program prints that knows nothing of this checkout."""
    command = [str(python), "-W", "error", "-c", program]
    done = subprocess.run(command, cwd=python.parent, env={}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_wheel_holds_the_library_and_its_metadata(built: Path) -> None:
    """The server, the handlers and the tests are copied from, never installed."""
    with zipfile.ZipFile(built / f"{NAME}-py3-none-any.whl") as wheel:
        names = wheel.namelist()

    about = [
        f"{NAME}.dist-info/{name}" for name in ("METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE")
    ]
    assert sorted(names) == sorted([*SOURCES, "sessions/py.typed", *about])


def test_the_sdist_holds_what_the_wheel_is_built_from(built: Path) -> None:
    """And the changelog."""
    with tarfile.open(built / f"{NAME}.tar.gz") as sdist:
        names = [member.name.removeprefix(f"{NAME}/") for member in sdist.getmembers() if member.isfile()]

    about = ["CHANGELOG.md", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"]
    assert sorted(set(names) - {".gitignore"}) == sorted([*SOURCES, "sessions/py.typed", *about])


def test_built_again_elsewhere_they_are_the_same_bytes(built: Path, tmp_path: Path) -> None:
    """In another folder, by another user, from files of another day: so anyone can compare them with the source."""
    checkout, packages = tmp_path / "another" / "folder", tmp_path / "packages"
    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules", "corpus"))
    for path in checkout.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
        os.utime(path, (1_000_000_000, 1_000_000_000))

    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(packages), str(checkout)]
    subprocess.run(command, env={**os.environ, "TZ": "Asia/Tokyo"}, umask=0o077, check=True, capture_output=True)

    assert [each.name for each in sorted(packages.iterdir())] == [each.name for each in sorted(built.iterdir())]
    assert [each.name for each in packages.iterdir() if each.read_bytes() != (built / each.name).read_bytes()] == []


def test_the_metadata_name_version_license_and_pythons(built: Path) -> None:
    """As an index shows them. There is no home page as long as the project has none."""
    found = metadata(built)

    assert (found["Name"], found["Version"]) == ("tornado-express-sessions", __version__)
    assert (found["License-Expression"], found["License-File"]) == ("MIT", "LICENSE")
    assert found["Requires-Python"] == ">=3.11"
    assert found["Description-Content-Type"] == "text/markdown"
    classifiers = found.get_all("Classifier", [])
    assert [each for each in classifiers if "Python :: 3." in each] == [
        f"Programming Language :: Python :: 3.{minor}" for minor in (11, 12, 13, 14)
    ]
    assert "Typing :: Typed" in classifiers
    assert found.get_all("Project-URL") is None


def test_every_public_name_is_there_without_an_extra(installed: Path) -> None:
    """By the star import, which loads the drivers that there are; the others' stores say what to install."""
    printed = run(installed, "from sessions import *; print(*sorted(each for each in dir() if each[0] != '_'))")

    assert printed.split() == sorted(public_names)
    for store in ("RedisStore", "PostgresStore"):
        program = (
            f"from sessions import OptionsError, {store}\ntry: {store}('x')\nexcept OptionsError as error: print(error)"
        )
        assert f"[{store.removesuffix('Store').lower()}]" in run(installed, program)


def test_the_command_line_needs_its_extra_and_says_so(installed: Path) -> None:
    """Then `python -m sessions` and the console script are the same program."""
    command = [str(installed), "-m", "sessions", "--version"]
    without = subprocess.run(command, cwd=installed.parent, env={}, capture_output=True, text=True, check=False)
    (packages,) = installed.parent.parent.glob("lib/python*/site-packages")
    needed = (*CLI, "markdown-it-py", "mdurl", "pygments")
    for name in needed:
        link(name, packages)
    with_extra = subprocess.run(command, cwd=installed.parent, env={}, capture_output=True, text=True, check=False)
    script = subprocess.run([installed.with_name("sessions"), "--version"], capture_output=True, text=True, check=False)
    for name in needed:
        unlink(name, packages)

    assert (without.returncode, "pip install 'tornado-express-sessions[cli]'" in without.stderr) == (2, True)
    assert with_extra.stdout == script.stdout == f"sessions, version {__version__}\n"


def test_what_is_imported_is_the_wheel(installed: Path) -> None:
    """And the version is that of its metadata."""
    printed = run(installed, "import sessions; print(sessions.__file__, sessions.__version__)")

    file, version = printed.split()
    assert Path(file).is_relative_to(installed.parent.parent)
    assert version == __version__


async def test_the_readmes_example_runs_with_the_wheel(installed: Path, tmp_path: Path) -> None:
    """The first Python block, but for the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "example.py").write_text(example_at(port))

    command = [str(installed), "-W", "error", "example.py"]
    with Process(command, cwd=tmp_path, env={"PATH": os.environ["PATH"]}) as process:
        wait_until(lambda: listens(port, process), 10)
        visitor = Browser(port, now_ms)
        await sign_in(visitor)
        text = await account(visitor)

    assert text == '{"signed in as": "ada"}'


def test_the_description_has_no_link_that_breaks_on_an_index(built: Path) -> None:
    """There is no checkout beside it: what leads to a file in the README is text there, and the words are the same."""
    description = metadata(built).get_payload()
    assert isinstance(description, str)

    tokens = [child for token in MarkdownIt().parse(description) for child in token.children or ()]

    links = [str(token.attrs["href"]) for token in tokens if token.type == "link_open"]
    assert [link for link in links if not link.startswith("https://")] == []
    assert len(links) > 0
    words = [re.sub(r"\]\([^)\s]+\)|[\[\]]|<!--.*?-->", "", text).split() for text in (README, description)]
    assert words[0] == words[1]
