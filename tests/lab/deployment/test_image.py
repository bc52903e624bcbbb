"""The image of docs/deployment/Dockerfile, in a container as compose.yaml has it: who it runs as, what it holds, how it ends."""

import asyncio
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client import Browser, Wire
from interop.processes import free_port, wait_until
from processes import ASKING, BODY

from sessions import now_ms

from . import podman

pytestmark = podman.REQUIRED

HARDENED = (
    "--read-only", "--read-only-tmpfs=false", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
)  # fmt: skip
USER = 10001
"""Of the image."""

SECRET = "of-the-tests-and-as-long-as-the-server-demands"


CONFIG = """
[server]
address = ""
workers = 2
metricsPort = 3001

[session]
store = "sqlite:/var/lib/sessions/sessions.db"
"""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[podman.Container, Browser]]:
    """A container of the image on SQLite, healthy, and a visitor of it."""
    for name, text in {"config.toml": CONFIG, "secret": SECRET}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o400)
        os.chown(folder / name, USER, USER)
    folder.chmod(0o755)
    port = free_port()
    with podman.network() as network:
        given = (
            *HARDENED, "--network", network, "--publish", f"127.0.0.1:{port}:3000",
            "--env", "SESSION_SECRET_FILE=/etc/sessions/secret", "--volume", f"{folder}:/etc/sessions:ro",
        )  # fmt: skip
        with podman.container(podman.image(), *given) as container:
            container.until_healthy()
            yield container, Browser(port, now_ms)


async def test_it_serves_without_root_on_a_read_only_file_system(tmp_path: Path) -> None:
    """A session is kept; no process has a capability; only the store's volume can be written."""
    with serving(tmp_path) as (container, visitor):
        await visitor.fetch("/set-session")
        kept = await visitor.fetch("/get-session")
        status = container("sh", "-c", "cat /proc/[0-9]*/status")
        denied = container.fails("touch", "/opt/sessions/file")
        container("touch", "/var/lib/sessions/file")

    assert kept.text == "Session data: exampleuser"
    assert set(re.findall(r"^Uid:\t(\d+)", status, re.MULTILINE)) == {str(USER)}
    assert set(re.findall(r"^Cap(?:Prm|Eff|Bnd):\t(\w+)", status, re.MULTILINE)) == {"0" * 16}
    assert set(re.findall(r"^NoNewPrivs:\t(\d)", status, re.MULTILINE)) == {"1"}
    assert "Read-only file system" in denied


async def test_sigterm_lets_a_request_in_flight_end(tmp_path: Path) -> None:
    """As `docker stop` sends it: the answer comes whole, and the container ends with 0."""
    with serving(tmp_path) as (container, visitor):
        wire = await Wire.connect(visitor.port)
        wire.send(ASKING)
        await wire.until(lambda: b" 100 " in wire.received)
        wire.received = b""

        container.signal("TERM")
        await asyncio.to_thread(wait_until, lambda: not listens(visitor.port), 60)
        wire.send(BODY)
        answer = await wire.response()
        await wire.close()
        await asyncio.to_thread(wait_until, lambda: not container.state["Running"], 60)
        status = container.state["ExitCode"]

    assert (answer.status, answer.text) == (200, "Session data set successfully")
    assert status == 0


def listens(port: int) -> bool:
    """Whether a new connection is taken."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def test_sighup_reads_the_secrets_again(tmp_path: Path) -> None:
    """As `docker kill -s HUP` sends it; the file is mounted, so it is written in place."""
    with serving(tmp_path) as (container, visitor):
        await visitor.fetch("/set-session")
        (tmp_path / "secret").write_text(f"another-one-of-more-than-32-bytes-for-tests\n{SECRET}")

        container.signal("HUP")
        await asyncio.to_thread(wait_until, lambda: "secrets were read again" in container.output, 60)
        kept = await visitor.fetch("/get-session")

    assert kept.text == "Session data: exampleuser"


def test_the_image_holds_no_secret_store_or_tool() -> None:
    """Nor what compiles or installs, nor a part of the project that does not serve."""
    with podman.container(podman.image(), command=("sleep", "600")) as container:
        names = container("ls", "-A", "/opt/sessions").split()
        tools = container("sh", "-c", "command -v pip pip3 gcc git make || true")
        kept = container("find", "/opt", "/etc/sessions", "-type", "f", "-name", "*.db*", "-o", "-name", "*secret")
        version = container("python3", "-c", "import sessions; print(sessions.__version__)")

    assert names == [
        ".venv", "README.md", "__pycache__", "handlers", "pyproject.toml", "requirements.lock", "server.py", "serving", "sessions",
    ]  # fmt: skip
    assert (tools, kept) == ("", "")
    assert f'version = "{version}"' in (podman.ROOT / "pyproject.toml").read_text()
