"""docs/deployment/compose at work: nginx, the image and Redis in networks of their own, started by podman-compose.

Debian's packages take the place of the images of nginx and Redis. The order of the start is the test's: this podman has no
timer for health checks, so it asks them itself.
"""

import asyncio
import os
import re
import shlex
import shutil
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser.servers import certificate
from client import Browser
from interop.processes import free_port

from sessions import now_ms

from . import podman
from .test_image import SECRET, USER

pytestmark = podman.REQUIRED

COMPOSE = podman.ROOT / "docs" / "deployment" / "compose"


class Project:
    """The services of a copy of compose.yaml with free ports of this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http, self.https = free_port(), free_port()
        text = (COMPOSE / "compose.yaml").read_text()
        for old, new in (
            ("name: sessions\n", f"name: {folder.name}\n"),
            ("context: ../../..", f"context: {podman.ROOT}"),
            ('"80:80"', f'"127.0.0.1:{self.http}:80"'),
            ('"443:443"', f'"127.0.0.1:{self.https}:443"'),
        ):
            assert old in text, old
            text = text.replace(old, new)
        (folder / "compose.yaml").write_text(text)

    def __call__(self, *arguments: str) -> None:
        """Run a command of podman-compose."""
        given = (
            podman.TOOLS / "podman-compose", "--in-pod", "false", "--podman-args", shlex.join(podman.options()),
            "--podman-run-args", shlex.join(podman.LIMITS), "--podman-build-args", shlex.join(podman.BUILDING),
            "--file", self.folder / "compose.yaml", *arguments,
        )  # fmt: skip
        podman.done([str(each) for each in given])

    def service(self, name: str) -> podman.Container:
        return podman.Container(f"{self.folder.name}_{name}_1")

    def start(self) -> None:
        """Start the services in the order of `depends_on`, each when the health check of the one before it passes."""
        for name in ("redis", "sessions"):
            self("up", "--no-deps", "--detach", name)
            self.service(name).until_healthy()
        self("up", "--no-deps", "--detach", "nginx")

    def visitor(self) -> Browser:
        """A new visitor of nginx, by TLS."""
        return Browser(self.https, now_ms, tls=ssl.create_default_context(cafile=self.folder / "tls" / "fullchain.pem"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """All services at work, with the files that the page asks for."""
    podman.stand_ins()
    folder = tmp_path_factory.mktemp("compose")
    shutil.copytree(COMPOSE, folder, dirs_exist_ok=True)
    (folder / "tls").mkdir()
    pem, key = certificate(folder / "tls")
    pem.rename(folder / "tls" / "fullchain.pem")
    key.rename(folder / "tls" / "privkey.pem")
    secret = folder / "session_secret"
    secret.write_text(SECRET)
    secret.chmod(0o400)
    os.chown(secret, USER, USER)
    project = Project(folder)
    project("build")
    try:
        project.start()
        yield project
    finally:
        project("down", "--volumes")


def in_the_page(start: str) -> list[str]:
    """The words that follow in the command of the page that begins so."""
    (found,) = re.findall(rf"`{start}([^`\n]+)`", (COMPOSE.parent / "README.md").read_text("utf-8"))
    return shlex.split(found)


async def test_a_visitor_has_a_session_in_redis(project: Project) -> None:
    """By TLS; in the clear the only answer is where to go."""
    visitor = project.visitor()
    await until_answered(visitor)
    await visitor.fetch("/set-session")
    kept = await visitor.fetch("/get-session")
    keys = project.service("redis")("redis-cli", "--scan", "--pattern", "sess:*").split()
    counted = project.service("sessions")(*in_the_page("docker compose exec sessions "))
    clear = await Browser(project.http, now_ms).fetch("/get-session", headers={"Host": "example.com"})

    assert kept.text == "Session data: exampleuser"
    assert len(keys) == 1
    assert "living\t1\n" in counted
    assert "WARNING" not in project.service("sessions").output
    assert (clear.status, clear.header("Location")) == (308, "https://example.com/get-session")


async def test_sessions_outlive_every_container(project: Project) -> None:
    """All are removed and made again; Redis has its volume."""
    visitor = project.visitor()
    await until_answered(visitor)
    await visitor.fetch("/set-session")

    project("down")
    project.start()
    await until_answered(visitor)
    kept = await visitor.fetch("/get-session")

    assert kept.text == "Session data: exampleuser"


def test_no_service_can_write_its_root_file_system(project: Project) -> None:
    """Each has the capabilities that it needs, and only the server is in Redis's network."""
    found = {}
    for name in ("nginx", "sessions", "redis"):
        service = project.service(name)
        assert "Read-only file system" in service.fails("touch", "/usr/file")
        status = service("sh", "-c", "cat /proc/1/status")
        found[name] = [line.split()[1] for line in status.splitlines() if line.startswith(("CapBnd:", "NoNewPrivs:"))]

    nothing = ["0" * 16, "1"]
    assert found["sessions"] == found["redis"] == nothing
    assert found["nginx"] == [f"{1 << 0 | 1 << 6 | 1 << 7 | 1 << 10:016x}", "1"]  # chown, setgid, setuid, low ports
    assert "redis" in project.service("sessions")("getent", "hosts", "redis")
    project.service("nginx").fails("getent", "hosts", "redis")


async def until_answered(visitor: Browser) -> None:
    """Return when nginx answers."""
    for _ in range(600):
        try:
            if (await visitor.fetch("/")).status == 200:
                return
        except OSError:
            pass
        await asyncio.sleep(0.1)
    raise TimeoutError("nginx does not answer")
