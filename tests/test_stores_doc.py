"""docs/stores.md: its stores pass the published contract under plain pytest, and its way into config.toml is one."""

import json
import os
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "stores.md").read_text("utf-8")

FILES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
TOML = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

COMPRESSED = """
from pathlib import Path

from compressed_store import CompressedStore
from file_store import FileStore
from sessions.testing import StoreContract


class TestCompressedStore(StoreContract):
    shared = True

    def make_store(self, place: Path) -> CompressedStore:
        return CompressedStore(FileStore(f"file:{place}/sessions.json", max_sessions=5_000, clock=self.clock))
"""
"""The suite on the wrapper, which the page leaves out."""

COUNT = """
import asyncio
import json

from file_store import FileStore
from sessions import Outcome


async def count(times):
    store = FileStore("file:sessions.json")
    record = await store.get("a")
    while times:
        text = json.dumps({"n": json.loads(record.data)["n"] + 1})
        outcome, record = await store.update("a", record._replace(data=text), record)
        times -= outcome is Outcome.SAVED


asyncio.run(count(40))
"""
"""A process that counts up in a session."""

SHOWN = """
from pathlib import Path

from sessions.config import ConfigFile

store = ConfigFile(Path("config.toml")).config(exposed=False).open_store()
while hasattr(store, "inner"):
    store = store.inner
print(type(store).__name__, store.name, store._max)
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with the files of the page, and no others."""
    for name, body in FILES.items():
        (tmp_path / name).write_text(body)
    (tmp_path / "test_compressed_store.py").write_text(COMPRESSED)
    return tmp_path


def run(folder: Path, *arguments: str) -> str:
    """What a Python prints that has the library and the files of the page, and no plugin of pytest."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{folder}:{ROOT}", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [sys.executable, "-W", "error", *arguments]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_every_block_of_python_is_a_file() -> None:
    """None is left out of what follows."""
    assert PAGE.count("```python\n") == len(FILES)
    assert FILES.keys() == {"file_store.py", "test_file_store.py", "app.py", "counted_store.py", "compressed_store.py"}


@pytest.mark.parametrize("name", ["test_file_store.py", "counted_store.py", "test_compressed_store.py"])
def test_its_stores_keep_the_contract(site: Path, name: str) -> None:
    """Each passes the whole suite, by pytest alone."""
    output = run(site, "-m", "pytest", "-q", "-p", "no:cacheprovider", name)

    assert re.search(r"^(8\d|9\d|10\d) passed in ", output, re.MULTILINE), output


def test_processes_share_its_store(site: Path) -> None:
    """No increment of three of them is lost."""
    end = 8_640_000_000_000_000
    (site / "sessions.json").write_text(f'{{"a": ["{{\\"n\\": 0}}", {end}, null]}}')

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda _: run(site, "-c", COUNT), range(3)))

    assert json.loads((site / "sessions.json").read_text()) == {"a": ['{"n": 120}', end, None]}


def test_the_store_is_short() -> None:
    """It can be read in one sitting."""
    lines = [line for line in FILES["file_store.py"].splitlines() if line.strip()]

    assert len(lines) <= 75


def test_a_registered_store_is_configured(site: Path) -> None:
    """By its scheme and the options of its table."""
    (site / "config.toml").write_text(TOML[0])

    assert run(site, "-c", f"import app\n{SHOWN}") == "FileStore file:sessions.json 300\n"


def test_a_store_of_an_installed_package_is_configured(site: Path) -> None:
    """By the entry point as the page writes it."""
    (site / "config.toml").write_text(TOML[0])
    ((group, points),) = tomllib.loads(TOML[1])["project"]["entry-points"].items()
    metadata = site / "file_store-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: file_store\nVersion: 1.0\n")
    lines = [f"{name} = {value}\n" for name, value in points.items()]
    (metadata / "entry_points.txt").write_text("".join([f"[{group}]\n", *lines]))

    assert run(site, "-c", SHOWN) == "FileStore file:sessions.json 300\n"


def test_a_wrapper_is_configured_with_the_options_of_what_it_wraps(site: Path) -> None:
    """Its scheme comes before the URL of the store inside."""
    (site / "config.toml").write_text(TOML[0].replace('"file:', '"zlib:file:').replace("[file]", "[zlib]"))

    assert run(site, "-c", f"import app, compressed_store\n{SHOWN}") == "FileStore file:sessions.json 300\n"
