"""`make dist` gives what docs/releasing.md says, and each extra brings what its part of the library needs."""

import contextlib
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from stores import mongo_server, postgres_server, redis_server

ROOT = Path(__file__).parents[3]
UV = ROOT / ".cache" / "release" / "bin" / "uv"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
NAME = f"tornado_express_sessions-{PROJECT['version']}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make dist` makes, in a folder of the test."""
    folder = tmp_path_factory.mktemp("dist") / "made"
    done = subprocess.run(["make", "dist", f"DIST={folder}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (folder.parent / "said").write_text(done.stdout)
    return folder


def test_a_release_has_two_packages_and_a_list_of_parts(made: Path) -> None:
    """Checked by twine, with their hashes."""
    said = (made.parent / "said").read_text()
    packages = [f"{NAME}-py3-none-any.whl", f"{NAME}.tar.gz"]

    assert sorted(each.name for each in made.iterdir()) == sorted([*packages, "sbom.cdx.json"])
    assert said.count("PASSED") == 2
    assert sorted(re.findall(r"^[0-9a-f]{64}  (\S+)$", said, re.MULTILINE)) == sorted([*packages, "sbom.cdx.json"])


def test_the_list_of_parts_has_what_the_lock_pins(made: Path) -> None:
    """Each by name and version, with its hashes; the project is what they are parts of."""
    found = json.loads((made / "sbom.cdx.json").read_text())
    pinned = dict(re.findall(r"^([\w.-]+)==([\w.]+)", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))

    about = found["metadata"]["component"]
    assert (found["bomFormat"], about["name"], about["version"]) == ("CycloneDX", PROJECT["name"], PROJECT["version"])
    assert {each["name"]: each["version"] for each in found["components"]} == pinned
    assert all(each["externalReferences"][0]["hashes"] for each in found["components"])


# ---------------------------------------------------------------- the extras

STORE = """
import asyncio
from sessions import StoredSession, now_ms, open_store

async def main():
    async with open_store({url!r}) as store:
        made = await store.create("id", StoredSession('{{"n":1}}', now_ms() + 60_000))
        print((await store.get("id")).data)

asyncio.run(main())
"""

PROGRAMS = {
    "crypto": """
import asyncio
from sessions import MemoryStore, SealedStore, StoredSession, now_ms

async def main():
    inner = MemoryStore()
    store = SealedStore(inner, {"k": bytes(32)})
    await store.create("id", StoredSession('{"n":1}', now_ms() + 60_000))
    print((await store.get("id")).data if '"n"' not in (await inner.get("id")).data else "not sealed")

asyncio.run(main())
""",
    "metrics": """
from prometheus_client import CollectorRegistry, generate_latest
from sessions.observe import PrometheusObserver
registry = CollectorRegistry()
PrometheusObserver(registry)
print('{"n":1}' if b"sessions_store_seconds" in generate_latest(registry) else "no metrics")
""",
    "otel": """
from sessions.observe import OpenTelemetryObserver
print('{"n":1}' if OpenTelemetryObserver() else "")
""",
    "cli": """
import subprocess, sys
done = subprocess.run([sys.executable, "-m", "sessions", "secret"], capture_output=True, text=True, check=True)
print('{"n":1}' if len(done.stdout.strip()) > 30 else done.stdout)
""",
    "speed": """
import asyncio, uvloop
from sessions import MemoryStore, StoredSession, now_ms

async def main():
    store = MemoryStore()
    await store.create("id", StoredSession('{"n":1}', now_ms() + 60_000))
    print((await store.get("id")).data)

uvloop.run(main())
""",
}
"""What each extra is for, in its shortest form; it prints the data of a session."""

SERVERS = {"redis": redis_server.RedisServer, "postgres": postgres_server.Server, "mongodb": mongo_server.MongoServer}

EXTRAS = sorted(set(PROJECT["optional-dependencies"]) - {"dev"})


@contextlib.contextmanager
def program(extra: str) -> Iterator[str]:
    """The program of an extra, with the server that it needs."""
    if extra not in SERVERS:
        yield PROGRAMS[extra]
        return
    with SERVERS[extra]() as server:
        yield STORE.format(url=getattr(server, "tcp_url", None) or server.url)


def environment(folder: Path, wheel: Path, extra: str) -> Path:
    """The Python of a new environment that has the wheel with an extra, or "", as the lock pins its packages."""
    python = folder / "bin" / "python"
    pins = folder.parent / "pins.txt"
    dev = (ROOT / "requirements-dev.lock").read_text("utf-8")  # has `speed`, which the other lock has not
    pins.write_text("\n".join(re.findall(r"^[\w.-]+==[\w.]+[^\\\n]*", dev, re.MULTILINE)))
    wanted = f"{wheel}[{extra}]" if extra else str(wheel)
    install = ["pip", "install", "--python", str(python), "--constraint", str(pins), wanted]
    for command in (["venv", "--python", "3", str(folder)], install):
        done = subprocess.run([UV, "--quiet", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return python


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone_brings_what_its_part_needs(extra: str, made: Path, tmp_path: Path) -> None:
    """And the star import works beside it."""
    with program(extra) as text:
        python = environment(tmp_path / "env", made / f"{NAME}-py3-none-any.whl", extra)
        command = [str(python), "-W", "error", "-c", "from sessions import *\n" + text]
        done = subprocess.run(command, cwd=tmp_path, env={}, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stdout.strip()) == (0, '{"n":1}'), done.stderr


def test_without_an_extra_three_packages_are_installed(made: Path, tmp_path: Path) -> None:
    """As docs/dependencies.md says, and every name can be imported."""
    python = environment(tmp_path / "env", made / f"{NAME}-py3-none-any.whl", "")

    listed = subprocess.run(
        [UV, "pip", "list", "--python", python, "--format", "json"], capture_output=True, check=True
    )
    done = subprocess.run([python, "-W", "error", "-c", "from sessions import *"], cwd=tmp_path, env={}, check=False)

    names = {each["name"] for each in json.loads(listed.stdout)}
    assert names == {"tornado-express-sessions", "tornado", "aiosqlite", "orjson"}
    assert done.returncode == 0
