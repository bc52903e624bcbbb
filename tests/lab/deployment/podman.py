"""Owns podman: images that are built here, as none can be pulled, and containers that end with their test.

The images that a Dockerfile begins with are made of Debian's packages. Knows nothing of sessions.
"""

import functools
import json
import os
import shutil
import subprocess
import tempfile
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from interop.processes import wait_until

ROOT = Path(__file__).parents[3]
TOOLS = ROOT / ".cache" / "deployment" / "bin"
KEPT = ROOT / ".cache" / "containers"
RUNROOT = f"/tmp/podman-{zlib.crc32(str(KEPT).encode()):08x}"
"""Podman's sockets: their paths may have 107 bytes, and podman wants the same folder each time."""

PYTHON = "3.13"
"""Of Debian trixie."""

SECONDS = 900.0
"""Until a command must have ended: a build installs packages."""

PROGRAMS = ("podman", "runc", "netavark", "aardvark-dns", "iptables", "debootstrap")
"""What Debian has in packages of the same names."""

CONF = '[network]\nnetwork_backend = "netavark"\n'
"""The other one of podman gives the services of an internal network no names."""

BUILDING = ("--network", "host", "--format", "docker", "--volume", f"{KEPT / 'wheels'}:/wheels:ro")
"""How an image is built: the format is the one that knows a health check."""

LIMITS = ("--ulimit", "nofile=10000:10000", "--ulimit", "nproc=10000:10000")
"""Podman's own limits are higher than those of some machines, and nobody may raise them there."""

STAND_INS = {
    "docker.io/library/redis:8": ("redis-server", "WORKDIR /data\nRUN chown redis:redis .\nVOLUME /data"),
    "docker.io/library/nginx:stable": (
        "nginx-light",
        r"""RUN rm -r /etc/nginx/sites-enabled/default /var/lib/nginx && ln -s /var/cache/nginx /var/lib/nginx
RUN ln -sf /dev/stderr /var/log/nginx/error.log && ln -sf /dev/stdout /var/log/nginx/access.log
CMD ["nginx", "-g", "daemon off;"]""",
    ),
}
"""Images of compose.yaml: the package of Debian that has the same program, and what else its Dockerfile says."""


def missing() -> str | None:
    """Why no container can run here; None if one can."""
    if os.geteuid() != 0:
        return "only root can make a chroot"
    for program in PROGRAMS:
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/lib/podman") is None:
            return f"no {program} on this machine (Debian: apt-get install -y {program})"
    return None if TOOLS.exists() else "no tools of deployment (make deployment)"


REQUIRED = [pytest.mark.long, pytest.mark.skipif(missing() is not None, reason=str(missing()))]
"""The marks of a file of tests that start containers."""


@functools.cache
def base() -> None:
    """Make `debian:trixie-slim`. Its pip installs what lies in /wheels, which this machine's pip has downloaded."""
    root, wheels = KEPT / "trixie", KEPT / "wheels"
    done([str(ROOT / "tests" / "chroot.sh"), "trixie", str(root)])
    lock = (ROOT / "requirements.lock").read_text()
    if not (wheels / ".lock").exists() or (wheels / ".lock").read_text() != lock:
        download = [
            str(ROOT / ".venv" / "bin" / "pip"), "download", "--quiet", "--only-binary", ":all:", "--python-version", PYTHON,
            "--dest", str(wheels),
        ]  # fmt: skip
        done([*download, "--requirement", str(ROOT / "requirements.lock")])
        done([*download, "hatchling", "editables", "hatch-fancy-pypi-readme"])  # what installs the project itself
        (wheels / ".lock").write_text(lock)
    (root / "etc" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    if not run("images", "--quiet", "docker.io/library/debian:trixie-slim"):
        archive = subprocess.run(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE, check=True, timeout=SECONDS)
        run("import", "--quiet", "-", "docker.io/library/debian:trixie-slim", stdin=archive.stdout)


def options() -> list[str]:
    """What comes before each command: images and containers of our own, apart from those of the machine."""
    return [
        "--runtime", "runc", "--cgroup-manager", "cgroupfs", "--root", str(KEPT / "store"), "--runroot", RUNROOT,
    ]  # fmt: skip


def run(*arguments: object, stdin: bytes | None = None) -> str:
    """What podman prints. Raises AssertionError with its errors if it fails."""
    return done(["podman", *options(), *map(str, arguments)], stdin=stdin)


def done(command: list[str], *, stdin: bytes | None = None) -> str:
    """What a command prints, once it has ended. Raises AssertionError with its errors if it fails."""
    ended = ask(command, stdin=stdin)
    assert ended.returncode == 0, f"{command}\n{ended.stdout.decode()}\n{ended.stderr.decode()}"
    return ended.stdout.decode().strip()


def ask(command: list[str], *, stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end, whatever that is."""
    conf = KEPT / "containers.conf"
    KEPT.mkdir(parents=True, exist_ok=True)
    conf.write_text(CONF)
    env = {**os.environ, "CONTAINERS_CONF": str(conf)}
    return subprocess.run(command, input=stdin, capture_output=True, timeout=SECONDS, check=False, env=env)


def build(tag: str, context: Path, file: Path | None = None) -> str:
    """Build an image. A step that was made before is taken from the cache. Returns the tag."""
    base()
    given = () if file is None else ("--file", file)
    run("build", "--quiet", *BUILDING, "--tag", tag, *given, context)
    return tag


def built(tag: str, *lines: str) -> str:
    """Build an image of these lines, which copy nothing."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Dockerfile").write_text("\n".join(lines))
        return build(tag, Path(folder))


def installing(*packages: str) -> str:
    """The line of a Dockerfile that installs packages of Debian."""
    return f"RUN apt-get update && apt-get install --yes --no-install-recommends {' '.join(packages)} && apt-get clean"


@functools.cache
def image() -> str:
    """The image of docs/deployment."""
    return build("localhost/sessions", ROOT, ROOT / "docs" / "deployment" / "Dockerfile")


@functools.cache
def stand_ins() -> None:
    """Make those images of compose.yaml that would be pulled."""
    for tag, (package, further) in STAND_INS.items():
        built(tag, "FROM debian:trixie-slim", installing(package), further)


class Container:
    """A container at work."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, *command: object) -> str:
        """What a command in it prints, as the container's own user. Raises AssertionError if it fails."""
        return run("exec", self.name, *command)

    def fails(self, *command: object) -> str:
        """The errors of a command in it that fails. Raises AssertionError if it succeeds."""
        ended = ask(["podman", *options(), "exec", self.name, *map(str, command)])
        assert ended.returncode != 0, ended.stdout
        return ended.stderr.decode()

    def signal(self, name: str) -> None:
        run("kill", "--signal", name, self.name)

    @property
    def output(self) -> str:
        """What its program has printed, on both streams."""
        shown = ask(["podman", *options(), "logs", self.name])
        return (shown.stdout + shown.stderr).decode()

    @property
    def state(self) -> dict[str, Any]:
        """What podman says of its state."""
        return dict(json.loads(run("inspect", self.name))[0]["State"])

    def is_healthy(self) -> bool:
        """Whether the image's own health check passes."""
        return ask(["podman", *options(), "healthcheck", "run", self.name]).returncode == 0

    def until_healthy(self) -> None:
        """Return when it passes. Raises TimeoutError, or AssertionError with the output if the container has ended."""

        def look() -> bool:
            assert self.state["Running"], self.output
            return self.is_healthy()

        wait_until(look, 60)


@contextmanager
def container(of: str, *arguments: object, command: tuple[object, ...] = ()) -> Iterator[Container]:
    """A container of an image, removed at the end. Nothing but a health check by hand runs here, as it needs systemd."""
    name = f"sessions-{uuid.uuid4().hex[:8]}"
    run("run", "--detach", "--name", name, "--health-interval", "disable", *LIMITS, *arguments, of, *command)
    try:
        yield Container(name)
    finally:
        run("rm", "--force", "--time", "0", name)


@contextmanager
def network() -> Iterator[str]:
    """A network with addresses that nothing else of this machine has; gives its name."""
    name = f"sessions-{uuid.uuid4().hex[:8]}"
    run("network", "create", name)
    try:
        yield name
    finally:
        run("network", "rm", "--force", name)
